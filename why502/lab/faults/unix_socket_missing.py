"""unix-socket-missing: the path of the unix socket does not exist, or the proxy cannot see it."""

from __future__ import annotations

import sys
from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, unit
from why502.lab.stage import BACKENDS, Stage
from why502.model.finding import Layer


def build(stage: Stage, *, listens: str = "", asked: str = "/run/app.sock", wrap: tuple[str, ...] = ()) -> str:
    """Break it: nginx connects to a path where no socket is; the application listens nowhere, elsewhere, or behind `wrap`."""
    path = stage.path(asked)
    if listens:
        stage.backend(f"unix:{stage.path(listens)}", wrap=wrap)
    stage.nginx.start(f"proxy_pass http://unix:{path};")
    stage.send_many(6)
    return f"unix:{path}"


def of_unit(stage: Stage) -> str:
    """Break it: the unit of the application has PrivateTmp=, and its socket lies in /tmp."""
    own = "\n".join(f"BindReadOnlyPaths={path}" for path in {sys.prefix, str(BACKENDS)})  # this program may lie in /tmp itself
    unit(stage, f"{SERVER} unix:/tmp/app.sock", f"PrivateTmp=yes\n{own}")
    stage.until(lambda: "/tmp/app.sock" in stage.sh("ss", "-Hlx"), "it listens")
    stage.nginx.start("proxy_pass http://unix:/tmp/app.sock;")
    stage.send_many(6)
    return "unix:/tmp/app.sock"


PRIVATE_TMP = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs private /var/tmp && exec "$@"', "sh")
fault = partial(
    Fault,
    cause="unix-socket-missing",
    layer=Layer.PROXY,
    proves=(r"connect\(\) to unix:\S+ failed \(2: No such file or directory\) while connecting to upstream",),
)
FAULTS = (
    fault(name="unix-socket-missing", message="no socket is at the path", build=build),
    fault(
        name="unix-socket-missing-other-path",
        message="the application listens on a socket in another directory",
        build=partial(build, listens="/run/app/app.sock"),
    ),
    fault(
        name="unix-socket-missing-private-tmp",
        message="the application has its own /var/tmp (PrivateTmp), so its socket is invisible",
        build=partial(build, listens="/var/tmp/app.sock", asked="/var/tmp/app.sock", wrap=PRIVATE_TMP),
        needs=frozenset({"isolation"}),
    ),
    fault(
        name="unix-socket-missing-private-tmp-unit",
        message="the application's unit has PrivateTmp=yes, so its socket in /tmp is invisible",
        build=of_unit,
        needs=frozenset({"machine"}),
    ),
)
