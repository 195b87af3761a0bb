"""apparmor-denied: the profile of nginx denies what it needs to reach the application."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import nginx_unit
from why502.lab.stage import Stage
from why502.model.finding import Layer

PROFILE = """\
#include <tunables/global>
/usr/sbin/nginx {
  #include <abstractions/base>
  #include <abstractions/nameservice>
  capability,
  network inet stream,
  deny network inet6,
  file,
  signal,
  unix,
}
"""


def apparmor(stage: Stage) -> str:
    """Break it: the profile of nginx lets it make no IPv6 socket."""
    target = f"[::1]:{stage.port(3000)}"
    stage.backend(target)
    stage.write("/etc/apparmor.d/usr.sbin.nginx", PROFILE)
    stage.sh("apparmor_parser", "--replace", "/etc/apparmor.d/usr.sbin.nginx")
    nginx_unit(stage, target)
    stage.send_many(6)
    return target


fault = partial(Fault, cause="apparmor-denied", layer=Layer.PLATFORM, needs=frozenset({"vm"}))
FAULTS = (
    fault(
        name="apparmor-denied",
        message="the AppArmor profile of nginx allows no IPv6 socket",
        build=apparmor,
        statuses=frozenset({500}),
        proves=(r"socket\(\) failed \(13: Permission denied\) while connecting to upstream",),
    ),
)
