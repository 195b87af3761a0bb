"""Failures in the proxy's error log that its new workers logged after a change."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

from why502.fix.commands import Master
from why502.gateways.nginx.logs.error import parse
from why502.model.base import Value
from why502.model.config import LogKind
from why502.model.logs import LogRecord, Symptom
from why502.model.proxy import Proxy

MOST_BYTES = 1 << 20
MOST_LOGS = 16


class Mark(Value, frozen=True, kw_only=True):
    """The end position of an error log before the change."""

    path: str
    inode: int
    size_bytes: int


def marks(proxy: Proxy | None) -> tuple[Mark, ...]:
    """Return the end positions of a proxy's error logs. Unreadable logs are left out."""
    paths = dict.fromkeys(log.path for log in (proxy.logs if proxy else ()) if log.kind is LogKind.ERROR and log.path)
    return _marks(list(paths)[:MOST_LOGS])


def now(before: Iterable[Mark]) -> tuple[Mark, ...]:
    """Return the present end positions of the same logs."""
    return _marks(mark.path for mark in before)


def _marks(paths: Iterable[str]) -> tuple[Mark, ...]:
    found = []
    for path in paths:
        try:
            seen = os.stat(path)
        except OSError:
            continue
        found.append(Mark(path=path, inode=seen.st_ino, size_bytes=seen.st_size))
    return tuple(found)


def news(before: Iterable[Mark], master: Master) -> Counter[str]:
    """Return how often the current workers logged each failure, as "symptom of target" or "symptom"."""
    workers = master.workers()
    found: Counter[str] = Counter()
    for mark in before:
        for line in _since(mark).decode("utf-8", "replace").splitlines():
            record = parse(line)
            if record is not None and record.symptom is not None and record.pid in workers and _is_failure(record):
                found[_named(record)] += 1
    return found


def _is_failure(record: LogRecord) -> bool:
    return record.is_gateway_failure or record.symptom is Symptom.SCRIPT_NOT_FOUND


def _since(mark: Mark) -> bytes:
    try:
        with open(mark.path, "rb") as stream:
            seen = os.fstat(stream.fileno())
            is_same = seen.st_ino == mark.inode and seen.st_size >= mark.size_bytes
            stream.seek(mark.size_bytes if is_same else 0)  # otherwise it was rotated
            return stream.read(MOST_BYTES)
    except OSError:
        return b""


def _named(record: LogRecord) -> str:
    symptom = record.symptom.value if record.symptom else ""
    return f"{symptom} of {record.target or record.group}" if record.target or record.group else symptom
