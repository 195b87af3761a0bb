"""Wrappers: found for a whole log, removed from each line, their time only where the line has none;
parts of long lines are joined.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.logs.scan.line_format import find
from why502.logs.scan.part import Session
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.split_lines import Lines, whole_lines
from why502.logs.window import Chunk
from why502.logs.wrappers import REMOVERS, likely

ACCESS = '192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8.5.0"'
DOWN = "backend app has no server available!"


def docker(text: str) -> str:
    return json.dumps({"log": text, "stream": "stdout", "time": "2026-03-04T05:06:09.123456789Z"}, separators=(",", ":"))


def journal(text: str | list[int]) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": "1772600769000000", "SYSLOG_IDENTIFIER": "web", "MESSAGE": text})


WRAPPED = {
    "docker": (docker(ACCESS + "\n"), docker(DOWN + "\n")),
    "cri": tuple(f"2026-03-04T07:06:09.5+02:00 stdout F {text}" for text in (ACCESS, DOWN)),
    "journal-json": (journal(ACCESS), journal(list(DOWN.encode()))),
    "rfc3164": tuple(f"<190>Mar  4 05:06:09 web-1 haproxy[12]: {text}" for text in (ACCESS, DOWN)),
    "rfc5424": tuple(f'<190>1 2026-03-04T07:06:09.5+02:00 web-1 haproxy 12 - [a@1 b="c\\]"] {text}' for text in (ACCESS, DOWN)),
    "syslog-iso": tuple(f"2026-03-04T07:06:09.5+02:00 web-1 haproxy[12]: {text}" for text in (ACCESS, DOWN)),
    "timestamp": tuple(f"2026-03-04T05:06:09.5Z {text}" for text in (ACCESS, DOWN)),
    "compose": tuple(f"web-1  | {text}" for text in (ACCESS, DOWN)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_wrapper_of_a_log_is_named_and_removed(name: str) -> None:
    access, down = WRAPPED[name]
    form = find(f"{access}\n".encode() * 4)
    assert (form.wrapper, form.name) == (name, "nginx_access")
    record = form.parser()(access)
    assert record is not None
    assert (record.at, record.status, record.client) == (datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), 502, "192.0.2.7")
    if name == "compose":  # which tells no time
        return
    other = find(f"{down}\n".encode() * 4)
    assert (other.wrapper, other.name) == (name, "haproxy")
    record = other.parser()(down)
    assert record is not None
    assert record.at is not None
    assert record.at.replace(tzinfo=UTC, microsecond=0, year=2026) == datetime(2026, 3, 4, 5, 6, 9, tzinfo=UTC)


def test_lines_of_another_zone_each_count_by_their_own() -> None:
    lines = [ACCESS.replace("05:06:07 +0000", text) for text in ("05:06:07 +0000", "07:06:07 +0200", "00:36:07 -0430")]
    form = find("\n".join(lines).encode() + b"\n")
    records = [form.parser()(line) for line in lines]
    assert [record and record.at for record in records] == [datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)] * 3


@pytest.mark.parametrize(
    "line",
    [
        ACCESS,
        "10.0.0.1 | [04/Mar/2026:05:06:07 +0000] | 200",
        '2026-03-04T05:06:07+00:00 192.0.2.7 "GET / HTTP/1.1" 200',
        '{"time":"2026-03-04T05:06:07Z","log":17}',
        "{" * 5000,
        "",
    ],
)
def test_a_line_of_its_own_stands_in_no_strict_wrapper(line: str) -> None:
    assert set(likely([line])) <= {"timestamp"}


@pytest.mark.parametrize(
    "line", [*itertools.chain(*WRAPPED.values()), ACCESS, f" \u00a0{docker(ACCESS)}", "web-1 | x", "{}", "<1>"]
)
@pytest.mark.parametrize("bare", [0, 1, 10])
def test_the_wrappers_are_those_that_can_be_removed_from_nine_of_ten_lines(line: str, bare: int) -> None:
    fitting = [name for name, remove in REMOVERS.items() if remove(line) is not None]
    assert likely([DOWN] * bare + [line] * (20 - bare)) == (fitting if bare <= 1 else [])


def test_parts_of_each_stream_are_joined_by_themselves() -> None:
    cri = [
        b"2026-03-04T07:06:09.5+02:00 stdout P one ",
        b"2026-03-04T07:06:09.5+02:00 stderr P three ",
        b"2026-03-04T07:06:09.5+02:00 stdout F two",
        b"2026-03-04T07:06:09.6+02:00 stderr F four",
        b"2026-03-04T07:06:09.7+02:00 stdout P never ends",
    ]
    lines = Lines("cri")
    found = [lines.feed(place, raw) for place, raw in enumerate(cri)]
    assert found == [
        None,
        None,
        (0, b"2026-03-04T07:06:09.5+02:00 stdout F one two"),
        (1, b"2026-03-04T07:06:09.5+02:00 stderr F three four"),
        None,
    ]
    assert list(lines.rest()) == [(4, b"2026-03-04T07:06:09.7+02:00 stdout F never ends")]
    assert not lines.is_open


def test_docker_cuts_long_lines_without_a_mark() -> None:
    data = "\n".join((docker(ACCESS[:40]), docker(ACCESS[40:] + "\n"), docker(ACCESS + '\\n","'), docker("\n"), "")).encode()
    (chunk, *_) = whole_lines([Chunk(data, 0, 1)], "docker")
    first, second, third, fourth, _ = chunk.data.split(b"\n")
    assert (first, json.loads(second)["log"]) == (b"", ACCESS + "\n")
    assert (third, json.loads(fourth)["log"]) == (b"", ACCESS + '\\n","\n')


def test_a_message_without_end_stays_within_bounds() -> None:
    lines = Lines("cri")
    part = b"2026-03-04T07:06:09.5+02:00 stdout P " + b"x" * 16384
    for _ in range(200):
        assert lines.feed(0, part) is None
    ((_, raw),) = lines.rest()
    assert len(raw) < 1 << 18


@pytest.mark.parametrize("name", ["cri", "docker"])
def test_every_split_of_a_log_gives_the_same_counts(name: str, tmp_path: Path) -> None:
    half = len(ACCESS) // 2
    if name == "cri":
        at = "2026-03-04T07:06:09.5+02:00 stdout"
        lines = [f"{at} F {ACCESS}", f"{at} P {ACCESS[:half]}", f"{at.replace('out', 'err')} F {DOWN}", f"{at} F {ACCESS[half:]}"]
    else:
        lines = [docker(ACCESS + "\n"), docker(ACCESS[:half]), docker(ACCESS[half:] + "\n")]
    data = "".join(f"{line}\n" for line in lines * 3).encode()
    path = tmp_path / "log"
    path.write_bytes(data)
    form = find(data)

    def counted(*edges: int) -> tuple[int, int, int]:
        session = Session(ScanQuery(is_exact=True, is_fast=False))
        for index, (start, end) in enumerate(itertools.pairwise(edges)):
            session.read(Part(path=str(path), form=form, index=index, start=start, end=end))
        counts = session.total()
        return sum(minutes.total() for minutes in counts.outcomes.values()), counts.lines, counts.unparsed

    whole = counted(0, len(data))
    assert whole == (6, 9 if name == "cri" else 6, 0)
    for cut in range(1, len(data), 7):
        assert counted(0, cut, len(data)) == whole, cut
