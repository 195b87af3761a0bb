"""The first line names what a process died of, which limit killed a worker, and which address the proxy used."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, asserted, failing, first, machine, route
from test_what_fails_now import UNIT, answered, cut, living, service, told

from why502.diagnosis.case import Case
from why502.model.config import Position, Setting
from why502.model.logs import PathTraffic, Symptom
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import ConfigFile
from why502.model.snapshot import Dependency, Disk, Kernel, Listener, Snapshot
from why502.model.target import Target

ERROR = told(Symptom.APPLICATION_ERROR, 5.01, "TypeError: no text", pid=40)
BARE = told(Symptom.PROCESS_CRASHED, 5, "Node.js v18.20.4", pid=40)
MANAGED = told(Symptom.PROCESS_CRASHED, 4.9, f"{UNIT}: Main process exited, code=killed, status=6/ABRT", code=6)
HEAP = told(Symptom.PROCESS_CRASHED, 5.2, "FATAL ERROR: JavaScript heap out of memory", pid=40)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((ERROR, BARE), "TypeError: no text (Node.js v18.20.4)"),
        ((REPLACE(ERROR, pid=41), BARE), "Node.js v18.20.4"),  # of another process
        ((REPLACE(ERROR, at=NOW - timedelta(minutes=3)), BARE), "Node.js v18.20.4"),
        ((MANAGED, HEAP), f"{HEAP.message} ({MANAGED.message})"),
        ((HEAP, MANAGED), HEAP.message),
    ],
)
def test_a_crash_has_the_words_of_the_process(events: tuple, words: str) -> None:  # type: ignore[type-arg]
    here = living(cut(Symptom.CLOSED_BEFORE_HEADER, 5, 5, 2), events=events, started_s=3)
    found = first(here)
    assert found.cause == "backend-crashed"
    assert any(item.message == words for item in found.evidence)


def test_the_request_that_ends_the_process_is_named() -> None:
    broken = cut(Symptom.CLOSED_BEFORE_HEADER, 9, 5, 6, requests=(("GET /stamp", 6),))
    here = living(broken, events=(ERROR, BARE), started_s=3, paths=(answered(0.5),))
    assert first(here).message == f"GET /stamp ends the process behind {APP}: TypeError: no text (Node.js v18.20.4)"


@pytest.mark.parametrize(("events", "words"), [((HEAP, MANAGED), HEAP.message), ((), "app listens")])
def test_a_restart_loop_has_the_words_of_the_process(events: tuple, words: str) -> None:  # type: ignore[type-arg]
    here = living(cut(Symptom.CONNECT_REFUSED, 9, 5), events=events, started_s=3)
    here = REPLACE(here, services=(service(restarts=4, reason=("app listens",), changed_at=NOW),))
    assert first(here).message.endswith(f"4 times; its last words: {words}")


LATE = cut(Symptom.READ_TIMED_OUT, 40, 1, 15, 504)
KILLED = told(Symptom.WORKER_TIMED_OUT, 20, "WORKER TIMEOUT")


@pytest.mark.parametrize(("queued", "expected"), [(2, "workers-exhausted"), (0, "backend-too-slow")])
def test_a_worker_killed_after_the_proxy_gave_up_is_not_why(queued: int, expected: str) -> None:
    here = living(LATE, cut(Symptom.RESET_BEFORE_HEADER, 20, 20, 1), events=(KILLED,), started_s=90)
    kernel = Kernel(accepted=Kernel.by_name({APP: 17}))
    listeners = tuple(REPLACE(each, queued=queued) if each.target == APP else each for each in here.listeners or ())
    here = REPLACE(here, listeners=listeners, kernel=kernel)
    assert asserted(here)[0] == expected
    assert "worker-timeout" not in asserted(here)[:1]


def test_a_worker_killed_before_the_proxy_gives_up_is_why() -> None:
    here = living(
        cut(Symptom.CLOSED_BEFORE_HEADER, 40, 1, 15), cut(Symptom.READ_TIMED_OUT, 9, 9, 2), events=(KILLED,), started_s=90
    )
    assert asserted(here)[0] == "worker-timeout"


@pytest.mark.parametrize(
    ("argv", "limit"), [(("gunicorn", "--timeout", "45", "a:b"), "45 s (--timeout)"), (("gunicorn", "a:b"), "30 s (its default)")]
)
def test_the_limit_of_the_workers_is_named(argv: tuple[str, ...], limit: str) -> None:
    here = living(cut(Symptom.CLOSED_BEFORE_HEADER, 40, 1, 15), events=(KILLED,), started_s=90)
    here = REPLACE(here, services=(service(argv=argv),))
    assert first(here).message.endswith(f"kills workers that take longer than {limit}")


def test_a_handshake_that_failed_without_a_reason_has_that_of_the_probe() -> None:
    probe = Probe(target=APP, symptom=Symptom.TLS_UNVERIFIED, certificate="it has expired", at=NOW, protocol="https")
    here = machine(failing(Symptom.TLS_FAILED, APP, 45, status=500), routes=(route(APP, 3),), probes=(probe,))
    assert (first(here).cause, first(here).confidence > 0.9) == ("tls-verify-failed", True)


@pytest.mark.parametrize(("status", "is_cut"), [(200, True), (500, False)])
def test_an_error_of_the_application_that_is_cut_off_is_no_truncated_response(status: int, is_cut: bool) -> None:
    here = living(cut(Symptom.RESET_IN_BODY, 9, 2, 23, status), events=(), started_s=90)
    assert ("truncated-response" in asserted(here)) is is_cut


WAY = route(APP, 7)
CACHED = {"fastcgi_cache": (Setting(args=("pages",)),)}
OF_500 = PathTraffic(
    request="POST /book", at=WAY.at, statuses={"500": 75}, clients=8, refused_since=75, last_refused=NOW - timedelta(seconds=1)
)


@pytest.mark.parametrize(
    ("path", "told_of", "expected"),
    [
        ("/var/lib/postgresql/15/main", False, "disk-full"),
        ("/srv/films", False, "application-error"),
        ("/var/lib/postgresql/15/main", True, "application-error"),
    ],
)
def test_errors_without_a_reason_while_the_database_has_no_space(path: str, told_of: bool, expected: str) -> None:
    full = Disk(path=path, free_bytes=0, total_bytes=16 << 20, is_of_proxy=False)
    events = (told(Symptom.APPLICATION_ERROR, 1, "KeyError: 'price'", unit=UNIT),) if told_of else ()
    here = living(events=events, started_s=90, paths=(OF_500,))
    assert asserted(REPLACE(here, disks=(full,)))[0] == expected


@pytest.mark.parametrize(("written_s", "began_s", "expected"), [(20, 8, "wrong-port"), (20, 600, "backend-not-running")])
def test_what_was_served_before_a_new_address_was_loaded_is_of_the_old_one(written_s: int, began_s: int, expected: str) -> None:
    """The file was changed, pages were served, and then the gateway was reloaded."""
    here = moved(written_s, began_s)
    assert asserted(here)[0] == expected


def moved(written_s: int, began_s: int) -> Snapshot:
    """Return a machine whose proxy was given a port without a listener, beside an application that ran before."""
    refused = failing(Symptom.CONNECT_REFUSED, APP, first=NOW - timedelta(seconds=7))
    served = PathTraffic(at=WAY.at, statuses={"200": 50}, last_served=NOW - timedelta(seconds=10))
    here = machine(refused, routes=(WAY,))
    (proxy,) = here.proxies or ()
    worker = Process(pid=11, ppid=10, name="nginx", started_at=NOW - timedelta(seconds=began_s))
    at = WAY.at or Position(file="", line=0)
    file = ConfigFile(path=at.file, modified_at=NOW - timedelta(seconds=written_s))
    java = Process(pid=40, name="java", started_at=NOW - timedelta(seconds=300))
    return REPLACE(
        here,
        proxies=(REPLACE(proxy, workers=(worker,), files=(file,)),),
        processes=(*(here.processes or ()), java),
        listeners=(*(here.listeners or ()), Listener(target=Target(host="127.0.0.1", port=3001), pids=(40,))),
        logs=REPLACE(here.logs, paths=(served,)),
    )


@pytest.mark.parametrize(("ended_s", "expected"), [(10, "backend-dependency-down"), (200, "application-error")])
def test_errors_that_began_when_the_database_ended(ended_s: int, expected: str) -> None:
    """No message of the application is known, and its errors are in the access log alone."""
    failing_since = REPLACE(OF_500, last_served=NOW - timedelta(seconds=11))
    here = living(events=(), started_s=300, paths=(failing_since,))
    database = Dependency(
        target=APP,
        peer=Target(host="127.0.0.1", port=5432),
        is_heard=False,
        unit="postgresql@15-main.service",
        unit_state="inactive",
        unit_since=NOW - timedelta(seconds=ended_s),
    )
    assert asserted(REPLACE(here, dependencies=(database,)))[0] == expected


def test_workers_that_a_request_ends_are_not_too_few() -> None:
    broken = cut(Symptom.CLOSED_BEFORE_HEADER, 40, 1, 12, requests=(("GET /convert", 12),))
    here = living(broken, LATE, events=(), started_s=90, paths=(answered(0.5),))
    worker = Process(pid=41, ppid=40, name="gunicorn", unit=UNIT, started_at=NOW - timedelta(seconds=3))
    listeners = tuple(REPLACE(each, queued=5, pids=(40, 41)) if each.target == APP else each for each in here.listeners or ())
    here = REPLACE(here, listeners=listeners, processes=(*(here.processes or ()), worker))
    assert asserted(here)[0] == "backend-crashed"


@pytest.mark.parametrize(("settings", "is_known"), [({}, True), (CACHED, False)])
def test_an_answer_from_the_cache_is_none_of_the_backend(settings: dict[str, tuple[Setting, ...]], is_known: bool) -> None:
    served = PathTraffic(at=WAY.at, statuses={"200": 50}, last_served=NOW - timedelta(seconds=6))
    here = machine(failing(Symptom.CONNECT_REFUSED, APP), routes=(REPLACE(WAY, directive="fastcgi_pass", settings=settings),))
    case = Case(here=REPLACE(here, logs=REPLACE(here.logs, paths=(served,))), target=APP)
    assert (case.last_answered is not None) is is_known


@pytest.mark.parametrize(("failed_s", "expected"), [(9, "backend-not-running"), (60, "backend-crashed")])
def test_a_service_that_could_not_start_did_not_crash(failed_s: float, expected: str) -> None:
    """Requests that broke as it was stopped do not show how its next start ended."""
    failed = told(Symptom.START_FAILED, failed_s, "pm.max_spare_servers cannot be greater than pm.max_children")
    served = PathTraffic(at=WAY.at, statuses={"200": 50}, last_served=NOW - timedelta(seconds=6))
    here = machine(
        failing(Symptom.RESET_BEFORE_HEADER, APP, 3, first=NOW - timedelta(seconds=9)),
        failing(Symptom.CONNECT_REFUSED, APP, 90, first=NOW - timedelta(seconds=9)),
        routes=(WAY,),
        events=(failed,),
        services=(service(is_running=False, result="exit-code", exit_code=78, started_at=NOW - timedelta(seconds=9.4)),),
    )
    assert asserted(REPLACE(here, logs=REPLACE(here.logs, paths=(served,))))[0] == expected
