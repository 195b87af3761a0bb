"""proxy-timeout-too-short: the application finishes its work, but later than the timeout of this location."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, log: str = "upstream") -> str:
    """Break one location: reports take 1.5 s, and exports too, which are given the default of 60 s."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    stage.nginx.start(
        f"proxy_pass http://{target};",
        server=f"location /sleep/1.5/report {{\n    proxy_read_timeout 1s;\n    proxy_pass http://{target};\n}}\n",
        log=log,
    )
    stage.send_many(6)
    stage.send_many(8, "/sleep/1.5/report", at_once=8)
    stage.send_many(4, "/sleep/1.5/export", at_once=4)
    return target


fault = partial(
    Fault,
    cause="proxy-timeout-too-short",
    layer=Layer.PROXY,
    statuses=frozenset({200, 504}),
    proves=(r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",),
)
FAULTS = (
    fault(name="proxy-timeout-too-short", message="a report takes 1.5 s, but its location waits for 1 s", build=build),
    fault(
        name="proxy-timeout-too-short-json-log",
        message="a report takes 1.5 s, but its location waits for 1 s; access log in JSON",
        build=partial(build, log="json"),
    ),
)
