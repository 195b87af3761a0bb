"""The processors, or a cgroup quota, are the bottleneck.

Every request takes longer than it should, until timeouts end them. In containers the quota throttles long before the machine is busy.

## Confuse not with
- `workers-exhausted`: workers wait for something else than a processor.

## Confirm
- `cat /proc/pressure/cpu`; `cpu.stat` of the cgroup: nr_throttled grows; `vmstat 1`: r above the number of processors, st.

## Fix
- Raise CPUQuota= or the container's limit, add processors, or make the work cheaper.

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
)  # no CPU was idle, and so many tasks for each of them were ready to run: for kernels without pressure figures


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
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
    """Return whether many more tasks wanted to run than there are CPUs, and none of these was idle."""
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
