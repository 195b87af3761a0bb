"""Logs as they should not be: of several formats, out of order, cut, emptied, bombs.

What can be read counts; what cannot is said.
"""

from __future__ import annotations

import errno
import gzip
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scan.summing import reported

from why502.logs import window
from why502.logs.scan.line_format import find
from why502.logs.scan.part import Session
from why502.logs.scan.report import Report
from why502.logs.scan.work import Part, ScanQuery
from why502.model.errors import Why502Error

PURE = ScanQuery(is_fast=False, is_exact=True)
ERROR = (
    "2026/03/04 05:09:07 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    "client: 1.2.3.4, "
    'server: x, request: "GET /a HTTP/1.1", upstream: "http://10.0.0.1:80/a", host: "x"'
)
HAPROXY = (
    "Mar  4 05:06:07 lb haproxy[12]: 10.0.1.2:33317 [04/Mar/2026:05:06:07.655] http-in static/srv1 10/0/30/-1/109 503 "
    "2750 - - SC-- "
    '1/1/1/1/0 0/0 "GET /index.html HTTP/1.1"'
)


def access(second: int) -> str:
    return f'192.0.2.7 - - [04/Mar/2026:05:06:{second:02d} +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8.5.0"'


def local(clock: str, offset: str) -> str:
    return f'192.0.2.7 - - [04/Mar/2026:{clock} {offset}] "GET /a HTTP/1.1" 502 157 "-" "curl/8.5.0"'


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def read(tmp_path: Path, data: bytes, name: str = "log", ask: ScanQuery = PURE) -> Report:
    path = tmp_path / name
    path.write_bytes(data)
    return reported(path, ask=ask)


@pytest.mark.parametrize("most", [access(1), ERROR, HAPROXY])
def test_lines_of_several_formats_count_each_as_its_own(tmp_path: Path, most: str) -> None:
    rest = [text for text in (access(1), ERROR, HAPROXY) if text != most]
    found = read(tmp_path, lines(*([most] * 20), *(rest * 4), "no line of a log"))
    counts = dict.fromkeys((access(1), ERROR, HAPROXY), 4) | {most: 20}
    assert found.requests == counts[access(1)] + counts[HAPROXY]
    assert {row.symptom: row.count for row in found.causes} == {
        "gateway-status": counts[access(1)],
        "connect-refused": counts[ERROR],
        "connect-reset": counts[HAPROXY],
    }


def test_lines_out_of_order_lie_in_the_window_or_not_each_by_its_time(tmp_path: Path) -> None:
    start = 1772600760  # 05:06:00
    data = lines(*(access(second) for second in (50, 3, 40, 11, 20, 15, 59, 10)))
    found = read(tmp_path, data, ask=ScanQuery(is_fast=False, since=start + 10, until=start + 20))
    assert (found.requests, found.first and found.first.second, found.last and found.last.second) == (4, 10, 20)


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
@pytest.mark.parametrize("is_docker", [False, True])
def test_lines_that_end_as_windows_has_it(tmp_path: Path, ending: str, *, is_docker: bool) -> None:
    text = access(7)
    if is_docker:
        text = '{"log":"' + text.replace('"', '\\"') + '\\r\\n","stream":"stdout","time":"2026-03-04T05:06:09Z"}'
    found = read(tmp_path, f"{text}{ending}".encode() * 20)
    assert (found.requests, found.unparsed, [row.name for row in found.routes]) == (20, 0, ["GET /a"])


@pytest.mark.parametrize("size", [512, 5000, 300_000])
def test_a_log_that_was_emptied_while_it_was_written_to_begins_with_zeros(tmp_path: Path, size: int) -> None:
    found = read(tmp_path, lines(access(1)) * 3 + bytes(size) + lines(access(2)) * 3)
    assert (found.requests, found.unparsed) == (6, 0)
    assert [row.name for row in found.clients] == ["192.0.2.7"]


@pytest.mark.thorough
def test_zeros_alone_are_no_lines(tmp_path: Path) -> None:
    assert (read(tmp_path, bytes(500_000)).requests, read(tmp_path, bytes(500_000)).causes) == (0, ())


