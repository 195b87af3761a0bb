"""Where each log of a configuration is read from, and what is said of those that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.collectors import logs
from why502.collectors.base import CollectOptions, Found
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Position, Route, Upstream
from why502.model.errors import Missing
from why502.model.logs import LogSummary, Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
ERROR = (
    "2026/11/21 00:29:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    "client: 10.0.0.1, "
    'server: example.com, request: "GET /x HTTP/1.1", upstream: "http://127.0.0.1:3001/x", host: "example.com"\n'
)
ACCESS = '10.0.0.1 - - [21/Nov/2026:00:29:00 +0000] "GET /x HTTP/1.1" 502 157 "-" "curl/8"\n'
AT = Position(file="/etc/nginx/nginx.conf", line=7)


class Journal(LocalHost):
    """This machine, with a journal of our own."""

    def __init__(self, text: str | None) -> None:
        super().__init__()
        self.text = text
        self.argv: tuple[str, ...] = ()

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        self.argv = argv
        if self.text is None:
            raise Missing("journalctl: no such program")
        assert "--reverse" in argv
        at = f"{NOW.timestamp() * 1e6:.0f}"
        lines = [json.dumps({"__REALTIME_TIMESTAMP": at, "MESSAGE": line}) for line in reversed(self.text.splitlines())]
        return Finished(status=0, stdout="".join(f"{line}\n" for line in lines), stderr="")


def collect(
    *targets: LogTarget, host: LocalHost | None = None, ask: CollectOptions | None = None, **proxy: object
) -> Found[LogSummary]:
    known = Snapshot(taken_at=NOW, proxies=(Proxy(logs=targets, **proxy),))  # type: ignore[arg-type]
    return logs.collect(host or LocalHost(), known, ask or CollectOptions())


def symptoms(found: Found[LogSummary]) -> list[tuple[Symptom, int | None, int]]:
    assert found.value is not None
    return [(tally.symptom, tally.status, tally.count) for tally in found.value.tallies]


def test_standard_error_and_output_of_a_unit_are_in_its_journal() -> None:
    host = Journal("nginx: configuration file test is successful\n" + ERROR + ACCESS)
    targets = (
        LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.STDERR),
        LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR, format=COMBINED),
    )
    found = collect(*targets, host=host, unit="nginx.service")
    assert symptoms(found) == [(Symptom.CONNECT_REFUSED, 502, 1)] and found.gaps == ()
    assert found.value is not None and found.value.tallies[0].source == "journalctl -u nginx.service:1"
    assert host.argv[0] == "journalctl" and "--unit=nginx.service" in host.argv
    assert f"--since=@{int((NOW - timedelta(minutes=15)).timestamp())}" in host.argv


def test_what_cannot_be_found_is_a_gap_that_says_where_it_goes() -> None:
    targets = (
        LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG, at=AT),
        LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR, format=COMBINED),
    )
    for host, unit in ((Journal(None), "nginx.service"), (Journal(""), "nginx.service"), (LocalHost(), "")):
        found = collect(*targets, host=host, unit=unit)
        assert found.value is None
        assert "syslog by /etc/nginx/nginx.conf:7" in found.gaps[0].reason and "standard output" in found.gaps[1].reason
        assert all(gap.hint for gap in found.gaps)


def test_standard_error_that_was_redirected_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "all.log").write_text(ERROR)
    with (tmp_path / "all.log").open("ab") as file:
        process = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stderr=file)
        try:
            if not os.access(f"/proc/{process.pid}/fd/2", os.F_OK):
                return
            found = collect(LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.STDERR), pid=process.pid)
        finally:
            process.kill()
            process.wait()
    assert symptoms(found) == [(Symptom.CONNECT_REFUSED, None, 1)] and found.gaps == ()


def test_a_path_with_variables(tmp_path: Path) -> None:
    (tmp_path / "a.example.com.access.log").write_text(ACCESS)
    (tmp_path / "b.example.com.access.log").write_text(ACCESS.replace("10.0.0.1", "10.0.0.2"))
    (tmp_path / "other.txt").write_text(ACCESS)
    target = LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.VARIABLE, path=f"{tmp_path}/$host.access.log", format=COMBINED)
    found = collect(target)
    assert found.value is not None and found.value.requests == 2 and found.gaps == ()
    none = collect(
        LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.VARIABLE, path="/var/log/${host}/$server_name.log", format=COMBINED)
    )
    assert none.value is None and "variables" in none.gaps[0].reason


def test_a_log_of_several_servers_and_formats(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(ACCESS)
    one = LogTarget(kind=LogKind.ACCESS, path=str(path), format=COMBINED, server="a")
    found = collect(one)
    assert found.value is not None and found.value.tallies[0].server == "a"
    found = collect(one, LogTarget(kind=LogKind.ACCESS, path=str(path), format="$msec $status", server="b"))
    assert found.value is not None and found.value.tallies[0].server == "" and found.value.requests == 1


def test_requests_that_two_logs_have_count_once(tmp_path: Path) -> None:
    first, second = tmp_path / "whole.log", tmp_path / "short.log"
    whole = LogTarget(kind=LogKind.ACCESS, path=str(first), format=COMBINED)
    short = LogTarget(kind=LogKind.ACCESS, path=str(second), format=COMBINED, repeats=True)
    second.write_text(ACCESS)
    assert symptoms(collect(whole, short)) == [(Symptom.GATEWAY_STATUS, 502, 1)]  # the other one cannot be read
    first.write_text(ACCESS)
    found = collect(whole, short)
    assert symptoms(found) == [(Symptom.GATEWAY_STATUS, 502, 1)]
    assert found.value is not None and [file.path for file in found.value.files] == [str(first)]


def test_what_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_text("")
    quiet = LogTarget(kind=LogKind.ERROR, path=f"{tmp_path}/error.log", level="crit", at=AT)
    off = LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.OFF, at=AT)
    found = collect(quiet, off)
    assert found.value is not None and [gap.source for gap in found.gaps] == [f"{tmp_path}/error.log", "access log"]
    assert "crit" in found.gaps[0].reason and "error_log" in found.gaps[0].hint and "access_log" in found.gaps[1].hint
    beside = collect(off, LogTarget(kind=LogKind.ACCESS, path=f"{tmp_path}/error.log", format=COMBINED))
    assert beside.gaps == ()


def test_logs_that_the_user_gave_stand_in_for_the_others(tmp_path: Path) -> None:
    (tmp_path / "copy.log").write_text(ACCESS + ACCESS.replace("502", "200"))
    configured = LogTarget(kind=LogKind.ACCESS, path="/nonexistent/access.log", format=COMBINED)
    found = collect(configured, ask=CollectOptions(logs=(f"{tmp_path}/copy.log",)))
    assert found.value is not None and found.value.by_status == {"200": 1, "502": 1} and found.gaps == ()


def test_nothing_is_known() -> None:
    found = logs.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions())
    assert found.value is None and "--log" in found.gaps[0].hint


CADDY = (
    '{"level":"error","ts":1795220940.5,"logger":"http.log.error.log0","msg":"x509: certificate has expired or is not yet valid",'
    '"request":{"remote_ip":"10.0.0.1","remote_port":"4000","proto":"HTTP/1.1","method":"GET","host":"a.example","uri":"/"},'
    '"duration":0.1,"status":502}\n'
)


def test_what_another_users_gateway_says_is_of_the_only_target_that_it_has(open_directory: Path) -> None:
    path = open_directory / "caddy.log"
    path.write_text(CADDY)
    own, other = Target(host="127.0.0.1", port=8443), Target(host="127.0.0.1", port=8444)
    root = Proxy(routes=(Route(at=AT, peers=(Peer(name="x", target=Target(host="127.0.0.1", port=9101)),)),))
    uid = 65534
    path.chmod(0o644)
    for targets, expected in (((own,), own), ((own, other), None)):
        routes = tuple(Route(peers=(Peer(name=str(each), target=each),)) for each in targets)
        log = LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.FILE, path=str(path))
        user = Proxy(kind="caddy", routes=routes, logs=(log,), owner_uid=uid)
        found = logs.collect(LocalHost(), Snapshot(taken_at=NOW, proxies=(root, user)), CollectOptions())
        assert found.value is not None
        told = {tally.target for tally in found.value.tallies if tally.symptom is Symptom.TLS_UNVERIFIED}
        assert told == ({expected} if expected else set()), found.gaps


def test_a_failure_while_the_machine_is_looked_at_has_its_message(tmp_path: Path) -> None:
    """The access log has the time when the request began, the message that of its end."""
    (tmp_path / "error.log").write_text(ERROR.replace("00:29:00", "00:30:09"))
    (tmp_path / "access.log").write_text(ACCESS)
    targets = [
        LogTarget(kind=kind, goes_to=LogPlace.FILE, path=f"{tmp_path}/{kind}.log", at=AT)
        for kind in (LogKind.ERROR, LogKind.ACCESS)
    ]
    assert Symptom.CONNECT_REFUSED in [symptom for symptom, *_ in symptoms(collect(*targets))]


def _answered(server: str, statuses: dict[str, int]) -> str:
    """Return the lines of Caddy's access log for requests of several clients to one path."""
    lines = (
        f'{{"level":"info","ts":{1795220900 + number},"logger":"http.log.access.log0","msg":"handled request",'
        f'"request":{{"remote_ip":"10.0.0.{number % 9}","proto":"HTTP/1.1","method":"GET","host":"{server}","uri":"/prices"}},'
        f'"duration":0.01,"size":9,"status":{status}}}\n'
        for status, count in statuses.items()
        for number in range(count)
    )
    return "".join(lines)


