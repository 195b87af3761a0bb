"""More connections than the application serves at once, and connections that several processes share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from why502.diagnosis.case import Case
from why502.diagnosis.engine import diagnose
from why502.diagnosis.slots import slots
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Dependency, Event, Kernel, Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8000)
BASE = Target(host="127.0.0.1", port=5432)
GUNICORN = ("/opt/venv/bin/python3", "/opt/venv/bin/gunicorn", "--workers", "2", "--threads=4", "web:app")


def full(*argv: str, held: int, answered: bool = True, waited_s: float = 3.0) -> Snapshot:
    """Return a machine whose application has a master and two workers, holds connections, and lets requests time out."""
    first = NOW - timedelta(seconds=20)
    late = Tally(symptom=Symptom.READ_TIMED_OUT, target=APP, status=504, count=5, first=first, last=NOW)
    served = NOW - timedelta(seconds=5) if answered else first - timedelta(seconds=5)
    traffic = TargetTraffic(target=APP, attempts=40, failures=5, last_success=served)
    slow = Probe(target=APP, request="GET /", status=200, first_byte_s=waited_s, total_s=waited_s, repeats=True)
    silent = Probe(target=APP, request="GET /", symptom=Symptom.READ_TIMED_OUT, total_s=5.0)
    processes = [Process(pid=pid, ppid=10 if pid != 10 else 1, name="python3", argv=argv) for pid in (10, 11, 12)]
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(10, 11, 12), queued=0, backlog=128),),
        processes=tuple(processes),
        services=(),
        events=(),
        probes=(slow if answered else silent,),
        kernel=Kernel(accepted={str(APP): held}),
        logs=LogSummary(tallies=(late,), targets=(traffic,), requests=40, has_access=True),
    )


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (GUNICORN, 8),
        (("gunicorn", "-k", "gevent", "--threads", "4", "web:app"), None),
        (("gunicorn", "web:app"), None),
        (("/usr/bin/waitress-serve", "--listen=127.0.0.1:8000", "web:app"), 8),
        (("/usr/bin/bundle", "exec", "puma", "-t", "1:3"), 6),
        (("/usr/bin/puma", "-C", "config/puma.rb"), None),
        (("/usr/bin/node", "server.js", "--threads", "4"), None),
        (("gunicorn", "--threads", "99999999999", "web:app"), None),
    ],
)
def test_what_a_command_says(argv: tuple[str, ...], expected: int | None) -> None:
    assert slots(Case(here=full(*argv, held=0), target=APP)) == expected


def test_the_command_of_the_service_counts_if_the_process_changed_its_title() -> None:
    here = full("puma 6.0.0 (tcp://127.0.0.1:8000) [shop]", held=0)
    service = Service(manager="systemd", name="shop.service", argv=("/usr/bin/puma", "-t", "2:5"), targets=(APP,))
    assert slots(Case(here=replace(here, services=(service,)), target=APP)) == 10


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (full(*GUNICORN, held=20), True),
        (full(*GUNICORN, held=8), False),
        (full("/usr/bin/node", "server.js", held=20), False),
        (full(*GUNICORN, held=20, answered=False), False),
        (full(*GUNICORN, held=20, waited_s=0.01), False),
    ],
    ids=["more than it serves", "as many as it serves", "it serves any number", "it answers nothing", "idle connections"],
)
def test_more_connections_than_it_serves_at_once(here: Snapshot, expected: bool) -> None:
    found = diagnose(here).findings
    assert (found[0].cause == "workers-exhausted") is expected


def mixed(text: str, *, is_heard: bool) -> str:
    """Return the first cause where the application answers 500 and logs this about its database."""
    event = Event(at=NOW, symptom=Symptom.APPLICATION_ERROR, message=text, detail=text, source="journalctl", target=APP, count=4)
    closed = "psycopg2.InterfaceError: connection already closed"
    then = replace(event, message=closed, detail=closed)
    tally = Tally(symptom=Symptom.UPSTREAM_STATUS, target=APP, status=500, count=8, first=NOW, last=NOW)
    peer = Dependency(target=APP, peer=BASE, is_heard=is_heard)
    here = full(held=0)
    logs = LogSummary(tallies=(tally,), has_access=True)
    return diagnose(replace(here, events=(event, then), dependencies=(peer,), logs=logs, probes=())).findings[0].cause


@pytest.mark.parametrize(
    "text",
    [
        "psycopg2.OperationalError: SSL error: decryption failed or bad record mac",
        "pymysql.err.InternalError: Packet sequence number wrong - got 1 expected 2",
        "psycopg2.DatabaseError: error with status PGRES_TUPLES_OK and no message from the libpq",
        'MySQLdb.ProgrammingError: (2014, "Commands out of sync; you can\'t run this command now")',
    ],
)
def test_a_connection_that_processes_share_is_the_applications_fault(text: str) -> None:
    assert mixed(text, is_heard=True) == "application-error"
    assert mixed(text, is_heard=False) == "backend-dependency-down"


def test_a_connection_that_the_database_closed_is_not_shared() -> None:
    assert (
        mixed("psycopg2.OperationalError: server closed the connection unexpectedly", is_heard=True) == "backend-dependency-down"
    )


@pytest.mark.parametrize(("unit", "expected"), [("apache2.service", True), ("other.service", False)])
def test_a_server_whose_own_daemons_take_no_more_requests(unit: str, expected: bool) -> None:
    """mod_wsgi: httpd accepts each connection, and finds no room in the queue of its daemon."""
    words = "Unable to connect to WSGI daemon process 'shop' after multiple attempts as listener backlog limit was exceeded"
    full_queue = Event(at=NOW, symptom=Symptom.QUEUE_FULL, message=words, source="error.log", unit=unit, count=82)
    service = Service(manager="systemd", name="apache2.service", is_running=True, targets=(APP,))
    here = replace(full(held=0, answered=False), events=(full_queue,), services=(service,))
    assert (diagnose(here).findings[0].cause == "workers-exhausted") is expected
