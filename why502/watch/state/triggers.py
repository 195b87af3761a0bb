"""From what the logs and checks add to the signals, and which of them are loud enough to open an incident."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median

from why502.logs.chance import burst_limit, is_worse
from why502.watch.model import AttemptKey, FailureKey, Observed
from why502.watch.state.families import UNHURT, Family, family_of
from why502.watch.state.identity import subject_of
from why502.watch.state.values import Health, Served, Signal, SignalKey, State, is_success

MOST_SIGNALS = 2_000
MOST_LOCATIONS = 100
HOUR_MINUTES = 60
WINDOW_MINUTES = 15  # lines that are older were restored or replayed: history
QUIET_S = 300.0  # without a failure for so long, the next one begins another episode
ALL_OF = 3  # requests of a route that must all have failed
ALL_WITHIN_S = 60.0
UNEVEN_MINUTES = 10
LEAST_MEMBERS = 3
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Added:
    """What one `Observed` adds that is current: by signal (failures, of them hurt), and what succeeded, by subject."""

    signals: dict[SignalKey, Signal]
    failed: Counter[SignalKey]
    hurt: Counter[SignalKey]
    symptoms: dict[SignalKey, Counter[str]]
    served: Counter[tuple[str, str]]
    requests: Counter[tuple[str, str]]
    recovered: Counter[SignalKey]


def is_now(minute: int, state: State, now: datetime) -> bool:
    """Return whether a line's minute lies in the window in which failures count as current ones."""
    leap_s = abs(state.leap_s) if state.monotonic_s < state.leap_until_s else 0.0
    return 60 * (minute + WINDOW_MINUTES) >= now.timestamp() - leap_s


def fresh_minutes(state: State, observed: Observed, now: datetime) -> set[int]:
    """Return the minutes of a log's counts that are current, as opposed to history."""
    if observed.is_history:
        return set()
    counts = (*observed.failures, *observed.requests, *observed.attempts, *observed.recovered)
    return {minute for minute in {at for at, _ in counts} if minute >= observed.live_since and is_now(minute, state, now)}


def added(state: State, observed: Observed, now: datetime, monotonic_s: float) -> Added:
    """Return the signals with the failures of a log in them."""
    fresh = fresh_minutes(state, observed, now)
    found = Added({}, Counter(), Counter(), {}, Counter(), Counter(), Counter())
    locations: dict[SignalKey, dict[str, None]] = {}
    for (minute, failure), count in observed.failures.items():
        if minute in fresh and (signal := _signal_key(failure)) is not None:
            _count(found, signal, failure.symptom, count)
            found.hurt[signal] += count
            locations.setdefault(signal, {})[failure.location] = None
    usual = _usual_symptoms(observed, fresh)
    for (minute, target), count in observed.recovered.items():
        symptom = usual.get((target.proxy, subject_of(target.target)), "")
        family = family_of(symptom) if symptom else Family.ANSWER
        if minute in fresh and family is not None and family not in UNHURT:
            signal = SignalKey(target.proxy, subject_of(target.target), family)
            _count(found, signal, symptom or "recovered", count)
            found.recovered[signal] += count
    for (minute, request), count in observed.requests.items():
        if minute in fresh:
            found.requests[request.proxy, request.location] += count
            if is_success(request):
                found.served[request.proxy, request.location] += count
    for (minute, attempt), count in observed.attempts.items():
        if minute in fresh and attempt.outcome == "ok":
            found.served[attempt.proxy, subject_of(attempt.target)] += count
    for key in found.failed:
        found.signals[key] = _grown(state.signals.get(key), key, found, locations.get(key, {}), now, monotonic_s)
    return found


def _count(found: Added, signal: SignalKey, symptom: str, count: int) -> None:
    found.failed[signal] += count
    found.symptoms.setdefault(signal, Counter())[symptom] += count


def _signal_key(failure: FailureKey) -> SignalKey | None:
    family = family_of(failure.symptom)
    if family is None:
        return None
    return SignalKey(failure.proxy, subject_of(failure.target) if failure.target else failure.location, family)


