"""connect-timeout: no answer to the connection attempt; a firewall drops the packets."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.network import absent, blocked, far
from why502.model.finding import Layer

fault = partial(
    Fault,
    cause="connect-timeout",
    layer=Layer.NETWORK,
    needs=frozenset({"isolation", "nft", "ip"}),
    statuses=frozenset({504}),
    proves=(r"upstream timed out \(110: Connection timed out\) while connecting to upstream",),
)
FAULTS = (
    fault(name="connect-timeout", message="a firewall drops packets to another machine", build=partial(far, rule="drop")),
    fault(
        name="connect-timeout-local",
        message="a firewall on this machine drops incoming packets",
        build=partial(blocked, rule="drop"),
    ),
    fault(
        name="connect-timeout-combined-log",
        message="a firewall drops packets to another machine; access log without upstream fields",
        build=partial(far, rule="drop", log="combined"),
    ),
    fault(
        name="connect-timeout-host-down",
        message="the host is down, and nginx gives up before the kernel does",
        build=partial(absent, patience="800ms"),
    ),
)
