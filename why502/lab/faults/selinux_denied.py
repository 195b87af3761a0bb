"""selinux-denied: the policy denies nginx access to the application, whatever the file modes are."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import nginx_unit
from why502.lab.stage import Stage
from why502.model.finding import Layer


def selinux_tcp(stage: Stage) -> str:
    """Break it: nginx may not connect to that port."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    stage.sh("setenforce", "1")
    nginx_unit(stage, target)
    stage.send_many(6)
    return target


def selinux_unix(stage: Stage) -> str:
    """Break it: nginx may not write to that socket, although its mode lets everybody."""
    path = "/run/app.sock"
    stage.backend(f"unix:{path}")
    stage.sh("setenforce", "1")
    nginx_unit(stage, f"unix:{path}")
    stage.send_many(6)
    return f"unix:{path}"


fault = partial(Fault, cause="selinux-denied", layer=Layer.PLATFORM, needs=frozenset({"vm"}))
FAULTS = (
    fault(
        name="selinux-denied",
        message="SELinux does not let nginx connect to the port",
        build=selinux_tcp,
        proves=(r"connect\(\) to 127\.0\.0\.1:\d+ failed \(13: Permission denied\) while connecting to upstream",),
        boot="security=selinux enforcing=0",
    ),
    fault(
        name="selinux-denied-unix",
        message="SELinux does not let nginx use the application's socket",
        build=selinux_unix,
        proves=(r"connect\(\) to unix:\S+ failed \(13: Permission denied\) while connecting to upstream",),
        boot="security=selinux enforcing=0",
    ),
)
