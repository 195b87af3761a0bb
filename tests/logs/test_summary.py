"""summarise(): every kind of bad log becomes a Gap, every file of a log is read once, and only the window counts."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.base import decode, encode
from why502.model.logs import LogSummary, Symptom
from why502.model.snapshot import Gap

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=15)
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'


def error(
    at: datetime, number: int = 1, message: str = "connect() failed (111: Connection refused) while connecting to upstream"
) -> str:
    return (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *{number} {message}, client: 10.0.0.{number % 250}, server: example.com, "
        f'request: "GET /{number} HTTP/1.1", upstream: "http://127.0.0.1:3001/{number}", host: "example.com"\n'
    )


def access(at: datetime, number: int = 1, status: int = 502) -> str:
    return f'10.0.0.{number % 250} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /{number} HTTP/1.1" {status} 157 "-" "curl/8"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine that keeps UTC."""
    (tmp_path / "log").mkdir()
    return tmp_path


def look(root: Path, *logs: LogInput | str, since: datetime = SINCE, until: datetime = NOW) -> tuple[LogSummary, tuple[Gap, ...]]:
    inputs = [
        log
        if isinstance(log, LogInput)
        else LogInput(path=log, kind="error" if "error" in log else "access", format="" if "error" in log else COMBINED)
        for log in logs
    ]
    found, gaps = summarise(DirectoryHost(str(root)), inputs, since, until)
    assert decode(encode(found), LogSummary) == found
    return found, gaps


def count(found: LogSummary) -> int:
    return sum(tally.count for tally in found.tallies)


def test_only_the_window_counts(machine: Path) -> None:
    times = [SINCE - timedelta(seconds=1), SINCE, NOW, NOW + timedelta(seconds=1), NOW - timedelta(days=365)]
    (machine / "log/error.log").write_text("".join(error(at, n) for n, at in enumerate(sorted(times))))
    (machine / "log/access.log").write_text("".join(access(at, n) for n, at in enumerate(sorted(times))))
    found, gaps = look(machine, "/log/error.log", "/log/access.log")
    assert count(found) == 2 and found.requests == 2 and gaps == ()
    assert [(file.lines, file.first, file.last) for file in found.files] == [(2, SINCE, NOW)] * 2
    assert found.has_access


def test_nothing_in_the_window(machine: Path) -> None:
    (machine / "log/error.log").write_text(error(NOW - timedelta(days=1)))
    (machine / "log/access.log").write_text("")
    found, gaps = look(machine, "/log/error.log", "/log/access.log")
    assert count(found) == 0 and not found.has_access and gaps == ()


def test_a_missing_log_is_a_gap_and_the_others_are_read(machine: Path) -> None:
    (machine / "log/access.log").write_text(access(NOW))
    found, gaps = look(machine, "/log/error.log", "/log/access.log")
    assert count(found) == 1
    assert [gap.source for gap in gaps] == ["/log/error.log"]
    assert next(file for file in found.files if file.path == "/log/error.log").reason


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "device"])
def test_what_is_no_log(machine: Path, kind: str) -> None:
    path = machine / "log/error.log"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to("error.log")
        case "device":
            path.symlink_to("/dev/stderr")
    found, gaps = look(machine, "/log/error.log")
    assert found.tallies == () and len(gaps) == 1 and gaps[0].reason


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(error(NOW))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    _, gaps = summarise(LocalHost(), [LogInput(path=str(path))], SINCE, NOW)
    assert "permission" in gaps[0].reason


def test_binary_data(machine: Path) -> None:
    (machine / "log/error.log").write_bytes(os.urandom(300_000) + b"\n" + error(NOW).encode() + bytes(100_000))
    found, gaps = look(machine, "/log/error.log")
    assert count(found) == 1 and gaps == ()
    (machine / "log/what").write_bytes(bytes(range(256)) * 100)
    _, gaps = look(machine, LogInput(path="/log/what"))
    assert "binary" in gaps[0].reason


def test_a_long_line_is_passed_over(machine: Path) -> None:
    with (machine / "log/error.log").open("wb") as file:
        file.write(error(NOW, 1).encode())
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + error(NOW, 2).encode())
    found, gaps = look(machine, "/log/error.log")
    assert count(found) == 2 and gaps == ()


