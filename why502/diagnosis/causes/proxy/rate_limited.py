"""The proxy itself rejected the request by limit_req, limit_conn or similar.

The status is 503 by default (limit_req_status, limit_conn_status). nginx logs "limiting requests, excess" or "limiting
connections by zone" at level error. This is the configured behaviour, not a failure of the backend.

## Do not confuse with
- `upstream-error-status`: the application limits the rate.
- `maintenance-response`: every request gets 503.

## Confirm
- `nginx -T | grep -nE 'limit_(req|conn)'` shows the limits.

## Fix
- Raise rate or burst if real users are affected. Return 429 instead of 503.
- nginx: `limit_req_status 429;`

## References
- https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.config import Route
from why502.model.finding import PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom

LIMITS = ("limit_req", "limit_conn")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is not None:
        return
    refused = case.tally(Symptom.RATE_LIMITED)
    zones = {tally.detail for tally in case.tallies if tally.symptom is Symptom.RATE_LIMITED}
    own = [tally for tally in case.tallies if tally.symptom in (Symptom.OWN_STATUS, Symptom.GATEWAY_STATUS)]
    rules = [(proxy.kind, answer) for proxy in case.proxies for answer in proxy.answers]
    for tally in () if refused else own:
        fitting = [rule for kind, rule in rules if kind == tally.proxy and rule.status == tally.status]
        if fitting and all(rule.is_limit for rule in fitting):
            yield supports(f"only a limit of rates answers {tally.status} in the configuration", str(fitting[0].at or ""), PROOF)
            break
    reported = set()
    for route in case.routes:
        for name in LIMITS:
            for setting in route.settings.get(name, ()):
                status, zone = route.limit_status(name), _zone(setting.args)
                if (name, zone, status) in reported:
                    continue
                message = f"{name} of zone {zone} rejects with {status}" + f" ({name}_status)" * (
                    f"{name}_status" in route.settings
                )
                if refused and zone in zones:
                    reported.add((name, zone, status))
                    yield supports(message, str(setting.at or ""), WEAK)
                elif not refused and not _logs(route, name) and any(tally.status == status for tally in own):
                    reported.add((name, zone, status))
                    yield supports(f"{message}, and its log level suppresses that line", str(setting.at or ""), STRONG)


def summarize(case: Case) -> str:
    """Return the finding in one sentence, if the log names the zone whose limit was reached."""
    refused = case.tally(Symptom.RATE_LIMITED)
    if refused is None or not refused.detail or case.target is not None:
        return ""
    times = "1 request" if refused.count == 1 else f"{refused.count} requests"
    status = f" with {refused.status}" if refused.status else ""
    return f"{refused.proxy or 'the proxy'} itself rejected {times}{status}: its limit in zone {refused.detail} was reached"


def _zone(args: tuple[str, ...]) -> str:
    """Return the zone that a limit counts in: `zone=NAME` of limit_req, the first word of limit_conn."""
    return next((word.removeprefix("zone=") for word in args if word.startswith("zone=")), args[0] if args else "")


def _logs(route: Route, name: str) -> bool:
    """Return whether rejections are logged at the usual level of the error log."""
    setting = route.setting(f"{name}_log_level")
    return setting is None or not setting.args or setting.args[0] == "error"


@rule(103, "limit-returned-as-503", Severity.NOTE)
def told_as_503(deployment: Deployment) -> Iterator[Risk]:
    """A limit rejects with 503, as if the service were unavailable.

    503 is the default of limit_req_status and limit_conn_status. Monitoring reports it as an outage, and clients retry
    immediately.
    """
    seen = set()
    for route in deployment.routes_with("limit_req", "limit_conn"):
        level = deployment.level(route)
        for name in ("limit_req", "limit_conn"):
            setting = route.setting(name)
            if setting and f"{name}_status" not in route.settings and name not in seen and level and level.is_known:
                seen.add(name)
                yield risk(f"requests rejected by {name} get {route.limit_status(name)}", setting.at, f"`{name}_status 429;`")


@rule(104, "limit-without-burst", Severity.NOTE)
def without_burst(deployment: Deployment) -> Iterator[Risk]:
    """A rate limit has no burst, so the second of two simultaneous requests is rejected.

    10r/s means one request every 100 ms. A browser sends many requests at once, so parts of each page are missing.
    """
    seen = set()
    for route in deployment.routes_with("limit_req"):
        for setting in route.settings.get("limit_req", ()):
            if not any(word.startswith("burst=") for word in setting.args) and setting.at not in seen:
                seen.add(setting.at)
                yield risk(
                    "without burst, the second of two simultaneous requests is rejected", setting.at, "add `burst=20 nodelay`"
                )


CAUSE = Cause(
    id="rate-limited",
    layer=Layer.PROXY,
    is_intended=True,
    message="the proxy itself rejected the request: a limit on requests or connections was exceeded",
    symptoms={Symptom.RATE_LIMITED: PROOF},
    examine=examine,
    summarize=summarize,
    foresee=(
        told_as_503,
        without_burst,
    ),
)
