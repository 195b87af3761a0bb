"""The server itself: its sockets, its limits of time and size, its end, and `why502 lab web`."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from recorded_site import NOW, site
from test_security import TOKEN

from why502.cli.env import Env
from why502.cli.main import run
from why502.model.errors import Why502Error
from why502.serve.security import HEAD_BYTES
from why502.serve.service import listen


@contextmanager
def served(*options: str, status: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `why502 serve`; give the address that it prints. It ends with the status at SIGTERM."""
    argv = [sys.executable, "-m", "why502", "serve", "--settings", os.devnull, *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == status, errors
        assert "Traceback" not in errors, errors


def get(url: str, path: str = "/", **headers: str) -> tuple[int, str]:
    host = urlsplit(url)
    with closing(http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        assert "server" not in {name.lower() for name, _ in response.getheaders()}
        return response.status, response.read().decode()


@pytest.mark.thorough
def test_it_serves_streams_and_ends_at_once(tmp_path: Path) -> None:
    site(tmp_path / "watch.db", NOW, "wrong-port")
    with served("--listen", "127.0.0.1:0", "--store", str(tmp_path / "watch.db")) as (url, process):
        assert get(url)[0] == 200
        host = urlsplit(url)
        with closing(http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)) as connection:
            connection.request("GET", "/live/now")
            response = connection.getresponse()
            assert response.getheader("content-type", "").startswith("text/event-stream")
            lines = iter(response.readline, b"")
            event = next(line for line in lines if line.startswith(b"data: "))
            assert "127.0.0.1:3001" in json.loads(event.removeprefix(b"data: "))["status"]
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert time.monotonic() - began < 10, "a viewer does not hold it"


@pytest.mark.thorough
def test_heads_that_are_too_long_or_too_slow_are_cut_off(tmp_path: Path) -> None:
    with served("--listen", "127.0.0.1:0", "--store", str(tmp_path / "none")) as (url, _):
        host = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        assert get(url, "/" + "a" * HEAD_BYTES)[0] == 414
        assert get(url, "/", x="a" * HEAD_BYTES)[0] == 431
        with suppress(ConnectionResetError):  # it does not read the rest
            assert get(url, "/", x="a" * (200 << 10))[0] == 400
        with ExitStack() as stack:
            slow = [stack.enter_context(socket.create_connection(host)) for _ in range(20)]
            for each in slow[:10]:
                each.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert get(url)[0] == 200
            for each in slow:
                each.settimeout(30)
                with suppress(ConnectionResetError):
                    assert each.recv(1) == b""


def test_a_unix_socket_is_its_owners_and_groups_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    with served("--listen", f"unix:{path}", "--store", str(tmp_path / "none")) as (address, _):
        assert address == f"unix:{path}" and path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        with pytest.raises(Why502Error, match="is in use"):
            listen(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(Why502Error, match="not a socket"):
        listen(path)


def test_another_address_needs_a_token_which_is_made_and_shown_once(tmp_path: Path) -> None:
    with served("--listen", "0.0.0.0:0", "--store", str(tmp_path / "none")) as (url, process):
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert process.stderr
        match = re.fullmatch(r"Token, shown this once: (\S{40,})\n", process.stderr.readline())
        assert match and get(here)[0] == 401
        assert get(here, authorization=f"Bearer {match[1]}")[0] == 200
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with served("--listen", "127.0.0.1:0", "--token-file", str(token), "--store", str(tmp_path / "none")) as (url, _):
        assert get(url)[0] == 401 and get(url, authorization=f"Bearer {TOKEN}")[0] == 200


def test_bad_options_are_two_lines(tmp_path: Path) -> None:
    with closing(listen(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        for options in (
            ["--listen", "shop"],
            ["--listen", f"127.0.0.1:{port}"],
            ["--url", "why502.example"],
            ["--token-file", str(tmp_path / "none")],
            ["--settings", str(tmp_path / "none")],
        ):
            env = Env(stdout=StringIO(), stderr=StringIO())
            assert run(["serve", "--store", str(tmp_path / "x"), *options], env) == 2, options
            assert len(env.stderr.getvalue().splitlines()) == 2 and not env.stdout.getvalue(), options


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="the scene needs namespaces of its own")
def test_the_lab_shows_a_real_incident_in_a_browser() -> None:
    argv = [sys.executable, "-m", "why502", "lab", "web", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr
    try:
        url = next(match[1] for line in process.stderr if (match := re.search(r"Open (http://\S+) in", line)))
        until = time.monotonic() + 60
        while "where nothing listens" not in (text := get(url)[1]) and time.monotonic() < until:
            time.sleep(0.2)
        assert "where nothing listens" in text
        incident = re.search(r"/incidents/[^\"]+", text)
        assert incident and "proxy_pass" in get(url, incident[0])[1]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
