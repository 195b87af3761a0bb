"""deploy-termination-race: a restart during traffic; requests fail only between the stop and the start."""

from __future__ import annotations

import time
from functools import partial

from why502.lab.fault import Fault
from why502.lab.isolation import program
from why502.lab.managers import SERVER, SUPERVISORD, answers, supervise, unit
from why502.lab.stage import Stage
from why502.model.finding import Layer


def _restart(stage: Stage, target: str, *command: str) -> str:
    """Restart it while clients ask, and have it serve for a moment afterwards."""
    stage.until(lambda: answers(stage), "it is up")
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.keep_sending("/orders")
    stage.until(lambda: 200 in stage.statuses, "it serves")
    stage.sh(*command)
    stage.until(lambda: 502 in stage.statuses and answers(stage), "requests failed, and it is back")
    stage.statuses.discard(200)
    stage.until(lambda: 200 in stage.statuses, "it serves again")
    time.sleep(1.2)  # the logs' times are whole seconds: the last success must lie after the last failure
    return target


def systemd(stage: Stage, *, settings: str = "", wrap: str = "") -> str:
    """Break it: systemctl restart."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{wrap}{SERVER} {target}", f"ExecStartPre=/bin/sleep 0.3\n{settings}")
    return _restart(stage, target, "systemctl", "restart", "shop.service")


def supervisord(stage: Stage) -> str:
    """Break it: supervisorctl restart."""
    target = f"127.0.0.1:{stage.port(3000)}"
    supervise(stage, f"sh -c 'sleep 0.3; exec {SERVER} {target}'", "startsecs=0")
    control = program("supervisorctl")
    return _restart(stage, target, control, "-c", str(stage.path(SUPERVISORD)), "restart", "shop")


fault = partial(
    Fault,
    cause="deploy-termination-race",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    ongoing=False,
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
FAULTS = (
    fault(
        name="deploy-termination-race",
        message="a unit is restarted while requests come in",
        build=systemd,
        needs=frozenset({"machine"}),
    ),
    fault(
        name="deploy-termination-race-killed",
        message="a unit is restarted while requests come in, does not stop on its own, and is killed after TimeoutStopSec=",
        build=partial(systemd, settings="TimeoutStopSec=1s", wrap="/usr/bin/env --ignore-signal=TERM "),
        needs=frozenset({"machine"}),
    ),
    fault(
        name="deploy-termination-race-supervisord",
        message="a program of supervisord is restarted while requests come in",
        build=supervisord,
        needs=frozenset({"isolation", "supervisord"}),
    ),
)
