"""A gateway's configuration and its logs in a directory, and what a Tailer puts for them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from why502.gateways.nginx.config import load
from why502.logs.checkpoint import Checkpoint
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.watch.model import Observed
from why502.watch.tailing import Tailer, Times

NOW = 1795219200.0  # 2026-11-21 00:00:00 UTC
TIMED = (
    '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $server_name '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time"
)
CONFIG = """
events {{}}
http {{
  log_format timed '{timed}';
  access_log {directory}/access.log timed;
  error_log {directory}/error.log;
  upstream app {{ server 127.0.0.1:3001; server 127.0.0.1:3002; }}
  server {{
    listen 80; server_name shop.example;
    location / {{ root /srv; }}
    location /api/ {{ proxy_pass http://app; }}
    location /old/ {{ return 503; }}
    location ~ \\.php$ {{ fastcgi_pass 127.0.0.1:9000; }}
  }}
}}
"""


def proxy(directory: Path, config: str = CONFIG, **fields: Any) -> Proxy:
    """Return the running nginx with a configuration."""
    text = config.format(directory=directory, timed=TIMED)
    found = load(lambda _: text.encode(), lambda _: [], "/etc/nginx/nginx.conf")
    return Proxy(
        pid=fields.pop("pid", 1),
        config="/etc/nginx/nginx.conf",
        files=found.files,
        routes=found.routes,
        upstreams=found.upstreams,
        servers=found.servers,
        answers=found.answers,
        logs=found.logs,
        **fields,
    )


def snapshot(*proxies: Proxy) -> Snapshot:
    """Return the snapshot of a machine with some gateways."""
    return Snapshot(taken_at=datetime.fromtimestamp(NOW, UTC), proxies=proxies)


def stamp(at: float) -> str:
    """Return a time as an access log has it."""
    return datetime.fromtimestamp(at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def access(
    path: str,
    status: int = 200,
    *,
    at: float = NOW,
    client: str = "10.0.0.1",
    agent: str = "curl/8",
    upstream: str = "127.0.0.1:3001 200 0.001 0.002 0.002",
) -> str:
    """Return an access line."""
    return f'{client} - - [{stamp(at)}] "GET {path} HTTP/1.1" {status} 157 "-" "{agent}" shop.example {upstream}\n'


REFUSED = "connect() failed (111: Connection refused) while connecting to upstream"
TIMED_OUT = "upstream timed out (110: Connection timed out) while reading response header from upstream"


def refused(
    path: str, target: str = "127.0.0.1:3001", *, at: float = NOW, client: str = "10.0.0.1", message: str = REFUSED
) -> str:
    """Return an error line of nginx."""
    time = datetime.fromtimestamp(at, UTC).strftime("%Y/%m/%d %H:%M:%S")
    return (
        f"{time} [error] 7#7: *1 {message}, client: {client}, "
        f'server: shop.example, request: "GET {path} HTTP/1.1", upstream: "http://{target}{path}", host: "shop.example"\n'
    )


class Sums:
    """Adds up what is put, and keeps the checkpoints with it."""

    def __init__(self) -> None:
        self.all: list[Observed] = []
        self.checkpoints: dict[str, Checkpoint] = {}
        for name in ("requests", "failures", "attempts", "recovered"):
            setattr(self, name, Counter())
        self.requests: Counter[Any]
        self.failures: Counter[Any]
        self.attempts: Counter[Any]
        self.recovered: Counter[Any]
        self.checks = self.lines = self.unparsed = self.lost_bytes = 0

    def put(self, observed: Observed) -> None:
        self.all.append(observed)
        for name in ("requests", "failures", "attempts", "recovered"):
            for (_, key), count in getattr(observed, name).items():
                getattr(self, name)[key[1:]] += count
        self.checks += observed.checks.total()
        self.lines += observed.lines
        self.unparsed += observed.unparsed
        self.lost_bytes += observed.lost_bytes
        if observed.checkpoint:
            self.checkpoints[observed.log] = observed.checkpoint


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall_now = NOW

    def times(self) -> Times:
        return Times(monotonic=lambda: self.now, wall=lambda: self.wall_now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall_now += seconds


class Watched:
    """The logs of one nginx in a directory, followed turn by turn."""

    def __init__(self, directory: Path, config: str = CONFIG, given: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.config = config
        self.given = tuple(str(directory / name) for name in given)
        self.clock = Clock()
        self.sums = Sums()
        for name in ("access.log", "error.log"):
            (directory / name).touch()
        self.tailer = self.made()

    def made(self) -> Tailer:
        return Tailer(
            snapshot(proxy(self.directory, self.config)),
            self.sums.checkpoints,
            None,
            self.sums.put,
            times=self.clock.times(),
            given=self.given,
        )

    def write(self, name: str, text: str) -> None:
        with (self.directory / name).open("a") as stream:
            stream.write(text)

    def turns(self, count: int = 2, seconds: float = 3.0) -> Sums:
        for _ in range(count):
            while self.tailer.turn():
                pass
            self.clock.advance(seconds)
        return self.sums

    def restart(self) -> None:
        self.tailer.stop()
        self.tailer = self.made()
