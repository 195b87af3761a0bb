"""proxy-config-not-loaded: the configuration on disk is newer than the running one."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, file: str = "") -> str:
    """Break it: the application moved to another port, the configuration (or an included file) follows, and nobody reloads.

    The file's time must be later than the start by more than a clock tick of /proc, so the edit waits for the next second.
    """
    old, new = f"127.0.0.1:{stage.port(3001)}", f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3001)
    if file:
        path = Path(stage.write(file, f"proxy_pass http://{old};\n"))
        stage.nginx.start(f"include {path};")
    else:
        path = Path(stage.nginx.config)
        stage.nginx.start(f"proxy_pass http://{old};")
    started = time.time()
    stage.send_many(4)
    stage.stop(application)
    stage.backend(3000)
    stage.until(lambda: time.time() > started + 1.1, "a second later")
    path.write_text(path.read_text().replace(old, new))
    stage.send_many(6)
    return old


fault = partial(
    Fault,
    cause="proxy-config-not-loaded",
    layer=Layer.PROXY,
    statuses=frozenset({200, 502}),
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
FAULTS = (
    fault(name="proxy-config-not-loaded", message="the configuration was corrected but not loaded", build=build),
    fault(
        name="proxy-config-not-loaded-include",
        message="an included file was corrected but not loaded",
        build=partial(build, file="/etc/nginx/snippets/app.conf"),
    ),
)
