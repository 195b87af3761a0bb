"""--from-process measures real applications, and names the source of each value; --from-config reads a present site."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from asking import ask

from why502.generate import options
from why502.generate.measure.application import measure
from why502.generate.measure.candidates import named, of_snapshot
from why502.host.local import LocalHost
from why502.model.errors import Why502Error
from why502.model.process import Process
from why502.model.snapshot import Listener, NetworkSpace, PublishedPort, Snapshot
from why502.model.target import Target

NODE = (
    "const s = require('http').createServer((q, r) => r.end('hi')); s.listen(0, '127.0.0.1', () => console.log(s.address().port))"
)
# Answers with a header of 9 kB, and closes an idle connection after two seconds without having said so.
QUIET = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    client.settimeout(2)
    try:
        while client.recv(65536):
            client.sendall(b"HTTP/1.1 200 OK\\r\\nX-Large: " + b"x" * 9000 + b"\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
    except (TimeoutError, ConnectionError):
        pass
    client.close()
"""
SILENT = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
kept = [listener.accept() for _ in range(100)]
"""


@contextmanager
def running(*argv: str) -> Iterator[tuple[int, int]]:
    """Yield the pid and the port of an application that prints its port."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.real
def test_node_says_its_own_idle_time() -> None:
    with running("node", "-e", NODE) as (pid, port):
        by_pid = measure(LocalHost(), str(pid), now())
        by_port = measure(LocalHost(), f":{port}", now())
    assert by_pid.options == by_port.options
    assert by_pid.options["--app"][0] == (f"127.0.0.1:{port}",)
    assert by_pid.options["--app-idle"] == (("5s",), f"node (pid {pid}) sends Keep-Alive: timeout=5")
    assert "--protocol" not in by_pid.options


