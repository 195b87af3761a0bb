"""A worker process of the proxy itself died by a signal.

"worker process N exited on signal 11": all of its requests are lost without a line in the access log; a new worker starts at once. Nearly always a third-party module.

## Confuse not with
- `backend-crashed`: the other side.

## Confirm
- `journalctl -k -g 'nginx.*segfault'`; `coredumpctl info nginx`.

## Fix
- Update the proxy and its modules together; remove modules in turn.

## References
- nginx: src/os/unix/ngx_process.c, ngx_process_get_status
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-worker-crashed",
    layer=Layer.PROXY,
    message="a worker process of the proxy itself died by a signal",
    symptoms={Symptom.PROXY_WORKER_DIED: 5.0},
)
