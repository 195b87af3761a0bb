"""What a limit refused counts as refused, with the status that the configuration gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.diagnosis.engine import diagnose
from why502.host.directory import DirectoryHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.config import Position, Route, Setting
from why502.model.finding import Finding, Verdict
from why502.model.logs import LogSummary, Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
FORMATS = {COMBINED: '"-" "curl"', f'{COMBINED} "$upstream_addr" "$upstream_status"': '"-" "curl" "-" "-"'}
SAYS = {"limit_req": 'limiting requests, excess: 20.430 by zone "one"', "limit_conn": 'limiting connections by zone "one"'}


def read(
    tmp_path: Path, status: int, *, format: str = COMBINED, message: str = SAYS["limit_req"], level: str = "error"
) -> LogSummary:
    """Return what logs tell of ten requests that were refused, and as many that were served."""
    errors, access = [], []
    for n in range(10):
        at = NOW - timedelta(seconds=100 - n)
        errors.append(
            f"{at:%Y/%m/%d %H:%M:%S} [{level}] 7#7: *{n} {message}, client: 10.0.0.{n}, server: shop, "
            'request: "GET /api HTTP/1.1", host: "shop"\n'
        )
        for address, path, answer in ((f"10.0.0.{n}", "/api", status), (f"10.0.1.{n}", "/ok", 200)):
            access.append(f'{address} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {answer} 157 {FORMATS[format]}\n')
    (tmp_path / "error.log").write_text("".join(errors) if message else "")
    (tmp_path / "access.log").write_text("".join(access))
    logs = [
        LogInput(path="/error.log", kind="error"),
        LogInput(path="/access.log", kind="access", format=format),
    ]
    return summarise(DirectoryHost(str(tmp_path)), logs, NOW - timedelta(minutes=15), NOW)[0]


def look(logs: LogSummary, **settings: tuple[str, ...]) -> tuple[Verdict, Finding | None]:
    """Return the verdict on a machine whose only route has these settings, and its first finding."""
    at = Position(file="/etc/nginx/nginx.conf", line=5)
    given = {name: (Setting(args=args, at=at),) for name, args in settings.items()}
    proxy = Proxy(pid=10, routes=(Route(server="shop", location="/api", at=at, settings=given),), config=at.file)
    found = diagnose(Snapshot(taken_at=NOW, since=NOW - timedelta(minutes=15), logs=logs, proxies=(proxy,)))
    return found.verdict, found.findings[0] if found.findings else None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", SAYS)
@pytest.mark.parametrize("status", [503, 429, 444])
def test_refusals_have_the_status_that_the_client_got(tmp_path: Path, status: int, name: str, format: str) -> None:
    logs = read(tmp_path, status, format=format, message=SAYS[name])
    assert [(tally.symptom, tally.status, tally.count) for tally in logs.tallies] == [(Symptom.RATE_LIMITED, status, 10)]
    words = ("zone=one", "burst=5") if name == "limit_req" else ("one", "5")
    verdict, first = look(logs, **{name: words, f"{name}_status": (str(status),)})
    assert first is not None
    assert (verdict, first.cause, first.statuses, first.failures) == (Verdict.PROBLEM, "rate-limited", (status,), 10)
    assert any(f"rejects with {status}" in item.message for item in first.evidence)


def test_the_default_is_told_where_nobody_set_a_status(tmp_path: Path) -> None:
    _, first = look(read(tmp_path, 503), limit_req=("zone=one",))
    assert first is not None
    assert any("limit_req of zone one rejects with 503" in item.message for item in first.evidence)
    _, other = look(read(tmp_path, 503), limit_req=("zone=two",))
    assert other is not None
    assert not any("rejects with" in item.message for item in other.evidence)


def test_a_limit_that_logs_nothing_is_found_by_its_status(tmp_path: Path) -> None:
    with_upstream = next(format for format in FORMATS if "upstream" in format)
    quiet = {"limit_req": ("zone=one",), "limit_req_log_level": ("notice",)}
    logs = read(tmp_path, 503, format=with_upstream, message="")
    _, first = look(logs, **quiet)
    assert first is not None
    assert (first.cause, first.confidence >= 0.5) == ("rate-limited", True)
    _, other = look(logs, **quiet, limit_req_status=("509",))
    assert other is None or other.cause != "rate-limited"


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ('delaying request, excess: 0.9, by zone "one"', "warn"),
        ('limiting requests, dry run, excess: 0.9, by zone "one"', "error"),
        ('limiting connections, dry run, by zone "one"', "error"),
    ],
)
def test_what_is_only_delayed_or_tried_is_no_problem(tmp_path: Path, message: str, level: str) -> None:
    verdict, first = look(read(tmp_path, 200, message=message, level=level), limit_req=("zone=one",))
    assert (verdict is Verdict.PROBLEM, first) == (False, None)
