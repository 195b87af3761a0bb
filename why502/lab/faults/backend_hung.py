"""backend-hung: the backend, or the kernel for it, accepts connections, but it never answers."""

from __future__ import annotations

import signal
from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, unit
from why502.lab.scenes import group_of
from why502.lab.stage import Stage
from why502.model.finding import Layer


def hangs(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: an application that accepts, reads and never answers."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--does", "hang")
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;", log=log)
    stage.send_many(6, at_once=6)
    return target


def stopped(stage: Stage) -> str:
    """Break it: an application that answered, and is stopped by a signal (state T)."""
    target = f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;")
    stage.send_many(6)
    application.send_signal(signal.SIGSTOP)
    stage.send_many(6, at_once=6)
    return target


def one_of_two(stage: Stage) -> str:
    """Break one member of two: its requests are tried again elsewhere, and only slow."""
    good, bad = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.backend(3001, "--does", "hang")
    stage.nginx.start("proxy_pass http://app;\nproxy_read_timeout 1s;", http=group_of(good, f"{bad} max_fails=0"))
    stage.send_many(8, at_once=8)
    return bad


def stuck(stage: Stage) -> str:
    """Break it: the application of a unit comes to a deadlock."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}")
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;")
    stage.until(lambda: answers(stage), "it is up")
    stage.send_many(6)
    stage.sh("systemctl", "kill", "--signal=USR1", "shop.service")
    stage.send_many(6, at_once=6)
    return target


fault = partial(
    Fault,
    cause="backend-hung",
    layer=Layer.UPSTREAM,
    statuses=frozenset({504}),
    proves=(r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",),
)
FAULTS = (
    fault(name="backend-hung", message="the application accepts connections and never answers", build=hangs),
    fault(
        name="backend-hung-combined-log",
        message="the application accepts connections and never answers; access log without upstream fields",
        build=partial(hangs, log="combined"),
    ),
    fault(name="backend-hung-group", message="one of two servers never answers", build=one_of_two, statuses=frozenset({200})),
    fault(name="backend-hung-stopped", message="the application's process is stopped (SIGSTOP)", build=stopped),
    fault(
        name="backend-hung-unit",
        message="the application of a unit is deadlocked",
        build=stuck,
        needs=frozenset({"machine"}),
    ),
)
