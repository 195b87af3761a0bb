"""host-unreachable: there is no route to the host or network."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.network import absent
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, route: str = "") -> str:
    """Break it: the only device is the loopback one, and there is no route to the target, or one that says so."""
    target = "10.99.0.7:3000"
    if route:
        stage.sh("ip", "route", "add", route, "10.99.0.0/24")
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


fault = partial(Fault, cause="host-unreachable", layer=Layer.NETWORK, needs=frozenset({"isolation", "ip"}))
FAULTS = (
    fault(
        name="host-unreachable",
        message="no route leads to the target's network",
        build=build,
        proves=(r"connect\(\) to \S+ failed \(101: Network is unreachable\) while connecting to upstream",),
    ),
    fault(
        name="host-unreachable-route",
        message="the route to the target's network is marked unreachable",
        build=partial(build, route="unreachable"),
        proves=(r"connect\(\) to \S+ failed \(113: No route to host\) while connecting to upstream",),
    ),
    fault(
        name="host-unreachable-host-down",
        message="the host is down, and the kernel gives up before nginx does",
        build=partial(absent, patience="10s"),
        proves=(r"connect\(\) failed \(113: No route to host\) while connecting to upstream",),
    ),
)
