"""The authentication or authorisation subrequest failed or returned an unexpected status.

auth_request accepts 2xx, 401 and 403. Any other status becomes 500 ("auth request unexpected status"). ALB returns 561, Envoy
logs UAEX.

## Do not confuse with
- the causes of the auth backend's own failure: they are reported next to this one.

## Confirm
- The error log has a line for the subrequest (`subrequest: "/auth"`).

## Fix
- Repair the auth service. It must answer 2xx, 401 or 403.

## References
- https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.headers import add
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.subrequests import judges
from why502.model.finding import Layer, Risk, Severity
from why502.model.logs import Symptom
from why502.model.target import Target


@rule(121, "auth-request-with-body", Severity.WARNING)
def waits_for_body(deployment: Deployment) -> Iterator[Risk]:
    """The location of an authentication subrequest announces a body that it does not send.

    The subrequest carries the client's Content-Length without the body. The service waits for the body until a timeout, so every
    POST fails.
    """
    asked = {setting.args[0].partition("?")[0] for _, setting in deployment.uses("auth_request") if setting.args}
    for route in deployment.routes if asked else ():
        level = deployment.level(route)
        name = route.location.removeprefix("= ").removeprefix("^~ ")
        if route.directive != "proxy_pass" or name not in asked or level is None or not level.is_known:
            continue
        has_length = any(header.lower() == "content-length" for header, _ in route.headers)
        if level.first("proxy_pass_request_body") != "off" and not has_length:
            yield risk(
                f"{name} announces a body to the service but sends none",
                route.at,
                add(level, 'proxy_pass_request_body off; proxy_set_header Content-Length "";'),
            )


def aim(case: Case) -> Target | None:
    """Return the backend of the failed subrequests, by the configuration; None if there are several."""
    failures = [tally for tally in case.tallies if tally.symptom is Symptom.AUTH_FAILED]
    found = judges(case.joins, failures)
    return found.pop() if len(found) == 1 else None


CAUSE = Cause(
    id="auth-service-failed",
    layer=Layer.PROXY,
    message="the authentication or authorisation subrequest failed or returned an unexpected status",
    symptoms={Symptom.AUTH_FAILED: 5.0},
    foresee=(waits_for_body,),
    aim=aim,
)
