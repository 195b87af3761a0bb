"""A worker process of the proxy itself was killed by a signal.

nginx logs "worker process N exited on signal 11". All requests of that worker are lost without a line in the access log. A new worker starts
immediately. The cause is nearly always a third-party module.

## Do not confuse with
- `backend-crashed`: the backend crashed, not the proxy.

## Confirm
- See `journalctl -k -g 'nginx.*segfault'` and `coredumpctl info nginx`.

## Fix
- Update the proxy together with its modules. Otherwise disable the modules one by one to find the faulty one.

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
    message="a worker process of the proxy itself was killed by a signal",
    symptoms={Symptom.PROXY_WORKER_DIED: 5.0},
)
