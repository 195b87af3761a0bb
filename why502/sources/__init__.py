"""Sources of evidence: each file looks at one thing. collect() runs them in order.

A source offers `SECTION`, the field of the Snapshot that it fills, and `collect(host, known, ask) -> Found`, where `known`
is what the stages before it found. It may offer `LIMIT_S`, the time that it gets.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
import time
from collections.abc import Callable
from datetime import datetime
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

import msgspec

from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.snapshot import Gap, Snapshot
from why502.sources.base import Ask, Found

# Each stage needs what those before it found; the sources of one stage run at the same time.
STAGES: tuple[tuple[str, ...], ...] = (
    ("proxies", "addresses"),
    ("config_test", "listeners", "logs", "php_fpm", "kernel"),
    ("processes", "names"),
    ("socket_paths", "services", "disks"),
    ("events", "pressure", "security"),
    ("probes",),
)
LIMIT_S = 2.5


def collect(host: Host, taken_at: datetime, since: datetime | None, until: datetime | None, ask: Ask) -> Snapshot:
    """Return what is known of the machine. It always comes: what failed or took too long is a Gap."""
    known = Snapshot(taken_at=taken_at, host=host.name, since=since, until=until)
    for stage in STAGES:
        known = _run(tuple(_source(name) for name in stage if _exists(name)), host, known, ask)
    return known


def _run(sources: tuple[ModuleType, ...], host: Host, known: Snapshot, ask: Ask) -> Snapshot:
    """Return `known` with the sections of these sources, each within its own time."""
    started = time.monotonic()
    answers: list[tuple[ModuleType, SimpleQueue[Found[Any]]]] = []
    for source in sources:
        answer: SimpleQueue[Found[Any]] = SimpleQueue()
        answers.append((source, answer))
        threading.Thread(target=_answer, args=(source, host, known, ask, answer), name=_name(source), daemon=True).start()
    found: dict[str, Any] = {}
    gaps = list(known.gaps)
    for source, answer in answers:
        limit_s: float = getattr(source, "LIMIT_S", LIMIT_S)
        try:
            result = answer.get(timeout=max(0.0, started + limit_s - time.monotonic()))
        except Empty:
            gaps.append(Gap(source=_name(source), why=f"did not answer within {limit_s:g} s"))
            continue
        gaps += result.gaps
        if result.value is not None:
            found[source.SECTION] = result.value
    return msgspec.structs.replace(known, **found, gaps=tuple(dict.fromkeys(gaps)))


def _answer(source: ModuleType, host: Host, known: Snapshot, ask: Ask, answer: SimpleQueue[Found[Any]]) -> None:
    look: Callable[[Host, Snapshot, Ask], Found[Any]] = source.collect
    try:
        answer.put(look(host, known, ask))
    except HostError as error:
        answer.put(Found(None, (Gap(source=_name(source), why=error.why, allow=error.allow),)))
    except Why502Error as error:
        answer.put(Found(None, (Gap(source=_name(source), why=error.says, allow=error.hint),)))
    except Exception as error:
        why = f"internal error in source {_name(source)}: {type(error).__name__}: {error}"
        answer.put(Found(None, (Gap(source=_name(source), why=why, allow="report it: this is a bug of why502"),)))


def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"{__name__}.{name}") is not None


def _source(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _name(source: ModuleType) -> str:
    return source.__name__.rpartition(".")[2].replace("_", " ")
