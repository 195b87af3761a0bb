"""explain(): every kind of input, every message of nginx, and bulk answers equal to single ones."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sampled import sampled

from why502.diagnosis.causes import CAUSES
from why502.explanation import explain
from why502.render.contract import Explanation as Contract
from why502.render.explanation import document, render_text
from why502.render.explanation_lines import Explainer, chunks
from why502.render.words import Terminal
from why502.session.second_process import Second, can_share

REFUSED = (
    "2026/11/20 22:46:40 [error] 24569#24569: *2 connect() failed (111: Connection refused) while connecting to "
    "upstream, client: 192.0.2.7, "
    'server: shop.example.com, request: "GET /a?b=c HTTP/1.1", upstream: "http://127.0.0.1:3001/a?b=c", host: "shop.example.com"'
)
GATEWAYS: list[dict[str, Any]] = json.loads(Path("tests/data/gateway_lines.json").read_text())


@pytest.mark.parametrize(
    ("text", "kind", "proxy", "cause"),
    [
        (REFUSED, "log-line", "nginx", "backend-not-running"),
        ("AH01102", "code", "apache", "premature-close"),
        ("ah01102", "code", "apache", "premature-close"),
        ("sH--", "code", "haproxy", "backend-too-slow"),
        ("SC", "code", "haproxy", "backend-not-running"),
        ("UF,URX", "code", "envoy", "backend-not-running"),
        ("URX,UC", "code", "envoy", "premature-close"),
        ("Target.Timeout", "code", "aws-alb", "connect-timeout"),
        ("522", "status", "cloudflare", "connect-timeout"),
        ("1033", "code", "cloudflare", "tunnel-disconnected"),
        ("HTTP/1.1 504 Gateway Timeout", "status", None, "backend-too-slow"),
        ("499", "status", None, "client-closed-request"),
        ("009", "status", "nginx", "invalid-response"),
        ("413", "status", "nginx", None),
        ("wrong-port", "cause", None, "wrong-port"),
        ("Wrong-Port", "cause", None, "wrong-port"),
        ("connect() failed (111: Connection refused) while connecting to upstream", "log-line", "nginx", "backend-not-running"),
        ("worker process 8054 exited on signal 11", "log-line", "nginx", "proxy-worker-crashed"),
        ("[CRITICAL] WORKER TIMEOUT (pid:10)", "log-line", None, "worker-timeout"),
        (
            'psycopg2.OperationalError: FATAL:  Peer authentication failed for user "a"',
            "log-line",
            None,
            "backend-dependency-down",
        ),
        (
            "psycopg2.errors.LockNotAvailable: canceling statement due to lock timeout",
            "log-line",
            None,
            "backend-dependency-slow",
        ),
        ("ValueError: the password has expired", "log-line", None, "application-error"),
        ("hello", "unrecognised", None, None),
        ("", "unrecognised", None, None),
    ],
)
def test_an_input(text: str, kind: str, proxy: str | None, cause: str | None) -> None:
    explanation = explain(text)
    assert (explanation.kind, explanation.proxy, explanation.cause) == (kind, proxy, cause)


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_a_cause(cause: str) -> None:
    explanation = explain(cause)
    assert (explanation.kind, explanation.cause) == ("cause", cause)
    assert explanation.next, "its page says how to confirm it"
    assert explanation.remedies, "its page says how to fix it"
    assert explanation.references, "its page names its sources"


@pytest.mark.parametrize(
    ("proxy", "cause"),
    [("nginx", "backend-not-running"), ("apache", "premature-close"), ("envoy", "invalid-response")],
)
def test_a_status_of_a_known_proxy(proxy: str, cause: str) -> None:
    explanation = explain("502", proxy)
    assert explanation.proxy == proxy
    assert explanation.cause == cause


def test_a_unix_socket_has_no_wrong_port() -> None:
    line = REFUSED.replace("http://127.0.0.1:3001/a?b=c", "fastcgi://unix:/run/php/php-fpm.sock:").replace(
        "connect() failed", "connect() to unix:/run/php/php-fpm.sock failed"
    )
    names = {each.cause for each in explain(line).candidates}
    assert "wrong-port" not in names
    assert "php-fpm-socket-mismatch" in names


def test_a_clients_own_error_is_not_a_failure() -> None:
    explanation = explain('192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET /x HTTP/1.1" 404 153 "-" "curl/8"')
    assert (explanation.gateway_failure, explanation.cause) == (False, None)


def test_the_fields_of_the_contract_are_always_there() -> None:
    for text in (REFUSED, "worker process 8054 exited on signal 11"):
        assert {"at", "level", "errno", "phase", "target", "client", "server", "request", "status"} <= explain(text).fields.keys()
    fields = explain(REFUSED).fields
    assert fields["errno"] == 111
    assert fields["phase"] == "connect"
    assert fields["target"] == "127.0.0.1:3001"
    assert fields["at"] == "2026-11-20T22:46:40"


def test_every_message_of_nginx_is_recognised() -> None:
    table = json.loads(Path("why502/gateways/nginx/logs/messages.json").read_text())
    unknown = []
    for group in table["meanings"]:
        for line in group["lines"]:
            text = (line if isinstance(line, str) else line["t"]).replace("%s", "x").replace("%d", "7")
            explanation = explain(f"2026/11/20 22:46:40 [error] 1#1: *1 {text}")
            if explanation.kind != "log-line":
                unknown.append(text)
            assert explanation.gateway_failure or explanation.cause is None
    assert not unknown


def test_every_line_that_stops_the_start_of_nginx_has_a_cause() -> None:
    table = json.loads(Path("why502/gateways/nginx/logs/messages.json").read_text())
    told = 0
    for group in table["meanings"]:
        rows = [line if isinstance(line, dict) else {"t": line} for line in group["lines"]]
        for row in rows if group.get("phase") in ("config", "startup") and group.get("causes") else ():
            if "emerg" in row.get("levels", ["emerg"]) and row.get("kind") is None and row.get("errno") is None:
                text = row["t"].replace("%s", "x").replace("%d", "7")
                place = " in /etc/nginx/nginx.conf:7" if group["phase"] == "config" else ""
                for line in (f"nginx: [emerg] {text}{place}", f"2026/11/20 22:46:40 [emerg] 7#7: {text}{place}"):
                    explanation = explain(line)
                    assert explanation.gateway_failure, line
                    assert explanation.cause, line
                    told += 1
    assert told > 600


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('host not found in upstream "app.internal" in /etc/nginx/nginx.conf:7', "dns-host-not-found"),
        ('invalid port in upstream "app:x" in /etc/nginx/nginx.conf:7', "proxy-config-invalid"),
        ('no resolver defined to resolve names at run time in upstream "app" in /etc/nginx/nginx.conf:7', "resolver-missing"),
        ("bind() to 0.0.0.0:80 failed (98: Address already in use)", "proxy-not-running"),
        ('unknown directive "foo" in /etc/nginx/nginx.conf:3', "proxy-config-invalid"),
    ],
)
def test_a_start_that_is_refused_has_a_cause(message: str, cause: str) -> None:
    assert explain(f"nginx: [emerg] {message}").cause == cause


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("pthread_create() failed (11: Resource temporarily unavailable)", "proxy-not-running"),
        ("mmap(MAP_ANON|MAP_SHARED, 10485760) failed (12: Cannot allocate memory)", "memory-pressure"),
        ("OPENSSL_init_ssl() failed", "proxy-config-invalid"),
    ],
)
def test_a_start_that_fails_at_another_level_has_a_cause(message: str, cause: str) -> None:
    explanation = explain(f"2026/11/20 22:46:40 [alert] 7#7: {message}")
    assert (explanation.gateway_failure, explanation.cause) == (True, cause)


@pytest.mark.parametrize(
    "message",
    [
        'limiting requests, dry run, excess: 20.430 by zone "one"',
        'delaying request, dry run, excess: 20.430, by zone "one"',
        'limiting connections, dry run, by zone "one"',
        "client sent invalid method while reading client request line",
        "client sent invalid header name while reading client request headers",
    ],
)
def test_a_notice_is_not_a_failure(message: str) -> None:
    explanation = explain(
        f'2026/11/20 22:46:40 [error] 7#7: *1 {message}, client: 1.2.3.4, server: a, request: "GET / HTTP/1.1", host: "a"'
    )
    assert (explanation.kind, explanation.gateway_failure, explanation.candidates) == ("log-line", False, ())


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("unexpected A record in DNS response 4711", "dns-resolver-failure"),
        ("service http of app.internal could not be resolved (3: Host not found)", "dns-host-not-found"),
        ("send() failed (111: Connection refused) while resolving", "dns-resolver-failure"),
        ("app.internal could not be resolved (110: Operation timed out)", "dns-resolver-failure"),
    ],
)
def test_lines_of_the_resolver_name_their_cause(message: str, cause: str) -> None:
    assert explain(f"2026/11/20 22:46:40 [error] 7#7: {message}, resolver: 127.0.0.53:53").candidates[0].cause == cause


_HTTPD = "[Tue Nov 24 04:09:57.852786 2026] [proxy_http:error] [pid 14:tid 38] "
_HAPROXY = '10.9.9.9:4000 [04/Mar/2026:05:06:07.000] web app/app1 0/0/0/-1/0 502 217 - - PH-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"'


@pytest.mark.parametrize(
    ("line", "first", "also"),
    [
        (_HAPROXY, "invalid-response", {"response-header-too-big", "wrong-protocol", "denied-by-rule"}),
        (f"{_HTTPD}AH01106: bad HTTP/1.1 header returned by / (GET)", "invalid-response", {"premature-close"}),
        (
            f"{_HTTPD}(20014)Internal error (no information): AH01084: pass request body failed to 127.0.0.1:3000 (127.0.0.1)",
            "tls-handshake-failed",
            {"tls-verify-failed", "wrong-protocol"},
        ),
        (
            f"{_HTTPD}[client 127.0.0.1:4] AH00898: Error during SSL Handshake with remote server returned by /",
            "tls-handshake-failed",
            {"tls-verify-failed", "wrong-protocol"},
        ),
    ],
)
def test_a_line_that_has_several_causes_is_not_sure_of_one(line: str, first: str, also: set[str]) -> None:
    found = {each.cause: each.confidence for each in explain(line).candidates}
    assert next(iter(found)) == first and also < found.keys()
    assert max(found.values()) < 0.8


def test_a_line_that_has_one_cause_is_sure_of_it() -> None:
    line = f"{_HTTPD}[remote 127.0.0.1:3000] AH02039: Certificate Verification: Error (10): certificate has expired"
    found = explain(line).candidates
    assert (found[0].cause, found[0].confidence >= 0.8) == ("tls-verify-failed", True)


def lines() -> list[str]:
    """Return lines of many kinds, twice, so that the second ones are answered from the cache."""
    messages = (
        "connect() failed (111: Connection refused) while connecting to upstream",
        "upstream timed out (110: Connection timed out) while reading response header from upstream",
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
        "no live upstreams while connecting to upstream",
        'limiting requests, excess: 20.430 by zone "one"',
        'limiting requests, excess: 7.001 by zone "one"',
        'open() "/var/www/a1.png" failed (2: No such file or directory)',
        'open() "/var/www/b22.png" failed (2: No such file or directory)',
        'open() "/var/www/b22.png" failed (13: Permission denied)',
        "client intended to send too large body: 12345678 bytes",
        "a client request body is buffered to a temporary file /var/lib/nginx/body/0000000123",
        'upstream sent invalid header: "x\\x20y: z" while reading response header from upstream',
    )
    found = []
    for at, message in enumerate(messages * 2):
        head = f"2026/11/20 22:46:{at:02d} [error] {900 + at}#0: *{at} {message}, client: 192.0.2.{at}, server: s{at}.example.com"
        request = f'request: "{("GET", "POST")[at % 2]} /p{at}?q={at} HTTP/1.1"'
        found += [
            f'{head}, {request}, upstream: "http://10.0.0.{at % 3}:3000/p{at}", host: "h{at}"',
            f'{head}, {request}, upstream: "fastcgi://unix:/run/php.sock:", host: "h{at}", referrer: "http://r/{at}"',
            f'{head}, {request}, host: "h{at}"',
            f"{head}, {request}",
            head,
            f"2026/11/20 22:46:{at:02d} [notice] {900 + at}#0: signal process started",
            f"2026/11/20 22:46:{at:02d} [alert] {900 + at}#0: worker process {at} exited on signal {at % 3 + 9}",
            f'{head}, {request}, upstream: "http://[::1]:{3000 + at % 2}/p{at}", host: "h{at}:8080"',
            f'{head}, request: "GET /ü HTTP/1.1", upstream: "http://10.0.0.1:3000/", host: "h"',
            f'{head}, request: "GET /\\x22 HTTP/1.1", upstream: "http://10.0.0.1:3000/", host: "h"',
        ]
    return [
        *found,
        "",
        "nonsense",
        "\x1b[31mred\x1b[0m",
        *(each["line"] for each in GATEWAYS if each["format"] != "apache"),
        "502",
    ]


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_bulk_answers_equal_single_answers(size: int) -> None:
    texts = [line.replace("\n", " ") for line in lines()]
    data = io.BytesIO("\n".join(texts).encode() + b"\n")
    answers = b"".join(Explainer().explain(chunks(lambda _: data.read(size)))).decode().splitlines()
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        expected = json.loads(msgspec.json.encode(document(explain(text))))
        assert json.loads(answer) == expected, text
        msgspec.json.decode(answer, type=Contract)
        assert not any(each in answer for each in ("abc123", "hunter2", "AB12", "ghp_0", "eyJhbG"))


def test_a_line_that_never_ends_is_answered_once() -> None:
    data = io.BytesIO(b"x" * (3 << 20) + b"\n502\n")
    answers = b"".join(Explainer().explain(chunks(data.read))).splitlines()
    assert [json.loads(answer)["kind"] for answer in answers] == ["unrecognised", "status"]


def test_the_text_names_cause_command_and_remedy() -> None:
    text = render_text(explain(REFUSED), Terminal(width=100))
    assert "backend-not-running" in text
    assert "$ ss -Hltnp 'sport = :3001'" in text
    assert "Start the service" in text
    assert max(map(len, text.splitlines())) <= 100


def test_no_control_character_reaches_the_terminal() -> None:
    for text in ("\x1b]0;evil\x07", REFUSED.replace("GET", "\x1b[2JGET"), REFUSED.replace("127.0.0.1:3001", "$(reboot):80")):
        shown = render_text(explain(text), Terminal(width=100))
        assert not set(map(chr, range(32))) - {"\n"} & set(shown)
        assert "$(reboot)" not in "".join(explain(text).next)


@pytest.mark.thorough
def test_a_second_process_changes_nothing() -> None:
    texts = [line.replace("\n", " ") for line in lines()] * 40
    data = "\n".join(texts).encode() + b"\n"
    assert len(data) > 1_000_000
    done = subprocess.run(
        [sys.executable, "-m", "why502", "explain", "--format", "jsonl", "-"], input=data, capture_output=True, check=False
    )
    alone = b"".join(Explainer().explain(chunks(io.BytesIO(data).read)))
    assert done.returncode == 1
    assert done.stdout == alone


@pytest.mark.thorough
def test_the_second_process_answers_and_ends() -> None:
    if not can_share():
        pytest.skip("needs two processors")
    second = Second(lambda piece: (piece.upper() * 1000, len(piece)))
    try:
        for piece in (b"a" * 300_000, b"", b"b"):
            assert second.give(piece)
            assert second.take() == (piece.upper() * 1000, len(piece))
    finally:
        second.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(second.pid, 0)


def test_a_second_process_that_is_gone_is_noticed() -> None:
    if not can_share():
        pytest.skip("needs two processors")
    second = Second(lambda piece: (_ for _ in ()).throw(RuntimeError(piece)))
    assert second.give(b"x")
    assert second.take() is None
    second.end()


@pytest.mark.parametrize("seed", sampled([1, 2], 2))
def test_no_answer_depends_on_the_lines_before(seed: int) -> None:
    made = json.loads(Path("tests/data/nginx_lines.json").read_text())
    texts = [row[0] for rows in made.values() if isinstance(rows, list) for row in rows if row[0].isprintable()]
    random.Random(seed).shuffle(texts)
    answers = b"".join(Explainer().explain(["\n".join(texts).encode() + b"\n"])).splitlines()
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        assert json.loads(answer) == json.loads(msgspec.json.encode(document(explain(text)))), text
