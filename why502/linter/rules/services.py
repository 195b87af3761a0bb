"""systemd units of applications behind the proxy: settings that systemd ignores,
and settings that prevent a restart or a connection.

Sources: systemd.unit(5), systemd.service(5), systemd.exec(5); src/core/load-fragment-gperf.gperf.in for the sections of keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.applications import Application, ApplicationKind, applications, program
from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit, Remedy
from why502.supervisors.systemd.unit_files import Unit, UnitEntry

_OF_UNIT = frozenset({
    "Description", "Documentation", "Requires", "Requisite", "Wants", "BindsTo", "PartOf", "Conflicts", "Before", "After",
    "OnFailure", "OnSuccess", "StartLimitIntervalSec", "ConditionPathExists", "AssertPathExists", "DefaultDependencies",
    "RequiresMountsFor",
})  # fmt: skip
_OF_SERVICE = frozenset({
    "Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost", "Restart", "RestartSec",
    "User", "Group", "WorkingDirectory", "Environment", "EnvironmentFile", "PrivateTmp", "RuntimeDirectory", "PIDFile",
    "TimeoutStartSec", "TimeoutStopSec", "LimitNOFILE", "KillMode", "KillSignal", "RemainAfterExit", "StandardOutput",
    "StandardError",
})  # fmt: skip
_SERVERS = frozenset({"gunicorn", "uvicorn", "hypercorn", "daphne", "uwsgi", "puma", "unicorn", "node", "java", "flask",
    "waitress-serve", "granian", "dotnet", "deno", "bun", "python", "ruby", "rails"})  # fmt: skip


@rule(150, "unit-key-in-wrong-section", Severity.WARNING, "backend-crash-loop")
def wrong_section(deployment: Deployment) -> Iterator[Risk]:
    """A unit has a setting in the wrong section, and systemd ignores it.

    `StartLimitIntervalSec` belongs to [Unit]. systemd reports this in the journal only (`Unknown key name … ignoring`), and
    `systemd-analyze verify` still ends with 0.
    """
    for unit in deployment.units:
        if not unit.name.endswith(".service"):
            continue
        for entry in unit.entries:
            right = "Unit" if entry.section == "Service" and entry.name in _OF_UNIT else ""
            right = "Service" if entry.section == "Unit" and entry.name in _OF_SERVICE else right
            if right:
                message = f"{entry.name} is ignored in [{entry.section}]; it belongs to [{right}]"
                yield risk(message, entry.at, _moved(unit, entry, right))


def _moved(unit: Unit, entry: UnitEntry, section: str) -> Remedy:
    """Return the move of a one-line entry to the head of the right section."""
    message = f"move it to [{section}]"
    head = next((e for e in unit.entries if e.section == section and not e.name), None)
    line = f"{entry.name}={entry.value}"
    if head is None or entry.at.end - entry.at.start != len(line.encode()):
        return Remedy(message=message)
    taken = Edit(file=unit.file, line=entry.at.line, start=entry.at.start, end=entry.at.end + 1, before=f"{line}\n", after="")
    put = Edit(file=unit.file, line=head.at.line, start=head.at.end, end=head.at.end, before="", after=f"\n{line}")
    return Remedy(message=message, steps=(put, taken), safe=True)


@rule(151, "unit-never-restarted", Severity.NOTE, "backend-not-running")
def never_restarted(deployment: Deployment) -> Iterator[Risk]:
    """An application server that dies is not started again.

    `Restart=` is `no` by default: after the first crash the proxy answers 502 until somebody restarts it.
    """
    for unit in deployment.units:
        entry = unit.get("ExecStart")
        if entry is None or not unit.name.endswith(".service") or program(unit) not in _SERVERS:
            continue
        if unit.value("Restart") in ("", "no") and unit.value("Type") not in ("oneshot",) and not _is_started_by_others(unit):
            yield risk(f"{program(unit)} is not restarted after a crash", entry.at, "add `Restart=on-failure` and `RestartSec=1`")


def _is_started_by_others(unit: Unit) -> bool:
    """Return whether a timer or another unit starts it: it cannot be enabled itself."""
    return unit.get("WantedBy", "Install") is None


@rule(152, "private-tmp-hides-socket", Severity.WARNING, "unix-socket-missing")
def private_tmp(deployment: Deployment) -> Iterator[Risk]:
    """A service has a private /tmp, and its socket there is invisible to the proxy.

    PrivateTmp=yes gives it a separate /tmp and /var/tmp: nginx reports `No such file or directory`, although the service
    sees the file.
    """
    for unit, application in _services(deployment):
        entry = unit.get("PrivateTmp")
        if entry and entry.value.lower() in ("yes", "true", "on", "1", "disconnected"):
            for target in application.targets:
                if target.is_unix and target.path.startswith(("/tmp/", "/var/tmp/")):
                    yield risk(
                        f"{target.path} is in the service's private /tmp",
                        entry.at,
                        "put the socket into a RuntimeDirectory below /run",
                    )


@rule(153, "socket-directory-not-made", Severity.NOTE, "backend-startup-failure")
def no_directory(deployment: Deployment) -> Iterator[Risk]:
    """A service opens a socket in a directory below /run that nothing creates.

    /run is empty after each boot and belongs to root: the service cannot create the socket, and does not start.
    """
    for unit, application in _services(deployment):
        user = unit.value("User")
        if unit.name.count("@") or user in ("", "root", "0") or any(word.name == "ExecStartPre" for word in unit.entries):
            continue
        made = {name for entry in unit.all("RuntimeDirectory") for name in entry.value.split()}
        for target in application.targets:
            match = re.match(r"/(?:var/)?run/(.+)/[^/]+$", target.path) if target.is_unix else None
            if match and not any(match[1] == name or match[1].startswith(f"{name}/") for name in made) and "%" not in target.path:
                entry = unit.get("ExecStart")
                yield risk(
                    f"nothing creates /run/{match[1]} for {user}",
                    entry.at if entry else None,
                    f"add `RuntimeDirectory={match[1]}`",
                )


@rule(36, "socket-in-tmp", Severity.NOTE, "unix-socket-missing")
def in_tmp(deployment: Deployment) -> Iterator[Risk]:
    """The socket of a backend lies in /tmp.

    Cleaners remove it there, and a service with PrivateTmp, the proxy's own included, sees another /tmp:
    `No such file or directory`.
    """
    seen = set()
    for _, peer, target in deployment.local_peers:
        if target.path.startswith(("/tmp/", "/var/tmp/")) and peer.at not in seen:
            seen.add(peer.at)
            yield risk(f"{target.path} is in a directory that services see differently", peer.at, "put it below /run")


def _services(deployment: Deployment) -> Iterator[tuple[Unit, Application]]:
    found = {
        application.name: application for application in applications(deployment) if application.kind is ApplicationKind.SERVICE
    }
    return ((unit, found[unit.name]) for unit in deployment.units if unit.name in found)
