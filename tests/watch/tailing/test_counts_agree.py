"""`watch` counts what `why502 logs` counts in the same files, however the lines arrive."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from following import NOW, TIMED, TIMED_OUT, Clock, Sums, Watched, access, refused, snapshot
from sampled import few, sampled
from test_truth import GIVEN, LINES, PAIRS, plans
from truth import COMBINATIONS, FORMATS, Shape, write

from why502.logs.live import MOST_HELD
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import of_format
from why502.logs.scan.part import Session
from why502.logs.scan.plan import Planned
from why502.logs.scan.rates import Rates, rates, summed
from why502.logs.scan.work import ScanQuery
from why502.model.config import LogKind, LogTarget
from why502.model.proxy import Proxy
from why502.watch.tailing import Tailer
from why502.watch.tailing.agents import Agents
from why502.watch.tailing.projection import code


def told(planned: list[Planned]) -> tuple[Counts, Rates]:
    """Return what `why502 logs` counts of some files, with each failure's reason."""
    session = Session(ScanQuery(most_held=MOST_HELD, is_fast=False))
    for each in planned:
        for part in each.parts:
            session.read(part)
    counts = session.total()
    return counts, summed(rates(counts))


def by_code(statuses: Counter[str] | dict[str, int]) -> Counter[str]:
    """Return the counts of classes of statuses."""
    found: Counter[str] = Counter()
    for status, count in statuses.items():
        found[code(None if status == "-" else int(status))] += count
    return found


def sums_of(counter: Counter[tuple[str, ...]], place: int) -> dict[str, int]:
    """Return the counts by one part of the keys."""
    found: Counter[str] = Counter()
    for key, count in counter.items():
        found[key[place]] += count
    return {name: count for name, count in found.items() if name}


@pytest.mark.parametrize(("name", "wrapper"), few(sampled(PAIRS, 16), 4))
def test_every_format_counts_the_same(name: str, wrapper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if FORMATS[name].kind != "access":
        return
    monkeypatch.setattr(Agents, "is_check", lambda *_: False)  # `logs` counts the requests of kube-probe too
    number = list(COMBINATIONS).index(name) + list(COMBINATIONS[name]).index(wrapper)
    shape = Shape(format=name, wrapper=wrapper, lines=LINES, seed=number + 1, failures=0.2, odd=0.1, noise=0.1, attempts=2)
    path, whole = tmp_path / "access.log", tmp_path / "whole"
    write(whole, shape)
    given = of_format(FORMATS[name].log_format or "") if name in GIVEN else None
    counts, wanted = told(plans(whole, given))
    kind = "nginx" if given else "other"
    formats = {"format": given.log_format, "escape": given.escape} if given else {}
    target = LogTarget(kind=LogKind.ACCESS, path=str(path), **formats)
    clock, sums = Clock(), Sums()
    path.write_bytes(b"")
    tailer = Tailer(snapshot(Proxy(kind=kind, pid=1, logs=(target,))), {}, None, sums.put, times=clock.times())
    text = whole.read_bytes()
    dice = random.Random(number)
    while text:
        size = dice.choice((1, 40, 700, 20_000))
        with path.open("ab") as stream:
            stream.write(text[:size])
        text = text[size:]
        tailer.turn()
        clock.advance(3)
    path.rename(tmp_path / "access.log.1")  # so that a last line without its end is read
    path.write_bytes(b"")
    for _ in range(4):
        tailer.turn()
        clock.advance(30)
    tailer.stop()
    assert (sums.lines, sums.unparsed) == (counts.lines, counts.unparsed)
    assert sums.requests.total() == wanted.requests
    assert by_code(wanted.statuses) - Counter(sums_of(sums.requests, 1)) == {}
    assert sums.failures.total() == wanted.failures
    assert sums_of(sums.failures, 2) == wanted.symptoms


@pytest.mark.parametrize("seed", sampled(range(4), 4))
def test_both_logs_of_nginx_count_the_same(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    watched = Watched(tmp_path)
    watched.turns(1)
    for number in range(300):
        at, client, path = NOW + number / 3, f"10.0.0.{dice.randrange(4)}", f"/api/{dice.randrange(6)}"
        way = dice.random()
        if way < 0.2:
            watched.write("error.log", refused(path, at=at, client=client))
            watched.write("access.log", access(path, 502, at=at, client=client, upstream="127.0.0.1:3001 502 - - 0.000"))
        elif way < 0.3:
            watched.write("error.log", refused(path, at=at, client=client))
            retried = "127.0.0.1:3001, 127.0.0.1:3002 502, 200 -, 0.001 -, 0.002 0.000, 0.002"
            watched.write("access.log", access(path, at=at, client=client, upstream=retried))
        elif way < 0.4:
            watched.write("error.log", refused(path, "127.0.0.1:3002", at=at, client=client, message=TIMED_OUT))
            watched.write("access.log", access(path, 504, at=at, client=client, upstream="127.0.0.1:3002 504 0.001 - 60.0"))
        else:
            watched.write("access.log", access(path, at=at, client=client))
        if dice.random() < 0.1:
            watched.turns(1, 0.25)
        if dice.random() < 0.05:
            watched.restart()
    sums = watched.turns(2)
    form = of_format(TIMED)
    counts, wanted = told([*plans(tmp_path / "access.log", form), *plans(tmp_path / "error.log", None)])
    assert sums.lines == counts.lines
    assert sums.requests.total() == wanted.requests
    assert sums.failures.total() == wanted.failures
    assert sums_of(sums.failures, 2) == wanted.symptoms
    assert sums_of(sums.failures, 1) == wanted.targets
