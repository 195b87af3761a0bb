"""A request that broke the application is never sent again: the same workers are alive before and after a diagnosis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from logging_nginx import Nginx, needs_nginx, nginx

from why502.model.config import Route
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target
from why502.probing.entrance import of_route
from why502.probing.plan import Choice, asked, harmful

FORMAT = (
    '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "-" "-" ua="$upstream_addr" us="$upstream_status" '
    'urt="$upstream_response_time"'
)
# A master that restarts its only worker whenever it dies, and records each start and each request.
APP = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 0), backlog=64)
print(server.getsockname()[1], flush=True)
told = open(sys.argv[1], "a", buffering=1)
while True:
    pid = os.fork()
    if pid == 0:
        told.write(f"start {os.getpid()}\\n")
        while True:
            client, _ = server.accept()
            line = client.recv(65536).split(b"\\r\\n")[0].decode()
            told.write(f"{line}\\n")
            path = line.split(" ")[1] if " " in line else ""
            if path.startswith("/crash"):
                os._exit(7)
            if path.startswith("/slow"):
                time.sleep(3)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
            client.close()
    os.waitpid(pid, 0)
"""
APP_AT = Target(host="127.0.0.1", port=3000)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Nginx, Path]]:
    """Yield an nginx in front of such an application, and the file with its records."""
    directory = Path(tempfile.mkdtemp(prefix="why502-"))
    told = tmp_path / "told"
    app = subprocess.Popen([sys.executable, "-c", APP, str(told)], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert app.stdout is not None
        port = int(app.stdout.readline())
        block = f"server {{ listen PORT; location / {{ proxy_pass http://127.0.0.1:{port}; proxy_read_timeout 1s; }} }}"
        with nginx(directory, block, format=FORMAT) as front:
            yield front, told
    finally:
        os.killpg(app.pid, signal.SIGKILL)
        app.communicate()
        subprocess.run(["rm", "-rf", str(directory)], check=True)


def diagnosed(front: Nginx) -> dict[str, object]:
    argv = [sys.executable, "-m", "why502", "diagnose", "--config", str(front.directory / "nginx.conf"), "--format", "json"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=90)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.real
@needs_nginx
@pytest.mark.parametrize(("path", "status"), [("/crash", 502), ("/crash?order=17", 502), ("/slow", 504)])
def test_the_request_that_broke_it_is_not_sent_again(shop: tuple[Nginx, Path], path: str, status: int) -> None:
    front, told = shop
    assert [front.get("/"), front.get("/about"), front.get(path)] == [200, 200, status]
    while front.get("/about") != 200:  # until the slow one has ended, or the next worker accepts requests
        pass
    front.logged(4)
    before = told.read_text().splitlines()
    said = diagnosed(front)
    after = told.read_text().splitlines()[len(before) :]
    assert [line for line in after if path.partition("?")[0] in line or line.startswith("start")] == []
    assert any(line.startswith(("GET / ", "HEAD / ")) for line in after)
    gaps = [gap for gap in said["gaps"] if gap["source"] == "probes"]  # type: ignore[attr-defined]
    assert " was not repeated, because it may have caused its own failure" in gaps[0]["reason"]
    assert "--url" in gaps[0]["hint"]


def tally(symptom: Symptom, *requests: str, queried: tuple[str, ...] = ()) -> Tally:
    return Tally(symptom=symptom, target=APP_AT, requests=tuple((request, 1) for request in requests), queried=queried)


def knows(*tallies: Tally, statuses: dict[str, int] | None = None, targets: tuple[TargetTraffic, ...] = ()) -> Snapshot:
    from datetime import UTC, datetime

    logs = LogSummary(tallies=tallies, has_access=True, by_status={"200": 5} if statuses is None else statuses, targets=targets)
    return Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC), logs=logs)


@pytest.mark.parametrize(
    "symptom",
    [
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_IN_BODY,
        Symptom.RESET_IN_BODY,
        Symptom.READ_TIMED_OUT,
        Symptom.CLIENT_CLOSED,
        Symptom.GATEWAY_STATUS,
    ],
)
def test_a_request_that_may_have_caused_its_failure_is_not_repeated(symptom: Symptom) -> None:
    failures = [tally(symptom, "GET /report")]
    harm = harmful(knows(*failures), APP_AT)
    route = Route(passes="http://127.0.0.1:3000", listens=("80",))
    assert asked(route, failures, harm) == Choice("GET", "/", repeats=False, spared="GET /report")
    in_place = Route(passes="http://127.0.0.1:3000", listens=("80",), location="/report")
    assert asked(in_place, failures, harm).path == "/"


