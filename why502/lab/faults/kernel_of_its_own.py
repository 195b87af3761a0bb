"""What only a whole kernel can do: security modules, its own memory, its own connection table. Run by `make lab-vm`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.managers import SERVER, answers, shown, unit
from why502.lab.stage import LabError, Stage
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


def _nginx(stage: Stage, target: str, more: str = "") -> str:
    """Start nginx as the distribution's own unit does, so that the policy for it holds."""
    stage.nginx.rewrite(f"proxy_pass http://{target};\n{more}")
    stage.sh("systemctl", "start", "nginx.service")
    stage.until(stage.nginx.workers, "nginx has a worker")
    return target


def selinux_tcp(stage: Stage) -> str:
    """Break it: nginx may not connect to that port."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    stage.sh("setenforce", "1")
    _nginx(stage, target)
    stage.send_many(6)
    return target


def selinux_unix(stage: Stage) -> str:
    """Break it: nginx may not write to that socket, although its mode lets everybody."""
    path = "/run/app.sock"
    stage.backend(f"unix:{path}")
    stage.sh("setenforce", "1")
    _nginx(stage, f"unix:{path}")
    stage.send_many(6)
    return f"unix:{path}"


def permissive(stage: Stage) -> str:
    """Break it otherwise: the application is gone, and SELinux only notes what it would deny."""
    target = f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3000)
    _nginx(stage, target)
    stage.send_many(4)
    stage.stop(application)
    stage.send_many(6)
    return target


def apparmor(stage: Stage) -> str:
    """Break it: the profile of nginx lets it make no IPv6 socket."""
    target = f"[::1]:{stage.port(3000)}"
    stage.backend(target)
    stage.write("/etc/apparmor.d/usr.sbin.nginx", PROFILE)
    stage.sh("apparmor_parser", "--replace", "/etc/apparmor.d/usr.sbin.nginx")
    _nginx(stage, target)
    stage.send_many(6)
    return target


def oom(stage: Stage, *, settings: str, paths: tuple[str, ...]) -> str:
    """Break it: requests make the application of a unit use more memory than its limit, or than there is."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", settings)
    _nginx(stage, target)
    stage.until(lambda: answers(stage), "it is up")
    stage.send_many(4)
    for path in paths:
        stage.send(path, patience_s=120.0)
    stage.until(lambda: _failed(stage), "the unit failed", patience_s=150.0)
    stage.send_many(4)
    return target


def _failed(stage: Stage) -> bool:
    """Return whether the unit failed; a machine without memory may not even say that."""
    try:
        return shown(stage, "ActiveState") == "failed"
    except LabError:
        return False


def pressed(stage: Stage) -> str:
    """Break it: the application works above its MemoryHigh=, so that the kernel holds it up at every step."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unit(stage, f"{SERVER} {target}", "MemoryHigh=40M\nMemorySwapMax=0")
    _nginx(stage, target, "proxy_read_timeout 1s;")
    stage.until(lambda: answers(stage), "it is up")
    stage.send()
    stage.keep_sending("/hog/60", clients=2)
    stage.until(lambda: 504 in stage.statuses, "requests time out")
    end = time.monotonic() + 20
    while float(Path("/proc/pressure/memory").read_text().split("avg10=")[1].split()[0]) < 40 and time.monotonic() < end:
        time.sleep(0.2)
    return target


def conntrack(stage: Stage) -> str:
    """Break it: the connection tracking table has a few places, and all are taken."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    rules = "table inet lab {\nchain in {\ntype filter hook input priority 0\nct state invalid drop\n}\n}\n"
    stage.sh("nft", "-f", "-", stdin=rules)
    _nginx(stage, target, "proxy_connect_timeout 1s;")
    stage.send_many(3)
    stage.sh("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_max=8")
    for _ in range(4):
        stage.send_many(4, at_once=4, patience_s=4.0)
    return target


fault = partial(Fault, layer=Layer.PLATFORM, needs=frozenset({"vm"}))
FAULTS = (
    fault(
        name="selinux-denied",
        cause="selinux-denied",
        says="SELinux does not let nginx connect to the port",
        build=selinux_tcp,
        proves=(r"connect\(\) to 127\.0\.0\.1:\d+ failed \(13: Permission denied\) while connecting to upstream",),
        boot="security=selinux enforcing=0",
    ),
    fault(
        name="selinux-denied-unix",
        cause="selinux-denied",
        says="SELinux does not let nginx use the application's socket",
        build=selinux_unix,
        proves=(r"connect\(\) to unix:\S+ failed \(13: Permission denied\) while connecting to upstream",),
        boot="security=selinux enforcing=0",
    ),
    fault(
        name="selinux-permissive",
        cause="backend-not-running",
        layer=Layer.UPSTREAM,
        says="the application was stopped; SELinux is permissive and notes what it would deny",
        build=permissive,
        statuses=frozenset({200, 502}),
        boot="security=selinux enforcing=0",
    ),
    fault(
        name="apparmor-denied",
        cause="apparmor-denied",
        says="the AppArmor profile of nginx allows no IPv6 socket",
        build=apparmor,
        statuses=frozenset({500}),
        proves=(r"socket\(\) failed \(13: Permission denied\) while connecting to upstream",),
    ),
    fault(
        name="backend-oom-killed-memory-max",
        cause="backend-oom-killed",
        layer=Layer.UPSTREAM,
        says="a request makes the application of a unit exceed its MemoryMax=",
        build=partial(oom, settings="MemoryMax=64M\nMemorySwapMax=0", paths=("/hog/200",)),
        statuses=frozenset({200, 502}),
    ),
    fault(
        name="backend-oom-killed-global",
        cause="backend-oom-killed",
        layer=Layer.UPSTREAM,
        says="a request makes the application use all memory of the machine",
        build=partial(oom, settings="", paths=("/hog/600", "/hog/600")),
        statuses=frozenset({200, 502}),
    ),
    fault(
        name="memory-pressure",
        cause="memory-pressure",
        says="the application works above its MemoryHigh=",
        build=pressed,
        statuses=frozenset({504}),
        ongoing=None,
    ),
    fault(
        name="conntrack-table-full",
        cause="conntrack-table-full",
        says="the connection tracking table is full, packets are dropped",
        build=conntrack,
        statuses=frozenset({200}),
        ongoing=None,
    ),
)
