"""The request header exceeds the backend's own limit (uWSGI buffer-size, Node.js, Tomcat, gunicorn).

The backend closes the connection without a response (the proxy answers 502, "connection reset"), or answers 400 or 431. uWSGI
logs "invalid request block size: 4437 (max 4096)...skip".

## Do not confuse with
- `request-too-large`: the proxy itself rejects the request (400, 414, 494).
- `response-header-too-big`: the header of the response is too big.

## Confirm
- The same request with fewer cookies succeeds.

## Fix
- Raise the limit: uWSGI buffer-size, Node.js --max-http-header-size, gunicorn limit_request_field_size, Tomcat maxHttpHeaderSize.
  Or use smaller cookies.

## References
- https://uwsgi-docs.readthedocs.io/en/latest/ThingsToKnow.html
- https://nodejs.org/api/cli.html#--max-http-header-sizesize
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.unserved import refusing, unserved
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    limit = next((one for one in unserved(case.joins) if one.is_of_backend_limit and one.target == case.target), None)
    is_passed_on = case.route is not None and not behaviour(case.route.proxy).refuses_long_requests
    if limit is not None and case.target is not None and is_passed_on:
        yield supports(f"{limit.message}; the proxy passes that status on", "access log", 2 * LIKELY)
    if not case.failures and case.target is not None and limit is None and case.target not in refusing(case.joins):
        return
    for event in case.events(Symptom.REQUEST_HEADER_TOO_BIG)[:1]:
        yield supports(event.message, event.source, PROOF)
        return
    for tally in case.words(Symptom.REQUEST_HEADER_TOO_BIG)[:1]:
        yield supports(f"the backend reports that a request header was too big {tally.detail}".rstrip(), tally.source, PROOF)


@rule(94, "uwsgi-buffer-smaller", Severity.NOTE)
def uwsgi_buffer(deployment: Deployment) -> Iterator[Risk]:
    """The proxy accepts larger request headers than uWSGI does by default.

    Its `buffer-size` is 4096. uWSGI drops a longer request (`invalid request block size`), and nginx answers 502.
    """
    seen = set()
    for route in deployment.routes_of("uwsgi"):
        setting = route.setting("large_client_header_buffers")
        size = units.size(setting.args[1]) if setting and len(setting.args) == 2 else None
        if route.directive == "uwsgi_pass" and setting and size and size > 8192 and setting.at not in seen:
            seen.add(setting.at)
            yield risk(
                f"requests may have {setting.args[1]} of headers, but uWSGI accepts only 4096 bytes by default",
                setting.at,
                "raise uWSGI's buffer-size too",
            )


CAUSE = Cause(
    id="request-header-too-big",
    layer=Layer.UPSTREAM,
    message="the request header exceeds the backend's own limit (uWSGI buffer-size, Node.js, Tomcat, gunicorn)",
    symptoms={Symptom.REQUEST_HEADER_TOO_BIG: LIKELY},
    explains=frozenset({"connection-reset", "premature-close"}),
    examine=examine,
    foresee=(uwsgi_buffer,),
)