def _usual_symptoms(observed: Observed, fresh: set[int]) -> dict[tuple[str, str], str]:
    """Return the most frequent symptom of each target's failed attempts."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (minute, attempt), count in observed.attempts.items():
        if minute in fresh and attempt.outcome != "ok":
            counts.setdefault((attempt.proxy, subject_of(attempt.target)), Counter())[attempt.outcome] += count
    return {target: found.most_common(1)[0][0] for target, found in counts.items()}


def _grown(
    before: Signal | None, key: SignalKey, found: Added, locations: Iterable[str], now: datetime, monotonic_s: float
) -> Signal:
    count = found.failed[key]
    minutes, hurt_minutes = (before.minutes, before.hurt_minutes) if before else ((), ())
    if before is None or monotonic_s - before.last_s > QUIET_S:
        before = Signal(began_s=monotonic_s, began_at=now, last_s=monotonic_s)
    return replace(
        before,
        last_s=monotonic_s,
        minutes=_counted(minutes, count, monotonic_s),
        hurt_minutes=_counted(hurt_minutes, found.hurt[key], monotonic_s),
        failures=before.failures + count,
        hurt=before.hurt + found.hurt[key],
        symptoms=dict(Counter(before.symptoms) + found.symptoms[key]),
        locations=tuple(dict.fromkeys((*before.locations, *locations)))[:MOST_LOCATIONS],
        is_targetless=key.subject in locations,
    )


def _counted(minutes: tuple[tuple[int, int], ...], count: int, monotonic_s: float) -> tuple[tuple[int, int], ...]:
    """Return failures by monotonic minute with the current ones, the last hour's."""
    if not count:
        return minutes
    minute = int(monotonic_s // 60)
    counts = {at: each for at, each in minutes if at > minute - HOUR_MINUTES}
    counts[minute] = counts.get(minute, 0) + count
    return tuple(counts.items())


def bounded(signals: dict[SignalKey, Signal]) -> dict[SignalKey, Signal]:
    """Return the signals, without the quietest ones if there are too many."""
    if len(signals) <= MOST_SIGNALS:
        return signals
    kept = sorted(signals, key=lambda key: (-signals[key].last_s, -signals[key].failures, key))[:MOST_SIGNALS]
    return {key: signals[key] for key in kept}


def is_burst(signal: Signal, monotonic_s: float) -> bool:
    """Return whether clients got a burst of failures in this minute, by the rule of `why502 logs`."""
    minute = int(monotonic_s // 60)
    counts = dict(signal.hurt_minutes)
    before = [count for at, count in counts.items() if at < minute]
    span = minute - min(counts, default=minute) + 1
    usual = median([*before, *[0] * (span - 1 - len(before))]) if span > 1 else 0.0
    return counts.get(minute, 0) >= burst_limit(usual, span)


def streaks(
    before: Mapping[tuple[str, str], tuple[float, ...]], found: Added, monotonic_s: float
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return for each route the times of the failures after its last success, at most the last three."""
    kept = {route: times for route, times in before.items() if times and monotonic_s - times[-1] <= ALL_WITHIN_S}
    failed: Counter[tuple[str, str]] = Counter()
    for key, signal in found.signals.items():
        if key.family not in UNHURT and found.hurt[key]:
            for location in signal.locations:
                failed[key.proxy, location] += found.hurt[key]
    for route in {*failed, *found.served}:
        if found.served[route]:
            kept.pop(route, None)
        else:
            kept[route] = (*kept.get(route, ()), *[monotonic_s] * min(failed[route], ALL_OF))[-ALL_OF:]
    return kept


def is_total(times: tuple[float, ...], monotonic_s: float) -> bool:
    """Return whether the last three requests of a route all failed within a minute."""
    return len(times) >= ALL_OF and monotonic_s - times[0] <= ALL_WITHIN_S


def triggered(state: State, found: Added, monotonic_s: float) -> list[SignalKey]:
    """Return the signals that are loud now: a burst, or all requests of a route failed."""
    loud = []
    for key, signal in found.signals.items():
        total = key.family not in UNHURT and any(
            is_total(state.streaks.get((key.proxy, location), ()), monotonic_s) for location in signal.locations
        )
        if total or is_burst(signal, monotonic_s):
            loud.append(key)
    return loud


def fallen(health: Health, before: Signal | None, now: datetime, monotonic_s: float) -> Signal:
    """Return the signal of a check that fell."""
    if before is None or monotonic_s - before.last_s > QUIET_S:
        before = Signal(began_s=monotonic_s, began_at=now, last_s=monotonic_s)
    symptoms = before.symptoms or {health.symptom: 0}
    return replace(before, is_check=True, last_s=monotonic_s, symptoms=symptoms)


# one bad member among many


def attempts_added(
    before: Mapping[tuple[str, str], tuple[tuple[int, int, int], ...]],
    observed: Mapping[tuple[int, AttemptKey], int],
    fresh: set[int],
    monotonic_s: float,
) -> dict[tuple[str, str], tuple[tuple[int, int, int], ...]]:
    """Return the attempts of each target by monotonic minute: (minute, tried, failed), those of the last ten minutes."""
    minute = int(monotonic_s // 60)
    kept = {target: rows for target, rows in before.items() if rows[-1][0] > minute - UNEVEN_MINUTES}
    for (at_minute, attempt), count in observed.items():
        if at_minute not in fresh:
            continue
        target = attempt.proxy, subject_of(attempt.target)
        if target not in kept and len(kept) >= MOST_SIGNALS:
            target = attempt.proxy, OTHER
        rows = [row for row in kept.get(target, ()) if row[0] > minute - UNEVEN_MINUTES]
        at, tried, failed = rows.pop() if rows and rows[-1][0] == minute else (minute, 0, 0)
        kept[target] = (*rows, (at, tried + count, failed + (count if _is_bad(attempt.outcome) else 0)))
    return kept


def _is_bad(outcome: str) -> bool:
    return outcome != "ok" and family_of(outcome) not in (None, *UNHURT)


def uneven(served: Iterable[Served], attempts: Mapping[tuple[str, str], tuple[tuple[int, int, int], ...]]) -> list[SignalKey]:
    """Return the targets that fail far more often than the others of their group, in groups of three and more."""
    found: dict[SignalKey, None] = {}
    for group in {(each.proxy, each.targets) for each in served if len(each.targets) >= LEAST_MEMBERS}:
        proxy, targets = group
        sums = {target: _sum(attempts.get((proxy, target), ())) for target in targets}
        tried, failed = (sum(each[part] for each in sums.values()) for part in (0, 1))
        for target, (mine, mine_failed) in sums.items():
            if is_worse(mine_failed, mine, failed - mine_failed, tried - mine):
                found[SignalKey(proxy, target, Family.UNEVEN)] = None
    return list(found)


def _sum(rows: Iterable[tuple[int, int, int]]) -> tuple[int, int]:
    tried = failed = 0
    for _, mine, bad in rows:
        tried, failed = tried + mine, failed + bad
    return tried, failed
