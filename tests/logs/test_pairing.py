"""The first line of a failure is kept for each thread, and a limited number of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from why502.logs.pairing import Firsts, Pairing
from why502.model.logs import LogRecord

AT = datetime(2026, 3, 4, 5, 6, 7)


def pairing(record: LogRecord) -> Pairing:
    """Return a pairing by the record's code."""
    return Pairing(begins=True) if record.code == "first" else Pairing(within_s=2.0)


def record(code: str, thread: int, after_s: float = 0.0) -> LogRecord:
    """Return a record of one process."""
    return LogRecord(format="", at=AT + timedelta(seconds=after_s), code=code, pid=1, thread=str(thread))


def test_a_line_repeats_the_first_of_its_thread_in_time() -> None:
    firsts = Firsts(pairing)
    first = record("first", 1)
    assert firsts.repeated(first) is None
    assert firsts.repeated(record("second", 1, 2.0)) is first
    assert firsts.repeated(record("second", 2, 2.0)) is None
    assert firsts.repeated(record("second", 1, 2.1)) is None
    assert firsts.repeated(record("second", 1, -0.1)) is None


def test_the_oldest_of_many_threads_is_given_up() -> None:
    firsts = Firsts(pairing)
    for thread in range(257):
        firsts.repeated(record("first", thread))
    assert firsts.repeated(record("second", 0)) is None
    assert firsts.repeated(record("second", 1)) is not None


def test_a_line_without_process_and_client_stands_alone() -> None:
    firsts = Firsts(pairing)
    assert firsts.repeated(LogRecord(format="", at=AT, code="first")) is None
    assert firsts.repeated(LogRecord(format="", at=AT, code="second")) is None
