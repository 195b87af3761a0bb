"""proxy-not-running: nginx itself is not running, but its configuration and logs exist."""

from __future__ import annotations

import signal
from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, how: signal.Signals) -> None:
    """Break it: nginx served, and ended."""
    one_backend(stage)
    if how == signal.SIGKILL:
        stage.nginx.kill()
    else:
        stage.nginx.stop(how)
    stage.until(lambda: stage.send() == 0, "nobody answers")


fault = partial(Fault, cause="proxy-not-running", layer=Layer.PROXY, statuses=frozenset({0, 200}))
FAULTS = (
    fault(name="proxy-not-running", message="nginx was stopped", build=partial(build, how=signal.SIGTERM)),
    fault(
        name="proxy-not-running-killed",
        message="nginx was killed and left its pid file behind",
        build=partial(build, how=signal.SIGKILL),
    ),
)
