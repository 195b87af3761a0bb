"""The machine or cgroup is short of memory, and everything on it is slow.

Memory reclaim and swapping stall every process. Requests that took milliseconds take seconds, and time out (504, 499).

## Do not confuse with
- `backend-oom-killed`: the kernel killed a process.

## Confirm
- `cat /proc/pressure/memory` shows `some avg10` above 20; `vmstat 1` shows si and so above 0.

## Fix
- Find out what uses more memory than before. Run fewer workers, use a smaller cache, or add memory.

## References
- https://docs.kernel.org/accounting/psi.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import spared
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom

HIGH = 0.2  # share of time that some task waited for memory
SWAPPING = 4 << 20  # bytes swapped in and out per second: for kernels without pressure figures


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    slow = case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.BODY_TIMED_OUT)
    if slow:
        for pressure in case.pressure:
            if (pressure.memory_some or 0) >= HIGH:
                yield supports(
                    f"tasks of {pressure.whose} waited for memory {pressure.memory_some:.0%} of the time",
                    "/proc/pressure/memory",
                    LIKELY,
                )
                if pressure.memory_limit_hits and pressure.memory_limit_bytes:
                    size = f"{pressure.memory_limit_bytes >> 20} MiB"
                    message = f"it reached its memory limit of {size} {pressure.memory_limit_hits} times since it was created"
                    yield supports(message, "memory.events", WEAK)
                if spare := spared(case):
                    yield refutes(spare, "access log, probe", STRONG)
                break
            if pressure.memory_some is None and (pressure.swapped_bytes_s or 0) >= SWAPPING:
                message = f"{pressure.whose} swapped {(pressure.swapped_bytes_s or 0) / (1 << 20):.0f} MiB per second"
                yield supports(message, "vmstat", FAIR)
                break
    for tally in case.words(Symptom.MEMORY_SHORT)[:1]:
        yield supports(
            f"memory allocation failed: {tally.detail}".rstrip(": "), tally.source, STRONG if slow or case.offline else WEAK
        )


CAUSE = Cause(
    id="memory-pressure",
    layer=Layer.PLATFORM,
    message="the machine or cgroup is short of memory and everything on it is slow",
    headline="{target} is slow because memory is short",
    symptoms={Symptom.MEMORY_EXHAUSTED: LIKELY, Symptom.MEMORY_SHORT: FAIR},
    needs=frozenset({"pressure"}),
    explains=frozenset(
        {
            "backend-dependency-slow",
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "cpu-saturation",
            "io-saturation",
            "proxy-timeout-too-short",
            "workers-exhausted",
        }
    ),
    examine=examine,
)
