"""ephemeral-ports-exhausted: no local port is left for new connections to the target."""

from __future__ import annotations

from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage) -> str:
    """Break it: this namespace has four local ports, each of which stays in use (TIME_WAIT) after a request.

    The clients come from an address of their own, so that they do not take those ports.
    """
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40003")
    target = "127.0.0.1:3000"
    stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};")
    for number in range(4):
        stage.send_many(3, source=f"127.0.0.{number + 2}")
    return target


FAULTS = (
    Fault(
        name="ephemeral-ports-exhausted",
        cause="ephemeral-ports-exhausted",
        layer=Layer.PROXY,
        message="four local ports, all taken by connections to the backend",
        build=build,
        needs=frozenset({"isolation"}),
        ongoing=None,  # whether one of four ports is free at the moment of the look is chance
        statuses=frozenset({200, 502}),
        proves=(r"connect\(\) to 127\.0\.0\.1:3000 failed \(99: Cannot assign requested address\) while connecting to upstream",),
    ),
)
