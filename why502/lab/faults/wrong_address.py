"""wrong-address: the application listens on a different address or address family than nginx connects to."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer

LAN = "10.11.12.13"


def build(stage: Stage, *, listens: str, passes: str, target: str) -> str:
    """Break it: the application listens on one address, nginx connects to another, both of this machine."""
    port = stage.port(3000)
    if LAN in (listens, passes):
        stage.sh("ip", "address", "add", f"{LAN}/32", "dev", "lo")
    stage.backend(f"{listens}:{port}")
    stage.nginx.start(f"proxy_pass http://{passes}:{port};")
    stage.send_many(6)
    return f"{target}:{port}"


fault = partial(
    Fault,
    cause="wrong-address",
    layer=Layer.PROXY,
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
FAULTS = (
    fault(
        name="wrong-address-v6-only",
        message="the application listens on [::1], but nginx connects to 127.0.0.1",
        build=partial(build, listens="[::1]", passes="127.0.0.1", target="127.0.0.1"),
    ),
    fault(
        name="wrong-address-localhost",
        message="the application listens on 127.0.0.1, but nginx connects to localhost, which is also [::1]",
        build=partial(build, listens="127.0.0.1", passes="localhost", target="[::1]"),
        statuses=frozenset({200}),
        is_unnoticed=True,
        needs=frozenset({"isolation", "ip"}),
    ),
    fault(
        name="wrong-address-interface",
        message="the application listens on one interface only, but nginx connects to 127.0.0.1",
        build=partial(build, listens=LAN, passes="127.0.0.1", target="127.0.0.1"),
        needs=frozenset({"isolation", "ip"}),
    ),
    fault(
        name="wrong-address-loopback-only",
        message="the application listens on 127.0.0.1, but nginx connects to the address of the network card",
        build=partial(build, listens="127.0.0.1", passes=LAN, target=LAN),
        needs=frozenset({"isolation", "ip"}),
    ),
)