HARAKIRI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"hi"]
"""


@pytest.mark.real
def test_the_limit_and_the_memory_of_workers_are_measured(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HARAKIRI)
    (tmp_path / "requirements.txt").write_text("gunicorn\nFlask>=2\n")
    argv = ["uwsgi_python3", "--http-socket", "127.0.0.1:0", "--harakiri", "60", "--processes", "2", "--master", "--die-on-term"]
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen([*argv, "--wsgi-file", "app.py"], stderr=out, cwd=tmp_path) as process:
        try:
            until(lambda: "spawned uWSGI worker 2" in log.read_text())
            port = re.search(r"bound to TCP address 127.0.0.1:(\d+)", log.read_text())[1]  # type: ignore[index]
            found = measure(LocalHost(), f":{port}", now())
            longer = measure(LocalHost(), f":{port}", now(), limit_s=90)
            unit = ask("generate", "systemd", "--from-process", f":{port}", "--user", "www-data")
        finally:
            process.terminate()
    facts = "\n".join(found.facts)
    assert found.options["--read-timeout"] == (("65s",), "the application's own limit is 60 s (its command); it must end first")
    assert longer.options["--read-timeout"] == (("95s",), "the application's own limit is 90 s (as given); it must end first")
    assert re.search(r"memory: 3 processes take \d+ MiB, \d+ MiB at their peaks; the largest, pid \d+, takes \d+ MiB", facts)
    assert f"framework: Flask ({tmp_path}/requirements.txt requires it), run by uwsgi" in facts
    assert "cgroup: " in facts and "response header: " in facts and "times: " in facts
    (memory,), source = found.options["--memory"]
    assert options.size("--memory", memory, 256 << 20, 1 << 40) and "3 processes took at most so far" in source
    assert unit.status == 0, unit.err
    again = re.sub(r"\d+ MiB that", r"\\d+ MiB that", re.escape(source).replace("\\ ", " "))  # measured again
    assert re.search(rf"# {again}; a memory leak restarts only this service\nMemoryMax=", unit.out)
    assert "TimeoutStopSec=70" in unit.out  # longer than the proxy waits


@pytest.mark.real
def test_an_idle_time_that_nobody_says_is_measured_by_waiting() -> None:
    with running(sys.executable, "-c", QUIET) as (pid, port):
        quick = measure(LocalHost(), f":{port}", now())
        slow = measure(LocalHost(), f":{port}", now(), waits=True)
    assert "--app-idle" not in quick.options
    (size,), source = quick.options["--response-header"]
    assert 9000 < int(size) < 9100
    assert f"(pid {pid}) answered GET / with a header of {size} bytes" in source
    assert slow.options["--app-idle"][0] == ("2s",)
    assert "closed an idle connection after 2.0 s" in slow.options["--app-idle"][1]


@pytest.mark.real
def test_the_measured_values_reach_the_file_with_their_sources() -> None:
    with running("node", "-e", NODE) as (pid, port):
        made = ask("generate", "nginx", "--from-process", f":{port}", "--app-idle", "9s")
        unit = ask("generate", "systemd", "--from-process", str(pid), "--user", "www-data")
    assert made.status == unit.status == 0
    for fact in ("protocol: HTTP", "framework: ", "response header: ", "memory: ", "cgroup: ", "times: "):
        assert f"why502: {fact}" in made.err
    assert f"# the listener of node (pid {pid})\n    server 127.0.0.1:{port};" in made.out
    assert "keepalive_timeout 8s;" in made.out  # what the user says counts
    assert "--app-idle 9s" in made.out
    assert unit.out.index("ExecStart=/") and "createServer" in unit.out


@pytest.mark.real
def test_the_repeated_command_finds_no_drift_in_what_was_measured(tmp_path: Path) -> None:
    """Its reasons name no process, and nothing else differs."""
    with running("node", "-e", NODE) as (_, port):
        words = (
            "generate",
            "nginx",
            "--from-process",
            f":{port}",
            "--domain",
            "shop.example",
            "--tls",
            "off",
            "-o",
            str(tmp_path),
        )
        assert ask(*words).status == 0
    file = tmp_path / "shop.example.conf"
    head = next(line for line in file.read_text().splitlines() if line.startswith("# Repeat: why502 "))
    again = (*shlex.split(head.removeprefix("# Repeat: why502 ")), "-o", str(tmp_path))
    same = ask(*again, "--check")
    assert (same.status, same.out) == (0, f"{file} is unchanged except for its comments\n")
    assert ask(*again).status == 0  # writes its own reasons
    assert ask(*again, "--check").out == f"{file} is unchanged\n"
    file.write_text(file.read_text().replace("keepalive_timeout 4s", "keepalive_timeout 40s"))
    assert ask(*again, "--check").status == 1


@pytest.mark.real
def test_an_application_that_does_not_answer_is_an_error() -> None:
    with running(sys.executable, "-c", SILENT) as (_, port), pytest.raises(Why502Error) as refused:
        measure(LocalHost(), f":{port}", now())
    assert "does not answer a request" in refused.value.message


@pytest.mark.real
def test_the_read_timeout_comes_from_the_logs_of_the_present_proxy(directory: Path, nginx: Callable[..., None]) -> None:
    """Of 120 answers the slowest took 14.2 s: three times the 99th percentile is needed."""
    at = now().strftime("%d/%b/%Y:%H:%M:%S +0000")
    log = directory / "access.log"
    with running("node", "-e", NODE) as (_, port):
        line = f'10.0.0.1 - - [{at}] "GET / HTTP/1.1" 200 5 "-" "x" upstream=127.0.0.1:{port} took='
        log.write_text(f"{line}0.100\n" * 100 + f"{line}14.200\n" * 20)
        nginx(
            """log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
            '"$http_user_agent" upstream=$upstream_addr took=$upstream_response_time';
            server { listen unix:$F/s.sock; access_log $F/access.log timed; location / { proxy_pass http://127.0.0.1:PORT; } }
            """.replace("PORT", str(port)),
            "s.sock",
        )
        found = measure(LocalHost(), f":{port}", now())
    values, source = found.options["--read-timeout"]
    assert values == ("43s",)
    words, _, logs = source.partition(" in ")
    assert words == "three times p99: p50 is 0.1 s and p99 14.2 s of 120 requests"
    assert str(log) in logs.split(", ")  # beside those of other servers of this machine


CONTAINER = "4f1c" * 16
MACHINE = Snapshot(
    taken_at=datetime(2026, 11, 23, tzinfo=UTC),
    since=datetime(2026, 11, 23, tzinfo=UTC),
    processes=(
        Process(pid=10, name="gunicorn", unit="shop.service", argv=("/usr/bin/gunicorn", "shop:app")),
        Process(pid=11, ppid=10, name="gunicorn", unit="shop.service"),
        Process(pid=20, name="node", container=CONTAINER, argv=("node", "server.js")),
        Process(pid=30, name="nginx", unit="nginx.service"),
    ),
    listeners=(
        Listener(target=Target(host="0.0.0.0", port=8000), pids=(11,)),
        Listener(target=Target(host="127.0.0.1", port=3000), pids=(20,)),
        Listener(target=Target(host="0.0.0.0", port=80), pids=(30,)),
        Listener(target=Target(host="10.9.0.2", port=5000), pids=(40,), network="4026532000"),
    ),
)


@pytest.mark.parametrize(
    ("what", "address"),
    [
        ("shop", "127.0.0.1:8000"),
        ("shop.service", "127.0.0.1:8000"),
        ("10", "127.0.0.1:8000"),  # its worker holds the socket
        (":3000", "127.0.0.1:3000"),
        (CONTAINER[:12], "127.0.0.1:3000"),
    ],
)
def test_an_application_is_named_by_pid_port_unit_or_container(what: str, address: str) -> None:
    assert named(MACHINE, what).address == address


@pytest.mark.parametrize("what", ["other", "99", ":5000", "4f1c"])  # another network namespace, and too short an id
def test_what_listens_nowhere_is_an_error_that_lists_what_does(what: str) -> None:
    with pytest.raises(Why502Error) as refused:
        named(MACHINE, what)
    assert "127.0.0.1:3000 node server.js (pid 20)" in refused.value.hint


APART = msgspec.structs.replace(
    MACHINE,
    processes=(*MACHINE.processes, Process(pid=50, name="node", container="beef" * 16, network="2"),
    Process(pid=40, name="ruby")),
    listeners=(
        *MACHINE.listeners,
        Listener(target=Target(host="0.0.0.0", port=3000), pids=(50,), network="2"),
        Listener(target=Target(host="127.0.0.1", port=9229), pids=(50,), network="2"),
    ),
    networks=(
        NetworkSpace(
            inode="2", pid=50, name="shop-api-1 (beefbeefbeef)", container="beef" * 16, addresses=("127.0.0.1", "172.18.0.3"),
            published=(PublishedPort(outer=Target(host="0.0.0.0", port=8080), inner=Target(host="172.18.0.3", port=3000)),),
        ),
        NetworkSpace(inode="4026532000", pid=40, name="queue (feedfeedfeed)", container="feed" * 16,
        addresses=("127.0.0.1", "10.9.0.2")),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("what", "address", "words"),
    [
        ("shop-api-1", "127.0.0.1:8080", "node (pid 50) in shop-api-1 (beefbeefbeef), at the port published for it"),
        ("beef" * 3, "127.0.0.1:8080", "published"),
        ("50", "127.0.0.1:8080", "published"),
        ("queue", "10.9.0.2:5000", "at an address in another network, which may change with the container"),
    ],
)
def test_an_application_in_a_network_of_its_own_is_reached_from_here(what: str, address: str, words: str) -> None:
    found = named(APART, what)
    assert found.address == address
    assert words in f"{found.words}, {found.reached}"


@pytest.mark.parametrize("what", [":9229", "beef" * 2, "api-1"])
def test_what_is_not_reached_from_here_is_no_application(what: str) -> None:
    assert named(APART, "shop").address == "127.0.0.1:8000"  # the unit
    with pytest.raises(Why502Error):
        named(APART, what)


def test_a_proxy_is_no_candidate() -> None:
    assert [one.address for one in of_snapshot(MACHINE)] == ["127.0.0.1:3000", "127.0.0.1:8000"]


def test_nothing_listens() -> None:
    with pytest.raises(Why502Error) as refused:
        measure(LocalHost(), ":1", now())
    assert refused.value.message.startswith("--from-process ':1' does not listen on any address")


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="a pool of another user needs root")
def test_a_pool_is_sized_by_its_largest_child(tmp_path: Path) -> None:
    program = next(Path("/usr/sbin").glob("php-fpm8*"))
    os.chmod(tmp_path, 0o755)
    socket = tmp_path / "pool.sock"
    (tmp_path / "fpm.conf").write_text(
        f"[global]\nerror_log = {tmp_path}/log\n[www]\nuser = www-data\ngroup = www-data\nlisten = {socket}\npm = "
        f"static\npm.max_children = 2\n"
    )
    with subprocess.Popen([program, "-F", "-n", "-y", tmp_path / "fpm.conf"]) as master:
        try:
            end = time.monotonic() + 10
            while "ready to handle" not in (log := tmp_path / "log").read_text() if (tmp_path / "log").exists() else True:
                assert time.monotonic() < end, log
                time.sleep(0.05)
            found = measure(LocalHost(), str(master.pid), now())
            made = ask(
                "generate", "fpm-pool", "--from-process", str(master.pid), "--memory", "1g", "--processors", "64", "--php", "8.2"
            )
            site = ask("generate", "nginx", "--app", f"unix:{socket}", "--root", "/var/www/shop", "--domain", "shop.example")
            without_root = ask("generate", "nginx", "--app", f"unix:{socket}", "--domain", "shop.example")
        finally:
            master.terminate()
    assert "fastcgi_pass shop_example;" in site.out
    assert "--protocol fastcgi" in site.out
    assert f"why502: --protocol fastcgi: what unix:{socket} answered" in site.err
    assert (without_root.status, "--protocol fastcgi needs --root" in without_root.err) == (2, True)
    assert found.options["--protocol"][0] == ("fastcgi",)
    assert found.options["--socket"][0] == (str(socket),)
    assert found.options["--user"][0] == ("www-data",)
    (size,), source = found.options["--child"]
    child = options.size("--child", size, 1 << 20, 100 << 20)
    assert source.startswith("the largest of 2 children now")
    assert made.status == 0, made.err
    most = int(re.search(r"pm.max_children = (\d+)", made.out)[1])  # type: ignore[index]
    assert most == min(320, (1 << 30) // child)


OLD = """
upstream shop { server 10.0.0.5:3000 weight=2; server 10.0.0.6:3000; server 10.0.0.7:3000 backup; }
server {
    listen 80;
    server_name shop.example www.shop.example;
    client_max_body_size 20m;
    proxy_next_upstream error timeout non_idempotent;
    location / { proxy_pass http://shop; proxy_read_timeout 120s; auth_basic closed; }
    location /ws/ { proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade; }
    location /events { proxy_pass http://shop; proxy_buffering off; }
    location /other/ { proxy_pass http://127.0.0.1:9000; }
}
"""


def test_a_present_site_becomes_options_and_what_changes_is_told(tmp_path: Path) -> None:
    file = tmp_path / "shop.conf"
    file.write_text(OLD)
    made = ask("generate", "nginx", "--from-config", str(file), "--nginx-version", "1.22.1")
    assert made.status == 0
    for line in (
        "server 10.0.0.5:3000 weight=2 max_fails=3;",
        "server 10.0.0.6:3000 max_fails=3;",
        "server 10.0.0.7:3000 max_fails=3 backup;",
        "server_name shop.example www.shop.example;",
        "client_max_body_size 20m;",
        "proxy_read_timeout 120s;",
        "location /ws/ {",
        "location /events {",
    ):
        assert line in made.out
    assert "a POST is no longer sent to a second server" in made.err
    assert "NOT CARRIED OVER: location /other/ passes to http://127.0.0.1:9000" in made.err
    assert "NOT CARRIED OVER: auth_basic" in made.err


def test_a_file_of_several_sites_asks_which(tmp_path: Path) -> None:
    file = tmp_path / "both.conf"
    file.write_text(
        "".join(f"server {{ server_name {name}; location / {{ proxy_pass http://127.0.0.1:1; }} }}\n" for name in "ab")
    )
    refused = ask("generate", "nginx", "--from-config", str(file))
    assert (refused.status, "Choose one with --domain: a, b." in refused.err) == (2, True)
    nothing = ask("generate", "nginx", "--from-config", "/nonexistent")
    assert nothing.status == 2
