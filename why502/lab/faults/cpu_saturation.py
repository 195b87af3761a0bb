"""cpu-saturation: the CPU quota of the application's control group is used up."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, clients: int = 4) -> str:
    """Break it: pages that compute for 0.1 s, and a quota of a tenth of a processor."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, wrap=stage.limit(cpu=0.1))
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;")
    stage.send()
    stage.keep_sending("/burn/0.1", clients=clients)
    stage.until(lambda: 504 in stage.statuses, "requests time out")
    return target


FAULTS = (
    Fault(
        name="cpu-saturation",
        cause="cpu-saturation",
        layer=Layer.PLATFORM,
        message="CPU-heavy pages, with a quota of a tenth of a CPU",
        build=partial(build),
        statuses=frozenset({200, 504}),
        proves=(r"upstream timed out \(110: Connection timed out\)",),
        needs=frozenset({"isolation", "groups"}),
    ),
)
