"""backend-crash-loop: the manager keeps restarting the backend, and it keeps dying."""

from __future__ import annotations

import time
from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, journal, pm2, shown, supervise, supervised, unit
from why502.lab.stage import Stage
from why502.model.finding import Layer

NODE = """\
const server = require('http').createServer((request, response) => response.end('ok\\n'));
server.listen(3000, '127.0.0.1', () => console.log('the shop is open'));
setTimeout(() => process.exit(9), 400);
"""


def _until_dead(stage: Stage, times: int) -> None:
    """Crash it so often by a request each, as often as it comes back."""
    for _ in range(times):
        stage.until(lambda: answers(stage), "it is up")
        stage.send()
        stage.send("/crash")
        stage.send()


def systemd(stage: Stage, *, settings: str, ends: str = "active", times: int = 4) -> str:
    """Break it: requests kill the application of a unit, systemd starts it again."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", f"Restart=always\n{settings}")
    stage.nginx.start(f"proxy_pass http://{target};")
    _until_dead(stage, times)
    stage.until(lambda: shown(stage, "ActiveState") == ends, f"the unit is {ends}")
    if ends != "active":
        stage.until(
            lambda: "repeated too quickly" in journal(stage), "the journal has systemd's last words"
        )  # it is written later
        stage.send_many(4)
    return target


def silent(stage: Stage) -> str:
    """Break it: the application ends without a word, before it listens, for ever."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"/bin/sh -c 'sleep 0.1; exit 3' shop {target}", "Restart=always\nRestartSec=100ms\nStartLimitBurst=1000")
    stage.until(lambda: int(shown(stage, "NRestarts")) >= 5, "systemd started it five times")
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def supervisord(stage: Stage) -> str:
    """Break it: the application of supervisord lives longer than startsecs and dies, so it never becomes FATAL."""
    target = f"127.0.0.1:{stage.port(3000)}"
    supervise(stage, f"{SERVER} {target}", "startsecs=0\nautorestart=true")
    stage.nginx.start(f"proxy_pass http://{target};")
    _until_dead(stage, 4)
    stage.until(lambda: supervised(stage).count("terminated by SIGSEGV") >= 4, "supervisord saw it die")
    return target


def node(stage: Stage) -> str:
    """Break it: an application of pm2 ends every 0.4 s."""
    target = f"127.0.0.1:{stage.port(3000)}"
    pm2(stage, NODE, restarts=1000)
    stage.nginx.start(f"proxy_pass http://{target};")
    while stage.read("/run/pm2/pm2.log").count("exited with code [9]") < 5:
        stage.send()
        time.sleep(0.05)
    stage.until(lambda: 502 in stage.statuses or stage.send() == 502, "a request met it dead")
    return target


fault = partial(
    Fault,
    cause="backend-crash-loop",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    ongoing=None,
)
machine = partial(fault, needs=frozenset({"machine"}))
FAULTS = (
    machine(
        name="backend-crash-loop",
        message="requests keep crashing the application of a unit",
        build=partial(systemd, settings="RestartSec=100ms\nStartLimitBurst=1000"),
    ),
    machine(
        name="backend-crash-loop-limit",
        message="requests keep crashing the application of a unit, until systemd's start limit is hit",
        build=partial(systemd, settings="RestartSec=50ms\nStartLimitBurst=3", ends="failed", times=3),
        ongoing=True,
    ),
    machine(
        name="backend-crash-loop-silent",
        message="the program of a unit exits with status 3 before it listens, without a message",
        build=silent,
        statuses=frozenset({502}),
        ongoing=True,
    ),
    fault(
        name="backend-crash-loop-supervisord",
        message="requests keep crashing an application under supervisord",
        build=supervisord,
        needs=frozenset({"isolation", "supervisord"}),
    ),
    fault(
        name="backend-crash-loop-pm2",
        message="an application under pm2 keeps exiting",
        build=node,
        needs=frozenset({"isolation", "pm2", "node"}),
    ),
)
