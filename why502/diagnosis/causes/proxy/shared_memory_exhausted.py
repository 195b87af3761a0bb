"""A shared memory zone of the proxy is too small (limit_req, cache keys, upstream zone).

"could not allocate node", "could not allocate new session", "no memory in … zone": requests are refused, or the feature stops working.

## Confuse not with
- `memory-pressure`: the machine's memory.

## Confirm
- The zone's size in the configuration; the line in the error log names it.

## Fix
- A larger zone.

## References
- https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req_zone
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.cause import Cause
from why502.gateways.nginx.config import units
from why502.model.finding import Layer, Risk, Severity
from why502.model.logs import Symptom


@rule(105, "limit-zone-small", Severity.NOTE)
def zone_small(deployment: Deployment) -> Iterator[Risk]:
    """The zone of a limit holds few states.

    A state takes 64 or 128 bytes. When the zone is full, requests are refused with 503 whoever sent them.
    """
    for level in deployment.levels:
        for directive in level.own("limit_req_zone", "limit_conn_zone"):
            for word in directive.args:
                size = units.size(word.rpartition(":")[2]) if word.startswith("zone=") else None
                if size and size < 256 << 10:
                    yield risk(f"{word} holds about {size // 128} clients", directive.at, "take 1m or more")


CAUSE = Cause(
    id="shared-memory-exhausted",
    layer=Layer.PROXY,
    message="a shared memory zone of the proxy is too small (limit_req, cache keys, upstream zone)",
    symptoms={Symptom.SHARED_MEMORY: 5.0},
    foresee=(zone_small,),
)
