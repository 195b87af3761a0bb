"""The next steps that `explain` prints run as printed."""

from __future__ import annotations

import re
import shlex
import shutil
import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from why502.diagnosis.causes import CAUSES
from why502.explanation import explain
from why502.explanation.candidates import next_steps
from why502.explanation.steps import Asked
from why502.model.target import Target

ASKED = [
    Asked(target=Target(host="10.0.0.7", port=3001), protocol="http"),
    Asked(target=Target(host="::1", port=3001), protocol="https"),
    Asked(target=Target(host="10.0.0.7", port=9000), protocol="fastcgi"),
    Asked(target=Target(path="/run/php/php8.2-fpm.sock"), protocol="fastcgi"),
    Asked(target=Target(path="/run/app.sock"), protocol="http"),
    Asked(target=Target(path="/run/app.sock"), protocol="uwsgi"),
    Asked(target=Target(host="app.internal"), protocol="http"),
]
CAPITALS = re.compile(r"\b(?:TARGET|HOST|PORT|ADDRESS|PATH|SOCKET|NAME|UNIT|PID)\b")


def line(message: str, upstream: str) -> str:
    return (
        f"2026/11/20 22:46:40 [error] 7#7: *1 {message} while reading response header from upstream, client: "
        f"192.0.2.7, server: a, "
        f'request: "GET /x.php?q=1 HTTP/1.1", upstream: "{upstream}", host: "shop.example"'
    )


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_no_step_has_a_gap_or_the_wrong_address(asked: Asked) -> None:
    for cause in CAUSES:
        for step in next_steps(cause, asked):
            assert not CAPITALS.search(re.sub(r"\w+_\w+=", "", step)), (cause, step)
            if asked.target and asked.target.path:
                assert not re.search(r"https?://[^ ]*\.sock|//run", step), (cause, step)
                assert "curl" not in step or f"--unix-socket {asked.target.path}" in step or "127.0.0.1" in step, (cause, step)
            if asked.protocol not in ("http", "https"):
                assert not step.startswith("curl") or asked.target is None or str(asked.target.port) not in step, (cause, step)


def test_a_slow_php_socket() -> None:
    found = explain(line("upstream timed out (110: Connection timed out)", "fastcgi://unix:/run/php/php8.2-fpm.sock"))
    assert found.cause == "backend-too-slow"
    assert "php-fpm-max-children" in [candidate.cause for candidate in found.candidates]
    assert any(step.endswith("cgi-fcgi -bind -connect /run/php/php8.2-fpm.sock") for step in found.next)
    assert not any("curl" in step for step in found.next)


def test_no_php_commands_without_php() -> None:
    found = explain(line("upstream timed out (110: Connection timed out)", "http://10.0.0.7:3001/x.php"))
    assert "php-fpm-max-children" not in [candidate.cause for candidate in found.candidates]
    assert any("http://10.0.0.7:3001/" in step for step in found.next)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200, self.path)
        self.end_headers()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.real
def test_the_printed_commands_reach_a_unix_socket(tmp_path: Path) -> None:
    assert shutil.which("curl")
    assert shutil.which("ss")
    path = tmp_path / "app.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), _Handler) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = Asked(target=Target(path=str(path)), protocol="http")
        steps = {*next_steps("backend-not-running", asked), *next_steps("premature-close", asked)}
        told = {
            step: subprocess.run(shlex.split(step), capture_output=True, text=True, timeout=20, check=False) for step in steps
        }
        server.shutdown()
    assert any(step.startswith("ss ") and str(path) in done.stdout for step, done in told.items())
    assert any(step.startswith("curl ") and "200 /" in done.stderr for step, done in told.items())