def _of_two_owners(directory: Path, server: str, *, roots: str = "root.example") -> Found[LogSummary]:
    """Return the logs of root's nginx, which are empty, and of a Caddy that another user runs, with a group of two servers."""
    (directory / "nginx.log").write_text("")
    text = _answered(server, {"200": 20, "500": 40})
    (directory / "caddy.log").write_text(text)
    (directory / "caddy.log").chmod(0o644)
    ends = [Peer(name=f"127.0.0.1:{port}", target=Target(host="127.0.0.1", port=port)) for port in (8091, 8092)]
    site = Position(file="/etc/caddy/Caddyfile", line=6)
    own = Route(proxy="caddy", server="shop.example", server_names=("shop.example",), at=site, upstream="pool", peers=tuple(ends))
    theirs = Route(
        server=roots, server_names=(roots,), at=AT, peers=(Peer(name="x", target=Target(host="127.0.0.1", port=9101)),)
    )
    nginx, caddy = (
        LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.FILE, path=f"{directory}/{name}.log", at=at)
        for name, at in (("nginx", AT), ("caddy", site))
    )
    root = Proxy(routes=(theirs,) if roots else (), logs=(nginx,))
    user = Proxy(
        kind="caddy", routes=(own,), logs=(caddy,), upstreams=(Upstream(name="pool", peers=tuple(ends)),), owner_uid=65534
    )
    return logs.collect(LocalHost(), Snapshot(taken_at=NOW, proxies=(root, user)), CollectOptions())


def test_what_another_users_gateway_answered_counts_beside_a_log_of_root(open_directory: Path) -> None:
    for roots in ("", "root.example"):
        found = _of_two_owners(open_directory, "shop.example", roots=roots).value
        assert found is not None
        assert [(path.server, path.request, path.statuses) for path in found.paths] == [
            ("shop.example", "GET /prices", {"200": 20, "500": 40})
        ]
        assert [(tally.symptom, tally.server, tally.count) for tally in found.tallies] == [
            (Symptom.GATEWAY_STATUS, "shop.example", 40)
        ]


def test_another_users_log_tells_nothing_of_a_server_that_root_names(open_directory: Path) -> None:
    found = _of_two_owners(open_directory, "shop.example", roots="shop.example").value
    assert found is not None
    assert not [tally for tally in found.tallies if tally.server == "shop.example"]
    assert all(path.at is None or path.at.file == "/etc/caddy/Caddyfile" for path in found.paths)