def test_a_file_that_shrinks_while_it_is_read_is_said_to_be_truncated(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = lines(access(1)) * 50
    path.write_bytes(data)
    form = find(data)
    path.write_bytes(data[: 20 * len(lines(access(1)))])
    session = Session(PURE)
    read_lines, unparsed, reason = session.read(Part(path=str(path), form=form, start=0, end=len(data)))
    assert (read_lines, unparsed, reason) == (20, 0, "it was truncated while being read")
    path.write_bytes(data)
    assert Session(PURE).read(Part(path=str(path), form=form, start=0, end=len(data))) == (50, 0, "")


@pytest.mark.thorough
def test_an_archive_that_expands_without_bound_is_left_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "EXPANDED_BYTES", 4 << 20)
    bomb = gzip.compress(lines(access(1)) + bytes(64 << 20), 9)
    found = read(tmp_path, bomb, "bomb.gz")
    assert "expands more than 500-fold" in found.files[0].reason
    assert found.requests == 1
    alike = read(tmp_path, gzip.compress(lines(access(1)) * 80_000, 9), "alike.gz")
    assert (alike.requests, alike.files[0].reason) == (80_000, "")


def loops(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "loop").symlink_to("loop")
    yield tmp_path / "loop"
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    yield tmp_path / "a"


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    for path in loops(tmp_path):
        with pytest.raises(Why502Error, match="too many levels of symbolic links"):
            reported(path, ask=PURE)


@pytest.mark.parametrize("is_fast", [False, True])
def test_a_change_of_the_time_zone_within_a_file_moves_no_request(tmp_path: Path, is_fast: bool) -> None:
    """Each line's own offset counts, in either order, so that the change repeats or skips no minute."""
    texts = [local(f"05:06:{second:02d}", "+0000") for second in range(40)]
    texts += [local(f"07:06:{second:02d}", "+0200") for second in range(40)]
    texts += [local(f"21:06:{second:02d}", "-0800").replace("04/Mar", "03/Mar") for second in range(40)]
    for data in (lines(*texts), lines(*reversed(texts))):
        found = read(tmp_path, data, ask=ScanQuery(is_fast=is_fast, is_exact=True))
        assert (found.requests, [(one.at.isoformat(), one.requests) for one in found.minutes]) == (
            120,
            [("2026-03-04T05:06:00+00:00", 120)],
        )


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "access.log")
    with pytest.raises(Why502Error, match="not a regular file"):
        reported(tmp_path / "access.log", ask=PURE)
    (tmp_path / "good.log").write_bytes(lines(access(1)))
    (tmp_path / "loop.log").symlink_to("loop.log")
    found = reported(tmp_path, ask=PURE)
    assert found.requests == 1


def test_what_a_directory_holds_besides_logs_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.log").write_bytes(lines(access(1)))
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "gone.log").symlink_to("nothing")
    (tmp_path / "device.log").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app.socket"))
        for path in (tmp_path, tmp_path / "*", tmp_path / "**"):
            found = reported(path, ask=PURE)
            assert found.requests == 1
            assert {os.path.basename(file.path): file.reason for file in found.files} == {
                "good.log": "",
                "fifo.log": "is not a regular file",
                "device.log": "is not a regular file",
                "app.socket": "is not a regular file",
                "gone.log": "no such file or directory",
            }


def test_a_file_that_may_not_be_read_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, to whom nothing is denied."""
    (tmp_path / "good.log").write_bytes(lines(access(1)))
    (tmp_path / "secret.log").write_bytes(lines(access(2)))
    opened = os.open

    def denied(path: str, flags: int, *more: int) -> int:
        if str(path).endswith("secret.log"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", denied)
    found = reported(tmp_path, ask=PURE)
    assert {os.path.basename(file.path): file.reason for file in found.files} == {
        "good.log": "",
        "secret.log": "permission denied",
    }
    with pytest.raises(Why502Error, match="permission denied"):
        reported(tmp_path / "secret.log", ask=PURE)


def test_a_directory_that_may_not_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(Why502Error, match="permission denied"):
        reported(tmp_path, ask=PURE)


def test_a_log_counts_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(lines(access(1)))
    (tmp_path / "current.log").symlink_to("access.log")
    os.link(tmp_path / "access.log", tmp_path / "hard.log")
    for name in ("here", "again"):
        (tmp_path / name).symlink_to(".")
    for path in (tmp_path, tmp_path / "*.log", tmp_path / "**"):
        assert reported(path, ask=PURE).requests == 1
