"""A shared memory zone of the proxy is too small (rate limits, cache keys, state of a group).

nginx logs "could not allocate node", "could not allocate new session" or "no memory in … zone". Requests are rejected, or the
feature stops working.

## Do not confuse with
- `memory-pressure`: the machine is short of memory.

## Confirm
- Look up the size of the zone in the configuration. The error-log line names the zone.

## Fix
- Make the zone larger.

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
    """The zone of a limit is too small for many clients.

    One state takes 64 or 128 bytes. When the zone is full, requests from every client are rejected with 503.
    """
    for _, directive in deployment.uses("limit_req_zone", "limit_conn_zone"):
        for word in directive.args:
            size = units.size(word.rpartition(":")[2]) if word.startswith("zone=") else None
            if size and size < 256 << 10:
                yield risk(f"{word} holds about {size // 128} clients", directive.at, "use 1m or more")


CAUSE = Cause(
    id="shared-memory-exhausted",
    layer=Layer.PROXY,
    message="a shared memory zone of the proxy is too small (rate limits, cache keys, state of a group)",
    symptoms={Symptom.SHARED_MEMORY: 5.0},
    foresee=(zone_small,),
)
