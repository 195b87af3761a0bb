"""One check: the request is sent, and its outcome becomes a `CheckResult`, with HAProxy's code for the same.

The codes are those of HAProxy's `check_status` (management.txt, 9.1, field 36; src/check.c).
"""

from __future__ import annotations

from datetime import UTC, datetime

from why502.collectors.probes import check_rights
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.probe import CONNECT, Probe
from why502.probing.probe import Measured, attempt
from why502.watch.checks.members import MemberKey, Planned
from why502.watch.checks.settings import TargetCheck
from why502.watch.model import CheckResult, Phase

UNKNOWN = "UNK"
NOT_RUNNING = "the service is not running, and systemd would start it for a connection"
CODES = {
    Symptom.CONNECT_TIMED_OUT: "L4TOUT",
    Symptom.NO_LOCAL_PORT: "SOCKERR",
    Symptom.SOCKET_DENIED: "SOCKERR",
    Symptom.BIND_FAILED: "SOCKERR",
    Symptom.NAME_NOT_FOUND: "SOCKERR",
    Symptom.NAME_SERVER_FAILED: "SOCKERR",
    Symptom.TLS_TIMED_OUT: "L6TOUT",
    Symptom.TLS_FAILED: "L6RSP",
    Symptom.TLS_NOT_TLS: "L6RSP",
    Symptom.TLS_UNVERIFIED: "L6RSP",
    Symptom.TLS_CLIENT_CERTIFICATE: "L6RSP",
    Symptom.READ_TIMED_OUT: "L7TOUT",
    Symptom.BODY_TIMED_OUT: "L7TOUT",
    Symptom.UPSTREAM_STATUS: "L7STS",
    Symptom.HEALTH_CHECK_STATUS: "L7STS",
    **dict.fromkeys(
        (
            Symptom.CONNECT_REFUSED,
            Symptom.CONNECT_RESET,
            Symptom.CONNECT_DENIED,
            Symptom.CONNECT_FAILED,
            Symptom.HOST_UNREACHABLE,
            Symptom.SOCKET_PATH_MISSING,
            Symptom.QUEUE_FULL,
        ),
        "L4CON",
    ),
}
BAD_ANSWER = "L7RSP"  # of every other symptom: something came, or the connection broke, after the request was sent


def check(host: Host, planned: Planned) -> CheckResult:
    """Return the result of one check. Never raises for anything the member or the machine does."""
    at = datetime.now(UTC)
    if planned.request is None:
        return not_asked(planned, at)
    try:
        if planned.listeners and not runs(host, planned):
            return not_asked(planned, at, NOT_RUNNING)
        measured = attempt(host.acting_as(planned.request.owner_uid), planned.request)
        check_rights(planned.request, measured.probe)
    except HostError as error:
        return not_asked(planned, at, error.reason)
    return result_of(planned.key, measured, planned.expected, at)


def not_asked(planned: Planned, at: datetime, reason: str = "") -> CheckResult:
    """Return the result where nothing was sent: unknown, unless it is known already what is wrong."""
    symptom = None if reason else planned.symptom
    return CheckResult(
        proxy=planned.key.proxy,
        group=planned.key.group,
        peer=planned.key.peer,
        at=at,
        symptom=symptom,
        reason=reason or planned.reason,
        haproxy_code=CODES.get(symptom, UNKNOWN) if symptom else UNKNOWN,
        is_unknown=symptom is None,
    )


def runs(host: Host, planned: Planned) -> bool:
    """Return whether a process other than systemd holds a socket that systemd holds too.

    Asked before each connection, which would otherwise start a service that stopped since the configuration was read.
    Raises HostError.
    """
    inodes = frozenset(listener.inode for listener in planned.listeners)
    known = [pid for listener in planned.listeners for pid in listener.pids if pid != 1]
    if known and any(host.holders(inodes, known)[0].values()):
        return True
    pids = [int(name) for name in host.list("/proc") if name.isdecimal() and name != "1"]
    holders, _ = host.holders(inodes, pids)
    return any(holders.values())


def result_of(key: MemberKey, measured: Measured, expected: TargetCheck | None, at: datetime) -> CheckResult:
    """Return a check's result from what was measured. Pure."""
    probe = measured.probe
    symptom, reason = _judged(probe, expected)
    return CheckResult(
        proxy=key.proxy,
        group=key.group,
        peer=key.peer,
        at=at,
        symptom=symptom,
        reason=reason,
        haproxy_code=code_of(probe, symptom, is_secured=measured.secured_s is not None),
        status=probe.status,
        phases_s=_phases(measured),
        certificate_ends_at=measured.valid[1] if measured.valid else None,
    )


def code_of(probe: Probe, symptom: Symptom | None, *, is_secured: bool = False) -> str:
    """Return HAProxy's code of a result."""
    if symptom is not None:
        return CODES.get(symptom, BAD_ANSWER)
    if probe.request == CONNECT:
        return "L6OK" if is_secured else "L4OK"
    return "L7OKC" if (probe.status or 0) >= 400 else "L7OK"


def _judged(probe: Probe, expected: TargetCheck | None) -> tuple[Symptom | None, str]:
    """Return what is wrong, by what the user expects where something is set, else by what the proxy would make of it."""
    is_about_status = probe.symptom in (None, Symptom.UPSTREAM_STATUS)
    accepted = expected.accepts(probe.status) if expected and probe.status is not None and is_about_status else None
    if accepted is None:
        return probe.symptom, probe.detail
    if accepted:
        return None, probe.detail
    return Symptom.HEALTH_CHECK_STATUS, f"answered {probe.status}, which the settings do not accept"


def _phases(measured: Measured) -> dict[Phase, float]:
    """Return the seconds that each phase took."""
    connected, secured, first = measured.connected_s, measured.secured_s, measured.probe.first_byte_s
    phases = {}
    if connected is not None:
        phases[Phase.CONNECT] = connected
        if secured is not None:
            phases[Phase.TLS] = secured - connected
        if first is not None:
            phases[Phase.FIRST_BYTE] = first - (secured or connected)
    return {phase: round(took_s, 6) for phase, took_s in phases.items()}
