"""proxy-config-invalid: the configuration on disk fails its own test, so the old one is still running."""

from __future__ import annotations

import signal
from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, mistake: str, is_reloaded: bool = True) -> str:
    """Break it: the application moved to another port, the configuration follows, with a mistake in it."""
    old, new = f"127.0.0.1:{stage.port(3001)}", f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3001)
    stage.nginx.start(f"proxy_pass http://{old};\nproxy_buffer_size 4k;")
    stage.send_many(4)
    stage.stop(application)
    stage.backend(3000)
    stage.nginx.edit(old, new)
    stage.nginx.edit("proxy_buffer_size 4k;", mistake)
    if is_reloaded:
        stage.nginx.notify(signal.SIGHUP)
        stage.until_logged(r"\[emerg\]")
    stage.send_many(6)
    return old


fault = partial(
    Fault,
    cause="proxy-config-invalid",
    layer=Layer.PROXY,
    statuses=frozenset({200, 502}),
    proves=(r"\[emerg\] .* in \S+nginx\.conf:\d+", r"connect\(\) failed \(111"),
)
FAULTS = (
    fault(
        name="proxy-config-invalid",
        message="the change that would help has a directive without its value",
        build=partial(build, mistake="proxy_buffer_size;"),
    ),
    fault(
        name="proxy-config-invalid-directive",
        message="the change that would help has an unknown directive",
        build=partial(build, mistake="proxy_busy_buffer_size 8k;"),
    ),
    fault(
        name="proxy-config-invalid-buffers",
        message="the change that would help breaks a rule about buffer sizes",
        build=partial(build, mistake="proxy_buffer_size 16k;"),
    ),
    fault(
        name="proxy-config-invalid-untold",
        message="the error is on disk, but no reload was requested by signal, so no log shows it",
        build=partial(build, mistake="proxy_buffer_size 4k", is_reloaded=False),
        proves=(r"connect\(\) failed \(111",),
    ),
)
