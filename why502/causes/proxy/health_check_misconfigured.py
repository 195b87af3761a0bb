"""The members are fine and the health check fails: path, host, port, expected code, timing.

All members are out although a direct request succeeds.

## Confuse not with
- `all-upstreams-down`: the direct request fails too.

## Confirm
- Send exactly what the check sends (path, Host, method, protocol) straight to a member.

## Fix
- Correct the check: the path, the Host header, the expected status, the port; open the firewall for its source addresses.

## References
- https://docs.haproxy.org/2.6/configuration.html#4.2-option%20httpchk
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import FAIR, LIKELY, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom

SERVER_ERROR = 500


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for it: the check's own words, and that requests to the member are answered all the same."""
    tally = case.tally(Symptom.HEALTH_CHECK_STATUS)
    if case.target is None or tally is None or not case.is_left_out or case.explains_notices:
        return
    message = f"the health check did not get the expected response ({tally.detail})" if tally.detail else "the health check fails"
    yield supports(f"{message}, and no server of the group was left", tally.source, LIKELY)
    answered = next(
        (probe for probe in case.probes if probe.symptom is None and probe.status and probe.status < SERVER_ERROR), None
    )
    if answered is not None:
        yield supports(f"it answers a probe with {answered.status}", "probe", FAIR)


CAUSE = Cause(
    id="health-check-misconfigured",
    layer=Layer.PROXY,
    message="the members are healthy, but the health check fails: path, host, port, expected code, timing",
    symptoms={Symptom.HEALTH_CHECK_STATUS: LIKELY, Symptom.HEALTH_CHECK_FAILED: WEAK},
    examine=examine,
)
