"""backend-crashed: the process dies by a signal while it holds the connection."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def dead(stage: Stage) -> str:
    """Break it: one request kills the application, and nothing starts it again."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(4)
    stage.send("/crash")
    stage.send_many(4)
    return target


def worker(stage: Stage) -> str:
    """Break it: requests kill workers of an application server, which starts new ones and says so in its log."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--fork", "2")
    stage.nginx.start(f"proxy_pass http://{target};")
    for _ in range(3):
        stage.send()
        stage.send("/crash")
    return target


fault = partial(
    Fault,
    cause="backend-crashed",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    proves=(r"upstream prematurely closed connection|recv\(\) failed \(104",),
)
FAULTS = (
    fault(name="backend-crashed", says="a request killed the application (SIGSEGV)", build=dead),
    fault(
        name="backend-crashed-worker",
        says="requests kill workers of the application server, new ones start",
        build=worker,
        ongoing=None,
    ),
)
