"""too-many-open-files: nginx runs out of file descriptors."""

from __future__ import annotations

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage) -> str:
    """Break it: clients of an application that takes its time, and few descriptors for a worker."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--delay", "0.3")
    stage.nginx.start(f"proxy_pass http://{target};", main="worker_rlimit_nofile 20;")
    stage.send_many(32, at_once=8)
    return target


FAULTS = (
    Fault(
        name="too-many-open-files",
        cause="too-many-open-files",
        layer=Layer.PROXY,
        ongoing=None,
        message="worker_rlimit_nofile 20, eight clients at once",
        build=build,
        statuses=frozenset({200, 500}),
        proves=(r"socket\(\) failed \(24: Too many open files\) while connecting to upstream",),
    ),
)
