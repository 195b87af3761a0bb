"""Failures that Apache tells in two lines count once, in Python and in the compiled reader, wherever the log is cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from truth import Shape, write

from tests.logs.scan.summing import count, plain
from why502.logs import native
from why502.logs.scan import reading
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.work import ScanQuery

EXACT = ScanQuery(is_exact=True)
HEAD = "[Wed Mar 04 05:06:{second:09.6f} 2026] [{module}:error] [pid {pid}:tid {thread}] "
FIRST = HEAD + "(111)Connection refused: AH00957: http: attempt to connect to 10.0.0.11:8080 (10.0.0.11:8080) failed"
SECOND = HEAD + "[client 20.0.0.77:4711] AH01114: HTTP: failed to make connection to backend: 10.0.0.11"
NO_HEADER = HEAD + "[client 20.0.0.{client}:4711] AH01067: Failed to read FastCGI header"
ENDED = HEAD + "(104)Connection reset by peer: [client 20.0.0.{client}:4711] AH01075: Error dispatching request to :"


def said(template: str, second: float, *, thread: int = 1, client: int = 1, pid: str = "12") -> str:
    """Return a line."""
    return template.format(second=second, thread=thread, client=client, pid=pid, module="proxy_http")


def both(path: Path, lines: list[str], ask: ScanQuery = EXACT, cuts: tuple[int, ...] = ()) -> Counts:
    """Return the counts of lines, which must be the same in both readers."""
    path.write_text("".join(line + "\n" for line in lines))
    form = find(path.read_bytes())
    slow = count(path, form, ScanQuery(**{name: getattr(ask, name) for name in ask.__struct_fields__} | {"is_fast": False}), cuts)
    fast = count(path, form, ask, cuts)
    assert {**plain(fast), "fields": ()} == {**plain(slow), "fields": ()}
    return fast


def failures(counts: Counts) -> int:
    """Return how many failures were counted."""
    return sum(equal.minutes.total() for key, equal in counts.messages.items() if key.is_failure)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([said(FIRST, 1), said(SECOND, 1)], 1),
        ([said(FIRST, 1), said(SECOND, 3)], 1),
        ([said(FIRST, 1), said(SECOND, 3.000001)], 2),
        ([said(SECOND, 1), said(FIRST, 1)], 2),
        ([said(FIRST, 1), said(SECOND, 1, thread=2)], 2),
        ([said(FIRST, 1, pid="012"), said(SECOND, 1)], 1),  # the first is left to Python
        ([said(FIRST, 1), said(SECOND, 1, pid="012")], 1),
        ([said(FIRST, 1), said(FIRST, 1, thread=2), said(SECOND, 1), said(SECOND, 1, thread=2)], 2),
        ([said(NO_HEADER, 1), said(ENDED, 1.05)], 1),
        ([said(NO_HEADER, 1), said(ENDED, 1.050001)], 2),
        ([said(NO_HEADER, 1), said(ENDED, 1, client=2)], 2),
    ],
)
def test_a_second_line_counts_once(lines: list[str], wanted: int, tmp_path: Path) -> None:
    sound = [said(HEAD + "AH00094: Command line: '/usr/sbin/apache2'", 0, thread=number) for number in range(20)]
    assert failures(both(tmp_path / "log", [*sound, *lines])) == wanted
    assert (
        failures(both(tmp_path / "log", [*sound, *lines], ScanQuery(is_exact=True, most_held=100))) == wanted
    )  # as with an access log


@pytest.mark.thorough
def test_where_it_is_cut_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "log"
    truth = write(path, Shape(format="apache-error", lines=300, seed=1, failures=0.6, noise=0.1))
    lines = path.read_text().splitlines()
    size, rng = path.stat().st_size, random.Random(1)
    for _ in range(8):
        cuts = tuple(sorted(rng.sample(range(1, size), 6)))
        assert failures(both(path, lines, cuts=cuts)) == truth.failed


def test_a_window_may_begin_between_the_two(tmp_path: Path) -> None:
    sound = [said(HEAD + "AH00094: Command line: '/usr/sbin/apache2'", 0, thread=number) for number in range(20)]
    since = 1772600762  # 05:06:02
    lines = [*sound, said(FIRST, 1.5), said(SECOND, 2.1), said(FIRST, 3)]
    assert failures(both(tmp_path / "log", lines, ScanQuery(is_exact=True, since=since))) == 1


def test_sound_lines_are_read_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a sound log is parsed line by line, in a container's log neither."""
    read: list[Form] = []
    monkeypatch.setattr(reading.Reader, "_line", lambda self, _raw, _start: read.append(self.part.form))
    for wrapper in ("plain", "rfc3164", "kubectl"):
        path = tmp_path / wrapper
        write(path, Shape(format="apache-error", wrapper=wrapper, lines=200, seed=2, failures=0.5, noise=0.1))
        found = count(path, find(path.read_bytes()), ScanQuery())
        assert (found.lines > 200, read) == (True, [])


def test_the_lines_before_a_part_are_read_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part needs the lines before it; a long log has many parts."""
    read: list[bytes] = []
    monkeypatch.setattr(native.Reader, "_pair", lambda _self, _start, raw: read.append(raw))
    path = tmp_path / "log"
    truth = write(path, Shape(format="apache-error", lines=300, seed=3, failures=0.5, noise=0.1))
    size = path.stat().st_size
    found = count(path, find(path.read_bytes()), EXACT, tuple(range(size // 9, size, size // 9)))
    assert (failures(found), read) == (truth.failed, [])


@pytest.mark.parametrize("name", ["envoy-text", "istio-text"])
def test_names_of_clients_that_nobody_escapes_are_read_compiled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy writes a quote within a User-Agent as it is."""
    read: list[int] = []
    monkeypatch.setattr(reading.Reader, "_line", lambda _self, _raw, start: read.append(start))
    path = tmp_path / "log"
    truth = write(path, Shape(format=name, lines=300, seed=3, failures=0.1, noise=0))
    lines = path.read_text().splitlines()
    assert any('"we"ird' in line for line in lines)
    found = count(path, find(path.read_bytes()), EXACT)
    assert (found.lines, read) == (truth.lines, [])
