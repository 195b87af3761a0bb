"""The proxy ran out of file descriptors.

"socket() failed (24: Too many open files)" gives 500; "accept4() failed (24: …)" makes clients wait in the kernel's queue.

## Confuse not with
- `worker-connections-exhausted`: nginx's own limit came first.

## Confirm
- `grep 'open files' /proc/WORKERPID/limits`; `ls /proc/WORKERPID/fd | wc -l`.

## Fix
- `worker_rlimit_nofile` (and LimitNOFILE= of the unit), above twice worker_connections.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(Symptom.FILES_EXHAUSTED):
        return
    for proxy in case.proxies:
        for worker in proxy.workers:
            if worker.limits and worker.limits.files_limit is not None:
                yield supports(
                    f"worker {worker.pid} may open {worker.limits.files_limit} files", f"/proc/{worker.pid}/limits", WEAK
                )
                return


CAUSE = Cause(
    id="too-many-open-files",
    layer=Layer.PROXY,
    says="the proxy ran out of file descriptors",
    symptoms={Symptom.FILES_EXHAUSTED: PROOF},
    examine=examine,
)
