"""connect-rejected: a firewall rejects the connection although the listener exists."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.network import blocked, far
from why502.model.finding import Layer

fault = partial(Fault, cause="connect-rejected", layer=Layer.NETWORK, needs=frozenset({"isolation", "nft", "ip"}))
FAULTS = (
    fault(
        name="connect-rejected",
        message="a firewall rejects packets to another machine (administratively prohibited)",
        build=partial(far, rule="reject with icmpx type admin-prohibited"),
        proves=(r"connect\(\) failed \(113: No route to host\) while connecting to upstream",),
    ),
    fault(
        name="connect-rejected-local",
        message="a firewall on this machine rejects connections; the application listens",
        build=partial(blocked, rule="reject with icmpx type admin-prohibited"),
        proves=(r"connect\(\) failed \(113: No route to host\) while connecting to upstream",),
    ),
    fault(
        name="connect-rejected-reset",
        message="a firewall on this machine answers with a TCP reset; the application listens",
        build=partial(blocked, rule="reject with tcp reset"),
        proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
    ),
)
