"""The CPUs, or a cgroup quota, are the bottleneck.

Every request takes longer than it should, until some run into a timeout. In a container the quota throttles long before the host
is busy.

## Do not confuse with
- `workers-exhausted`: the workers wait for something other than CPU time.

## Confirm
- `cat /proc/pressure/cpu` shows waiting tasks. In the cgroup's `cpu.stat`, nr_throttled grows. In `vmstat 1`, r exceeds the
  number of CPUs, or st is high.

## Fix
- Raise CPUQuota= or the container's limit, add CPUs, or reduce the work for each request.

## References
- https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu
- https://docs.kernel.org/accounting/psi.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.snapshot import Pressure

HIGH = 0.5  # share of time that some task waited for a CPU
THROTTLED = 0.3  # share of the periods in which the cgroup was stopped
BUSY, CROWD = (
    0.95,
    2,
)  # no CPU was idle, and each had that many runnable tasks: for kernels without pressure figures


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.BODY_TIMED_OUT):
        return
    for pressure in case.pressure:
        if (pressure.throttled or 0) >= THROTTLED and pressure.throttled_now != 0:
            quota = f"; its quota is {pressure.cpu_quota:g} CPUs" if pressure.cpu_quota else ""
            message = f"{pressure.whose} was throttled in {pressure.throttled:.0%} of its periods{quota}"
            yield supports(message, "cpu.stat", LIKELY + WEAK)
            if (pressure.throttled_now or 0) >= THROTTLED:
                yield supports(f"and in {pressure.throttled_now:.0%} of those during the measurement", "cpu.stat", WEAK)
            return
    for pressure in case.pressure:
        if (pressure.cpu_some or 0) >= HIGH:
            yield supports(
                f"tasks of {pressure.whose} waited for a CPU {pressure.cpu_some:.0%} of the time",
                "/proc/pressure/cpu",
                WEAK,
            )
            if (pressure.steal or 0) >= 0.1:
                yield supports(f"the hypervisor took {pressure.steal:.0%} of the time", "/proc/stat", WEAK)
            return
        if pressure.cpu_some is None and _is_crowded(pressure):
            yield supports(
                f"the CPUs were busy {pressure.cpu_busy:.0%} of the time, with {pressure.running} tasks for {pressure.cpus} CPUs",
                "/proc/stat",
                WEAK,
            )
            return


def _is_crowded(pressure: Pressure) -> bool:
    """Return whether far more tasks were runnable than there are CPUs, and no CPU was idle."""
    if pressure.cpu_busy is None or pressure.running is None or pressure.cpus is None:
        return False
    return pressure.cpu_busy >= BUSY and pressure.running > CROWD * pressure.cpus


CAUSE = Cause(
    id="cpu-saturation",
    layer=Layer.PLATFORM,
    message="the CPUs, or a cgroup quota, are the bottleneck",
    headline="{target} is slow because CPU time is short",
    symptoms={Symptom.CPU_SHORT: STRONG, Symptom.READ_TIMED_OUT: 0.5, Symptom.CLIENT_CLOSED: 0.5},
    needs=frozenset({"pressure", "processes"}),
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
