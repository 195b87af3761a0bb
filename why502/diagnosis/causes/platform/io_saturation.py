"""The disk is the bottleneck.

Processes are in state D. Requests that read or write files take seconds.

## Do not confuse with
- `memory-pressure`: the disk is busy because of swapping.

## Confirm
- See `cat /proc/pressure/io`, `iostat -x 1` and `ps -eo state,pid,comm | grep ^D`.

## Fix
- Find the process that causes the load (`iotop`). Move it to another disk or another time, or raise the volume's limit.

## References
- https://docs.kernel.org/accounting/psi.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom

HIGH = 0.4  # share of time that some task waited for a disk
# The average of ten seconds follows late: it says 32 % four seconds after a disk became the bottleneck, and 10 % after one.
RISING, ALWAYS = 0.1, 0.9
BUSY = 0.9  # share of time that a disk worked


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.seen(Symptom.IO_FAILED) and (disk := next((disk for disk in case.here.disks or () if disk.is_read_only), None)):
        yield refutes(f"the file system of {disk.path} is mounted read-only", f"findmnt -T {disk.path}", PROOF)
    if not case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.BODY_TIMED_OUT):
        return
    kernel = case.host.kernel if case.host else None
    blocked = (kernel.of(case.target, kernel.backend_blocked) or 0) if kernel else 0
    stuck = [p for p in case.processes if p.is_blocked]
    if blocked:
        yield supports(f"{blocked} threads of its own processes wait for a device (state D)", "/proc/PID/task/*/stat", STRONG)
    elif stuck:
        yield supports(
            f"process {stuck[0].pid} ({stuck[0].name}) waits for a device (state D)", f"/proc/{stuck[0].pid}/stat", FAIR
        )
    for pressure in case.pressure:
        is_new = (pressure.io_some or 0) >= RISING and (pressure.io_now or 0) >= ALWAYS
        if (blocked or stuck) and is_new and (pressure.io_some or 0) < HIGH:
            message = f"tasks of {pressure.whose} now wait for a disk {pressure.io_now:.0%} of the time, and lately did not"
            yield supports(message, "/proc/pressure/io", STRONG)
            break
        if (pressure.io_some or 0) >= HIGH:
            is_its_own = blocked or stuck or pressure.scope != "machine"
            if is_its_own or not case.processes:  # another program's disk load does not affect a process that waits for no device
                yield supports(
                    f"tasks of {pressure.whose} waited for a disk {pressure.io_some:.0%} of the time",
                    "/proc/pressure/io",
                    STRONG if is_its_own else FAIR,
                )
                break
        if pressure.io_some is None and (pressure.disk_busy or 0) >= BUSY and (blocked or stuck):  # a kernel without such figures
            yield supports(f"disk {pressure.disk} was busy {pressure.disk_busy:.0%} of the time", "/proc/diskstats", FAIR)
            break


CAUSE = Cause(
    id="io-saturation",
    layer=Layer.PLATFORM,
    message="the disk is the bottleneck",
    headline="{target} is slow because the disk is slow",
    symptoms={Symptom.IO_SLOW: STRONG, Symptom.IO_FAILED: STRONG, Symptom.READ_TIMED_OUT: 0.5},
    needs=frozenset({"pressure", "kernel"}),
    explains=frozenset(
        {
            "backend-dependency-slow",
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "proxy-timeout-too-short",
            "workers-exhausted",
        }
    ),
    examine=examine,
)
