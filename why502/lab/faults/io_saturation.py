"""io-saturation: requests that write wait for a disk that is as slow as its limit."""

from __future__ import annotations

import os
import time
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.stage import LabError, Stage
from why502.model.finding import Layer

SPEED = 1 << 20  # bytes a second
SATURATED = 42.0  # per cent of the last ten seconds (proc(5), /proc/pressure/io)


def waited() -> float:
    """Return the share of the last ten seconds, in per cent, in which some task waited for a disk."""
    with open("/proc/pressure/io") as stream:
        return float(stream.readline().split("avg10=")[1].split()[0])


def device_of(path: Path) -> str:
    """Return the device that a file lies on, as "8:0"."""
    number = os.stat(path).st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def build(stage: Stage) -> str:
    """Break it: requests write 1 MiB each at once to a disk of 1 MiB/s, four at a time."""
    directory = stage.scratch()
    device = device_of(directory)
    target = f"127.0.0.1:{stage.port(3000)}"
    try:
        wrap = stage.limit(disk=(device, SPEED))
    except OSError as error:
        raise LabError(f"the disk {device} cannot be limited: {error}") from error
    stage.backend(3000, "--file", str(directory / "orders"), wrap=wrap)
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;")
    stage.keep_sending("/write/1", clients=4)
    stage.until(lambda: 504 in stage.statuses, "requests time out")
    end = time.monotonic() + 15
    while waited() < SATURATED and time.monotonic() < end:
        time.sleep(0.1)
    return target


FAULTS = (
    Fault(
        name="io-saturation",
        cause="io-saturation",
        layer=Layer.PLATFORM,
        message="requests that write to a disk limited to 1 MiB/s",
        build=build,
        statuses=frozenset({504}),
        proves=(r"upstream timed out \(110: Connection timed out\)",),
        needs=frozenset({"isolation", "groups", "pressure"}),
    ),
)
