"""An application in a container of a real engine, measured by `--from-process`: with a published port, and without one.

Run on a machine with an engine of its own (test_containers.py does that). Usage: contained.py ARCHIVE ENGINE.
Prints what was measured of each container, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from why502.generate.measure.application import measure
from why502.host.local import LocalHost
from why502.lab.containers import machine
from why502.lab.containers.machine import Engine
from why502.lab.containers.scene import Site
from why502.lab.stage import LabError
from why502.model.errors import Why502Error


def measured(what: str) -> dict[str, Any]:
    try:
        found = measure(LocalHost(), what, datetime.now(UTC))
    except Why502Error as error:
        return {"refused": error.message}
    return {"options": found.options, "facts": found.facts}


def main() -> None:
    archive, name = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.isolate()
    engine = Engine(name)
    seen: dict[str, Any] = {}
    try:
        engine.start()
        engine.take(Path(archive))
        site = Site(engine, Path(archive))
        limit = () if name == machine.ROOTLESS else ("--memory", "300m")  # version 1 of cgroups has none for other users
        site.app("published", options=("-p", "127.0.0.1:8081:3000", *limit))
        site.app("inner")
        identity = engine.call("inspect", "-f", "{{.Id}}", "published")
        seen = {what: measured(what) for what in ("published", "inner", "absent")}
        seen["by id"] = measured(identity[:12])
        seen["by pid"] = measured(str(site.pid("published")))
    except LabError as error:
        seen = {"broken": f"{error.message}\n{error.hint}"}
    finally:
        engine.stop()
    sys.stdout.write(f"{json.dumps(seen)}\n")


if __name__ == "__main__":
    main()
