"""Where the streams of a proxy in a container go."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.collectors import container_logs, logs
from why502.collectors.base import CollectOptions
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.machine.containers import Container
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot

ID = "3f9a" + "0" * 60
NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
ERROR = (
    "2026/11/23 06:59:30 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    "client: 10.0.0.9, "
    'server: shop.example, request: "GET / HTTP/1.1", upstream: "http://172.30.0.3:3000/", host: "shop.example"\n'
)
LOGS = (
    LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.FILE, path="/var/log/nginx/error.log"),
    LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.FILE, path="/var/log/nginx/access.log"),
)


class Machine(LocalHost):
    """A machine on which process 7 is in a container, whose lines are in the journal."""

    def __init__(self, journal: str = "") -> None:
        super().__init__()
        self.journal = journal
        self.asked: list[tuple[str, ...]] = []

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        if path == "/proc/7/cgroup":
            return f"0::/system.slice/docker-{ID}.scope\n".encode()
        return super().read(path, limit_bytes=limit_bytes)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        self.asked.append(argv)
        at = f"{NOW.timestamp() * 1e6:.0f}"
        lines = [json.dumps({"__REALTIME_TIMESTAMP": at, "MESSAGE": line}) for line in reversed(self.journal.splitlines())]
        return Finished(status=0, stdout="".join(f"{line}\n" for line in lines), stderr="")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root directory of an image whose log files are links to the streams of the process."""
    (tmp_path / "var/log/nginx").mkdir(parents=True)
    (tmp_path / "var/log/nginx/error.log").symlink_to("/dev/stderr")
    (tmp_path / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    return tmp_path


def test_a_link_to_a_stream_is_the_stream(root: Path) -> None:
    found = container_logs.resolved(LocalHost(), Proxy(pid=7, root=str(root), logs=LOGS))
    assert [log.goes_to for log in found] == [LogPlace.STDERR, LogPlace.STDERR]
    (root / "var/log/nginx/error.log").unlink()
    (root / "var/log/nginx/error.log").write_text("")
    found = container_logs.resolved(LocalHost(), Proxy(pid=7, root=str(root), logs=LOGS))
    assert [log.goes_to for log in found] == [LogPlace.FILE, LogPlace.STDERR]
    assert container_logs.resolved(LocalHost(), Proxy(pid=7, logs=LOGS)) == LOGS


def test_the_journal_is_asked_for_the_container(root: Path) -> None:
    """The engine's driver journald marks each line with the container's id."""
    proxy = Proxy(pid=7, root=str(root), logs=LOGS)
    host = Machine(ERROR)
    found = logs.collect(host, Snapshot(taken_at=NOW, since=NOW - timedelta(minutes=5), proxies=(proxy,)), CollectOptions())
    assert any(f"CONTAINER_ID_FULL={ID}" in argv for argv in host.asked)
    assert found.value is not None
    assert [(tally.symptom, tally.count) for tally in found.value.tallies] == [(Symptom.CONNECT_REFUSED, 1)]


def test_what_no_file_and_no_journal_holds_is_a_gap_that_names_the_container(root: Path) -> None:
    proxy = Proxy(pid=7, root=str(root), logs=LOGS)
    found = logs.collect(Machine(), Snapshot(taken_at=NOW, proxies=(proxy,)), CollectOptions())
    assert found.value is None
    assert "the journal of container 3f9a00000000 has no entries from this time" in found.gaps[0].reason
    assert found.gaps[0].hint == "save docker logs 3f9a00000000 to a file and give it with --log"


def test_roots_engine_is_read_by_root_and_a_users_by_the_user() -> None:
    """Whose words they are is another matter: those of a proxy that a user runs."""
    proxy = Proxy(pid=7, owner_uid=101, logs=LOGS)
    (ours,) = container_logs.inputs(proxy, Container(ID, "docker", logs=("/x",)))
    (theirs,) = container_logs.inputs(proxy, Container(ID, "docker", logs=("/x",), owner_uid=1000))
    assert (ours.is_of_engine, ours.owner_uid) == (True, 101)
    assert (theirs.is_of_engine, theirs.owner_uid) == (False, 1000)


def test_messages_of_a_stream_after_many_requests_that_succeeded(tmp_path: Path) -> None:
    """The engine's file holds both streams. After a rotation it begins with requests."""
    path = tmp_path / f"{ID}-json.log"
    access = '10.0.0.9 - - [23/Nov/2026:06:59:{:02} +0000] "GET / HTTP/1.1" {} 157 "-" "curl/8"\n'
    lines = [("stdout", access.format(number % 30, 200)) for number in range(600)]
    lines += [("stderr", ERROR), ("stdout", access.format(30, 502))]
    path.write_text(
        "".join(
            f"{json.dumps({'log': line, 'stream': stream, 'time': f'2026-11-23T06:59:{min(30, at // 20):02}.5Z'})}\n"
            for at, (stream, line) in enumerate(lines)
        )
    )
    combined = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
    log = LogInput(path=str(path), kind=LogKind.ACCESS, format=combined, pid=7, is_of_engine=True, errors_of=7)
    summary, gaps = summarise(LocalHost(), [log], NOW - timedelta(minutes=5), NOW)
    assert [(tally.symptom, tally.status, tally.count) for tally in summary.tallies] == [(Symptom.CONNECT_REFUSED, 502, 1)]
    assert summary.requests == 601 and gaps == ()
