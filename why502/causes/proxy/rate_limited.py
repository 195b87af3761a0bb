"""The proxy itself refused by limit_req, limit_conn or the like.

503 by default (limit_req_status, limit_conn_status), with "limiting requests, excess" or "limiting connections by zone" at level error. It is the
configuration at work, not a failure of the backend.

## Confuse not with
- `upstream-error-status`: the application limits.
- `maintenance-response`: an unconditional 503.

## Confirm
- `nginx -T | grep -nE 'limit_(req|conn)'`

## Fix
- Raise rate or burst where real users are hit; answer 429 in place of 503 (limit_req_status 429).

## References
- https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.cause import Cause
from why502.deployment import Deployment
from why502.model.finding import PROOF, Layer, Risk, Severity
from why502.model.logs import Symptom
from why502.rule import risk, rule


@rule(103, "limit-told-as-503", Severity.NOTE)
def told_as_503(deployment: Deployment) -> Iterator[Risk]:
    """A limit refuses with 503, as if the service were unavailable.

    503 is the default of limit_req_status and limit_conn_status. Monitoring takes it for an outage, clients repeat at once.
    """
    seen = set()
    for route in deployment.routes:
        level = deployment.level(route)
        for name in ("limit_req", "limit_conn"):
            setting = route.setting(name)
            if setting and f"{name}_status" not in route.settings and name not in seen and level and level.is_known:
                seen.add(name)
                yield risk(f"what {name} refuses is told as 503", setting.at, f"`{name}_status 429;`")


@rule(104, "limit-without-burst", Severity.NOTE)
def without_burst(deployment: Deployment) -> Iterator[Risk]:
    """A rate limit has no burst, so the second request within an instant is refused.

    10r/s means one each 100 ms. A browser asks for many things at once: a part of each page is missing.
    """
    seen = set()
    for route in deployment.routes:
        for setting in route.settings.get("limit_req", ()):
            if not any(word.startswith("burst=") for word in setting.args) and setting.at not in seen:
                seen.add(setting.at)
                yield risk("without burst two requests at once are one too many", setting.at, "add `burst=20 nodelay`")


CAUSE = Cause(
    id="rate-limited",
    layer=Layer.PROXY,
    says="the proxy itself refused by limit_req, limit_conn or the like",
    symptoms={Symptom.RATE_LIMITED: PROOF},
    foresee=(
        told_as_503,
        without_burst,
    ),
)
