"""worker-connections-exhausted: worker_connections is too low for the load. A proxied request needs two connections."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: clients of an application that takes its time, and eleven connections per worker.

    It listens on one and talks to its master on another; of the other nine, the fifth client's request finds none for the
    backend.
    """
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--delay", "0.3")
    stage.nginx.start(f"proxy_pass http://{target};", connections=11, log=log)
    stage.send_many(24, at_once=6)
    return target


fault = partial(
    Fault,
    cause="worker-connections-exhausted",
    layer=Layer.PROXY,
    ongoing=None,
    statuses=frozenset({200, 500}),
    proves=(r"11 worker_connections are not enough while connecting to upstream",),
)
FAULTS = (
    fault(name="worker-connections-exhausted", message="eleven connections per worker, six clients at once", build=build),
    fault(
        name="worker-connections-exhausted-combined-log",
        message="eleven connections per worker, six clients at once; access log without upstream fields",
        build=partial(build, log="combined"),
    ),
)
