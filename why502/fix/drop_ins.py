"""Checks that systemd applies the settings of our drop-ins, both to the unit and to its running processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from why502.fix import commands, disk
from why502.fix.journal import Entry
from why502.model.errors import Why502Error
from why502.model.patterns import lazy

_OURS = lazy(rf"/etc/systemd/system/([^/]+)\.d/{commands.DROP_IN}[^/]*\.conf")
# Settings that `systemctl show` prints with the same name and in the same format as the file.
_SHOWN = ("LimitNOFILE", "MemoryMax", "MemoryLimit", "Restart", "PrivateTmp", "ProtectHome")
_CGROUPS = Path("/sys/fs/cgroup")


def check(entry: Entry) -> None:
    """Raise Why502Error if a setting in a drop-in of this change is not in force: another file may override it."""
    for change in entry.changes:
        if match := _OURS.fullmatch(change.file):
            for name, value in _settings(disk.read(change.real).decode(errors="replace")):
                _check(match[1], name, value)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and name in _SHOWN:
            yield name, value


def _check(unit: str, name: str, value: str) -> None:
    shown = _show(unit, name)
    if shown != value:
        raise Why502Error(
            f"{unit} has {name}={shown} although our drop-in sets {value}: another file of the unit sets it again",
            f"See: systemctl cat {unit}",
        )
    running = _of_process(unit, name)
    if running and running != value:
        raise Why502Error(f"the running {unit} still has {name}={running}, not {value}", f"Restart it: systemctl restart {unit}")


def _of_process(unit: str, name: str) -> str:
    """Return the value of a setting for the running processes of a unit; "" if none run, or if it does not apply to processes."""
    with contextlib.suppress(OSError, IndexError, StopIteration):
        if name == "LimitNOFILE" and (pid := _show(unit, "MainPID")) not in ("", "0"):
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
            return next(line for line in lines if line.startswith("Max open files")).split()[3]
        if name == "MemoryMax" and (group := _show(unit, "ControlGroup")):
            return _CGROUPS.joinpath(group.lstrip("/"), "memory.max").read_text().strip()
    return ""


def _show(unit: str, name: str) -> str:
    return commands.finish(("systemctl", "show", "-p", name, "--value", "--", unit)).stdout.strip()
