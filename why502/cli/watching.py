"""`why502 watch` in the foreground: signals, the live view or the lines of events, and the gate."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from why502.cli.env import Env, Exit
from why502.cli.keys import keys
from why502.model.errors import Why502Error
from why502.session.window import span
from why502.watch.daemon import Daemon
from why502.watch.live_view import Filter, event_line, note_line, screen
from why502.watch.model import Incident, Transition

if TYPE_CHECKING:
    from why502.watch.options import Options

SHOWN_S = 1.0
LONGEST_GATE_S = 86400.0
SCHEMA = "why502.watch.event/1"


def run(env: Env, options: Options, format_: str) -> int:
    """Watch until a signal or `q`. Return the exit status. Raises Why502Error."""
    is_live = format_ == "text" and env.stdout.isatty() and env.stdin.isatty()
    daemon = Daemon(options, env.machine(), env.now, Nothing() if is_live else Lines(env, format_))
    display = threading.Thread(target=_show, args=(env, daemon), name="live view", daemon=True)
    with _signals(daemon):
        daemon.start()
        try:
            if is_live:
                display.start()
            daemon.run()
        finally:
            daemon.stop()
    if is_live:
        display.join(2 * SHOWN_S)
    return Exit.HEALTHY


def run_once(env: Env, options: Options, format_: str) -> int:
    """Read what is new, check once, send what is due, and end. Return 0 if no incident is open, else 1. Raises Why502Error."""
    daemon = Daemon(options, env.machine(), env.now, Lines(env, format_))
    with _signals(daemon):
        return Exit.PROBLEM if daemon.once() else Exit.HEALTHY


class Nothing:
    """Shows no events: the live view does."""

    def event(self, at: datetime, transition: Transition, incident: Incident) -> None:
        """Show nothing."""

    def note(self, at: datetime, message: str) -> None:
        """Show nothing."""


class Lines:
    """Shows each event on a line of standard output, as text or JSON. A reader that goes away does not end the daemon."""

    def __init__(self, env: Env, format_: str) -> None:
        self._env, self._is_json = env, format_ == "jsonl"

    def event(self, at: datetime, transition: Transition, incident: Incident) -> None:
        """Show what happened to an incident."""
        self._write(_json(at, transition, incident) if self._is_json else event_line(at, transition, incident))

    def note(self, at: datetime, message: str) -> None:
        """Show a note of the daemon."""
        from why502.redaction import clean, redact

        if self._is_json:
            self._write(json.dumps({"schema": SCHEMA, "at": _time(at), "event": "note", "message": clean(redact(message))}))
        elif not self._env.is_quiet:
            self._write(note_line(at, message))

    def _write(self, line: str) -> None:
        with contextlib.suppress(Why502Error, BrokenPipeError):
            self._env.write(line + "\n")


def _json(at: datetime, transition: Transition, incident: Incident) -> str:
    """Return one event as a line of JSON, schema why502.watch.event/1."""
    from why502.redaction.snapshots import without_secrets

    fields = {
        "schema": SCHEMA,
        "at": _time(at),
        "event": transition.value,
        "id": incident.id,
        "severity": incident.severity.value,
        "host": incident.host,
        "proxy": incident.proxy,
        "target": incident.target,
        "location": incident.location,
        "symptom": incident.symptom,
        "cause": incident.cause or None,
        "layer": incident.fault_domain.value,
        "confidence": incident.finding.confidence if incident.finding else None,
        "message": incident.finding.message if incident.finding else "",
        "failures": incident.failures,
        "opened_at": _time(incident.opened_at),
        "closed_at": _time(incident.closed_at) if incident.closed_at else None,
        "closing": incident.closing,
    }
    return json.dumps(without_secrets(fields), ensure_ascii=False)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def _signals(daemon: Daemon) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C end the daemon, and SIGHUP read its settings again."""
    actions: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: daemon.end,
        signal.SIGINT: daemon.end,
        signal.SIGHUP: daemon.reload,
    }
    before = {number: signal.signal(number, lambda number, _: actions[signal.Signals(number)]()) for number in actions}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(env: Env, daemon: Daemon) -> None:
    """Show the live view until `q` is pressed, or the daemon ends."""
    from rich.console import Console
    from rich.live import Live as Display

    wanted = Filter()
    with keys(env.stdin) as pressed, Display(console=Console(file=env.stdout), screen=True, auto_refresh=False) as display:
        while not daemon.is_ending:
            view = daemon.view()
            display.update(screen(view, wanted), refresh=True)
            key = pressed(SHOWN_S)
            if key == "q":
                daemon.end()
            wanted.press(key, view.recent.proxies(), view.recent.symptoms())


def run_gate(env: Env, options: Options, length: str, target: str) -> int:
    """Watch one target for some time. Return 0 if it does well, 1 if not, 2 if that cannot be told. Raises Why502Error."""
    seconds = span(length)
    if seconds is None or not 1 <= seconds.total_seconds() <= LONGEST_GATE_S:
        raise Why502Error(f"--gate {length!r} is not a duration from one second to a day", "Write it like 5m or 90s.")
    from why502.watch.gating import watch_target

    judgement = watch_target(options, env.machine(), env.now, target, seconds.total_seconds())
    env.write(f"{target}: {judgement.message}\n")
    return int(judgement.outcome)
