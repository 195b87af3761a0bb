"""What a real nginx writes, summarised: each failing request once, with the status that its client got."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from free_ports import free_port
from logging_nginx import Nginx, backend, closes, cuts, hangs, message, mumbles, needs_nginx, nginx, resets

from why502.collectors import logs as source
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.config import Escape, LogKind, LogPlace, LogTarget
from why502.model.logs import LogSummary, Phase, Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

pytestmark = [pytest.mark.real, needs_nginx]

COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
FULL = (
    COMBINED + ' ua="$upstream_addr" us="$upstream_status" uct="$upstream_connect_time" uht="$upstream_header_time" '
    'urt="$upstream_response_time" rt=$request_time'
)
JSON = (
    '{"time":"$time_iso8601","client":"$remote_addr","request":"$request","status":"$status","ua":"$upstream_addr","us":"$upstream_status",'
    '"uct":"$upstream_connect_time","uht":"$upstream_header_time","urt":"$upstream_response_time","rt":"$request_time"}'
)
FORMATS = {"combined": (COMBINED, ""), "full": (FULL, ""), "json": (JSON, "escape=json"), "none": (FULL, "escape=none")}


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> tuple[str, str]:
    return FORMATS[request.param]


@contextlib.contextmanager
def backends() -> Iterator[dict[str, int]]:
    """Yield the port of a backend of each kind; nothing listens on `dead`."""
    answers = {
        "ok": message(),
        "closes": closes,
        "cuts": cuts,
        "hangs": hangs,
        "mumbles": mumbles,
        "resets": resets,
        "s503": message(b"x", "503 No"),
    }
    with contextlib.ExitStack() as stack:
        yield {"dead": free_port(), **{name: stack.enter_context(backend(answer)) for name, answer in answers.items()}}


def server_block(ports: dict[str, int]) -> str:
    dead, ok = f"127.0.0.1:{ports['dead']}", f"127.0.0.1:{ports['ok']}"
    each = "".join(
        f"location /{name} {{ proxy_pass http://127.0.0.1:{port}; proxy_read_timeout 1s; }}\n" for name, port in ports.items()
    )
    return f"""upstream group {{ server {dead} max_fails=0; server {ok}; }}
        server {{ listen PORT; server_name example.com;
          {each}
          location /group {{ proxy_pass http://group; }}
          location /page {{ proxy_pass http://{dead}; error_page 502 =200 /empty; }}
          location /nopage {{ proxy_pass http://{dead}; error_page 502 /missing.html; }}
          location = /empty {{ return 204; }}
          location /own {{ return 503; }}
          location /large {{ client_max_body_size 1; proxy_pass http://{ok}; }}
        }}"""


def look(server: Nginx, form: tuple[str, str], *, since: timedelta = timedelta(minutes=15)) -> tuple[LogSummary, tuple[Gap, ...]]:
    escape = form[1].removeprefix("escape=") or "default"
    logs = [
        LogInput(path=f"{server.directory}/error.log", kind="error", pid=server.process.pid),
        LogInput(path=f"{server.directory}/access.log", kind="access", format=form[0], escape=escape, pid=server.process.pid),
    ]
    now = datetime.now(UTC)
    return summarise(LocalHost(), logs, now - since, now + timedelta(seconds=1))


def test_every_fault_once(tmp_path: Path, form: tuple[str, str]) -> None:
    asked = (
        ["/ok"] * 5
        + ["/dead?token=s3cr3t"] * 3
        + ["/closes", "/resets", "/cuts", "/hangs", "/mumbles", "/s503", "/own", "/page", "/nopage"]
    )
    with backends() as ports, nginx(tmp_path, server_block(ports), format=form[0], escape=form[1]) as server:
        for path in asked:
            server.get(path)
        server.logged(len(asked))
        found, gaps = look(server, form)
    knows = form[0] != COMBINED
    seen = {(tally.symptom, tally.target.port if tally.target else None, tally.status): tally for tally in found.tallies}
    assert {key: tally.count for key, tally in seen.items()} == {
        (Symptom.CONNECT_REFUSED, ports["dead"], 502): 5,
        (Symptom.CLOSED_BEFORE_HEADER, ports["closes"], 502): 1,
        (Symptom.RESET_BEFORE_HEADER, ports["resets"], 502): 1,
        (Symptom.CLOSED_IN_BODY, ports["cuts"], 200): 1,
        (Symptom.READ_TIMED_OUT, ports["hangs"], 504): 1,
        (Symptom.NO_STATUS_LINE, ports["mumbles"], 9): 1,
        **(
            {(Symptom.UPSTREAM_STATUS, ports["s503"], 503): 1, (Symptom.OWN_STATUS, None, 503): 1}
            if knows
            else {(Symptom.GATEWAY_STATUS, None, 503): 2}
        ),
    }
    refused = seen[Symptom.CONNECT_REFUSED, ports["dead"], 502]
    assert (refused.errno, refused.phase, refused.server, refused.protocol) == (111, Phase.CONNECT, "example.com", "http")
    assert refused.requests[0] == ("GET /dead", 3)
    assert all("s3cr3t" not in sample.text for sample in refused.samples) and refused.source == f"{tmp_path}/error.log:1"
    if knows:
        assert (seen[Symptom.READ_TIMED_OUT, ports["hangs"], 504].duration_max_s or 0) >= 1
        traffic = {target.target.port: target for target in found.targets}
        assert (traffic[ports["ok"]].attempts, traffic[ports["ok"]].failures) == (5, 0)
        assert (traffic[ports["dead"]].attempts, traffic[ports["dead"]].failures) == (5, 5)
        assert all(traffic[ports[name]].failures == 1 for name in ("closes", "cuts", "hangs", "mumbles", "s503"))
    assert found.requests == len(asked) and gaps == ()
    assert found.has_access


def test_a_retry_hides_failures_from_the_client(tmp_path: Path) -> None:
    with backends() as ports, nginx(tmp_path, server_block(ports), format=FULL) as server:
        assert {server.get("/group") for _ in range(10)} == {200}
        server.logged(10)
        found, _ = look(server, (FULL, ""))
    (tally,) = found.tallies
    assert (tally.symptom, tally.status, tally.count, tally.hidden) == (Symptom.CONNECT_REFUSED, 200, 5, 5)


def test_a_limit_of_the_proxy_is_no_failure(tmp_path: Path, form: tuple[str, str]) -> None:
    with backends() as ports, nginx(tmp_path, server_block(ports), format=form[0], escape=form[1]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/large", body=b"more than one byte")
        assert connection.getresponse().status == 413
        connection.close()
        server.logged(1)
        found, _ = look(server, form)
    assert [(tally.symptom, tally.status, tally.count) for tally in found.tallies] == [(Symptom.REQUEST_TOO_LARGE, 413, 1)]


def test_local_time_of_the_process(tmp_path: Path) -> None:
    """The error log is in the zone of the machine; a summary of it and of the access log, which has an offset, fits together."""
    with backends() as ports, nginx(tmp_path, server_block(ports), format=FULL) as server:
        server.get("/dead")
        server.logged(1)
        found, _ = look(server, (FULL, ""), since=timedelta(minutes=1))
    (tally,) = found.tallies
    assert tally.status == 502 and tally.count == 1


def test_logs_that_were_rotated_and_removed(tmp_path: Path) -> None:
    """Moved without telling nginx, which goes on writing to the old file; then moved away and told; then removed."""
    with backends() as ports, nginx(tmp_path, server_block(ports), format=FULL) as server:
        server.get("/dead")
        server.logged(1)
        (tmp_path / "error.log").rename(tmp_path / "error.log.1")
        (tmp_path / "error.log").write_bytes(b"")
        server.get("/dead")
        server.logged(2)
        assert [tally.count for tally in look(server, (FULL, ""))[0].tallies] == [2]
        server.process.send_signal(signal.SIGUSR1)
        total = 2
        while (tmp_path / "error.log").stat().st_size == 0:  # until the worker has opened the new file
            server.get("/dead")
            total += 1
            server.logged(total)
            assert total < 1000
        assert sum(tally.count for tally in look(server, (FULL, ""))[0].tallies) == total
        (tmp_path / "error.log").unlink()
        if not os.access(f"/proc/{server.process.pid}/fd", os.R_OK):
            pytest.skip("the files of another process may not be looked at here")
        found, gaps = look(server, (FULL, ""))
        deleted = [file for file in found.files if file.is_deleted]
        if gaps:
            pytest.skip(f"following /proc/PID/fd is not allowed here: {gaps[0].reason}")
        assert len(deleted) == 1 and deleted[0].path == f"{tmp_path}/error.log"
        assert sum(tally.count for tally in found.tallies) == total


def test_the_source_reads_what_the_configuration_names(tmp_path: Path) -> None:
    with backends() as ports, nginx(tmp_path, server_block(ports), format=JSON, escape="escape=json") as server:
        server.get("/dead")
        server.logged(1)
        targets = (
            LogTarget(kind=LogKind.ERROR, path=f"{tmp_path}/error.log", level="error"),
            LogTarget(kind=LogKind.ERROR, path=f"{tmp_path}/missing.log", level="crit"),
            LogTarget(kind=LogKind.ACCESS, path=f"{tmp_path}/access.log", format=JSON, escape=Escape.JSON, server="a"),
            LogTarget(kind=LogKind.ACCESS, path=f"{tmp_path}/access.log", format=JSON, escape=Escape.JSON, server="b"),
            LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.OFF),
            LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG),
            LogTarget(
                kind=LogKind.ACCESS, goes_to=LogPlace.VARIABLE, path=f"{tmp_path}/$host.log", format=JSON, escape=Escape.JSON
            ),
        )
        proxy = Proxy(pid=server.process.pid, logs=targets)
        known = Snapshot(taken_at=datetime.now(UTC) + timedelta(seconds=1), proxies=(proxy,))
        found = source.collect(LocalHost(), known, CollectOptions())
        given = source.collect(LocalHost(), known, CollectOptions(logs=(f"{tmp_path}/access.log",)))
    assert found.value is not None and [(tally.symptom, tally.status, tally.count) for tally in found.value.tallies] == [
        (Symptom.CONNECT_REFUSED, 502, 1)
    ]
    whys = {gap.source: gap for gap in found.gaps}
    assert whys.keys() == {f"{tmp_path}/missing.log", "error log"}
    assert "syslog" in whys["error log"].reason and whys["error log"].hint
    assert given.value is not None and given.value.requests == 1 and given.gaps == ()
