"""What a log may do while it is followed: the numbers are those of the statements in the specification of `watch`.

W1 to W9, W11, W13, W19 and W20 are tests of the follower: tests/logs/test_follow.py and, with a real nginx and logrotate,
tests/logs/test_follow_nginx.py.
"""

from __future__ import annotations

import errno
import gzip
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from following import CONFIG, NOW, Sums, Watched, access, proxy, refused, snapshot, stamp
from sampled import sampled

from why502.gateways.apache import piped
from why502.logs.follow.follower import Follower
from why502.logs.follow.step import Step
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.proxy import Proxy
from why502.watch.tailing import Tailer
from why502.watch.tailing import reader as reading
from why502.watch.tailing.reader import Reader

BAD = "127.0.0.1:3001 502 - - 0.000"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    found = Watched(tmp_path)
    found.turns(1)
    return found


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_w10_a_rotated_file_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(reading.logrotate, "directories", lambda _: (str(tmp_path / "old"),))
    watched = Watched(tmp_path)
    watched.write("access.log", access("/api/a"))
    watched.turns(1)
    watched.write("access.log", access("/api/b"))
    watched.tailer.stop()
    (tmp_path / "old" / "access.log-20261121.gz").write_bytes(gzip.compress((tmp_path / "access.log").read_bytes()))
    (tmp_path / "access.log").unlink()
    watched.write("access.log", access("/api/c"))
    watched.tailer = watched.made()
    assert watched.turns(3, 10).lines == 3
    assert watched.sums.lost_bytes == 0


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_w12_a_file_with_two_names_is_counted_once(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    config = CONFIG.replace("location / {{", "location /b/ {{ access_log {directory}/b.log timed; }} location / {{")
    (tmp_path / "access.log").touch()
    link(tmp_path / "access.log", tmp_path / "b.log")
    watched = Watched(tmp_path, config)
    watched.turns(1)
    watched.write("access.log", access("/api/a"))
    assert watched.turns().lines == 1
    if link is os.link:
        (tmp_path / "access.log").rename(tmp_path / "access.log.1")
        watched.write("access.log", access("/api/b"))
        assert watched.turns(6, 10).lines == 2
        watched.write("b.log", "")


@pytest.mark.parametrize("head", ["", "/api/a"], ids=["empty", "equal"])
def test_w13_logs_with_the_same_beginning_are_told_apart(tmp_path: Path, head: str) -> None:
    config = CONFIG.replace("location / {{", "location /b/ {{ access_log {directory}/b.log timed; }} location / {{")
    for name in ("access.log", "b.log"):
        (tmp_path / name).write_text(access(head) * 30 if head else "")
    watched = Watched(tmp_path, config)
    watched.turns(1)
    before = watched.sums.lines
    watched.write("access.log", access("/api/a"))
    watched.write("b.log", access("/api/a") * 2)
    assert watched.turns(1).lines == before + 3
    for name in ("access.log", "b.log"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
        watched.write(name, access("/api/a"))
    watched.turns(1)
    watched.restart()
    assert watched.turns(3, 10).lines == before + 5
    assert watched.sums.lost_bytes == 0


def test_w6_a_log_that_is_written_anew_with_the_same_bytes_is_not_counted_again(watched: Watched) -> None:
    watched.write("access.log", access("/api/a") * 5)
    watched.turns(1)
    log = watched.directory / "access.log"
    content = log.read_bytes()
    log.write_bytes(b"")
    log.write_bytes(content)
    watched.write("access.log", access("/api/b"))
    assert (watched.turns().lines, watched.sums.lost_bytes) == (6, 0)


@pytest.mark.thorough
def test_w20_lines_of_any_bytes_are_counted_or_unparsed_and_the_log_goes_on(watched: Watched) -> None:
    odd = [
        "x" * 10_000_000, "\udcff\udcfe" * 50, "\x1b[31m\x1b]0;title\x07" * 9, access("/api/" + "%00" * 1400).rstrip("\n"),
        access("/api/a").rstrip("\n") + "\r",
    ]  # fmt: skip
    for line in odd:
        with (watched.directory / "access.log").open("ab") as stream:
            stream.write(line.encode("utf-8", "surrogateescape") + b"\n")
        watched.write("access.log", access("/api/b"))
        watched.turns(3)
    assert watched.sums.requests["shop.example/api/", "2xx"] == len(odd) + 2
    assert (watched.sums.lines, watched.sums.unparsed) == (2 * len(odd), 3)
    assert not any("\x1b" in (one.note + one.reason) for one in watched.sums.all)


def test_w14_a_size_that_is_told_too_small_once_is_no_truncation(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.write("access.log", access("/api/a") * 3)
    watched.turns(1)
    real, sizes = os.fstat, [0]

    def stale(number: int) -> os.stat_result:
        found = real(number)
        if sizes and found.st_size > 200:
            values = list(found)
            values[6] = sizes.pop()
            return os.stat_result(values)
        return found

    monkeypatch.setattr(os, "fstat", stale)
    watched.turns(1)
    monkeypatch.undo()
    watched.write("access.log", access("/api/b"))
    assert (watched.turns().lines, watched.sums.lost_bytes) == (4, 0)


def test_w14_a_handle_that_the_file_server_forgot_is_opened_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.write("access.log", access("/api/a") * 3)
    watched.turns(1)
    real, codes = os.fstat, [errno.ESTALE]

    def forgotten(number: int) -> os.stat_result:
        if codes:
            raise OSError(codes.pop(), "Stale file handle")
        return real(number)

    watched.write("access.log", access("/api/b"))
    monkeypatch.setattr(os, "fstat", forgotten)
    watched.turns(1)
    monkeypatch.undo()
    assert (watched.turns().lines, watched.sums.lost_bytes) == (4, 0)


def test_w15_a_log_whose_mount_hangs_hangs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.replace("location / {{", "location /b/ {{ access_log {directory}/b.log timed; }} location / {{")
    hangs, real = threading.Event(), Follower.step
    for name in ("access.log", "error.log", "b.log"):
        (tmp_path / name).touch()
    monkeypatch.setattr(Follower, "step", lambda self: (self.path.endswith("b.log") and hangs.wait(60), real(self))[1])
    sums = Sums()
    tailer = Tailer(snapshot(proxy(tmp_path, config)), {}, None, sums.put)
    tailer.start()
    try:
        with (tmp_path / "access.log").open("a") as stream:
            stream.write(access("/api/a"))
        until(lambda: sums.lines == 1)
        began = time.monotonic()
        tailer.stop(0.5)
        assert time.monotonic() - began < 5
    finally:
        hangs.set()


def test_w15_a_failure_does_not_wait_for_an_error_log_that_hangs(watched: Watched) -> None:
    watched.tailer._groups["nginx"].looked(str(watched.directory / "error.log"), 0.0)
    access_log = watched.tailer._readers[str(watched.directory / "access.log")]
    watched.write("access.log", access("/api/a", 502, upstream=BAD))
    watched.tailer._readers[str(watched.directory / "error.log")].has_caught_up = True
    access_log.turn()
    assert not watched.sums.failures and access_log.has_caught_up and not watched.tailer.is_caught_up
    watched.clock.advance(reading.PATIENCE_S)
    access_log.turn()
    assert watched.sums.failures.total() == 1 and watched.tailer.is_caught_up


AS_NOBODY = """
import os, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from following import Watched
Watched(Path(sys.argv[1]) / "other").turns(1)  # nobody may not import what is needed for that
os.setgid(65534); os.setuid(65534)
watched = Watched.__new__(Watched)
watched.directory = Path(sys.argv[1])
from following import CONFIG, Clock, Sums, access
watched.config, watched.given, watched.clock, watched.sums = CONFIG, (), Clock(), Sums()
watched.tailer = watched.made()
watched.turns(1)
print(*sorted({one.reason for one in watched.sums.all if one.reason}), sep="\\n", flush=True)
input()
watched.turns(2)
print(watched.sums.lines, [one.note for one in watched.sums.all if one.note], flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_w16_a_log_that_may_not_be_read_is_named_with_its_mode_and_read_when_it_may() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "error.log").touch()
        (directory / "other").mkdir()
        log = directory / "access.log"
        log.write_text(access("/api/a"))
        log.chmod(0o640)
        paths = [path for path in sys.path if path] + [str(Path(__file__).parent)]
        with subprocess.Popen(
            [sys.executable, "-c", AS_NOBODY, name, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        ) as child:
            assert child.stdin and child.stdout
            assert child.stdout.readline() == f"{log}: permission denied to user nobody (mode 0640, root:root)\n"
            log.chmod(0o644)
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "1 ['it can be read again']\n"


def test_w17_a_directory_that_is_replaced(watched: Watched, tmp_path: Path) -> None:
    watched.write("access.log", access("/api/a"))
    watched.turns(1)
    tmp_path.rename(tmp_path.with_name("moved"))
    tmp_path.mkdir()
    watched.write("access.log", access("/api/b"))
    assert watched.turns(2, 5).lines == 2


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_w18_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    config = CONFIG.replace("access.log timed", "odd.log timed")
    make(tmp_path / "odd.log")
    watched = Watched(tmp_path, config)
    sums = watched.turns()
    assert {one.reason for one in sums.all if one.reason} == {f"{tmp_path}/odd.log: is not a regular file"}


def test_w18_a_link_to_a_stream_is_that_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to("/dev/stdout")  # which is ours for us
    tailer = Tailer(snapshot(proxy(tmp_path)), {}, None, Sums().put)
    assert {Path(name).name for name in tailer._readers} == {"error.log"}
    assert ["the standard output of the process" in gap.reason for gap in tailer.gaps] == [True]


def test_w21_a_large_log_is_ready_at_once(tmp_path: Path) -> None:
    old, size = access("/api/a", at=NOW - 86400), 20 << 30
    with (tmp_path / "access.log").open("w") as stream:
        stream.write(old * 1000)
        stream.truncate(size)  # a hole of zeros: a file of 20 GB that takes no room
        stream.seek(size)
        stream.write("\n" + "".join(access("/api/a", at=NOW - 3600 + n * 3.6) for n in range(1000)))
    watched = Watched(tmp_path)
    began = time.monotonic()
    lines = watched.turns(1).lines
    assert time.monotonic() - began < 5  # far less than reading it takes
    assert 250 <= lines <= 1000


@pytest.mark.thorough
def test_w22_what_was_written_in_three_days_without_us_is_read_in_order_and_bounded(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.write("access.log", access("/api/a", at=NOW))
    watched.turns(2)
    watched.tailer.stop()
    hours = 72
    log = tmp_path / "access.log"
    for hour in range(1, hours + 1):
        at = NOW + hour * 3600
        for number in range(hours, 0, -1):
            for old in tmp_path.glob(f"access.log.{number}*"):
                old.rename(old.with_name(old.name.replace(f".{number}", f".{number + 1}", 1)))
        if hour % 2:
            packed = tmp_path / "access.log.1.gz"
            packed.write_bytes(gzip.compress(log.read_bytes()))
            log.unlink()
        else:
            packed = log.rename(tmp_path / "access.log.1")
        os.utime(packed, (at - 3600, at - 3600))
        watched.write("access.log", access("/api/a", 502, at=at, upstream=BAD) * 10)
    watched.clock.advance(hours * 3600)
    before = len(watched.sums.all)
    watched.tailer = watched.made()
    watched.turns(3)
    new = watched.sums.all[before:]
    assert 10 * 24 <= sum(one.lines for one in new) <= 10 * 26
    times = [one.newest_at for one in new if one.newest_at]
    assert times == sorted(times)
    live = sum(count for one in new for (minute, _), count in one.failures.items() if minute >= one.live_since)
    assert live == 10  # the lines of now


@pytest.mark.thorough
def test_w24_names_without_end_make_no_series_without_end(watched: Watched) -> None:
    for number in range(5000):
        watched.write("access.log", access(f"/api/{number}", 502, upstream=f"10.1.{number // 250}.{number % 250}:80 502 - - 0.0"))
    sums = watched.turns()
    assert sums.failures.total() == 5000
    assert len(sums.failures) <= 2000
    assert sums.failures["shop.example/api/", "other", "gateway-status"] == 4500


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_w33_a_clock_that_is_set_makes_nothing_history(watched: Watched, step_s: float) -> None:
    watched.turns(10, 60)
    watched.clock.wall_now += step_s
    watched.write("access.log", access("/api/a", 502, at=watched.clock.wall_now, upstream=BAD))
    watched.turns(2)
    assert not [one for one in watched.sums.all if one.failures and one.is_history]


def test_w34_the_hour_that_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Path("/usr/share/zoneinfo/Europe/Berlin").read_bytes()
    monkeypatch.setattr(reading, "localtime", lambda *_: zone)
    config = (
        "events {{}} http {{ access_log off; error_log {directory}/error.log; server {{ location / {{ proxy_pass "
        "http://127.0.0.1:3001; }} }} }}"
    )
    watched = Watched(tmp_path, config)
    begin = datetime(2026, 10, 25, 0, 10, tzinfo=UTC).timestamp()  # 02:10 in summer time
    watched.clock.wall_now = begin - 60
    watched.turns(1)
    for hour in (0, 1):
        watched.clock.wall_now = begin + 3600 * hour
        watched.write("error.log", refused("/a", at=datetime(2026, 10, 25, 2, 10, tzinfo=UTC).timestamp()))
        watched.turns(1)
    minutes = [minute for one in watched.sums.all for minute, _ in one.failures]
    assert minutes == [int(begin // 60), int((begin + 3600) // 60)]


@pytest.mark.parametrize("hours", sampled([-9.5, -1, 2, 5.75], 4))
def test_w35_an_error_log_in_another_zone_is_joined_after_three_failures(watched: Watched, hours: float) -> None:
    def fail(first: int, count: int) -> None:
        for number in range(first, first + count):
            at = watched.clock.wall_now
            watched.write("error.log", refused(f"/api/{number}", at=at + hours * 3600))
            watched.write("access.log", access(f"/api/{number}", 502, at=at, upstream=BAD))
            watched.turns(2)

    fail(0, 3)
    watched.sums.failures.clear()
    fail(3, 40)
    assert watched.sums.failures == {("shop.example/api/", "127.0.0.1:3001", "connect-refused"): 40}
    hours = 0  # the proxy was reloaded, and took the machine's zone
    fail(43, 3)
    watched.sums.failures.clear()
    fail(46, 40)
    assert watched.sums.failures == {("shop.example/api/", "127.0.0.1:3001", "connect-refused"): 40}


def test_w35_a_request_that_fails_every_quarter_of_an_hour_moves_no_zone(watched: Watched) -> None:
    for _ in range(8):
        watched.write("error.log", refused("/api/cron", at=watched.clock.wall_now))
        watched.write("access.log", access("/api/cron", 502, at=watched.clock.wall_now, upstream=BAD))
        watched.turns(2)
        watched.write("access.log", access("/api/b", 502, at=watched.clock.wall_now, upstream=BAD))
        watched.write("error.log", refused("/api/c", at=watched.clock.wall_now))
        watched.turns(2)
        watched.clock.advance(900 - 12)
    assert watched.tailer._groups["nginx"].joining.shift_s == 0


def test_w36_lines_that_come_late_count_in_their_minute(watched: Watched) -> None:
    watched.write("access.log", access("/api/a", 502, at=NOW + 60, upstream=BAD) + access("/api/a", 502, at=NOW, upstream=BAD))
    sums = watched.turns()
    assert [minute for one in sums.all for minute, _ in one.failures] == [NOW // 60 + 1, NOW // 60]


def test_w44_a_reload_with_other_logs_formats_and_targets_loses_nothing(watched: Watched, tmp_path: Path) -> None:
    watched.write("access.log", access("/api/a"))
    watched.turns(1)
    config = CONFIG.replace("access.log timed", "new.log short").replace(
        "access_log", "log_format short '$msec \"$request\" $status $upstream_addr $upstream_status'; access_log", 1
    )
    config = config.replace("127.0.0.1:3002", "127.0.0.1:4000")
    (tmp_path / "new.log").touch()
    watched.tailer.update(snapshot(proxy(tmp_path, config)))
    watched.write("access.log", access("/api/b"))  # of a worker that ends
    watched.write("new.log", f'{NOW:.3f} "GET /api/c HTTP/1.1" 200 127.0.0.1:4000 200\n')
    sums = watched.turns(3)
    assert (sums.lines, sums.unparsed) == (3, 0)
    assert sums.attempts["127.0.0.1:4000", "ok"] == 1
    watched.tailer.update(snapshot(proxy(tmp_path)))
    watched.write("access.log", access("/api/d"))
    assert watched.turns(2).lines == 4


def test_t14_what_is_not_read_yet_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("why502.logs.follow.follower.TURN_BYTES", 20_000)
    watched.clock.advance(90)
    watched.write("access.log", access("/api/a") * 500)
    watched.tailer.turn()
    behind = watched.sums.all[-1]
    assert behind.lag_bytes > 40_000
    assert behind.lag_s > 60
    assert watched.turns().lines == 500
    assert watched.sums.all[-1].lag_bytes == 0


def test_t15_lines_of_another_format_are_told_after_the_configuration_was_read_again(watched: Watched) -> None:
    asked: list[None] = []
    for reader in watched.tailer._readers.values():
        reader.reread = lambda: asked.append(None)
    for _ in range(10):
        watched.write("access.log", "something else entirely\n" * 3 + access("/api/a") * 7)
        watched.turns(1, 30)
    reasons = list(dict.fromkeys(one.misfit for one in watched.sums.all if one.log.endswith("access.log")))
    assert len(asked) == 1
    assert reasons[:1] == [None]
    assert len(reasons) == 2
    assert reasons[1]
    assert "30 % of its lines" in reasons[1]
    assert "something else entirely" in reasons[1]
    assert "$upstream_header_time" in reasons[1]
    for _ in range(6):
        watched.write("access.log", access("/api/a") * 7)
        watched.turns(1, 30)
    assert watched.sums.all[-1].misfit == ""


def test_t12_names_with_times(tmp_path: Path) -> None:
    config = CONFIG.replace("access.log timed", "access.$day.log timed")
    (tmp_path / "access.2026-11-20.log").write_text(access("/api/a", at=NOW - 60))
    watched = Watched(tmp_path, config)
    watched.turns(1)
    watched.write("access.2026-11-20.log", access("/api/c"))
    watched.write("access.2026-11-21.log", access("/api/b"))  # last, so that it is the newest whatever the clock's tick
    watched.turns(2)
    assert watched.sums.lines == 3
    watched.turns(5, 1000)
    watched.write("access.2026-11-21.log", access("/api/d"))
    watched.turns(1)
    assert {Path(name).name for name in watched.tailer._readers} == {"access.2026-11-21.log", "error.log"}
    watched.write("access.2026-11-20.log", access("/api/late"))
    assert watched.turns(2).lines == 5


ROTATELOGS = shutil.which("rotatelogs") or "/usr/bin/rotatelogs"


@pytest.mark.real
def test_t12_files_that_rotatelogs_writes(tmp_path: Path) -> None:
    command = f"|{ROTATELOGS} {tmp_path}/access.%Y%m%d-%H%M%S.log 1"
    target = LogTarget(kind=LogKind.ACCESS, path=piped.files(command), goes_to=LogPlace.VARIABLE)
    sums = Sums()
    tailer = Tailer(snapshot(Proxy(kind="apache", pid=1, logs=(target,))), {}, None, sums.put)
    with subprocess.Popen(shlex.split(command[1:]), stdin=subprocess.PIPE) as child:
        assert child.stdin
        for number in range(30):
            line = f'10.0.0.1 - - [{stamp(time.time())}] "GET /r{number}x HTTP/1.1" 200 157\n'
            child.stdin.write(line.encode())
            child.stdin.flush()
            if number % 10 == 9:
                files = len(list(tmp_path.iterdir()))
                until(
                    lambda files=files: (
                        tailer.turn(),
                        child.stdin.write(b"#\n"),
                        child.stdin.flush(),
                        len(list(tmp_path.iterdir())) > files,
                    )[-1]
                )  # type: ignore[union-attr]
    until(lambda: (tailer.turn(), sums.requests.total() == 30)[1])
    assert len(list(tmp_path.iterdir())) >= 3


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("|/usr/bin/rotatelogs -l /var/log/a.%Y.log 86400", "/var/log/a.%Y.log"),
        ("||/usr/bin/rotatelogs -p /bin/x -f /var/log/a.log 5M", "/var/log/a.log.%s"),
        ("|/usr/bin/rotatelogs -n 3 /var/log/a.log 5M", "/var/log/a.log"),
        ("|/usr/sbin/cronolog -S /var/log/now /var/log/%Y/%m/a.log", "/var/log/%Y/%m/a.log"),
        ("|/usr/bin/logger -t apache", ""),
        ("|'", ""),
    ],
)
def test_t12_the_names_that_piped_logs_have(command: str, files: str) -> None:
    assert piped.files(command) == files


@pytest.mark.parametrize(
    ("command", "is_it"),
    [
        ("|/usr/bin/systemd-cat -t httpd", True),
        ("||/usr/bin/logger -t apache -p local1.info", True),
        ("|/usr/bin/logger -n logs.internal -t apache", False),
        ("|/usr/bin/rotatelogs /var/log/logger 5M", False),
        ("|'", False),
    ],
)
def test_t12_what_is_piped_to_the_journal(command: str, *, is_it: bool) -> None:
    assert piped.is_to_journal(command) is is_it


def test_t11_of_two_logs_with_the_same_requests_one_is_counted(tmp_path: Path) -> None:
    watched = Watched(tmp_path, CONFIG.replace("access_log", "access_log {directory}/second.log; access_log", 1))
    watched.turns(1)
    watched.write("second.log", '10.0.0.1 - - [21/Nov/2026:00:00:00 +0000] "GET /api/a HTTP/1.1" 200 157 "-" "curl/8"\n')
    watched.write("access.log", access("/api/a"))
    assert watched.turns(2).requests == {("shop.example/api/", "2xx"): 1}
    config = CONFIG.replace(
        "access_log", "access_log {directory}/b.log combined if=$b; access_log {directory}/c.log combined if=$c; #", 1
    )
    logs = proxy(tmp_path, config.replace("#", "\n#", 1)).logs
    assert [log.repeats for log in logs if log.kind is LogKind.ACCESS] == [False, False]


def test_t11_what_is_not_in_the_log_is_a_gap(tmp_path: Path) -> None:
    config = CONFIG.replace("access.log timed", "access.log timed if=$loggable buffer=64k flush=5m").replace(
        "location / {{",
        "location /quiet/ {{ access_log off; }} location /s/ {{ access_log syslog:server=10.0.0.9; }} location / {{",
    )
    tailer = Tailer(snapshot(proxy(tmp_path, config)), {}, None, Sums().put)
    told = " ".join(gap.reason for gap in tailer.gaps)
    assert "only the requests for which $loggable is set" in told
    assert "it is disabled by" in told
    assert "it goes to syslog by" in told
    log = tailer._readers[str(tmp_path / "access.log")].log
    assert log.flush_s == 300


def test_a_mistake_of_ours_with_one_log_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("access.log", "error.log"):
        (tmp_path / name).touch()
    real, mistakes = Follower.step, [ZeroDivisionError("division by zero")]
    sums = Sums()
    tailer = Tailer(snapshot(proxy(tmp_path)), {}, None, sums.put, wait=lambda _: (time.sleep(0.01), tailer._stop.is_set())[1])

    def step(self: Follower) -> Step:
        if self.path.endswith("access.log") and mistakes:
            raise mistakes.pop()
        return real(self)

    monkeypatch.setattr(Follower, "step", step)
    tailer.start()
    until(lambda: any("bug in why502: ZeroDivisionError" in one.reason for one in sums.all))
    with (tmp_path / "access.log").open("a") as stream:
        stream.write(access("/api/a"))
    until(lambda: sums.lines == 1)


def test_the_rate_of_looking(watched: Watched) -> None:
    reader: Reader = watched.tailer._readers[str(watched.directory / "access.log")]
    watched.write("access.log", access("/api/a"))
    watched.turns(1, 59)
    assert reader.pause_s() == 0.25
    watched.turns(1, 2)
    assert reader.pause_s() == 1.0
