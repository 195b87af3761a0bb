"""Drop-ins for systemd units. systemd reads them after the unit's own file, which stays unchanged (systemd.unit(5)).

Pure: nothing is written here. For a service that is not systemd's there are no steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.model.remedy import Edit, Remedy, Run
from why502.model.service import Service
from why502.remedies.changes import make_file, start

DIRECTORY = "/etc/systemd/system"
PAUSE = "1s"  # delay between restarts: systemd's default of 100 ms reaches its start limit within a second
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_FAILED = ("exit-code", "signal", "core-dump", "oom-kill", "watchdog", "timeout")


def write_drop_in(service: Service, name: str, *lines: str) -> tuple[Edit | Run, ...]:
    """Return the steps that give a unit these settings (`Restart=on-failure`; with section headers), and have systemd check and
    load them.

    () if it is not a systemd unit, or already has a drop-in of that name. `name` states its purpose.
    """
    path = f"{DIRECTORY}/{service.name}.d/why502-{name}.conf"
    if service.manager != "systemd" or not service.unit_file or path in service.settings.get("DropInPaths", "").split():
        return ()
    head = () if lines[:1] and lines[0].startswith("[") else ("[Service]",)
    again = ("systemctl", "daemon-reload")
    return (
        make_file(path, "\n".join((*head, *lines, ""))),
        Run(argv=("systemd-analyze", "verify", "--man=no", service.unit_file)),  # a server often has no manual pages
        Run(argv=again, undo=again),
    )


def unit_named(name: str) -> Service:
    """Return a unit of which only the name is known; systemd finds its file by that."""
    return Service(manager="systemd", name=name, unit_file=name)


def seconds(text: str) -> float | None:
    """Return a time in the format of `systemctl show` ("1min 30s") in seconds; None if it is malformed."""
    parts = text.split()
    found = [re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{0,9})?)(ms|us|min|s|h)", part) for part in parts]
    if not parts or not all(found):
        return None
    return sum(float(match[1]) * _UNITS[match[2]] for match in found if match)


def is_masked(service: Service) -> bool:
    """Return whether a unit is masked, so that it cannot be started at all (`systemctl mask`)."""
    return service.settings.get("UnitFileState", "").startswith("masked")


def restart(service: Service) -> Run:
    """Return the command that restarts a unit; it is its own undo command, since a restart loads the restored settings."""
    argv = ("systemctl", "restart", service.name)
    return Run(argv=argv, undo=argv)


def clear_failures(service: Service) -> Run:
    """Return the command that makes systemd forget a unit's restarts: it is started again after their reason is removed."""
    return Run(argv=("systemctl", "reset-failed", service.name))


def restart_remedies(service: Service, *, is_failure: bool = False) -> Iterator[Remedy]:
    """Yield the remedies for a stopped service: start it; start it and have systemd restart it whenever it fails.

    `is_failure`: it is known to have failed, even if systemd has forgotten that since.
    """
    is_starting = service.state == "activating"  # systemd itself starts it, again after each failure
    is_down = service.is_running is False and bool(service.start_argv) and not is_starting
    begin = (start(service),) if is_down else ()
    if is_down:
        yield Remedy(message=f"start {service.name}", steps=begin)
    elif service.is_running is False and service.owner_uid and not is_starting:
        yield Remedy(message=f"as user {service.owner_uid}, whose {service.manager} has it, start {service.name}")
    may_restart = service.settings.get("Restart", "no") == "no" and service.settings.get("Type") != "oneshot"
    has_failed = is_failure or service.result in _FAILED or service.signal is not None or service.exit_code not in (None, 0)
    if may_restart and has_failed:
        if steps := write_drop_in(service, "restart", "Restart=on-failure", f"RestartSec={PAUSE}"):
            first, whom = (f"start {service.name}, and ", "it") if is_down else ("", service.name)
            message = f"{first}make systemd restart {whom} whenever it fails (Restart=on-failure)"
            yield Remedy(message=message, steps=(*steps, *begin))
