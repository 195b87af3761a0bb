"""Whole scans: compression, rotation, windows, engines, what cannot be read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pytest
import zstandard
from sampled import sampled

from tests.logs.scan.summing import plain, reported
from tests.logs.scan.written import START, TIMED, lines
from why502.gateways.nginx.logs.log_format import COMBINED
from why502.logs.scan import counts as bounds
from why502.logs.scan import engine, plan
from why502.logs.scan.line_format import of_format
from why502.logs.scan.part import Session
from why502.logs.scan.report import Report
from why502.logs.scan.source import expand
from why502.logs.scan.work import ScanQuery
from why502.model.errors import Why502Error
from why502.render.logs.json import render
from why502.render.words import Terminal

GIVEN = of_format(TIMED)
ERROR = (
    "2026/11/20 23:50:{second:02d} [error] 7#7: *{second} connect() failed (111: Connection refused) while connecting "
    "to upstream, "
    'client: 1.2.3.4, server: x, request: "GET /a HTTP/1.1", upstream: "http://10.0.0.1:80/a", host: "x"\n'
)


def told(report: Report) -> str:
    """Return the report without what differs by file."""
    return render(_without_files(report), Terminal())


def _without_files(report: Report) -> Report:
    import msgspec

    return msgspec.structs.replace(report, files=(), unparsed_first=())


@pytest.mark.parametrize(
    ("ending", "compress"),
    sampled(
        [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.ZstdCompressor().compress)], 4
    ),
)
def test_compressed_logs_tell_the_same(tmp_path: Path, ending: str, compress: object) -> None:
    content = lines(4000)
    (tmp_path / "access.log").write_bytes(content)
    packed = tmp_path / f"packed.log{ending}"
    packed.write_bytes(compress(content))  # type: ignore[operator]
    assert told(reported(packed, given=GIVEN)) == told(reported(tmp_path / "access.log", given=GIVEN))


def test_several_threads_tell_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 50_000)
    path = tmp_path / "access.log"
    path.write_bytes(lines(6000))
    one, several = reported(path, given=GIVEN), reported(path, given=GIVEN, jobs=3, which=engine.threads)
    assert render(one, Terminal()) == render(several, Terminal())
    assert one.lines == several.lines > 5000


def test_too_many_clients_are_given_up_alike_by_all_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 50_000)
    monkeypatch.setattr("why502.logs.scan.counts.MOST_KEYS", 50)
    path = tmp_path / "access.log"
    path.write_bytes(
        "".join(
            f'10.0.{n % 7}.{n % 199} - - [20/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n' for n in range(5000)
        ).encode()
    )
    one, several = reported(path), reported(path, jobs=2, which=engine.threads)
    assert render(one, Terminal()) == render(several, Terminal())
    assert one.lost["clients"] > 0
    assert one.requests == 5000 == sum(row.requests for row in one.clients)
    exact = reported(path, ask=ScanQuery(is_exact=True))
    assert not exact.lost
    assert bounds.MOST_KEYS == 50


def test_the_window_is_sought_not_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    text = [
        f'10.0.0.1 - - [20/Nov/2026:{h:02d}:{m:02d}:{s:02d} +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n' * 8
        for h in range(10)
        for m in range(60)
        for s in range(60)
    ]
    path.write_text("".join(text))
    since = int(START.timestamp()) - 86400 + 600 + 5 * 3600  # 05:00
    found = reported(path, ask=ScanQuery(since=since, until=since + 899))
    assert found.requests == 900 * 8
    assert found.files[0].read_bytes < path.stat().st_size / 10


def test_access_and_error_logs_together(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(lines(500, odd=False))
    (tmp_path / "error.log").write_text("".join(ERROR.format(second=second) for second in range(7)))
    found = reported(tmp_path)
    row = next(row for row in found.causes if row.source == "error")
    assert (row.symptom, row.count, row.targets) == ("connect-refused", 7, {"10.0.0.1:80": 7})
    assert row.place.endswith("error.log (byte 0)")
    assert found.requests == 500


def test_an_entry_of_several_lines_at_the_edge_of_a_part_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    entry = (
        '2026/11/20 23:50:00 [error] 7#7: *1 FastCGI sent in stderr: "PHP message: PHP Fatal error:  Uncaught x\n#0 a\n#1 '
        'b" while reading response header from upstream, client: 1.2.3.4, server: x, request: "GET / HTTP/1.1", upstream: '
        '"fastcgi://unix:/run/php.sock:", host: "x"\n'
    )
    path.write_text(entry * 40)
    from tests.logs.scan.summing import count
    from why502.logs.scan.line_format import Form

    form = Form(name="nginx_error")
    size = len(entry)
    whole = count(path, form, ScanQuery())
    assert sum(heard.minutes.total() for heard in whole.messages.values()) == 40
    for cuts in ((size * 3,), (size * 3 + 100,), (size * 3 + size // 2, size * 9 - 1), tuple(range(50, size * 40, 333))):
        found = count(path, form, ScanQuery(), cuts)
        assert {said: heard.minutes.total() for said, heard in found.messages.items()} == {
            said: heard.minutes.total() for said, heard in whole.messages.items()
        }
        assert (found.lines, found.unparsed) == (whole.lines, 0)


def test_rotated_sets_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    for name in (
        "access.log",
        "access.log.1",
        "access.log.2.gz",
        "access.log.10.gz",
        "app.log-20261119",
        "app.log",
        "app.log-20261118.gz",
    ):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "nginx.pid").write_text("1")
    names = [os.path.basename(source.path) for source in expand((str(tmp_path),))]
    assert names == [
        "access.log.10.gz",
        "access.log.2.gz",
        "access.log.1",
        "access.log",
        "app.log-20261118.gz",
        "app.log-20261119",
        "app.log",
    ]
    assert [os.path.basename(source.path) for source in expand((f"{tmp_path}/access.log*",))] == names[:4]


@pytest.mark.parametrize(
    ("names", "last"),
    [
        (["access.log-2026-11-18.gz", "access.log-2026-11-19", "access.log-2026-11-20"], "access.log"),
        (["access.log-20261119-1795000000.zst", "access.log-20261120-1795086400.bz2"], "access.log"),
        (["access-20261119.log.gz", "access-20261120.log"], "access.log"),
        (["access.2026-11-19.log", "access.2026-11-20.log"], "access.log"),
        (["access_20261119T2300.log.xz", "access_20261120T0000.log"], "access.log"),
    ],
)
def test_dated_names_come_in_the_order_of_time(tmp_path: Path, names: list[str], last: str) -> None:
    for name in (*names, last, "other.log"):
        (tmp_path / name).write_text("x\n")
    assert [os.path.basename(source.path) for source in expand((str(tmp_path),))] == [*names, last, "other.log"]


def test_what_is_not_there_is_said() -> None:
    for path in ("/nonexistent/x.log", "/nonexistent/*.log", "/dev/null"):
        with pytest.raises(Why502Error):
            expand((path,))


def test_the_files_of_a_directory_are_named_as_pathlib_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "access.log").write_bytes(lines(1))
    (tmp_path / "logs" / "gone.log").symlink_to("nowhere")
    (tmp_path / "logs" / "loop.log").symlink_to("loop.log")
    (tmp_path / "logs" / "linked").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "logs")
    for given in (".", "./", "../logs/", "..//logs", f"{tmp_path}/logs/"):
        found = expand((given,))
        assert [source.path for source in found] == [str(Path(given) / name) for name in ("access.log", "gone.log", "loop.log")]
        assert [bool(source.reason) for source in found] == [False, True, True]


def test_a_damaged_file_is_told_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "good.log").write_bytes(lines(100, odd=False))
    (tmp_path / "cut.log.gz").write_bytes(gzip.compress(lines(5000))[:-2000])
    found = reported(tmp_path, given=GIVEN)
    assert [bool(file.reason) for file in found.files] == [True, False]
    assert found.requests > 100  # what could be decompressed counts, too


@pytest.mark.thorough
def test_ctrl_c_keeps_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(30_000, odd=False))
    session = Session(ScanQuery())
    from why502.logs.scan.work import Part

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    session.read(Part(path=str(path), form=GIVEN, start=0, end=path.stat().st_size), stop)
    found = session.total()
    assert found.is_partial
    assert 0 < found.lines < 30_000
    assert plain(found)["lines"] == sum(minutes.total() for minutes in found.outcomes.values())


@pytest.mark.thorough
def test_remote_paths_through_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    content = lines(3000)
    (tmp_path / "access.log").write_bytes(content)
    memory = fsspec.filesystem("memory")
    memory.pipe("/logs/access.log", content)
    memory.pipe("/logs/access.log.1.gz", gzip.compress(content))
    here = reported(tmp_path / "access.log", given=GIVEN)
    from why502.logs.scan.cause_rows import Meaning
    from why502.logs.scan.job import Job
    from why502.logs.scan.run import run

    def there(pattern: str) -> Report:
        return run(Job(paths=(pattern,), query=ScanQuery(), given=GIVEN), engine=engine.alone, jobs=1, means=lambda *_: Meaning())

    assert told(there("memory://logs/access.log")) == told(reported(tmp_path / "access.log", given=GIVEN))
    assert there("memory://logs/*").requests == 2 * here.requests


def test_a_line_at_the_edge_of_a_part_counts_once_where_the_buffer_is_full(tmp_path: Path) -> None:
    from tests.logs.scan.summing import count
    from why502.logs.native import CAPACITY

    path = tmp_path / "access.log"
    text = f'10.0.0.1 - - [20/Nov/2026:00:00:00 +0000] "GET /{"long" * 200} HTTP/1.1" 200 1 "-" "-"\n'
    full = CAPACITY
    number = full // len(text) + 300
    path.write_text(text * number)
    form = of_format(COMBINED)
    for edge in (full - len(text), full - 100, full - 1, full, full + 1, full + 100):
        found = count(path, form, ScanQuery(), (edge,))
        assert (found.lines, found.unparsed) == (number, 0), edge


def test_logs_of_apache_are_read_alike_by_the_compiled_reader_and_by_python(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    row = '10.0.0.{n} - - [20/Nov/2026:00:00:{n:02d} +0000] "GET /a\\"{n}\\\\ HTTP/1.1" {status} 1 "-" "say \\"hi\\"" {n}\n'
    path.write_text("".join(row.format(n=n % 60, status=502 if n % 9 == 0 else 200) for n in range(2000)))
    fast, slow = reported(path), reported(path, ask=ScanQuery(is_fast=False))
    assert (fast.requests, fast.unparsed, fast.failures) == (2000, 0, 223)
    assert fast.files[0].log_format.endswith("$unknown")
    assert told(fast) == told(slow)
