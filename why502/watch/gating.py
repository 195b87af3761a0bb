"""`why502 watch --gate`: follows the logs and checks of the gateways for some time, to judge one target."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from why502.diagnosis.engine import diagnose
from why502.model.errors import Why502Error
from why502.model.finding import ASSERTED
from why502.model.snapshot import Snapshot
from why502.session.looking import Machine, Scope, find_gateways, look
from why502.watch import settings as settings_file
from why502.watch.checks.checker import Checker
from why502.watch.configuration import configured
from why502.watch.gate import Gate, Judgement, Outcome, is_same
from why502.watch.gateways import SOURCES
from why502.watch.inbox import Inbox
from why502.watch.model import Member, Observed
from why502.watch.options import Options
from why502.watch.tailing import Tailer

LOOK_S = 0.5


def watch_target(
    options: Options,
    machine: Machine,
    now: Callable[[], datetime],
    target: str,
    length_s: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> Judgement:
    """Return the judgement of a target after this many seconds, or as soon as it is certain.

    Nothing is stored, and nobody is told. Raises Why502Error if no running gateway has the target.
    """
    settings = settings_file.read(options.settings)
    begun = now()
    scope = Scope(now=begun, begin=begun, end=begun, configs=options.configs, logs=options.logs, sources=SOURCES)
    found = find_gateways(scope, machine)
    _check_name(found, target)
    gate, inbox = Gate(target), Inbox[Observed | Member]()
    tailer = Tailer(found, {}, begun.timestamp(), inbox.put, given=options.logs)
    checker = Checker(machine.host(), found, settings.checks, inbox.put, is_probing=options.is_checking)
    tailer.start()
    checker.start()
    end_s = monotonic() + length_s
    try:
        while (left_s := end_s - monotonic()) > 0 and not gate.judge().is_final:
            _take(gate, inbox.take(min(left_s, LOOK_S)))
    finally:
        inbox.open()
        checker.stop(1.0)
        tailer.stop()
    while (entry := inbox.take(0.0)) is not None:
        _take(gate, entry)
    judgement = gate.judge()
    return _explained(judgement, options, machine, now, target) if judgement.outcome is Outcome.BAD else judgement


def _take(gate: Gate, entry: Observed | Member | None) -> None:
    match entry:
        case Observed():
            gate.observe(entry)
        case Member():
            gate.checked(entry)
        case None:
            pass


def _check_name(found: Snapshot, target: str) -> None:
    """Raise Why502Error if no running gateway has a target."""
    names = sorted({key.target for key in configured(found).targets})
    if not any(is_same(name, target) for name in names):
        some = f"Targets: {', '.join(names[:20])}." if names else "No running gateway has a target; see `why502 diagnose`."
        raise Why502Error(f"--target {target!r} is not a target of a running gateway", some)


def _explained(judgement: Judgement, options: Options, machine: Machine, now: Callable[[], datetime], target: str) -> Judgement:
    """Return a bad judgement with the cause, where a diagnosis finds one."""
    at = now()
    scope = Scope(
        now=at,
        begin=at - timedelta(minutes=15),
        end=at,
        configs=options.configs,
        logs=options.logs,
        is_probing=options.is_checking,
    )
    findings = diagnose(*look(scope, machine)).findings
    cause = next(
        (one for one in findings if one.confidence >= ASSERTED and one.target and is_same(str(one.target), target)), None
    )
    return Judgement(judgement.outcome, f"{judgement.message}; {cause.cause}: {cause.message}", True) if cause else judgement
