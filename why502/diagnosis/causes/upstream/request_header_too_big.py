"""The request's header exceeds the backend's own limit (uWSGI buffer-size, Node.js, Tomcat, gunicorn).

The backend drops the connection without an answer (502 in the proxy, "connection reset"), or answers 400 or 431. uWSGI says "invalid request block size: 4437
(max 4096)...skip".

## Confuse not with
- `request-too-large`: the proxy itself refuses (400, 414, 494).
- `response-header-too-big`: the other direction.

## Confirm
- The same request with fewer cookies succeeds.

## Fix
- uWSGI buffer-size, Node.js --max-http-header-size, gunicorn limit_request_field_size, Tomcat maxHttpHeaderSize; or smaller cookies.

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
from why502.gateways.nginx.config import units
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.failures and case.target is not None:
        return
    for event in case.events(Symptom.REQUEST_HEADER_TOO_BIG)[:1]:
        yield supports(event.message, event.source, PROOF)
        return
    for tally in case.words(Symptom.REQUEST_HEADER_TOO_BIG)[:1]:
        yield supports(f"the backend reports that a request header was too big {tally.detail}".rstrip(), tally.source, PROOF)


@rule(94, "uwsgi-buffer-smaller", Severity.NOTE)
def uwsgi_buffer(deployment: Deployment) -> Iterator[Risk]:
    """Larger request headers are let through than uWSGI takes by default.

    Its `buffer-size` is 4096: a longer request is dropped (`invalid request block size`), which nginx tells as a 502.
    """
    seen = set()
    for route in deployment.routes:
        setting = route.setting("large_client_header_buffers")
        size = units.size(setting.args[1]) if setting and len(setting.args) == 2 else None
        if route.directive == "uwsgi_pass" and setting and size and size > 8192 and setting.at not in seen:
            seen.add(setting.at)
            yield risk(
                f"requests may have {setting.args[1]} of headers, uWSGI takes 4096 bytes by default",
                setting.at,
                "raise uWSGI's buffer-size, too",
            )


CAUSE = Cause(
    id="request-header-too-big",
    layer=Layer.UPSTREAM,
    message="the request's header exceeds the backend's own limit (uWSGI buffer-size, Node.js, Tomcat, gunicorn)",
    symptoms={Symptom.REQUEST_HEADER_TOO_BIG: LIKELY},
    explains=frozenset({"connection-reset", "premature-close"}),
    examine=examine,
    foresee=(uwsgi_buffer,),
)
