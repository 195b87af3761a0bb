"""Vassals of a uWSGI Emperor: the file of a socket without listener, and the reason in its log."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.model.target import Target
from why502.supervisors.base import Look
from why502.supervisors.emperor import manager

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
SOCKET = Target(path="/run/campus/courses.sock")
VASSAL = """\
[uwsgi]
chdir = /srv/campus/current
; socket = /run/campus/other.sock
socket = /run/campus/%n.sock
logto = /var/log/campus/%n.log
"""
CURSE = '{{"__REALTIME_TIMESTAMP": "{at}", "MESSAGE": "[emperor] curse the uwsgi instance courses.ini (pid: 9)"}}'


class Machine(DirectoryHost):
    """A directory as a machine whose journal reports two exits of a vassal."""

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        lines = [CURSE.format(at=int(NOW.timestamp() * 1e6) - second) for second in (2, 1)]
        return Finished(status=0, stdout="\n".join(lines) if argv[0] == "journalctl" else "", stderr="")

    def acting_as(self, uid: int) -> Machine:
        return self


def look(*silent: Target) -> Look:
    owners = dict.fromkeys(silent, ())
    since = NOW - timedelta(minutes=15)
    return Look(owners=owners, processes={}, parents={}, names={7: "uwsgi"}, pools=(), since=since, until=NOW)


def make(root: Path) -> Machine:
    """Write a machine with an Emperor and two vassals."""
    for name, text in {
        "proc/7/cmdline": "uwsgi\0--emperor\0/etc/uwsgi/vassals\0",
        "proc/7/cgroup": "0::/system.slice/emperor.service\n",
        "proc/7/status": "Uid:\t0\t0\t0\t0\n",
        "etc/uwsgi/vassals/courses.ini": VASSAL,
        "etc/uwsgi/vassals/library.ini": VASSAL,
        "var/log/campus/courses.log": "chdir(): No such file or directory [core/uwsgi.c line 2625]\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        os.utime(root / name, (NOW.timestamp(), NOW.timestamp()))
    return Machine(str(root))


def test_the_vassal_of_a_socket_without_listener(tmp_path: Path) -> None:
    (found,) = manager.services(make(tmp_path), look(SOCKET))
    assert (found.name, found.is_running, found.targets) == ("courses.ini", False, (SOCKET,))
    assert found.reason == ("chdir(): No such file or directory [core/uwsgi.c line 2625]",)
    assert (found.restarts, found.manager_unit) == (2, "emperor.service")


def test_a_socket_without_vassal_and_one_with_a_listener(tmp_path: Path) -> None:
    host = make(tmp_path)
    assert manager.services(host, look(Target(path="/run/campus/other.sock"))) == ()
    assert manager.services(host, look()) == ()


def test_directories_of_the_command_line() -> None:
    assert manager.directories(["uwsgi", "--emperor", "/a", "--emperor=/b", "--emperor", "pg://x", "--emperor", "/c/*.ini"]) == [
        "/a",
        "/b",
    ]
