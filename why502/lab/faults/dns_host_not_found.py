"""dns-host-not-found: the upstream host name does not resolve."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.names import variable_target
from why502.lab.stage import LabError, Stage
from why502.model.finding import Layer


def at_start(stage: Stage) -> str:
    """Break it: nginx does not start, since a name in its configuration does not resolve; return the name's target."""
    stage.backend("127.0.0.1:53", script="names.py")
    stage.resolver("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    try:
        stage.nginx.start("proxy_pass http://app.internal:3000;")
    except LabError as error:
        if "host not found in upstream" not in error.message:
            raise
    stage.send_many(2)
    return "app.internal:3000"


fault = partial(Fault, cause="dns-host-not-found", layer=Layer.PROXY)
FAULTS = (
    fault(
        name="dns-host-not-found",
        message="a variable holds a name that the name server does not know",
        build=partial(variable_target, rcode="NXDOMAIN"),
        proves=(r"app\.internal could not be resolved \(3: Host not found\)",),
    ),
    fault(
        name="dns-host-not-found-at-start",
        message="nginx does not start: a name in its configuration does not resolve",
        build=at_start,
        needs=frozenset({"isolation"}),
        statuses=frozenset({0}),
    ),
)
