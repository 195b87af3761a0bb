"""Fault: one way to break a real server, and the expected diagnosis."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from why502.lab import groups
from why502.lab.isolation import can_isolate, program
from why502.lab.stage import Stage
from why502.model.base import Value
from why502.model.finding import Layer

PROGRAMS = ("nft", "ip", "openssl", "nginx", "supervisord", "uwsgi", "unicorn", "node", "systemctl")
IN_VM = "WHY502_LAB_VM"  # a variable that says that this is the virtual machine


class Fault(Value, frozen=True, kw_only=True):
    """A scene and its truth. `build` makes the scene, sends its requests and returns the target, as `why502` prints it.

    `statuses` are those that clients saw (499: the client left; 9: the answer was no HTTP; 0: no answer). Each of `proves`
    is a regular expression that some log of the scene must match: the sign that the fault is real. `also` are causes that
    further findings must name.
    """

    name: str
    cause: str
    layer: Layer
    message: str
    build: Callable[[Stage], str | None]
    statuses: frozenset[int] = frozenset({502})
    proves: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()  # isolation, machine, vm, groups, php-fpm, gunicorn, pm2, and PROGRAMS
    is_unnoticed: bool = False  # another attempt serves every client, so that the machine is healthy
    ongoing: bool | None = True  # None: cannot be told, the load is gone
    also: frozenset[str] = frozenset()
    gaps: frozenset[str] = frozenset()  # sources that cannot answer in it
    boot: str = ""  # in a virtual machine: further arguments of its kernel
    is_loud: bool = False  # it writes into the kernel's log, which all scenes share: none other runs beside it

    @property
    def is_healthy(self) -> bool:
        """True for a control: nothing is wrong in it."""
        return self.cause == "healthy"

    def missing(self) -> str:
        """Return what this machine lacks for the scene, in words; "" where it can run."""
        if "vm" in self.needs and not os.environ.get(IN_VM):
            return "needs a virtual machine: make lab-vm"
        for need in sorted({"nginx", *self.needs}):
            if need == "isolation" and not can_isolate():
                return "needs root and its own namespaces (unshare)"
            if need == "php-fpm" and not any(Path("/usr/sbin").glob("php-fpm*")):
                return "needs php-fpm (Debian package php-fpm)"
            if need == "machine" and not (
                can_isolate() and shutil.which("systemd-nspawn") and Path("/lib/systemd/systemd").exists()
            ):
                return "needs root and systemd-nspawn (Debian package systemd-container)"
            if need == "groups" and not groups.can_limit():
                return "needs root and control groups that limit memory and processors"
            if need == "pressure" and not Path("/proc/pressure/memory").exists():
                return "needs a kernel that tells pressure (/proc/pressure)"
            if need == "fuse" and not os.access("/dev/fuse", os.W_OK):
                return "needs /dev/fuse"
            if need in ("gunicorn", "pm2") and not program(need):
                return f"needs {need} (scripts/setup --tests)"
            if need in PROGRAMS and not program(need):
                return f"needs the program {need}"
        return ""
