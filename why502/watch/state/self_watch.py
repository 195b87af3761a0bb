"""Whether the daemon itself sees: logs that cannot be read, whose lines nobody understands, or that fell silent under traffic."""

from __future__ import annotations

from dataclasses import replace

from why502.model.logs import Symptom
from why502.watch.model import MemberStatus, Observed, Severity
from why502.watch.state.closing import closed
from why502.watch.state.families import OWN, Family
from why502.watch.state.opening import announced, opened, raised
from why502.watch.state.severity import is_stopped_on_purpose
from why502.watch.state.turn import Turn
from why502.watch.state.values import LogState, Signal, SignalKey

STOPPED_S = 10.0
UNREADABLE_S = 120.0
SILENT_S, SILENT_WITHOUT_REASON_S = 240.0, 600.0
REGULAR_MINUTES = 30
LEAST_LINES = 10  # a minute, of a log whose silence says something
FULL = 0.98
MOST_LOGS = 1000


def read(turn: Turn, observed: Observed) -> None:
    """Note how a log does."""
    logs = turn.state.logs
    if observed.log not in logs and len(logs) >= MOST_LOGS:
        return
    log = logs.get(observed.log, LogState(proxy=observed.proxy))
    minute = int(turn.monotonic_s // 60)
    if observed.lines and not observed.is_history:
        minutes = {at: count for at, count in log.minutes if at > minute - REGULAR_MINUTES}
        minutes[minute] = minutes.get(minute, 0) + observed.lines
        log = replace(log, minutes=tuple(minutes.items()), last_line_s=turn.monotonic_s)
    since = log.unreadable_since_s if log.unreadable_since_s is not None else turn.monotonic_s
    logs[observed.log] = replace(
        log, reason=observed.reason, unreadable_since_s=since if observed.reason else None, misfit=observed.misfit
    )


def each_minute(turn: Turn) -> None:
    """Open and close the incidents of logs."""
    for path, log in turn.state.logs.items():
        unreadable = SignalKey(log.proxy, f"log {path}", Family.LOG)
        if log.unreadable_since_s is not None and turn.monotonic_s - log.unreadable_since_s >= UNREADABLE_S:
            alert(turn, unreadable, "log-unreadable", f"{path} cannot be read: {log.reason}", Severity.TICKET)
        elif log.unreadable_since_s is None:
            end(turn, unreadable, "it can be read again")
        unparsed = SignalKey(log.proxy, f"format of log {path}", Family.LOG)
        if log.misfit:
            alert(turn, unparsed, "log-unparsed", f"{path} has an unexpected format: {log.misfit}", Severity.TICKET)
        elif log.misfit == "":
            end(turn, unparsed, "its lines can be parsed again")
        silent = SignalKey(log.proxy, f"silent log {path}", Family.LOG)
        if message := _silence(turn, path, log):
            alert(turn, silent, "log-silent", message, Severity.PAGE if "full" in message else Severity.TICKET)
        elif log.last_line_s is not None and turn.monotonic_s - log.last_line_s < 60:
            end(turn, silent, "it has new lines")


def gateways(turn: Turn) -> None:
    """Open an incident for each gateway that has not run for some seconds, unless somebody stopped it; close it when it runs."""
    for proxy, (since_s, why) in turn.state.missed.items():
        units = turn.state.gateway_units.get(proxy, ())
        if turn.monotonic_s - since_s >= STOPPED_S and not is_stopped_on_purpose(units, turn.state):
            alert(
                turn,
                _gateway(proxy),
                Symptom.PROXY_STOPPED.value,
                f"{proxy} is not running: {why}",
                Severity.PAGE,
                is_looking=True,
            )
    for tracked in turn.state.open:
        keys = [key for key in tracked.signals if key == _gateway(key.proxy)]
        if keys and tracked.signals == set(keys) and all(key.proxy in turn.state.running for key in keys):
            closed(turn, tracked, f"{keys[0].proxy} is running again")


def _gateway(proxy: str) -> SignalKey:
    return SignalKey(proxy, f"gateway {proxy}", Family.GATEWAY)


def _silence(turn: Turn, path: str, log: LogState) -> str:
    """Return a sentence about a log that had lines all the time, and has none now though its targets are up; else ""."""
    if log.last_line_s is None or log.reason or len(log.minutes) < REGULAR_MINUTES // 2:
        return ""
    quiet_s = turn.monotonic_s - log.last_line_s
    if min(count for _, count in log.minutes) < LEAST_LINES:
        return ""
    full = _full_disk(turn, path)
    is_up = any(key.proxy == log.proxy and health.status is MemberStatus.UP for key, health in turn.state.health.items())
    if quiet_s < (SILENT_S if full else SILENT_WITHOUT_REASON_S) or not is_up:
        return ""
    reason = f"; the file system {full} is full" if full else ""
    return f"{path} has had no line for {quiet_s / 60:.0f} min, and the checks of its targets pass{reason}"


def _full_disk(turn: Turn, path: str) -> str:
    """Return the file system of a path if it is full, else ""."""
    mounts = [name for name in turn.state.disks if path.startswith(name if name.endswith("/") else f"{name}/")]
    mount = max(mounts, key=len, default="")
    return mount if mount and turn.state.disks[mount].ratio >= FULL else ""


def alert(
    turn: Turn,
    key: SignalKey,
    symptom: str,
    message: str,
    severity: Severity,
    *,
    caused_by: str | None = None,
    concerns: tuple[str, ...] = (),
    is_looking: bool = False,
) -> None:
    """Open an incident that no request opens, or note how it goes on. `concerns`: the targets that it is about."""
    tracked = next((each for each in turn.state.open if key in each.signals), None)
    before = turn.state.signals.get(key)
    signal = before or Signal(began_s=turn.monotonic_s, began_at=turn.now, last_s=turn.monotonic_s)
    turn.state.signals[key] = replace(
        signal, last_s=turn.monotonic_s, symptoms={symptom: 1}, is_targetless=True, concerns=concerns
    )
    if tracked is None:
        tracked = opened(turn, [key], is_looking=is_looking)
        tracked = turn.step(turn.change(tracked, symptoms={}, severity=severity, caused_by=caused_by or ""), message)
        if not is_looking:
            announced(turn, tracked)
    elif caused_by is not None and caused_by != tracked.incident.caused_by:
        announced(turn, turn.change(tracked, caused_by=caused_by))
    elif severity is not tracked.incident.severity and all(one.family in OWN for one in tracked.signals):
        raised(turn, turn.step(tracked, message), severity)


def end(turn: Turn, key: SignalKey, reason: str) -> None:
    """Close the incident that an alert opened, if there is one. If requests fail since, only they can tell when it ends."""
    tracked = next((each for each in turn.state.open if key in each.signals), None)
    if tracked is not None and any(one.family not in OWN for one in tracked.signals):
        turn.step(turn.put(replace(tracked, signals=tracked.signals - {key}, loud=tracked.loud - {key})), reason)
    elif tracked is not None:
        closed(turn, tracked, reason)
