"""One failure that both logs tell counts once among the causes, with the error log's reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from scan.summing import reported

from why502.logs.scan import engine
from why502.logs.scan.line_format import Form
from why502.logs.scan.part import Session
from why502.logs.scan.work import Part, ScanQuery

PURE = ScanQuery(is_fast=False, is_exact=True)
APACHE = (
    "[Wed Mar 04 05:06:07.000101 2026] [proxy:error] [pid 2501:tid 17] (111)Connection refused: AH00957: http: "
    "attempt to connect to "
    "10.0.0.11:8080 (10.0.0.11:8080) failed\n"
    "[Wed Mar 04 05:06:07.000149 2026] [proxy_http:error] [pid 2501:tid 17] [client 192.0.2.7:52634] AH01114: HTTP: "
    "failed to make "
    "connection to backend: 10.0.0.11\n"
)
READ = (
    "[Wed Mar 04 05:06:08.000101 2026] [proxy_http:error] [pid 2501:tid 18] (70007)The timeout specified has expired: "
    "[client 192.0.2.7:52635] AH01102: error reading status line from remote server 10.0.0.11:8080\n"
    "[Wed Mar 04 05:06:08.000117 2026] [proxy:error] [pid 2501:tid 18] [client 192.0.2.7:52635] AH00898: Error "
    "reading from remote "
    "server returned by /a\n"
)
OLD = (
    "[Wed Mar 04 05:06:08 2026] [error] [client 192.0.2.7] (70007)The timeout specified has expired: proxy: error "
    "reading status line "
    "from remote server 10.0.0.11:8080\n"
    "[Wed Mar 04 05:06:08 2026] [error] [client 192.0.2.7] proxy: Error reading from remote server returned by /a\n"
)
NGINX = (
    "2026/03/04 05:06:07 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    "client: 1.2.3.4, "
    'server: x, request: "GET /a HTTP/1.1", upstream: "http://10.0.0.11:8080/a", host: "x"\n'
)
ABSENT = (
    '2026/03/04 05:06:07 [error] 7#7: *2 open() "/srv/www/favicon.ico" failed (2: No such file or directory), client: 1.2.3.4, '
    'server: x, request: "GET /favicon.ico HTTP/1.1", host: "x"\n'
)
COMBINED = '192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "GET /a HTTP/1.1" {} 157 "-" "curl/8.5.0"\n'
KEYS = 'time=2026-03-04T05:06:07+00:00 client=1.2.3.4 request="GET /a HTTP/1.1" status={} uaddr="{}" ustatus="{}" rt=0.001\n'


@pytest.mark.parametrize(("text", "symptom"), [(APACHE, "connect-refused"), (READ, "read-timed-out"), (OLD, "read-timed-out")])
def test_both_lines_of_an_apache_failure_are_one(tmp_path: Path, text: str, symptom: str) -> None:
    path = tmp_path / "error.log"
    path.write_text(text * 3)
    found = reported(path, ask=PURE)
    assert [(row.symptom, row.count, row.targets) for row in found.causes] == [(symptom, 3, {"10.0.0.11:8080": 3})]
    assert (found.failures, found.lines, found.unparsed) == (3, 6, 0)


@pytest.mark.parametrize("order", [("error.log", "access.log"), ("access.log", "error.log")])
def test_a_failure_in_both_logs_has_the_reason_of_the_error_log(tmp_path: Path, order: tuple[str, str]) -> None:
    (tmp_path / "error.log").write_text(NGINX * 4)
    (tmp_path / "access.log").write_text(COMBINED.format(502) * 4 + COMBINED.format(200) * 5)
    found = reported(*(tmp_path / name for name in order), ask=PURE)
    assert [(row.symptom, row.count, row.source) for row in found.causes] == [("connect-refused", 4, "error")]
    assert (found.requests, found.failures) == (9, 4)


def test_what_the_error_log_does_not_tell_remains(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_text(NGINX * 3)
    access = [KEYS.format(502, "10.0.0.11:8080", 502)] * 4 + [KEYS.format(502, "10.0.0.12:8080", 502)] * 2
    later = KEYS.format(502, "10.0.0.11:8080", 502).replace("05:06:07", "05:30:07")
    (tmp_path / "access.log").write_text("".join([*access, later, *[KEYS.format(200, "10.0.0.11:8080", 200)] * 3]))
    found = reported(tmp_path / "error.log", tmp_path / "access.log", ask=PURE)
    assert {(row.source, row.count) for row in found.causes} == {("error", 3), ("access", 4)}
    bare = next(row for row in found.causes if row.source == "access")
    assert bare.targets == {"10.0.0.11:8080": 2, "10.0.0.12:8080": 2}
    assert found.failures == 7


def failing(second: int, *, client: str = "1.2.3.4", target: str = "10.0.0.11:8080") -> tuple[str, str]:
    """Return the error line and the access line of one request."""
    return (
        NGINX.replace("05:06:07", f"05:06:{second:02d}").replace("1.2.3.4", client).replace("10.0.0.11:8080", target),
        KEYS.format(502, target, 502).replace("05:06:07", f"05:06:{second:02d}").replace("1.2.3.4", client),
    )


def test_the_lines_of_a_request_are_joined_by_client_and_request_not_by_target_alone(tmp_path: Path) -> None:
    """Two failures of one target in one minute, of which the error log of another server tells one: the other one remains."""
    error, access = failing(7)
    _, other = failing(8, client="1.2.3.5")
    (tmp_path / "error.log").write_text(error)
    (tmp_path / "access.log").write_text(other + access)
    found = reported(tmp_path / "error.log", tmp_path / "access.log", ask=PURE)
    assert {(row.source, row.symptom, row.count) for row in found.causes} == {
        ("error", "connect-refused", 1),
        ("access", "gateway-status", 1),
    }
    assert (found.requests, found.failures) == (2, 2)


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_lines_of_a_request_are_joined_across_the_seams_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool, jobs: int
) -> None:
    """Each log is cut into many parts, so that most requests have their two lines in parts that different threads read."""
    monkeypatch.setattr("why502.logs.scan.plan.SMALLEST", 2000)
    pairs = [failing(number % 60, client=f"10.1.{number // 200}.{number % 200}") for number in range(600)]
    (tmp_path / "error.log").write_text("".join(error for error, _ in pairs[:500]))
    (tmp_path / "access.log").write_text(
        "".join(access + access.replace("=502", "=200").replace('"502"', '"200"') for _, access in pairs)
    )
    ask = ScanQuery(is_fast=is_fast, is_exact=True)
    found = reported(tmp_path / "error.log", tmp_path / "access.log", ask=ask, jobs=jobs, which=engine.threads)
    assert {(row.source, row.symptom, row.count) for row in found.causes} == {
        ("error", "connect-refused", 500),
        ("access", "gateway-status", 100),
    }
    assert (found.requests, found.failures) == (1200, 600)


def test_of_an_error_log_beside_an_access_log_only_lines_of_failed_requests_are_left_to_python(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text((ABSENT + NGINX) * 50)
    session = Session(ScanQuery(most_held=1000))
    session.read(Part(path=str(path), form=Form(name="nginx_error"), end=path.stat().st_size))
    assert session.counts.lines == 50
    counts = session.total()
    assert (counts.lines, len(counts.errors)) == (100, 50)
    assert {said.symptom: heard.minutes.total() for said, heard in counts.messages.items() if said.is_failure} == {
        "connect-refused": 50
    }
