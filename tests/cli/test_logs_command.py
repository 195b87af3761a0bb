"""`why502 logs` as a command: exit statuses, formats, windows, configuration, Ctrl-C, progress, Parquet."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asking import PROGRAM, TWO_LINES, ask, environment

from tests.logs.scan.written import TIMED, lines
from why502.cli.env import Env
from why502.cli.main import run

GOOD = '10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n'
BAD = GOOD.replace(" 200 ", " 502 ")
CONFIG = """
events {{}}
http {{
  log_format own 'S=$status T=$time_iso8601 U=$upstream_addr/$upstream_status/$upstream_response_time "$request"';
  access_log {directory}/own.log own;
  upstream app {{ server 10.0.0.1:80; server 10.0.0.2:80; }}
  server {{ listen 80; location / {{ proxy_pass http://app; proxy_read_timeout 7s; }}
    location /own {{ proxy_pass http://localhost:9; }} }}
  server {{ listen 81; location / {{ proxy_pass http://localhost:9; proxy_read_timeout 5s; }} }}
}}
"""


def write(path: Path, text: str) -> str:
    """Write a file and return its path."""
    path.write_text(text)
    return str(path)


def test_exit_status_depends_on_failures(tmp_path: Path) -> None:
    assert ask("logs", write(tmp_path / "good.log", GOOD * 9)).status == 0
    answer = ask("logs", write(tmp_path / "bad.log", GOOD * 9 + BAD))
    assert (answer.status, answer.err) == (1, "")
    assert answer.out.startswith("1 of 10 requests failed (10.00%)")


def test_more_than_a_tenth_unparsed_is_reported_with_the_first_three(tmp_path: Path) -> None:
    answer = ask("logs", write(tmp_path / "a.log", GOOD * 8 + "one\ntwo\nthree\nfour\n"))
    assert answer.status == 2
    assert "4 of 12 lines (33%)" in answer.err
    assert answer.err.count("a.log (byte") == 3
    assert "four" not in answer.err
    assert ask("logs", write(tmp_path / "b.log", GOOD * 97 + "one\n")).status == 0


def test_text_of_no_known_format_is_not_read(tmp_path: Path) -> None:
    assert ask("logs", write(tmp_path / "a.log", "2026-11-20 10:00:00 hello\n" * 20)).status == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["logs", "/nonexistent.log"],
        ["logs", "--log-format", "nothing", "/dev/null"],
        ["logs", "--since", "1h", "--until", "2h", "x"],
        ["logs", "--cluster", "x", "y"],
    ],
)
def test_bad_input_is_two_lines(argv: list[str]) -> None:
    answer = ask(*argv)
    assert (answer.status, answer.out) == (2, "")
    assert TWO_LINES.fullmatch(answer.err)


def test_a_log_format_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.log", "502|20/Nov/2026:10:00:00 +0000|10.0.0.9|GET /x HTTP/1.1\n" * 5)
    found = json.loads(ask("logs", path, "--log-format", "$status|$time_local|$remote_addr|$request", "--format", "json").out)
    assert (found["requests"], found["failures"], found["by_status"]) == (5, 5, {"502": 5})
    assert found["files"][0]["format_source"] == "--log-format"


def test_the_configuration_provides_formats_groups_and_timeouts(tmp_path: Path) -> None:
    row = 'S={status} T=2026-11-20T10:00:00+00:00 U={target}/{status}/{took} "GET / HTTP/1.1"\n'
    text = (
        row.format(status=200, target="10.0.0.1:80", took="6.500") * 50
        + row.format(status=502, target="10.0.0.2:80", took="0.001") * 50
    )
    path = write(tmp_path / "own.log", text)
    config = write(tmp_path / "nginx.conf", CONFIG.format(directory=tmp_path))
    answer = ask("logs", path, "--config", config, "--format", "json")
    found = json.loads(answer.out)
    assert found["files"][0]["format_source"] == f"own of {config}"
    targets = {row["target"]: row for row in found["targets"]}
    assert targets["10.0.0.2:80"]["bad"] is True
    assert {row["group"] for row in targets.values()} == {"app"}
    assert targets["10.0.0.1:80"]["read_timeout_s"] == 7.0
    assert "10.0.0.1:80: p99 is 93% of the 7 s read timeout" in ask("logs", path, "--config", config).out


def test_the_configuration_of_apache_provides_the_unit_of_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "access.log", GOOD.replace("\n", " 1500000\n") * 50)
    config = write(
        tmp_path / "apache2.conf",
        'ServerName x\nLogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D" timed\n'
        f"ServerRoot {tmp_path}\nCustomLog access.log timed\n",
    )
    monkeypatch.chdir(tmp_path)
    for argv in (("access.log",), (str(tmp_path / "access.log"),)):
        found = json.loads(ask("logs", *argv, "--config", config, "--format", "json").out)
        assert found["routes"][0]["times"]["p50_s"] == pytest.approx(1.5, rel=0.01)
    assert (
        "times" not in json.loads(ask("logs", "access.log", "--format", "json").out)["routes"][0]
    )  # the time unit is not configured
    given = ask(
        "logs",
        "access.log",
        "--log-format",
        r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" %D",
        "--format",
        "json",
    )
    assert json.loads(given.out)["routes"][0]["times"]["p50_s"] == pytest.approx(1.5, rel=0.01)


def test_different_timeouts_of_locations_are_shown_as_a_range(tmp_path: Path) -> None:
    row = 'S=200 T=2026-11-20T10:00:00+00:00 U=127.0.0.1:9/200/4.500 "GET / HTTP/1.1"\n'
    path = write(tmp_path / "own.log", row * 50)
    config = write(tmp_path / "nginx.conf", CONFIG.format(directory=tmp_path))
    (target,) = json.loads(ask("logs", path, "--config", config, "--format", "json").out)["targets"]
    assert (target["read_timeout_s"], target["longest_read_timeout_s"]) == (5.0, 60.0)
    text = ask("logs", path, "--config", config).out
    assert "5-60" in text
    assert "127.0.0.1:9: p99 is 90% of the 5 s read timeout, the shortest in force" in text


def test_the_window_is_as_asked(tmp_path: Path) -> None:
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    text = "".join(GOOD.replace("10:00:00", f"{at + timedelta(seconds=n):%H:%M:%S}") for n in range(3600))
    path = write(tmp_path / "access.log", text)
    for argv, expected in (
        (("--since", "15m"), 900),  # the clock is at 11:00: 10:45:00 counts, 11:00:00 has no line
        (("--since", "2026-11-20T10:10:00+00:00", "--until", "2026-11-20T10:19:59+00:00"), 600),
        (("--until", "2026-11-20T10:00:09Z"), 10),
    ):
        found = json.loads(ask("logs", path, "--format", "json", *argv, now=lambda: at + timedelta(hours=1)).out)
        assert found["requests"] == expected


@pytest.mark.parametrize("form", ["text", "html", "prometheus"])
def test_other_outputs(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    answer = ask("logs", path, "--format", form)
    assert answer.status == 1
    assert "502" in answer.out


def test_only_the_table_that_was_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    out = ask("logs", path, "--by", "minute").out
    assert "2026-11-20T10:00" in out
    assert "Statuses" not in out


def test_standard_input_is_read(tmp_path: Path) -> None:
    for content in (GOOD * 5 + BAD, ""):
        done = subprocess.run(
            [*PROGRAM, "logs", "-", "--format", "json"], input=content, capture_output=True, text=True, timeout=60, check=False
        )
        assert json.loads(done.stdout)["requests"] == content.count("\n")


@pytest.mark.thorough
@pytest.mark.parametrize("pure", [(), ("--pure",)])
def test_ctrl_c_gives_a_report_marked_as_partial(pure: tuple[str, ...]) -> None:
    """The reader is interrupted while it waits for more input from a pipe."""
    process = subprocess.Popen(
        [*PROGRAM, "logs", "-", "--format", "json", "--log-format", TIMED, *pure],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stdin is not None
        process.stdin.write(lines(20_000, odd=False))  # far more than a pipe holds: the program is reading
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    found = json.loads(out)
    assert found["partial"] is True
    assert 0 < found["requests"] <= 20_000
    assert (process.returncode, err) == (130, b"")


class Terminal(io.TextIOWrapper):
    """A stream that reports itself as a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_shown_on_a_terminal_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "a.log").write_bytes(lines(3000, odd=False))
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), Terminal(io.BytesIO(), encoding="utf-8")
    run(["logs", str(tmp_path / "a.log"), "--log-format", TIMED, *(["-q"] if quiet else [])], Env(stdout=out, stderr=err))
    err.flush()
    shown = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert ("reading" in shown) is not quiet


def test_parquet_holds_the_documented_records(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from why502.logs.scan.parquet import SCHEMA

    (tmp_path / "a.log").write_bytes(lines(2000, odd=False))
    directory = tmp_path / "out"
    answer = ask("logs", str(tmp_path / "a.log"), "--log-format", TIMED, "--parquet", str(directory), "--format", "json")
    found = json.loads(answer.out)
    table = parquet.read_table(directory)
    assert {field.name: str(field.type).replace("element", "item").replace("list<item: ", "list<") for field in table.schema} == {
        name: kind for name, (kind, _) in SCHEMA.items()
    }
    assert table.num_rows == found["requests"]
    rows = table.to_pylist()
    assert sum(row["failed"] for row in rows) == found["failures"]
    assert min(row["ended_at"] for row in rows).isoformat().replace("+00:00", "Z") == found["first"]
    several = next(row for row in rows if row["attempts"] == 2)
    assert len(several["targets"]) == len(several["connect_s"]) == 2
    assert TWO_LINES.fullmatch(
        ask("logs", str(tmp_path / "a.log"), "--parquet", str(directory)).err
    )  # never overwrite other people's files
    documented = Path(__file__).parents[2].joinpath("docs/logs.md").read_text()
    for name, (kind, _) in SCHEMA.items():
        assert f"| `{name}` | {kind} |" in documented


def test_a_closed_pipe_gives_no_traceback(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    done = subprocess.run(
        f"{' '.join(PROGRAM)} logs {path} | true", shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert os.path.exists(path)


def test_sql_answers_over_the_records(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(lines(500, odd=False))
    report = json.loads(ask("logs", str(path), "--log-format", TIMED, "--format", "json").out)
    query = "select status, count(*) as n, max(ended_at) as last from records group by status order by status"
    answer = ask("logs", str(path), "--log-format", TIMED, "--format", "json", "--sql", query)
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.status == 0
    assert {str(row["status"]): row["n"] for row in rows} == report["by_status"]
    assert max(row["last"] for row in rows).replace("+00:00", "Z") == report["last"]
    table = ask("logs", str(path), "--log-format", TIMED, "--sql", query).out.splitlines()
    assert table[0].split() == ["status", "n", "last"]
    assert len(table) == len(rows) + 1
    failed = ask("logs", str(path), "--log-format", TIMED, "--where", "failed=true", "--sql", "select count(*) from records")
    assert int(failed.out.split()[-1]) == report["failures"]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "copy records to '{}/stolen.csv'",
        "attach '{}/stolen.db'",
        "set enable_external_access = true",
        "selec",
        "select nothing from records",
    ],
)
def test_sql_reads_and_writes_nothing_else(tmp_path: Path, query: str) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    answer = ask("logs", str(path), "--sql", query.format(tmp_path))
    assert answer.status == 2
    assert TWO_LINES.fullmatch(answer.err)
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]


def test_an_unknown_field_or_invalid_condition_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    for option in (
        ("--by", "no_such_field"),
        ("--by", "a b"),
        ("--where", "status"),
        ("--where", "statu=502"),  # only a part of the name of a field
        ("--sql", "select 1", "--format", "html"),
    ):
        answer = ask("logs", str(path), *option)
        assert (answer.status, bool(TWO_LINES.fullmatch(answer.err))) == (2, True), option


def test_sql_tells_what_it_did_not_read(tmp_path: Path) -> None:
    count = ("--sql", "select count(*) from records")
    path = write(tmp_path / "a.log", (GOOD * 3 + BAD) * 50 + "no time and no status\n" * 100)
    answer = ask("logs", str(path), *count)
    assert (answer.status, answer.out.split()[-1]) == (2, "200")
    assert answer.err.startswith("why502: 100 of 300 lines match no known format\n")
    cut = tmp_path / "cut.log.gz"
    cut.write_bytes(gzip.compress(lines(2000, odd=False))[:-2000])
    answer = ask("logs", str(cut), "--log-format", TIMED, *count)
    assert 0 < int(answer.out.split()[-1]) < 2000
    assert "damaged or truncated" in answer.err
    cut.write_bytes(b"\x1f\x8b\x08damaged")
    answer = ask("logs", str(cut), *count)
    assert (answer.status, bool(TWO_LINES.fullmatch(answer.err)), answer.out) == (2, True, "")


def test_sql_reads_standard_input_and_parquet_refuses_it(tmp_path: Path) -> None:
    argv = [*PROGRAM, "logs", "-", "--sql", "select count(*) from records"]
    done = subprocess.run(argv, input=GOOD * 5 + BAD, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "6")
    answer = ask("logs", "-", "--parquet", str(tmp_path / "records"))
    assert (answer.status, bool(TWO_LINES.fullmatch(answer.err)), answer.out) == (2, True, "")


@pytest.mark.parametrize("option", ["no_such_field=1", "no_such_field!=1"])
def test_a_condition_on_a_field_that_no_line_has_is_rejected(tmp_path: Path, option: str) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    answer = ask("logs", str(path), "--where", "status=502", "--where", option)
    assert (answer.status, bool(TWO_LINES.fullmatch(answer.err)), answer.out) == (2, True, "")
    assert "no_such_field" in answer.err


def test_a_field_that_some_lines_have_is_no_mistake(tmp_path: Path) -> None:
    line = '{"time":"2026-11-20T10:00:00Z","status":502,"request_method":"GET","request_uri":"/","remote_addr":"10.0.0.1"%s}\n'
    path = write(tmp_path / "a.log", line % "" * 3 + line % ',"peer":{"zone":"b"}')
    answer = ask("logs", str(path), "--where", "peer.zone=a")
    assert (answer.status, answer.err) == (0, "")


def test_a_condition_that_no_line_meets_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    answer = ask("logs", str(path), "--where", "status=599")
    assert (answer.status, answer.out.splitlines()[0]) == (0, "0 of 4 lines match status=599")


@pytest.mark.parametrize("options", [(), ("--where", "status=502")])
def test_a_log_of_no_known_format_is_not_called_an_error_log(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.log", "no time and no status\n" * 5)
    answer = ask("logs", str(path), *options)
    assert (answer.status, answer.out.splitlines()[0]) == (2, "0 of 5 lines match a known format")


def test_a_table_of_any_field(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", GOOD * 3 + BAD)
    answer = ask("logs", str(path), "--by", "path", "--where", "failed=true", "--format", "json")
    found = json.loads(answer.out)
    assert (found["by"], found["where"], len(found["rows"])) == ("path", ["failed=true"], 1)
    assert found["rows"][0]["failures"] == found["failures"] == 1
