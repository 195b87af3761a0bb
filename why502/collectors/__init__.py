"""Collectors: each file reads one section of the snapshot. collect() runs them in order.

A source is a module of this directory with `SECTION`, the field of the Snapshot that it fills; `NEEDS`, the sources that must
end before it begins; `LIMIT_S`, its time limit; and `collect(host, known, options) -> Found`, where `known` holds the results of
earlier stages. It may have `parts`, which yields its results so far each time before it reads facts supplied by another user:
a user who makes it wait then delays only later results, never root's own facts.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from graphlib import TopologicalSorter
from types import ModuleType
from typing import Any

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.host import waiting
from why502.host.base import Host
from why502.machine import process_table
from why502.machine.answers import Answers
from why502.model.errors import HostError, Why502Error
from why502.model.snapshot import Gap, Snapshot

PROTOCOL = ("SECTION", "NEEDS", "LIMIT_S", "collect")
OTHERS_S = 5.0  # seconds per source spent waiting for processes with other users' rights, at most half of the source's time
_Answers = Answers[Found[Any]]  # each replaces the earlier ones


def collect(
    host: Host,
    taken_at: datetime,
    since: datetime | None,
    until: datetime | None,
    options: CollectOptions,
    only: frozenset[str] = frozenset(),
) -> Snapshot:
    """Return the snapshot of the machine. It never raises: a source that failed or took too long becomes a Gap.

    `only`: the sources to read, all if it is empty. The sections of the others are unknown.
    """
    found, gaps = sources()
    found = {name: source for name, source in found.items() if not only or name in only}
    known = Snapshot(taken_at=taken_at, host=host.name, since=since, until=until, asked=options.targets, gaps=gaps)
    with process_table.shared(host):
        for stage in stages(found):
            known = _run({name: found[name] for name in stage}, host, known, options)
    return known


@cache
def sources() -> tuple[dict[str, ModuleType], tuple[Gap, ...]]:
    """Return the sources in this directory by name, and a gap for each module that looks like one but is incomplete.

    Without the gap, a broken source would look like a machine without findings.
    """
    found: dict[str, ModuleType] = {}
    gaps: list[Gap] = []
    for name in sorted(entry.name for entry in pkgutil.iter_modules(__path__)):
        try:
            module = importlib.import_module(f"{__name__}.{name}")
            if is_source(module):
                found[name] = module
        except Exception as error:
            gaps.append(_bug(name, error))
    return found, tuple(gaps)


def is_source(module: ModuleType) -> bool:
    """Return whether a module is a source.

    Raises TypeError for a module with only some of a source's attributes, or with wrong ones.
    """
    missing = [part for part in PROTOCOL if not hasattr(module, part)]
    if {"SECTION", "NEEDS", "collect"} <= {*missing}:
        return False
    if missing:
        raise TypeError(f"{module.__name__} does not state {', '.join(missing)}")
    if module.SECTION not in Snapshot.__struct_fields__:
        raise TypeError(f"{module.__name__}: SECTION {module.SECTION!r} is not a field of the Snapshot")
    if not isinstance(module.NEEDS, tuple) or not all(isinstance(name, str) for name in module.NEEDS):
        raise TypeError(f"{module.__name__}: NEEDS is not a tuple of names")
    if not isinstance(module.LIMIT_S, float) or module.LIMIT_S <= 0:
        raise TypeError(f"{module.__name__}: LIMIT_S is not a number of seconds")
    return True


def stages(found: Mapping[str, ModuleType]) -> tuple[tuple[str, ...], ...]:
    """Return the names in order of their needs; those of one stage run at the same time. Raises graphlib.CycleError.

    A needed source that does not exist is ignored.
    """
    order = TopologicalSorter({name: {*module.NEEDS} & found.keys() for name, module in found.items()})
    order.prepare()
    result = []
    while order.is_active():
        ready = tuple(sorted(order.get_ready()))
        order.done(*ready)
        result.append(ready)
    return tuple(result)


def _run(stage: Mapping[str, ModuleType], host: Host, known: Snapshot, options: CollectOptions) -> Snapshot:
    """Return `known` with the sections of these sources, each within its own time limit."""
    started = time.monotonic()
    running: list[tuple[str, ModuleType, _Answers]] = []
    gaps = list(known.gaps)
    for name, source in stage.items():
        answer: _Answers = Answers()
        running.append((name, source, answer))
        threading.Thread(target=_answer, args=(name, source, host, known, options, answer), name=name, daemon=True).start()
    found: dict[str, Any] = {}
    for name, source, answer in running:
        limit_s: float = source.LIMIT_S
        result, is_whole = answer.last(started + limit_s)
        if result is None:
            gaps.append(Gap(source=_words(name), reason=f"did not answer within {limit_s:g} s", section=source.SECTION))
            continue
        if not is_whole:
            gaps.append(
                Gap(source=_words(name), reason=f"the processes of other users were not all examined within {limit_s:g} s")
            )
        gaps += result.gaps
        if result.value is not None:
            found[source.SECTION] = result.value
    return msgspec.structs.replace(known, **found, gaps=tuple(dict.fromkeys(gaps)))


def _answer(name: str, source: ModuleType, host: Host, known: Snapshot, options: CollectOptions, answer: _Answers) -> None:
    """Yield the partial results of a collector, then its full result, then None."""
    waiting.hint(min(OTHERS_S, source.LIMIT_S / 2))
    try:
        if parts := getattr(source, "parts", None):
            for part in parts(host, known, options):
                answer.put(part)
        else:
            answer.put(source.collect(host, known, options))
    except HostError as error:
        answer.put(Found(None, (Gap(source=_words(name), reason=error.reason, hint=error.hint),)))
    except Why502Error as error:
        answer.put(Found(None, (Gap(source=_words(name), reason=error.message, hint=error.hint),)))
    except Exception as error:
        answer.put(Found(None, (_bug(name, error),)))
    answer.end()


def _bug(name: str, error: Exception) -> Gap:
    reason = f"internal error in source {_words(name)}: {type(error).__name__}: {error}"
    return Gap(source=_words(name), reason=reason, hint="report it: this is a bug in why502")


def _words(name: str) -> str:
    return name.replace("_", " ")
