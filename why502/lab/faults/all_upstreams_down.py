"""all-upstreams-down: every server of the group is marked as failed, so none is available."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import group_of
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: both servers failed once, are well again, and stay marked for ten minutes."""
    ports = (3000, 3001)
    first = [stage.backend(port) for port in ports]
    group = group_of(*(f"127.0.0.1:{stage.port(port)} max_fails=1 fail_timeout=600s" for port in ports))
    stage.nginx.start("proxy_pass http://app;", http=group, log=log)
    stage.send_many(4)
    for application in first:
        stage.stop(application)
    stage.send()
    for port in ports:
        stage.backend(port)
    stage.send_many(20)
    return "app"


fault = partial(
    Fault,
    cause="all-upstreams-down",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    proves=(r"no live upstreams while connecting to upstream",),
)
FAULTS = (
    fault(name="all-upstreams-down", message="both servers run again, and nginx still considers them failed", build=build),
    fault(
        name="all-upstreams-down-combined-log",
        message="both servers run again, and nginx still considers them failed; access log without upstream fields",
        build=partial(build, log="combined"),
    ),
)