def test_rotated_files_are_read_where_the_window_began_before(machine: Path) -> None:
    times = [SINCE + timedelta(seconds=second) for second in range(0, 900, 10)]
    lines = [error(at, n) for n, at in enumerate(times)]
    (machine / "log/error.log-20261119.gz").write_bytes(gzip.compress(error(NOW - timedelta(days=2)).encode()))
    (machine / "log/error.log.2.gz").write_bytes(gzip.compress("".join(lines[:30]).encode()))
    (machine / "log/error.log.1").write_text("".join(lines[30:60]))
    (machine / "log/error.log").write_text("".join(lines[60:]))
    for name, at in (
        ("error.log-20261119.gz", NOW - timedelta(days=2)),
        ("error.log.2.gz", times[29]),
        ("error.log.1", times[59]),
    ):
        os.utime(machine / "log" / name, (at.timestamp(), at.timestamp()))
    found, gaps = look(machine, "/log/error.log")
    assert count(found) == 90 and gaps == ()
    assert [Path(file.path).name for file in found.files] == ["error.log.2.gz", "error.log.1", "error.log"]
    recent, _ = look(machine, "/log/error.log", since=times[75])
    assert count(recent) == 15 and [file.path for file in recent.files] == ["/log/error.log"]
    alone, _ = look(machine, LogInput(path="/log/error.log", is_rotated=False))
    assert count(alone) == 30


def test_the_log_was_moved_and_not_yet_made_again(machine: Path) -> None:
    (machine / "log/error.log.1").write_text(error(NOW))
    os.utime(machine / "log/error.log.1", (NOW.timestamp(), NOW.timestamp()))
    found, gaps = look(machine, "/log/error.log")
    assert count(found) == 1 and len(gaps) == 1


def test_one_file_by_several_names_counts_once(machine: Path) -> None:
    (machine / "log/error.log").write_text(error(NOW))
    (machine / "log/same-error.log").symlink_to("error.log")
    os.link(machine / "log/error.log", machine / "log/hard-error.log")
    found, _ = look(machine, "/log/error.log", "/log/same-error.log", "/log/hard-error.log", "/log/error.log")
    assert count(found) == 1


def test_local_time(machine: Path) -> None:
    berlin = Path("/usr/share/zoneinfo/Europe/Berlin")
    if not berlin.exists():
        pytest.skip("no time zone data is installed")
    (machine / "etc").mkdir()
    (machine / "etc/localtime").write_bytes(berlin.read_bytes())
    (machine / "log/error.log").write_text(error(NOW + timedelta(hours=1)) + error(NOW + timedelta(hours=2)))
    (machine / "log/access.log").write_text(access(NOW))
    found, _ = look(machine, "/log/error.log", "/log/access.log")
    assert [(tally.symptom, tally.status, tally.count, tally.first) for tally in found.tallies] == [
        (Symptom.CONNECT_REFUSED, 502, 1, NOW)
    ]


def test_entries_of_several_lines(machine: Path) -> None:
    text = (
        error(NOW)
        .replace(
            "connect() failed (111: Connection refused) while connecting to upstream",
            'FastCGI sent in stderr: "PHP message: PHP Fatal error:  Uncaught Error: no in /app/x.php:3\nStack '
            'trace:\n#0 {main}\n  thrown in /app/x.php on line 3" '
            "while reading response header from upstream",
        )
        .replace("http://", "fastcgi://")
    )
    (machine / "log/error.log").write_text(text + error(NOW, 2))
    found, _ = look(machine, "/log/error.log")
    assert {tally.symptom for tally in found.tallies} == {Symptom.APPLICATION_ERROR, Symptom.CONNECT_REFUSED}
    assert found.files[0].lines == 2 and found.files[0].unread == 0
    assert {tally.source for tally in found.tallies} == {"/log/error.log:1", "/log/error.log:5"}


def test_content_decides_what_a_given_file_is(machine: Path) -> None:
    (machine / "log/a").write_text(error(NOW))
    (machine / "log/b").write_bytes(gzip.compress((access(NOW) + access(NOW, 5, 200)).encode()))
    (machine / "log/c").write_text(
        "[2026-11-20 00:20:00 +0000] [9] [CRITICAL] WORKER TIMEOUT (pid:78)\n[2026-11-21 00:20:00 +0000] [9] "
        "[CRITICAL] WORKER TIMEOUT (pid:77)\n"
    )
    (machine / "log/d").write_text("2026-11-21T00:20:00Z all is well\n2026-11-21T00:20:01Z still well\n")
    found, gaps = look(machine, *(LogInput(path=f"/log/{name}") for name in "abcd"))
    assert gaps == () and found.requests == 2
    by_symptom = {tally.symptom: tally for tally in found.tallies}
    assert by_symptom.keys() == {Symptom.CONNECT_REFUSED, Symptom.WORKER_TIMED_OUT}
    assert (by_symptom[Symptom.CONNECT_REFUSED].status, by_symptom[Symptom.WORKER_TIMED_OUT].proxy) == (502, None)
    assert by_symptom[Symptom.WORKER_TIMED_OUT].count == 1


def test_a_container_log_in_json(machine: Path) -> None:
    line = error(NOW).rstrip("\n").replace('"', '\\"')
    (machine / "log/x-json.log").write_text(f'{{"log":"{line}\\n","stream":"stderr","time":"{NOW:%Y-%m-%dT%H:%M:%S}.123Z"}}\n')
    found, _ = look(machine, LogInput(path="/log/x-json.log"))
    assert [(tally.symptom, tally.count) for tally in found.tallies] == [(Symptom.CONNECT_REFUSED, 1)]


