"""proxy-listen-failed: nginx cannot listen, because another program holds its port."""

from __future__ import annotations

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import LabError, Stage
from why502.model.finding import Layer


def build(stage: Stage) -> None:
    """Break it: nginx was stopped, another program took its port, and nginx does not start any more."""
    one_backend(stage)
    stage.nginx.stop()
    stage.until(lambda: stage.send() == 0, "nobody answers")
    stage.backend(stage.nginx.port)
    try:
        stage.nginx.start(f"proxy_pass http://127.0.0.1:{stage.port(3000)};")
    except LabError:
        return
    raise LabError("nginx starts although its port is taken")


FAULTS = (
    Fault(
        name="proxy-listen-failed",
        cause="proxy-listen-failed",
        layer=Layer.PROXY,
        message="another program took nginx's port while it was stopped",
        build=build,
        statuses=frozenset({0, 200}),
        proves=(r"bind\(\) to \S+ failed \(98: Address already in use\)",),
    ),
)
