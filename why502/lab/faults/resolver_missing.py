"""resolver-missing: the target contains a variable with a name, but no resolver is configured."""

from __future__ import annotations

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage) -> None:
    """Break it: the name is even in the hosts file, which nginx does not read for variables."""
    port = stage.port(3000)
    stage.backend(3000)
    stage.nginx.start(f"set $backend localhost:{port};\nproxy_pass http://$backend;")
    stage.send_many(6)


FAULTS = (
    Fault(
        name="resolver-missing",
        cause="resolver-missing",
        layer=Layer.PROXY,
        message="a variable holds localhost, and there is no resolver",
        build=build,
        proves=(r"no resolver defined to resolve localhost",),
    ),
)