def test_one_of_several_formats(machine: Path) -> None:
    form = "$status|$msec|$remote_addr|$request|$upstream_addr|$upstream_status"
    (machine / "log/x").write_text(f"502|{NOW.timestamp():.3f}|10.0.0.1|GET /1 HTTP/1.1|127.0.0.1:3001|502\n")
    found, _ = look(machine, LogInput(path="/log/x", candidates=((COMBINED, "default"), (form, "default"))))
    assert found.by_status == {"502": 1}


def test_lines_from_memory(machine: Path) -> None:
    found, gaps = look(machine, LogInput(path="journalctl -u nginx", kind="error", content=error(NOW).encode()))
    assert count(found) == 1 and found.tallies[0].source == "journalctl -u nginx:1" and gaps == ()


def test_hostile_bytes(machine: Path) -> None:
    """Bytes that are no UTF-8 in every field; secrets in the request. The value can be encoded, and holds neither."""
    text = error(NOW).encode().replace(b"GET /1 ", b"GET /\xff\xfe?token=s3cr3t&a=1 ").replace(b"example.com", b"ex\xffample.com")
    (machine / "log/error.log").write_bytes(text + b"2026/11/21 00:29:00 [error] \x1b[31m 7#7: *9 \xff\x00\n" * 3)
    found, _ = look(machine, "/log/error.log")
    assert b"s3cr3t" not in encode(found)
    assert found.tallies[0].requests == (("GET /\ufffd\ufffd", 1),)


def test_a_file_that_shrinks_while_it_is_read(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = machine / "log/error.log"
    path.write_text("".join(error(NOW, n) for n in range(100)))
    opened = DirectoryHost.open

    def cut(self: DirectoryHost, name: str):  # type: ignore[no-untyped-def]
        stream = opened(self, name)
        path.write_text(error(NOW))
        return stream

    monkeypatch.setattr(DirectoryHost, "open", cut)
    found, gaps = look(machine, "/log/error.log")
    assert count(found) == 1 and [gap.reason for gap in gaps] == ["it was truncated while being read"]


def test_too_much_to_read(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("why502.logs.summary.READ_BYTES", 3000)
    (machine / "log/error.log").write_text("".join(error(NOW, n) for n in range(100)))
    found, gaps = look(machine, "/log/error.log")
    assert 0 < count(found) < 100 and "only the last" in gaps[0].reason
    assert found.tallies[0].requests[0][0] != "GET /0"
    found, gaps = summarise(
        DirectoryHost(str(machine)), [LogInput(path="/log/error.log", kind="error")], SINCE, NOW, patience_s=-1
    )
    assert "too large" in gaps[-1].reason


def test_a_given_fragment_is_read_behind_its_wrapper(machine: Path) -> None:
    lines = (
        'shop-1  | * Starting nginx...\nshop-1  | nginx: [emerg] mkdir() "/var/tmp/nginx/proxy" failed (13: Permission denied)\n'
    )
    (machine / "log" / "shop.txt").write_text(lines)
    found, _ = look(machine, LogInput(path="/log/shop.txt", is_given=True))
    assert [tally.symptom for tally in found.tallies] == [Symptom.TEMP_DENIED]


def test_lines_of_a_common_form_are_those_of_the_product_that_is_configured_to_write_them(machine: Path) -> None:
    (machine / "log" / "shop").write_text("".join(access(NOW - timedelta(seconds=number), number) for number in range(9, 1, -1)))
    found = look(machine, LogInput(path="/log/shop", proxy="apache"))[0]
    assert [(tally.proxy, tally.status, tally.count) for tally in found.tallies] == [("apache", 502, 8)]


@pytest.mark.parametrize("is_mixed", [False, True])
def test_messages_and_requests_in_one_file_are_both_read(machine: Path, is_mixed: bool) -> None:
    at = NOW - timedelta(minutes=1)
    message = (
        f"[{at:%a %b %d %H:%M:%S.000000 %Y}] [proxy:error] [pid 7:tid 9] AH00957: http: attempt to connect to 127.0.0.1:3000"
    )
    text = f"{message} (127.0.0.1:3000) failed\n" * 3 + access(at, status=200) + access(at, status=503)
    (machine / "log/out.log").write_text(text)
    found, gaps = look(machine, LogInput(path="/log/out.log", proxy="apache", is_mixed=is_mixed))
    assert (found.by_status, gaps) == ({"200": 1, "503": 1} if is_mixed else {}, ())
    assert any(tally.symptom is Symptom.CONNECT_REFUSED or tally.code == "AH00957" for tally in found.tallies)
