"""`why502 logs --follow`: JSON lines for programs, a live view on a terminal; a real nginx writes the log, which is rotated."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from asking import PROGRAM, TWO_LINES, ask, environment

sys.path.insert(0, str(Path(__file__).parents[1] / "logs"))
from free_ports import free_port
from logging_nginx import Nginx, needs_nginx, nginx, wait

COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
FORMAT = COMBINED + (
    ' "$upstream_addr" "$upstream_status" "$upstream_connect_time" "$upstream_header_time" "$upstream_response_time" '
    "$request_time"
)


def rotate(server: Nginx) -> None:
    """Rotate the log as logrotate does by default."""
    path = server.directory / "access.log"
    path.rename(path.with_name("access.log.1"))
    server.process.send_signal(signal.SIGUSR1)
    wait(path.exists)


class Reading:
    """A program whose output is read line by line."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "logs", "--follow", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        self.lines: list[dict[str, Any]] = []

    def until(self, requests: int, lines: int = 0) -> None:
        """Read at least this many lines, and more until they cover this many requests."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + 30
        while len(self.lines) < lines or sum(line["requests"] for line in self.lines) < requests:
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            assert ready, self.lines
            self.lines.append(json.loads(self.process.stdout.readline()))

    def end(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        self.lines += map(json.loads, out.splitlines())
        assert err == ""
        return self.process.returncode

    def total(self, name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in self.lines:
            found.update(line[name])
        return found


@pytest.mark.real
@needs_nginx
def test_lines_of_json_tell_of_each_request_once_through_a_rotation(tmp_path: Path) -> None:
    dead = free_port()
    block = f"server {{ listen PORT; location / {{ return 200; }} location /dead {{ proxy_pass http://127.0.0.1:{dead}; }} }}"
    with nginx(tmp_path, block, format=FORMAT) as server:
        server.get("/before")
        server.logged(1)
        reading = Reading(str(tmp_path), "--interval", "0.3")
        try:
            reading.until(requests=0, lines=1)  # it is following the log now
            server.get("/first")
            reading.until(1)
            for turn in range(3):
                for _ in range(20):
                    assert server.get("/good") == 200
                    assert server.get("/dead") == 502
                if turn < 2:
                    rotate(server)
            reading.until(121)
        finally:
            status = reading.end()
    assert status == 130
    assert {line["schema"] for line in reading.lines} == {"why502.logs.follow/1"}
    assert sum(line["requests"] for line in reading.lines) == 121
    assert sum(line["failures"] for line in reading.lines) == 60
    assert reading.total("statuses") == {"502": 60}
    assert reading.total("routes") == {"GET /dead": 60}
    assert reading.total("targets") == {f"127.0.0.1:{dead}": 60}
    assert reading.total("symptoms") == {"connect-refused": 60}
    assert reading.lines[-1]["lost_bytes"] == 0


def test_a_terminal_shows_failures_and_q_ends_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("")
    ours, its = pty.openpty()
    argv = [*PROGRAM, "logs", "--follow", "--interval", "0.2", str(log)]
    with subprocess.Popen(
        argv, stdin=its, stdout=its, stderr=subprocess.PIPE, env=environment(TERM="xterm", COLUMNS="140")
    ) as process:
        os.close(its)
        shown = b""
        now = time.gmtime()
        try:
            while b"GET /broken" not in shown:
                if b"requests/s" in shown and not log.stat().st_size:
                    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", now)
                    log.write_text(
                        f'10.0.0.1 - - [{at}] "GET /broken\x1b]0;x HTTP/1.1" 502 157 "-" "curl/8"\n'.replace("\x1b]0;x", "")
                    )
                assert select.select([ours], [], [], 30)[0], shown
                shown += os.read(ours, 1 << 16)
            os.write(ours, b"q")
            while select.select([ours], [], [], 30)[0]:
                shown += os.read(ours, 1 << 16)
        except OSError:  # EIO: the other end is closed (pty(7))
            pass
        finally:
            os.close(ours)
        assert process.wait(30) == 0
        assert process.stderr is not None and process.stderr.read() == b""
    assert b"1 failures" in shown and b"gateway-status" in shown


@pytest.mark.parametrize(
    "argv", [("-",), ("s3://b/k",), ("LOG", "--since", "1h"), ("LOG", "--format", "html"), ("LOG", "--by", "status")]
)
def test_inputs_that_cannot_be_followed_are_rejected(tmp_path: Path, argv: tuple[str, ...]) -> None:
    log = tmp_path / "access.log"
    log.write_text("")
    answer = ask("logs", "--follow", *(str(log) if word == "LOG" else word for word in argv))
    assert answer.status == 2 and TWO_LINES.fullmatch(answer.err)


def test_a_directory_is_followed_without_its_rotated_files(tmp_path: Path) -> None:
    from why502.logs.live import current

    names = ["access.log", "access.log.1", "access.log.2.gz", "error.log", "error.log-20261121", "other.log.1"]
    assert current([f"/var/log/{name}" for name in names]) == [
        "/var/log/access.log",
        "/var/log/error.log",
        "/var/log/other.log.1",
    ]
