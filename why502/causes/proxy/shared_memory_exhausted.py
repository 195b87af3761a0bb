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

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="shared-memory-exhausted",
    layer=Layer.PROXY,
    says="a shared memory zone of the proxy is too small (limit_req, cache keys, upstream zone)",
    symptoms={Symptom.SHARED_MEMORY: 5.0},
)
