"""memory-pressure: the application is stalled at every step because memory is short."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, nginx_unit, unit
from why502.lab.stage import Stage
from why502.model.finding import Layer


def pressed(stage: Stage) -> str:
    """Break it: the application runs above its MemoryHigh=, so that the kernel holds it up at every step."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", "MemoryHigh=40M\nMemorySwapMax=0")
    nginx_unit(stage, target, "proxy_read_timeout 1s;")
    stage.until(lambda: answers(stage), "it is up")
    stage.send()
    stage.keep_sending("/hog/60", clients=2)
    stage.until(lambda: 504 in stage.statuses, "requests time out")
    end = time.monotonic() + 20
    while float(Path("/proc/pressure/memory").read_text().split("avg10=")[1].split()[0]) < 40 and time.monotonic() < end:
        time.sleep(0.2)
    return target


fault = partial(Fault, cause="memory-pressure", layer=Layer.PLATFORM, needs=frozenset({"vm"}))
FAULTS = (
    fault(
        name="memory-pressure",
        message="the application runs above its MemoryHigh=",
        build=pressed,
        statuses=frozenset({504}),
        ongoing=None,
    ),
)
