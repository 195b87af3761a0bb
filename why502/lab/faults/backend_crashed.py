"""backend-crashed: the process is killed by a signal while it holds the connection."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, shown, unit
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


def of_unit(stage: Stage, *, path: str, settings: str, ends: str) -> str:
    """Break it: one request ends the application of a systemd unit."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", settings)
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.until(lambda: answers(stage), "it is up")
    stage.send_many(4)
    stage.send(path)
    stage.until(lambda: shown(stage, "ActiveState") == ends and (ends == "failed" or answers(stage)), f"the unit is {ends}")
    stage.send_many(4)
    return target


fault = partial(
    Fault,
    cause="backend-crashed",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    proves=(r"upstream prematurely closed connection|recv\(\) failed \(104",),
)
FAULTS = (
    fault(name="backend-crashed", message="a request crashed the application (SIGSEGV)", build=dead),
    fault(
        name="backend-crashed-worker",
        message="requests kill workers of the application server, and new ones start",
        build=worker,
        ongoing=None,
    ),
    fault(
        name="backend-crashed-unit",
        message="a request crashed the application of a unit (SIGSEGV), which is not restarted",
        build=partial(of_unit, path="/crash", settings="Restart=no", ends="failed"),
        needs=frozenset({"machine"}),
    ),
    fault(
        name="backend-crashed-unit-exit",
        message="a request made the application of a unit exit with status 70, and it is not restarted",
        build=partial(of_unit, path="/exit/70", settings="Restart=no", ends="failed"),
        needs=frozenset({"machine"}),
    ),
    fault(
        name="backend-crashed-unit-restarted",
        message="a request crashed the application of a unit once; systemd restarted it",
        build=partial(of_unit, path="/crash", settings="Restart=always\nRestartSec=100ms", ends="active"),
        ongoing=None,
        needs=frozenset({"machine"}),
    ),
)
