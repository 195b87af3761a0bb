"""Limits of real processes: a leak in a control group, and a queue that fills in front of an nginx."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from free_ports import free_port
from nginx_real import until

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import Peer, Position, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target
from why502.watch.forecast import Forecasts
from why502.watch.limits import samplers
from why502.watch.limits.sampler import Sampler, sampled
from why502.watch.model import Limit, LimitKind, Severity

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
GROUPS = Path("/sys/fs/cgroup/memory")  # version 1; in version 2 the directory above
LIMIT_BYTES = 64 << 20
APP = Target(host="127.0.0.1", port=3000)
LEAKS = """
import sys, time
kept = []
print("ready", flush=True)
for line in sys.stdin:
    kept.append(bytearray(b"x" * int(line)))
    print(len(kept), flush=True)
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit of memory."""
    top = GROUPS if GROUPS.is_dir() else GROUPS.parent
    path = top / f"why502-test-{os.getpid()}"
    path.mkdir()
    name, limit = ("memory.limit_in_bytes", LIMIT_BYTES) if GROUPS.is_dir() else ("memory.max", LIMIT_BYTES)
    (path / name).write_text(str(limit))
    yield path
    until(lambda: not (path / "cgroup.procs").read_text(), "its processes have ended")
    path.rmdir()


def test_a_real_leak_is_told_ten_minutes_before_the_kernel_kills_the_process(group):
    """The process takes a part of its limit for each of our samples; two minutes pass between them by their times, so that the
    whole leak takes four hours.
    """
    process = subprocess.Popen([sys.executable, "-c", LEAKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    (group / "cgroup.procs").write_text(str(process.pid))
    process.stdout.readline()
    known = Snapshot(
        taken_at=datetime.now(UTC),
        proxies=(Proxy(pid=1, routes=(Route(passes="a", peers=(Peer(name="a", target=APP),), at=Position(file="a", line=1)),)),),
        listeners=(Listener(target=APP, pids=(process.pid,)),),
        processes=(Process(pid=process.pid, cgroup=f"/{group.name}", unit="app.service"),),
    )
    forecasts, began = Forecasts(), datetime(2026, 3, 1, tzinfo=UTC)
    told: list[tuple[int, Limit]] = []
    last, number = None, 0
    try:
        while number < 200:
            found = [one for one in sampled(samplers()["memory"], LocalHost(), known) if isinstance(one, Limit)]
            own = next((one for one in found if one.subject == "app.service"), None)
            if own is None or process.poll() is not None:
                break
            last = forecasts.observe(msgspec.structs.replace(own, at=began + timedelta(minutes=2 * number)))
            if last.severity is Severity.PAGE:
                told.append((number, last))
            try:
                process.stdin.write(f"{LIMIT_BYTES // 120}\n")
                process.stdin.flush()
            except BrokenPipeError:
                break
            if not process.stdout.readline():
                break
            number += 1
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == -signal.SIGKILL
    assert last is not None
    assert last.ratio > 0.9, "the kernel ended it, not we"
    assert last.since is not None
    assert told
    assert number - told[0][0] >= 5, "ten minutes"
    assert abs((told[0][1].exhausted_at - began) - timedelta(minutes=2 * number)) < timedelta(minutes=20)


def test_certificates_as_visitors_and_as_the_proxy_get_them(directory, nginx, start):
    """Both are read from a handshake: the file on disk may be newer than what is in force."""
    back = directory / "b"
    back.mkdir()
    for name, days in (("front", 9), ("back", 40)):
        words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days {days}"
        subprocess.run(
            [*words.split(), "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=directory, check=True, capture_output=True
        )
    ports = {name: free_port() for name in ("front", "back")}
    tls = {name: f"ssl_certificate $F/{name}.pem; ssl_certificate_key $F/{name}.key;" for name in ports}
    own = f"""user root; daemon off; worker_processes 1; pid {back}/pid; error_log {back}/log; events {{ worker_connections 64; }}
http {{ access_log {back}/access.log; client_body_temp_path {back}/a; proxy_temp_path {back}/p; fastcgi_temp_path {back}/f;
uwsgi_temp_path {back}/u; scgi_temp_path {back}/s;
server {{ listen 127.0.0.1:{ports["back"]} ssl; listen unix:{back}/s.sock; {tls["back"]} return 204; }} }}
"""
    (back / "nginx.conf").write_text(own.replace("$F", str(directory)))
    start("/usr/sbin/nginx", "-c", str(back / "nginx.conf"), "-e", f"{back}/log", sockets=(back / "s.sock",))
    nginx(
        f"server {{ listen 127.0.0.1:{ports['front']} ssl; server_name shop.example; {tls['front']}"
        f"location / {{ proxy_pass https://127.0.0.1:{ports['back']}; }} }} server {{ listen unix:$F/front; return 204; }}",
        "front",
    )
    sources = frozenset({"addresses", "proxies", "listeners", "socket_names", "names"})
    known = collect(LocalHost(), datetime.now(UTC), None, None, CollectOptions(configs=(str(directory / "nginx.conf"),)), sources)
    found = {one.subject: one for one in sampled(samplers()["certificates"], LocalHost(), known) if isinstance(one, Limit)}
    assert set(found) == {f"front shop.example:{ports['front']}", f"upstream 127.0.0.1:{ports['back']}"}
    days = {name.split()[0]: (one.exhausted_at - one.at) / timedelta(days=1) for name, one in found.items()}
    assert days == {"front": pytest.approx(9, abs=0.1), "upstream": pytest.approx(40, abs=0.1)}
    assert [Forecasts().observe(one).severity for one in found.values()] == [Severity.TICKET, None]
    assert not (back / "access.log").read_text(), "no request was sent"


SLOW = """
import contextlib, socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(int(sys.argv[2]))
while True:
    connection, _ = server.accept()
    time.sleep(1)
    with connection, contextlib.suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


@pytest.mark.thorough
def test_a_queue_is_told_five_seconds_before_the_first_502(directory, start, nginx):
    """A backend that takes one request a second gets five; its socket holds 80 before nginx gets EAGAIN."""
    backend, front = directory / "app", directory / "front"
    start(sys.executable, "-c", SLOW, str(backend), "80", sockets=(backend,))
    nginx("server { listen unix:$F/front; location / { proxy_pass http://unix:$F/app; } }", "front")
    sources = frozenset({"addresses", "proxies", "listeners", "socket_names", "names"})
    known = collect(LocalHost(), datetime.now(UTC), None, None, CollectOptions(configs=(str(directory / "nginx.conf"),)), sources)
    paged_at: list[float] = []

    def put(one: object) -> None:
        if isinstance(one, Limit) and one.kind is LimitKind.LISTEN_QUEUE and one.severity and one.subject == f"unix:{backend}":
            paged_at.append(time.monotonic())

    sampler = Sampler(LocalHost(), known, put, is_probing=False)
    sampler.start()
    failed_at: list[float] = []
    clients = []
    try:
        for _ in range(200):
            thread = threading.Thread(target=visit, args=(front, failed_at), daemon=True)
            thread.start()
            clients.append(thread)
            if failed_at:
                break
            time.sleep(0.2)  # the ramp: five visitors a second
    finally:
        sampler.stop()
    assert failed_at, "the queue never was full"
    assert paged_at
    assert min(failed_at) - paged_at[0] >= 5


def visit(path: Path, failed_at: list[float]) -> None:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):  # nginx is stopped before all are answered
        client.settimeout(200)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if client.recv(65536).split()[1:2] == [b"502"]:
            failed_at.append(time.monotonic())
