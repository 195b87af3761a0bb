"""A real nginx under requests, with its own rotation and buffers: each request counts once, with the reason of its failure."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from following import Sums, snapshot
from free_ports import free_port
from logging_nginx import Nginx, backend, message, needs_nginx, nginx, resets

from why502.gateways.nginx.config import load
from why502.model.proxy import Proxy
from why502.watch.tailing import Tailer

pytestmark = [pytest.mark.real, needs_nginx]
TIMED = (
    '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $host '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time"
)
COMBINED = '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
BLOCK = """
upstream app {{ server 127.0.0.1:{good}; server 127.0.0.1:{dead} max_fails=0; }}
server {{
  listen PORT; server_name shop.example;
  location /good/ {{ proxy_pass http://127.0.0.1:{good}; }}
  location /dead/ {{ proxy_pass http://127.0.0.1:{dead}; }}
  location /reset/ {{ proxy_pass http://127.0.0.1:{resetting}; }}
  location /both/ {{ proxy_pass http://app; }}
  location /own/ {{ return 503; }}
}}
"""


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def seen(server: Nginx) -> Proxy:
    """Return the gateway as its configuration describes it."""
    path = str(server.directory / "nginx.conf")
    found = load(lambda name: Path(name).read_bytes(), os.listdir, path)
    parts = {name: getattr(found, name) for name in ("files", "routes", "upstreams", "servers", "answers", "logs")}
    return Proxy(pid=server.process.pid, config=path, **parts)


def ask(server: Nginx, turns: int) -> Counter[str]:
    """Send requests of each kind; return how many."""
    for number in range(turns):
        for place in ("good", "dead", "reset", "both", "own"):
            server.get(f"/{place}/{number}")
    return Counter(dict.fromkeys(("good", "dead", "reset", "both", "own"), turns))


@pytest.mark.parametrize("format", [TIMED, COMBINED], ids=["timed", "combined"])
@pytest.mark.parametrize("options", ["", " buffer=4k flush=1s"], ids=["direct", "buffered"])
def test_requests_of_a_real_nginx(tmp_path: Path, format: str, options: str) -> None:
    with backend(message()) as good, backend(resets) as resetting, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens there
        dead = taken.getsockname()[1]
        block = BLOCK.format(good=good, dead=dead, resetting=resetting)
        block = block.replace("location", f"access_log {tmp_path}/requests.log w{options}; location", 1)
        with nginx(tmp_path, block, format=format) as server:
            sums = Sums()
            stored: dict[str, object] = {}
            tailer = Tailer(snapshot(seen(server)), {}, None, sums.put)
            tailer.start()
            wanted = ask(server, 6)
            log = tmp_path / "requests.log"
            log.rename(tmp_path / "requests.log.1")
            wanted += ask(server, 3)  # to the old file
            os.kill(int((tmp_path / "nginx.pid").read_text()), signal.SIGUSR1)
            until(log.exists)
            wanted += ask(server, 6)
            until(lambda: sums.requests.total() >= wanted.total())
            stored.update(sums.checkpoints)
            tailer.stop()
            tailer = Tailer(snapshot(seen(server)), sums.checkpoints, None, sums.put)
            tailer.start()
            wanted += ask(server, 2)
            until(lambda: sums.requests.total() >= wanted.total())
            tailer.stop()
    turns = wanted["good"]
    locations: Counter[str] = Counter()
    for (location, _), count in sums.requests.items():
        locations[location] += count
    assert locations == {f"shop.example/{place}/": count for place, count in wanted.items()}
    failures = {(location, symptom): count for (location, _, symptom), count in sums.failures.items()}
    assert failures.pop(("shop.example/dead/", "connect-refused")) == turns
    assert failures.pop(("shop.example/reset/", "reset-before-header")) == turns
    assert sum(failures.values()) == turns, failures  # those that nginx is told to give
    assert {location for location, _ in failures} == {"shop.example/own/"}
    targets = {target for _, target, symptom in sums.failures if symptom == "connect-refused"}
    assert targets == {f"127.0.0.1:{dead}"}
    if format == TIMED:
        assert sums.recovered[(f"127.0.0.1:{dead}",)] > 0
    assert sums.lost_bytes == 0


def test_the_threads_end_in_time_and_nothing_is_left(tmp_path: Path) -> None:
    with nginx(tmp_path, "server { listen PORT; return 503; }", format=COMBINED) as server:
        before = len(list(Path("/proc/self/fd").iterdir()))
        tailer = Tailer(snapshot(seen(server)), {}, None, Sums().put)
        tailer.start()
        assert server.get("/") == 503
        tailer.stop()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("log ")]
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        assert free_port()
