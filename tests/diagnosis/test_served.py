"""If most clients are rejected, that finding comes first. Scanners, robots and a few errors do not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sampled import sampled

import why502
from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.host.offline import OfflineHost
from why502.model.finding import ASSERTED, Diagnosis, Verdict
from why502.render import html, markdown, terminal
from why502.render.words import Terminal, headlines

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
CONFIG = """events {}
http {
    server {
        listen 80;
        server_name shop.example;
        location / { proxy_pass http://127.0.0.1:3000; }
        location /api/ { proxy_pass http://127.0.0.1:3001; }
        location /private/ { deny all; proxy_pass http://127.0.0.1:3000; }
        location /ws/ { proxy_pass http://127.0.0.1:3002; }
        location /static/ { root /srv; }
    }
}
"""
Answered = tuple[str, int, int, int]  # request, status, number of requests, number of clients
PAGES: list[Answered] = [("GET /", 200, 200, 50), ("GET /item/%d", 200, 100, 50), ("POST /api/cart", 200, 50, 20)]
SCANNED = [
    "/wp-login.php",
    "/.env",
    "/admin/config.php",
    "/cgi-bin/luci",
    "/vendor/phpunit/x",
    "/a%d",
    "/b%d",
    "/c%d",
    "/xmlrpc.php",
]


def diagnosed(directory: Path, answers: list[Answered], *, errors: str = "", config: str = CONFIG) -> Diagnosis:
    """Return the diagnosis of a log whose responses are mixed evenly over the last 14 minutes."""
    lines = []
    for request, status, count, clients in answers:
        for number in range(count):
            at = NOW - timedelta(minutes=14) + timedelta(minutes=13) * (number / count)
            line = request.replace("%d", str(number) + "xyz")
            lines.append(
                (at, f'10.0.0.{number % clients} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "{line} HTTP/1.1" {status} 10 "-" "Mozilla"')
            )
    (directory / "access.log").write_text("".join(f"{line}\n" for _, line in sorted(lines)))
    (directory / "error.log").write_text(errors)
    (directory / "nginx.conf").write_text(config)
    ask = CollectOptions(
        configs=(f"{directory}/nginx.conf",),
        logs=(f"{directory}/access.log", f"{directory}/error.log"),
        probes=False,
        offline=True,
    )
    host = OfflineHost(LocalHost(), (*ask.configs, *ask.logs))
    return why502.diagnose(collect(host, NOW, NOW - timedelta(minutes=15), NOW, ask), offline=True)


@pytest.mark.parametrize(
    ("answers", "expected"),
    sampled(
        [
            (
                [("GET /api/list", 500, 40, 9), ("GET /", 200, 200, 9)],
                "40 of 40 requests to shop.example, location /api/ with 500",
            ),
            ([("GET /api/list", 500, 6, 1)], "6 of 6 requests to shop.example, location /api/ with 500"),
            (
                [("GET /api/list", 500, 30, 9), ("GET /api/other", 200, 90, 9)],
                "30 of 120 requests to shop.example, location /api/ with 500",
            ),
            ([*PAGES, ("GET /report", 500, 12, 4)], "12 of 12 requests to shop.example, location / with 500"),
            ([("GET /api/user/%d", 404, 40, 9), ("GET /api/list", 404, 60, 9), ("GET /", 200, 90, 9)], "rejected with 404"),
            (
                [("GET /", 403, 50, 9), ("GET /api/list", 200, 90, 9)],
                "50 of 50 requests to shop.example, location / are rejected with 403",
            ),
            ([("POST /api/list", 400, 30, 3)], "30 of 30 requests to shop.example, location /api/ are rejected with 400"),
            ([*PAGES, ("GET /ws/", 400, 12, 4)], "WebSockets do not open: 12 of 12 requests"),
            ([*PAGES, ("GET /ws/", 426, 29, 1), ("GET /ws/", 101, 25, 1)], "WebSockets do not open: 29 of 54 requests"),
            ([*PAGES, ("GET /ws/", 426, 8, 4), ("GET /ws/", 101, 1, 4)], "WebSockets do not open: 8 of 9 requests"),
        ],
        4,
    ),
)
def test_clients_that_are_mostly_refused_come_first(tmp_path: Path, answers: list[Answered], expected: str) -> None:
    diagnosis = diagnosed(tmp_path, answers)
    assert diagnosis.verdict is not Verdict.HEALTHY
    assert expected in headlines(diagnosis)[0]
    for shown in (terminal.render(diagnosis, Terminal()), markdown.render(diagnosis, Terminal())):
        assert "shop.example" in shown.split("\n\n")[0]
    assert "shop.example" in html.render(diagnosis, Terminal()).partition("</h1>")[0]


@pytest.mark.parametrize(
    ("answers", "target"),
    [
        ([("GET /api/list", 500, 40, 9), ("GET /", 200, 200, 9)], "127.0.0.1:3001"),
        ([*PAGES, ("GET /report", 500, 12, 4)], "127.0.0.1:3000"),
        ([("GET /api/list", 500, 12, 1), ("GET /api/other", 200, 40, 9)], "127.0.0.1:3001"),
    ],
)
def test_an_application_that_answers_with_errors_is_the_cause(tmp_path: Path, answers: list[Answered], target: str) -> None:
    diagnosis = diagnosed(tmp_path, answers)
    assert diagnosis.verdict is Verdict.PROBLEM
    assert [(one.cause, str(one.target)) for one in diagnosis.findings] == [("application-error", target)]
    assert diagnosis.findings[0].confidence > 0.7
    assert len(headlines(diagnosis)) == 1, "the check and the finding say the same"
    assert diagnosis.findings[0].message in headlines(diagnosis)[0]


def test_a_path_that_no_client_gets_is_not_healthy(tmp_path: Path) -> None:
    """A malformed or an oversized request: 400 does not tell which, or whose limit it is."""
    diagnosis = diagnosed(tmp_path, [("GET /", 200, 60, 20), ("GET /offers", 400, 40, 9)])
    assert diagnosis.verdict is Verdict.UNKNOWN
    assert (
        "40 of 40 requests to shop.example, location / are rejected with 400, most often GET /offers" in headlines(diagnosis)[0]
    )


def test_responses_of_the_proxy_itself_are_not_application_errors(tmp_path: Path) -> None:
    at = NOW - timedelta(minutes=2)
    line = (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *1 rewrite or internal redirection cycle while internally redirecting "
        f'to "/index.html",'
        ' client: 10.0.0.1, server: shop.example, request: "GET /x HTTP/1.1", host: "shop.example"\n'
    )
    diagnosis = diagnosed(tmp_path, [("GET /x", 500, 30, 5)], errors=line)
    assert [one.cause for one in diagnosis.findings if one.confidence >= ASSERTED] == ["rewrite-cycle"]


def test_an_error_of_one_page_that_has_ended_is_not_asserted(tmp_path: Path) -> None:
    diagnosed(tmp_path, [("GET /api/list", 500, 40, 9)])
    lines = (tmp_path / "access.log").read_text()
    at = NOW - timedelta(seconds=20)
    served = f'10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /api/list HTTP/1.1" 200 10 "-" "Mozilla"\n'
    (tmp_path / "access.log").write_text(lines + served)
    ask = CollectOptions(configs=(f"{tmp_path}/nginx.conf",), logs=(f"{tmp_path}/access.log",), probes=False, offline=True)
    host = OfflineHost(LocalHost(), (*ask.configs, *ask.logs))
    later = why502.diagnose(collect(host, NOW, NOW - timedelta(minutes=15), NOW, ask), offline=True)
    assert all(one.confidence < ASSERTED for one in later.findings)


@pytest.mark.parametrize(("asked", "limit"), [(3_145_728, "4m"), (900 << 30, ""), (0, "")])
def test_uploads_that_are_too_large_are_the_answer(tmp_path: Path, asked: int, limit: str) -> None:
    """The limit that is proposed fits the largest of them. Any client can claim any size: a huge one is a person's decision."""
    at = NOW - timedelta(minutes=2)
    line = (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *1 client intended to send too large body: {asked} bytes, client: 10.0.0.1, "
        'server: shop.example, request: "POST /upload HTTP/1.1", host: "shop.example"\n'
    )
    answers = [*PAGES, ("POST /upload", 413, 8, 4), ("POST /upload", 200, 2, 4)]
    diagnosis = diagnosed(tmp_path, answers, errors=line if asked else "")
    assert diagnosis.verdict is Verdict.PROBLEM
    (finding,) = diagnosis.findings
    assert (finding.cause, finding.target, finding.confidence > 0.9) == ("request-too-large", None, bool(asked))
    assert any(f"client_max_body_size {limit}" in remedy.message and remedy.steps for remedy in finding.remedies) is bool(limit)
    (check,) = [check for check in diagnosis.checks if check.id == "client-limits"]
    assert check.status == "warn"
    assert check.detail.startswith(
        "8 of 10 requests to shop.example, location / exceed a limit and are answered 413, most often POST /upload"
    )
    assert finding.message in headlines(diagnosis)[0]


def test_a_few_uploads_that_never_succeeded_are_reported_on_a_healthy_day(tmp_path: Path) -> None:
    diagnosis = diagnosed(tmp_path, [*PAGES, ("POST /", 413, 21, 4)])
    assert diagnosis.verdict is Verdict.HEALTHY
    (check,) = [check for check in diagnosis.checks if check.id == "client-limits"]
    assert check.detail.startswith("21 of 21 requests to shop.example, location / exceed a limit")


def test_many_requests_over_a_limit_are_not_healthy(tmp_path: Path) -> None:
    assert diagnosed(tmp_path, [*PAGES, ("POST /", 413, 200, 4)]).verdict is not Verdict.HEALTHY


def test_the_last_error_of_the_application_is_reported(tmp_path: Path) -> None:
    at = NOW - timedelta(minutes=2)
    message = "PHP message: PHP Fatal error:  Uncaught Error: Call to undefined function cart() in /srv/cart.php:3"
    line = (
        f'{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *1 FastCGI sent in stderr: "{message}" while reading response header '
        f"from upstream, client: 10.0.0.1,"
        ' server: shop.example, request: "GET /x.php HTTP/1.1", upstream: "fastcgi://127.0.0.1:9000", host: "shop.example"\n'
    )
    config = CONFIG.replace("location /static/ { root /srv; }", "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }")
    diagnosis = diagnosed(tmp_path, [("GET /x.php", 500, 30, 5)], errors=line, config=config)
    assert any("30 of 30 requests" in each and "undefined function cart" in each for each in headlines(diagnosis))


def test_a_resolved_failure_is_reported_as_resolved(tmp_path: Path) -> None:
    diagnosis = diagnosed(tmp_path, [("GET /api/list", 500, 40, 9)])
    assert "resolved" not in headlines(diagnosis)[0]
    lines = (tmp_path / "access.log").read_text()
    at = NOW - timedelta(seconds=20)
    (tmp_path / "access.log").write_text(
        f'{lines}10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /api/list HTTP/1.1" 200 10 "-" "Mozilla"\n'
    )
    ask = CollectOptions(configs=(f"{tmp_path}/nginx.conf",), logs=(f"{tmp_path}/access.log",), probes=False, offline=True)
    host = OfflineHost(LocalHost(), (*ask.configs, *ask.logs))
    later = why502.diagnose(collect(host, NOW, NOW - timedelta(minutes=15), NOW, ask), offline=True)
    assert "(resolved)" in headlines(later)[0]


@pytest.mark.parametrize(
    "answers",
    sampled(
        [
            pytest.param([(f"GET {path}", 404, 12, 12) for path in SCANNED], id="scanners-alone"),
            pytest.param([*PAGES, *((f"GET {path}", 404, 100, 12) for path in SCANNED)], id="more-scanners-than-clients"),
            pytest.param(
                [*PAGES, ("GET /wp-login.php", 403, 500, 40), ("POST /xmlrpc.php", 403, 500, 40)], id="robots-that-log-in"
            ),
            pytest.param([*PAGES, ("GET /favicon.ico", 404, 90, 40), ("GET /robots.txt", 404, 30, 9)], id="no-icon"),
            pytest.param([("GET /", 200, 2, 1), ("GET /item/%d", 404, 150, 30)], id="gone-pages"),
            pytest.param([*PAGES, ("GET /private/", 403, 90, 9)], id="denied-by-a-rule"),
            pytest.param([*PAGES, ("GET /static/a.css", 404, 90, 9)], id="a-missing-file"),
            pytest.param([*PAGES, ("GET /account", 401, 300, 30)], id="not-logged-in"),
            pytest.param([*PAGES, ("POST /api/cart", 400, 9, 9), ("POST /api/cart", 422, 20, 9)], id="mistakes"),
            pytest.param([*PAGES, ("POST /upload", 413, 2, 1), ("POST /upload", 200, 2, 1)], id="one-large-file"),
            pytest.param([*PAGES, ("POST /upload", 413, 4, 4)], id="few-large-files"),
            pytest.param([*PAGES, ("GET /api/list", 500, 3, 3)], id="few-errors"),
            pytest.param([*PAGES, ("GET /api/x", 500, 9, 1), ("GET /api/y", 200, 90, 9)], id="one-bad-page"),
            pytest.param([*PAGES, ("GET /report", 500, 9, 9), ("GET /report", 200, 30, 9)], id="one-page-fails-now-and-then"),
            pytest.param([*PAGES, ("GET /ws/", 101, 40, 9), ("GET /ws/", 400, 6, 6)], id="websockets-and-robots"),
            pytest.param([*PAGES, ("\\x16\\x03\\x01", 400, 200, 20), ("", 400, 50, 9)], id="not-http"),
            pytest.param([*PAGES, ("GET /api/list", 429, 900, 9)], id="limited-robots"),
            pytest.param(
                [*PAGES, ("GET /api/list", 304, 900, 9), ("GET /old", 301, 90, 9), ("GET /old2", 410, 90, 9)], id="moved"
            ),
        ],
        4,
    ),
)
def test_scanners_robots_and_mistakes_are_healthy(tmp_path: Path, answers: list[Answered]) -> None:
    diagnosis = diagnosed(tmp_path, answers)
    assert (diagnosis.verdict, diagnosis.findings) == (Verdict.HEALTHY, ()), headlines(diagnosis)


def test_recent_failures_are_reported_although_most_of_the_window_was_healthy(tmp_path: Path) -> None:
    lines = []
    for second in range(800):
        at = NOW - timedelta(seconds=820 - second)
        status = 200 if second < 740 else 500
        lines.append(
            f'10.0.0.{second % 9} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /api/list HTTP/1.1" {status} 10 "-" "Mozilla"\n'
        )
    diagnosis = diagnosed(tmp_path, [("GET /", 200, 900, 9)])
    assert diagnosis.verdict is Verdict.HEALTHY
    (tmp_path / "access.log").write_text("".join(lines))
    ask = CollectOptions(configs=(f"{tmp_path}/nginx.conf",), logs=(f"{tmp_path}/access.log",), probes=False, offline=True)
    host = OfflineHost(LocalHost(), (*ask.configs, *ask.logs))
    now = why502.diagnose(collect(host, NOW, NOW - timedelta(minutes=15), NOW, ask), offline=True)
    assert "60 of 800 requests to shop.example, location /api/ with 500" in headlines(now)[0]


def in_turn(directory: Path, phases: list[list[Answered]]) -> Diagnosis:
    """Return the diagnosis of a log with phases of four minutes each, one after another."""
    lines = []
    for phase, answers in enumerate(phases):
        begin = NOW - timedelta(minutes=14 - 4 * phase)
        for request, status, count, clients in answers:
            for number in range(count):
                at = begin + timedelta(minutes=4) * (number / count)
                who = f"10.0.0.{number % clients}"
                lines.append((at, f'{who} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "{request} HTTP/1.1" {status} 10 "-" "Mozilla"\n'))
    (directory / "access.log").write_text("".join(line for _, line in sorted(lines)))
    (directory / "nginx.conf").write_text(CONFIG)
    ask = CollectOptions(configs=(f"{directory}/nginx.conf",), logs=(f"{directory}/access.log",), probes=False, offline=True)
    host = OfflineHost(LocalHost(), (*ask.configs, *ask.logs))
    return why502.diagnose(collect(host, NOW, NOW - timedelta(minutes=15), NOW, ask), offline=True)


SHOP = [("GET /", 200, 100, 9), ("GET /offers", 200, 60, 9)]


@pytest.mark.parametrize(
    ("then", "is_closed"),
    [
        ([("GET /", 403, 30, 9), ("GET /offers", 403, 20, 9)], True),
        ([("GET /", 404, 30, 9), ("GET /offers", 404, 20, 9), ("GET /.env", 404, 9, 1)], True),
        ([("GET /", 403, 30, 9), ("GET /offers", 403, 20, 9), ("GET /", 200, 10, 1)], False),  # refused to some of them
        ([("GET /", 200, 30, 9), ("GET /offers", 404, 20, 9)], False),  # one page was taken away
        ([("GET /", 403, 6, 1)], False),  # one visitor, a few times
    ],
)
def test_a_site_that_refuses_everyone_since_a_moment_is_not_healthy(
    tmp_path: Path, then: list[Answered], is_closed: bool
) -> None:
    """It served most requests of the window, so a share of them does not show it."""
    diagnosis = in_turn(tmp_path, [SHOP, SHOP, then])
    assert any("are rejected with" in line for line in headlines(diagnosis)) == is_closed
