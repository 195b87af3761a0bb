"""The compiled reader counts what Python counts, line for line."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled

from tests.logs.scan.summing import count, plain, reported
from tests.logs.scan.written import JSON_FORMAT, START, TIMED, json_lines, lines, written
from why502.gateways.nginx.logs.log_format import COMBINED, MAIN
from why502.logs import native
from why502.logs.native import layout
from why502.logs.scan import engine, part, reading
from why502.logs.scan.line_format import find, of_format
from why502.logs.scan.work import ScanQuery

DIRECTORY = Path(native.__file__).parent
ROOT = Path(__file__).parents[3]


def both(path: Path, log_format: str, ask: ScanQuery, escape: str = "default", cuts: tuple[int, ...] = ()) -> None:
    """Assert that the compiled reader and Python count the same."""
    form = of_format(log_format, escape)
    slow = count(path, form, ScanQuery(**{**_values(ask), "is_fast": False}))
    assert plain(count(path, form, ask, cuts)) == {**plain(slow), "fields": plain(count(path, form, ask))["fields"]}
    assert plain(count(path, form, ask))["fields"] >= slow.fields or not slow.lines


def _values(ask: ScanQuery) -> dict[str, object]:
    return {name: getattr(ask, name) for name in ask.__struct_fields__}


@pytest.mark.parametrize("is_exact", [False, True])
@pytest.mark.parametrize("log_format", sampled([TIMED, TIMED + " $request_time", COMBINED], 2))
def test_counts_like_python(tmp_path: Path, log_format: str, is_exact: bool) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(3000))
    both(path, log_format, ScanQuery(is_exact=is_exact))


def test_counts_only_the_window(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(2000, odd=False))
    at = int(START.timestamp())
    both(path, TIMED, ScanQuery(since=at + 30, until=at + 90))


def test_counts_the_same_however_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    content = lines(800)
    path.write_bytes(content)
    form, whole = of_format(TIMED), None
    for cuts in (
        (),
        (1,),
        (len(content) // 2,),
        tuple(range(100, len(content), 7777)),
        (content.index(b"\n"), content.index(b"\n") + 1),
    ):
        found = plain(count(path, form, ScanQuery(), cuts))
        found.pop("unparsed_first")  # tells the part
        if whole is not None:
            assert {key: value for key, value in found.items() if value != whole[key]} == {}
        whole = found


def test_reads_json(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(json_lines(500))
    both(path, JSON_FORMAT, ScanQuery(), "json")
    found = count(path, of_format(JSON_FORMAT, "json"), ScanQuery())
    assert found.unparsed == 0
    assert sum(found.servers.total.values()) == 500


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 10_000))
def test_reads_any_bytes_like_python(tmp_path_factory: pytest.TempPathFactory, noise: bytes, seed: int) -> None:
    good = lines(3, seed, odd=False)
    at = seed % len(good)
    path = tmp_path_factory.mktemp("noise") / "access.log"
    path.write_bytes(good[:at] + noise.replace(b"\n", b" ") + good[at:])
    both(path, TIMED, ScanQuery())


_SWAPPED = (
    "$status [$time_local] $upstream_status $upstream_addr $request_time $upstream_response_time $remote_addr "
    "$body_bytes_sent $request"
)
_APART = "$msec $upstream_addr $upstream_status $request_method $request_uri $status $host $remote_addr"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))])
@pytest.mark.parametrize(
    "log_format",
    sampled([COMBINED, MAIN, TIMED, f"{TIMED} $request_time", f"{MAIN} $upstream_addr $upstream_status", _SWAPPED, _APART], 4),
)
def test_reads_changed_lines_like_python(tmp_path: Path, log_format: str, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(written(log_format, rng) + b"\n" for _ in range(400)))
    both(path, log_format, ScanQuery())


@pytest.mark.thorough
def test_failures_only_counts_the_failures_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(3000, odd=False))
    form = of_format(TIMED)
    whole = count(path, form, ScanQuery())
    for only, wanted in (("failures", lambda status: status >= 500 or status == 499), ("5xx", lambda status: status >= 500)):
        found = count(path, form, ScanQuery(only=only))
        assert found.outcomes == {outcome: minutes for outcome, minutes in whole.outcomes.items() if wanted(outcome.status)}
        assert plain(found) == plain(count(path, form, ScanQuery(only=only, is_fast=False)))


@pytest.mark.parametrize(
    "log_format", ["$remote_addr$request", "$request $time_local", "$status $request", "$status$time_local $request"]
)
def test_leaves_formats_that_it_cannot_part(log_format: str) -> None:
    assert next(layout.of_form(of_format(log_format)), None) is None


@pytest.mark.thorough
def test_many_strings_do_not_fit_at_once_and_are_all_counted(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with path.open("w") as file:
        for number in range(300_000):
            file.write(
                f'{number >> 16}.{number >> 8 & 255}.{number & 255}.1 - - [20/Nov/2026:00:00:00 +0000] "GET / '
                f'HTTP/1.1" 200 1 "-" "-"\n'
            )
    found = count(path, of_format(COMBINED), ScanQuery(is_exact=True))
    assert (found.lines, found.unparsed, len(found.clients.total)) == (300_000, 0, 300_000)


@pytest.fixture
def making(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return what makes a target of the reader's Makefile, in a copy of its source."""
    shutil.copytree(DIRECTORY / "src", tmp_path / "src")
    shutil.copy(DIRECTORY / "Makefile", tmp_path)

    def make(target: str) -> subprocess.CompletedProcess[str]:
        arm64 = ""
        if "aarch64" in target:
            arm64 = subprocess.run([ROOT / "scripts" / "rust-arm64"], capture_output=True, text=True, check=True).stdout.strip()
        argv = ["make", "-C", str(tmp_path), f"ARM64={arm64}", target]
        done = subprocess.run(argv, check=False, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done

    return make


@pytest.mark.real
@pytest.mark.parametrize("name", ["reader-x86_64.so.1", "reader-aarch64.so.1"])
def test_is_what_its_source_makes(tmp_path: Path, name: str, making: Callable[[str], object]) -> None:
    version = subprocess.run(["/usr/bin/rustc", "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("rustc 1.63.0"), "the reader is kept as the compiler of Debian 12 makes it"
    making(name)
    assert (tmp_path / name).read_bytes() == (DIRECTORY / name).read_bytes()


@pytest.mark.real
@pytest.mark.parametrize("target", ["check-x86_64", "check-aarch64"])
def test_its_own_tests_pass_and_clippy_finds_nothing(
    target: str, making: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    assert "test result: ok." in making(target).stdout


def test_a_bug_of_the_reader_costs_its_speed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(500, odd=False))
    right = reported(path, given=of_format(TIMED), which=engine.threads)

    def fails(self: native.Reader, length: int) -> list[tuple[int, int]]:
        raise native.ReaderError("it failed")

    made = next(layout.of_form(of_format(TIMED)))
    monkeypatch.setattr(part.Layouts, "of", lambda _self, _form, ask, _zone, _sample: made if ask.is_fast else None)
    monkeypatch.setattr(native.Reader, "scan", fails)
    found = reported(path, given=of_format(TIMED), which=engine.threads)
    assert (found.requests, found.failures, found.minutes) == (right.requests, right.failures, right.minutes)
    assert found.requests == 500


_IIS = (
    "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n"
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken\n"
)


def test_reads_w3c_lines_like_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IIS parts values by spaces, and tells milliseconds; lines that are odd go to Python."""
    path = tmp_path / "u_ex260304.log"
    line = "2026-03-04 05:{:02}:07 10.0.0.5 GET /api/{} {} 443 - 203.0.113.{} Mozilla/5.0+(X11) - {} 3 12002 {}\n"
    text = "".join(
        line.format(n % 60, n % 7, "-" if n % 3 else "q=1", n % 90, 502 if n % 9 == 0 else 200, n * 11) for n in range(400)
    )
    odd = ("-", "1.5", "", "9" * 12, "12x", "-3")
    path.write_text(_IIS + text + "".join(line.format(59, 0, "-", 1, 502, took) for took in odd))
    form = find(path.read_bytes())
    slow, left = count(path, form, ScanQuery(is_fast=False, is_exact=True)), []
    monkeypatch.setattr(reading.Reader, "_line", _noting(left))
    assert plain(count(path, form, ScanQuery(is_exact=True))) == plain(slow)
    assert slow.lines == 400 + len(odd)
    assert not any(raw.decode() in text for raw in left)


def _noting(left: list[bytes]) -> Callable[[reading.Reader, bytes, int], None]:
    """Return `_line`, which also takes note of the lines that it is given."""
    line = reading.Reader._line

    def noted(self: reading.Reader, raw: bytes, start: int) -> None:
        left.append(raw)
        line(self, raw, start)

    return noted
