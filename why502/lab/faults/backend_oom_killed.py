"""backend-oom-killed: the kernel kills the application at the memory limit of its control group."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, nginx_unit, shown, unit
from why502.lab.servers import gunicorn
from why502.lab.stage import LabError, Stage
from why502.model.finding import Layer

LIMIT_BYTES = 64 << 20
HOG = """
import time

def application(environ, start_response):
    kept = b"x" * (200 << 20) if environ["PATH_INFO"] == "/export" else b""
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""


def alone(stage: Stage) -> str:
    """Break it: one request makes the application use more than its group may."""
    target = f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3000, wrap=stage.limit(memory=LIMIT_BYTES))
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(4)
    stage.send("/hog/200")
    application.wait(10)
    stage.send_many(4)
    return target


def worker(stage: Stage) -> str:
    """Break it: requests make workers of gunicorn use more than their group may; gunicorn starts others."""
    target = f"127.0.0.1:{stage.port(3000)}"
    gunicorn(stage, target, "--workers", "2", wrap=stage.limit(memory=2 * LIMIT_BYTES), app=HOG)
    stage.nginx.start(f"proxy_pass http://{target};")
    for _ in range(2):
        stage.send()
        stage.send("/export")
    return target


def of_unit(stage: Stage) -> str:
    """Break it: the application of a systemd unit, in a group of its own. Version 1 shows systemd no more than SIGKILL."""
    target = f"127.0.0.1:{stage.port(3000)}"
    (group,) = stage.make_group(memory=LIMIT_BYTES)
    unit(stage, f"{SERVER} {target} --join {group}/cgroup.procs", "Restart=no")
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.until(lambda: answers(stage), "it is up")
    stage.send_many(4)
    stage.send("/hog/200")
    stage.until(lambda: shown(stage, "ActiveState") == "failed", "the unit failed")
    stage.send_many(4)
    return target


def whole(stage: Stage, *, settings: str, paths: tuple[str, ...]) -> str:
    """Break it: requests make the application of a unit use more memory than its limit, or than there is."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", settings)
    nginx_unit(stage, target)
    stage.until(lambda: answers(stage), "it is up")
    stage.send_many(4)
    for path in paths:
        stage.send(path, patience_s=120.0)
    stage.until(lambda: _failed(stage), "the unit failed", patience_s=150.0)
    stage.send_many(4)
    return target


def _failed(stage: Stage) -> bool:
    """Return whether the unit failed; a machine without memory may not even say that."""
    try:
        return shown(stage, "ActiveState") == "failed"
    except LabError:
        return False


fault = partial(
    Fault,
    cause="backend-oom-killed",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    is_loud=True,
    proves=(r"prematurely closed connection|recv\(\) failed \(104",),
)
FAULTS = (
    fault(
        name="backend-oom-killed",
        message="a request makes the application exceed its memory limit (64 MiB)",
        build=alone,
        needs=frozenset({"isolation", "groups"}),
    ),
    fault(
        name="backend-oom-killed-worker",
        message="requests make workers of gunicorn exceed their memory limit",
        build=worker,
        ongoing=None,
        needs=frozenset({"isolation", "groups", "gunicorn"}),
    ),
    fault(
        name="backend-oom-killed-unit",
        message="a request makes the application of a unit exceed its memory limit",
        build=of_unit,
        needs=frozenset({"machine", "groups"}),
    ),
    fault(
        name="backend-oom-killed-memory-max",
        message="a request makes the application of a unit exceed its MemoryMax=",
        build=partial(whole, settings="MemoryMax=64M\nMemorySwapMax=0", paths=("/hog/200",)),
        needs=frozenset({"vm"}),
    ),
    fault(
        name="backend-oom-killed-global",
        message="a request makes the application use all of the machine's memory",
        build=partial(whole, settings="", paths=("/hog/600", "/hog/600")),
        needs=frozenset({"vm"}),
    ),
)
