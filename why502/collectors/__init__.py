"""Sources of evidence: each file looks at one thing. collect() runs them in order.

A source offers `SECTION`, the field of the Snapshot that it fills, and `collect(host, known, ask) -> Found`, where `known`
is what the stages before it found. It may offer `LIMIT_S`, the time that it gets, and `parts`, which yields what it has found so far
each time that it turns to what another user supplies: whoever lets it wait then costs only what comes after, never root's own facts.
"""

from __future__ import annotations

import importlib
import threading
import time
from datetime import datetime
from types import ModuleType
from typing import Any

import msgspec

from why502.collectors.base import Ask, Found
from why502.host import waiting
from why502.host.base import Host
from why502.machine import process_table
from why502.machine.answers import Answers
from why502.model.errors import HostError, Why502Error
from why502.model.snapshot import Gap, Snapshot

# Each stage needs what those before it found; the sources of one stage run at the same time.
STAGES: tuple[tuple[str, ...], ...] = (
    ("proxies", "addresses"),
    ("listeners", "logs", "php_fpm"),
    ("socket_names",),
    ("processes", "names", "config_test"),  # the test of an nginx that is stopped listens for a moment: not while we look
    ("socket_paths", "services", "disks", "kernel", "pressure", "paths"),
    ("events",),
    ("dependencies",),  # before a request of ours keeps a worker busy
    ("probes", "progress"),
)
LIMIT_S = 2.5
OTHERS_S = 5.0  # of the time of one source that processes with other users' rights may take, at most half of it
_Answers = Answers[Found[Any]]  # each stands for those before it


def collect(host: Host, taken_at: datetime, since: datetime | None, until: datetime | None, ask: Ask) -> Snapshot:
    """Return what is known of the machine. It always comes: what failed or took too long is a Gap."""
    known = Snapshot(taken_at=taken_at, host=host.name, since=since, until=until, asked=ask.targets)
    with process_table.shared(host):
        for stage in STAGES:
            known = _run(stage, host, known, ask)
    return known


def _run(stage: tuple[str, ...], host: Host, known: Snapshot, ask: Ask) -> Snapshot:
    """Return `known` with the sections of these sources, each within its own time."""
    started = time.monotonic()
    sources: list[tuple[str, ModuleType, _Answers]] = []
    gaps = list(known.gaps)
    for name in stage:
        try:
            source = importlib.import_module(f"{__name__}.{name}")
        except (
            Exception
        ) as error:  # also where there is no such module: silence would pass for a machine without anything to find
            gaps.append(_bug(name, error))
            continue
        answer: _Answers = Answers()
        sources.append((name, source, answer))
        threading.Thread(target=_answer, args=(name, source, host, known, ask, answer), name=name, daemon=True).start()
    found: dict[str, Any] = {}
    for name, source, answer in sources:
        limit_s: float = getattr(source, "LIMIT_S", LIMIT_S)
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


def _answer(name: str, source: ModuleType, host: Host, known: Snapshot, ask: Ask, answer: _Answers) -> None:
    """Put what a source finds so far, then all of it, then None."""
    waiting.hint(min(OTHERS_S, getattr(source, "LIMIT_S", LIMIT_S) / 2))
    try:
        if parts := getattr(source, "parts", None):
            for part in parts(host, known, ask):
                answer.put(part)
        else:
            answer.put(source.collect(host, known, ask))
    except HostError as error:
        answer.put(Found(None, (Gap(source=_words(name), reason=error.reason, hint=error.hint),)))
    except Why502Error as error:
        answer.put(Found(None, (Gap(source=_words(name), reason=error.message, hint=error.hint),)))
    except Exception as error:
        answer.put(Found(None, (_bug(name, error),)))
    answer.end()


def _bug(name: str, error: Exception) -> Gap:
    reason = f"internal error in source {_words(name)}: {type(error).__name__}: {error}"
    return Gap(source=_words(name), reason=reason, hint="report it: this is a bug of why502")


def _words(name: str) -> str:
    return name.replace("_", " ")
