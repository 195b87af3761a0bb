"""The access logs of other gateways are traffic for the diagnosis too: good requests count, and a failure in two logs is one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.host.nowhere import NowhereHost
from why502.logs import native
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.config import LogKind
from why502.model.logs import LogSummary, Symptom

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def caddy(logger: str, message: str, status: int, port: int, path: str = "/") -> str:
    request = {"remote_ip": "192.0.2.7", "remote_port": str(port), "method": "GET", "host": "shop.example", "uri": path}
    level = "error" if status >= 500 else "info"
    entry = {"level": level, "ts": AT.timestamp() + port / 100, "logger": logger, "msg": message, "request": request}
    return json.dumps({**entry, "duration": 0.1, "status": status}) + "\n"


def haproxy(status: int, state: str, second: int) -> str:
    server = "app/one" if status < 500 else "app/<NOSRV>"
    time = f"12:00:{second:02}"
    return (
        f"{AT:%b %d} {time} lb haproxy[7]: 192.0.2.7:4000 [{AT:%d/%b/%Y}:{time}.100] web {server} 0/0/0/1/1 "
        f'{status} 100 - - {state} 1/1/0/0/0 0/0 "GET / HTTP/1.1"\n'
    )


def summary(*logs: LogInput, directory: Path | None = None) -> LogSummary:
    found, _ = summarise(
        DirectoryHost(str(directory)) if directory else NowhereHost(), logs, AT - timedelta(minutes=1), AT + timedelta(minutes=5)
    )
    return found


@pytest.mark.parametrize("is_program_first", [True, False])
def test_a_failure_that_caddy_writes_to_two_logs_is_one(tmp_path: Path, is_program_first: bool) -> None:
    ports = range(1000, 1020)
    told = "".join(caddy("http.log.error", "dial tcp 127.0.0.1:3001: connect: connection refused", 502, port) for port in ports)
    access = "".join(caddy("http.log.access.log0", "handled request", 502, port) for port in ports)
    good = "".join(caddy("http.log.access.log0", "handled request", 200, port) for port in range(2000, 2090))
    (tmp_path / "access.log").write_text(access + good)
    logs = (
        LogInput(path="journal", content=told.encode(), kind=LogKind.ACCESS, proxy="caddy"),
        LogInput(path="/access.log", kind=LogKind.ACCESS, proxy="caddy"),
    )
    found = summary(*(logs if is_program_first else logs[::-1]), directory=tmp_path)
    assert [(tally.symptom, tally.count) for tally in found.tallies] == [(Symptom.CONNECT_REFUSED, 20)]
    assert (found.requests, found.by_status, found.has_access) == (110, {"200": 90, "502": 20}, True)
    assert sum(path.completed for path in found.paths) == 110


def test_the_program_log_of_caddy_alone_tells_of_no_traffic() -> None:
    told = caddy("http.log.error", "dial tcp 127.0.0.1:3001: connect: connection refused", 502, 1000)
    found = summary(LogInput(path="journal", content=told.encode(), kind=LogKind.ACCESS, proxy="caddy"))
    assert (found.requests, found.has_access, len(found.tallies)) == (0, False, 1)


@pytest.mark.parametrize(("good", "requests"), [(5, 8), (0, 0)])
def test_a_log_of_haproxy_with_good_requests_has_all(good: int, requests: int) -> None:
    lines = [haproxy(200, "----", number) for number in range(good)] + [haproxy(503, "SC--", 10 + number) for number in range(3)]
    found = summary(LogInput(path="haproxy.log", content="".join(lines).encode(), proxy="haproxy"))
    assert (found.requests, found.has_access) == (requests, bool(requests))
    assert sum(tally.count for tally in found.tallies) == 3


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_log_of_one_server_names_it_for_every_path(is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The combined format has no server, but only one writes to the file. Both readers must know that."""
    if not is_fast:
        monkeypatch.setattr(native, "loaded", lambda: None)
    line = f'192.0.2.7 - - [{AT:%d/%b/%Y:%H:%M:%S} +0000] "GET {{}} HTTP/1.1" {{}} 5 "-" "-"\n'
    text = "".join(line.format(path, status) for path, status in (("/", 200), ("/", 200), ("/old", 404)))
    found = summary(LogInput(path="shop.log", content=text.encode(), kind=LogKind.ACCESS, proxy="nginx", server="shop.example"))
    assert [(path.server, path.request, path.completed) for path in found.paths] == [
        ("shop.example", "GET /", 2),
        ("shop.example", "GET /old", 1),
    ]
