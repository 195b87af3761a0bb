"""Vassals of a uWSGI Emperor: one file each in a directory. The Emperor starts each one, and restarts it whenever it ends.

uwsgi-docs, Emperor.rst; core/emperor.c ("[emperor] curse the uwsgi instance %s", "… throttling it"). No interface is on by
default: the files contain the address and the log of a vassal, and the Emperor's own journal shows how often it ended.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.last_words import last_words
from why502.machine.process_table import unit_of
from why502.machine.tail import NOTHING, tail
from why502.model.service import Service
from why502.model.target import Target
from why502.supervisors.base import CONFIG_BYTES, Look, names_of, roots_first
from why502.supervisors.systemd import journal

NAME = "emperor"
VASSALS = 200  # maximum files examined per directory
LINES = 500
_SOCKETS = frozenset({"socket", "uwsgi-socket", "http-socket", "fastcgi-socket", "scgi-socket", "http", "s"})
_LOGS = frozenset({"logto", "logto2", "daemonize", "daemonize2"})


def services(host: Host, look: Look) -> tuple[Service, ...]:
    """Return the vassals that should serve a target without a listener, root's first. Raises HostError."""
    if not look.silent:
        return ()
    emperors = roots_first(host, (pid for pid, name in look.names.items() if name.startswith("uwsgi")))
    return tuple(service for uid, pid in emperors for service in _of_emperor(host.acting_as(uid), host, look, uid, pid))


def _of_emperor(acting: Host, host: Host, look: Look, uid: int, pid: int) -> Iterator[Service]:
    """Yield the vassals of one process, if it is an Emperor, whose files name a target without a listener."""
    argv = (attempt(partial(host.read, f"/proc/{pid}/cmdline", limit_bytes=8192)) or b"").decode("utf-8", "replace").split("\0")
    cwd, unit = attempt(partial(host.link, f"/proc/{pid}/cwd")) or "/", unit_of(host, pid)
    for directory in directories(argv):
        place = posixpath.normpath(posixpath.join(cwd, directory))
        names = [name for name in attempt(partial(acting.list, place)) or () if name.endswith(".ini")]
        for name in sorted(names)[:VASSALS]:
            content = attempt(partial(acting.read, f"{place}/{name}", limit_bytes=CONFIG_BYTES)) or b""
            given = settings(content.decode("utf-8", "replace"), name)
            targets = tuple(target for target in look.silent if _names(host, given, target))
            if targets:
                yield _vassal(acting, host, look, place, name, given, targets, uid, unit)


def directories(argv: list[str]) -> list[str]:
    """Return the directories in `--emperor` options of a command line; patterns and other sources of vassals are left out."""
    found = [after for word, after in pairwise(argv) if word == "--emperor"]
    found += [word.partition("=")[2] for word in argv if word.startswith("--emperor=")]
    return [path for path in found if path and "*" not in path and "://" not in path]


def settings(text: str, name: str) -> list[tuple[str, str]]:
    """Return the options in section `uwsgi` of a vassal's file, with %n, %N and %s filled in (Configuration.rst, magic
    variables).
    """
    stem = name.partition(".")[0]
    found, section = [], ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "uwsgi" and not line.startswith((";", "#")) and "=" in line:
            key, _, value = line.partition("=")
            filled = value.strip().replace("%n", stem).replace("%N", stem).replace("%s", name)
            found.append((key.strip(), filled))
    return found


def _names(host: Host, given: list[tuple[str, str]], target: Target) -> bool:
    """Return whether one of a vassal's sockets is the target."""
    sockets = [value.split(",")[0] for key, value in given if key in _SOCKETS]
    if target.is_unix:
        return bool(set(names_of(host, target)) & set(sockets))
    return any(value.rpartition(":")[2] == str(target.port) and not value.startswith("/") for value in sockets)


def _vassal(
    acting: Host,
    host: Host,
    look: Look,
    place: str,
    name: str,
    given: list[tuple[str, str]],
    targets: tuple[Target, ...],
    uid: int,
    unit: str,
) -> Service:
    """Return a vassal that does not listen, with the last lines of its log and how often the Emperor saw it end in the window."""
    logs = tuple(
        value for key, value in given if key in _LOGS and value.startswith("/") and "%" not in value and "$" not in value
    )
    lines = [line for path in logs for line in (attempt(partial(tail, acting, path)) or NOTHING).newest(look.since)]
    entries = attempt(partial(journal.read, host, "-u", unit, since=look.since, until=look.until, lines=LINES)) if unit else ()
    ends = [entry for entry in entries or () if f"curse the uwsgi instance {name}" in entry.message]
    return Service(
        manager=NAME,
        name=name,
        state="not loyal" if ends else "not running",
        is_running=False,
        result="exit-code" if ends else "",
        restarts=len(ends),
        changed_at=ends[-1].at if ends else None,
        unit_file=f"{place}/{name}",
        logs=logs,
        reason=last_words(lines),
        targets=targets,
        link="its file names the socket",
        owner_uid=uid,
        manager_unit=unit,
    )