def test_nothing_is_sent_if_the_start_page_itself_broke_it() -> None:
    failures = [tally(Symptom.CLOSED_BEFORE_HEADER, "GET /")]
    route = Route(passes="http://127.0.0.1:3000", listens=("80",))
    harm = harmful(knows(*failures), APP_AT)
    assert asked(route, failures, harm).path == ""
    assert of_route(route, failures, harm) is None


@pytest.mark.parametrize(
    "symptom", [Symptom.CONNECT_REFUSED, Symptom.CONNECT_TIMED_OUT, Symptom.TLS_FAILED, Symptom.UPSTREAM_STATUS]
)
def test_a_request_that_never_arrived_or_was_answered_is_repeated(symptom: Symptom) -> None:
    failures = [tally(symptom, "GET /report")]
    found = asked(Route(passes="x", listens=("80",)), failures, harmful(knows(*failures), APP_AT))
    assert (found.path, found.repeats, found.spared) == ("/report", True, "")


def test_a_request_is_not_repeated_without_its_query() -> None:
    failures = [tally(Symptom.CONNECT_REFUSED, "GET /report", queried=("GET /report",))]
    assert not asked(Route(passes="x", listens=("80",)), failures, frozenset()).repeats


def test_a_target_where_everything_times_out_is_probed_again() -> None:
    failures = [tally(Symptom.READ_TIMED_OUT, "GET /report")]
    assert harmful(knows(*failures, statuses={"504": 5}), APP_AT) == frozenset()
    alone = TargetTraffic(target=APP_AT, attempts=5, failures=5)
    assert harmful(knows(*failures, targets=(alone,)), APP_AT) == frozenset()


INNER = Target(host="127.0.0.1", port=8081)


def chained(*inner: tuple[Symptom, str]) -> Snapshot:
    """Return an nginx that knows only the status of an inner Caddy, whose own log has these failures to connect to APP_AT."""
    front = Tally(symptom=Symptom.GATEWAY_STATUS, target=INNER, proxy="nginx", requests=(("GET /", 9), ("GET /b", 1)))
    own = [Tally(symptom=symptom, target=APP_AT, proxy="caddy", requests=((text, 9),)) for symptom, text in inner]
    return Snapshot(
        taken_at=datetime(2026, 11, 21, tzinfo=UTC),
        proxies=(Proxy(pid=10, kind="nginx"), Proxy(pid=20, kind="caddy")),
        listeners=(Listener(target=INNER, pids=(20,)),),
        logs=LogSummary(tallies=(front, *own), by_status={"200": 4}, has_access=True),
    )


def test_a_request_that_an_inner_gateway_could_not_pass_on_harmed_nothing() -> None:
    assert harmful(chained((Symptom.CONNECT_REFUSED, "GET /")), INNER) == {"/b"}
    assert harmful(chained(), INNER) == {"/", "/b"}
    ended = chained((Symptom.CONNECT_REFUSED, "GET /"), (Symptom.CLOSED_BEFORE_HEADER, "GET /b"))
    assert harmful(ended, INNER) == {"/", "/b"}
    elsewhere = msgspec.structs.replace(ended, listeners=(Listener(target=INNER, pids=(30,)),))
    assert harmful(elsewhere, INNER) == {"/", "/b"}


@pytest.mark.parametrize(
    ("reasons", "suspects"),
    [
        ([Symptom.CONNECT_REFUSED], set()),
        ([], {"/", "/b"}),
        ([Symptom.CONNECT_REFUSED, Symptom.CLOSED_BEFORE_HEADER], {"/", "/b"}),
    ],
)
def test_apache_names_the_reason_without_the_request(reasons: list[Symptom], suspects: set[str]) -> None:
    statuses = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", requests=(("GET /", 9), ("GET /b", 1)))
    own = [Tally(symptom=symptom, target=APP_AT, proxy="apache") for symptom in reasons]
    other = Tally(symptom=Symptom.CONNECT_REFUSED, target=APP_AT, proxy="nginx")  # tells nothing about Apache's requests
    logs = LogSummary(tallies=(statuses, other, *own), by_status={"200": 4}, has_access=True)
    assert harmful(Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC), logs=logs), APP_AT) == suspects
