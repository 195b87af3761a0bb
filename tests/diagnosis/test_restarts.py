"""The gap of a restart: it is the finding if nothing else failed, and ranks below an ongoing failure with another cause."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.engine import diagnose
from why502.model.logs import PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.service import Service
from why502.model.snapshot import Dependency, Event, Listener, Snapshot
from why502.model.target import Target

UNIT = "shop.service"
STOPPED, STARTED = NOW - timedelta(seconds=20), NOW - timedelta(seconds=18)


def told(symptom: Symptom, at_s: float, message: str, **changes: object) -> Event:
    """Return the journal lines of the service this long after the request to stop it."""
    at = STOPPED + timedelta(seconds=at_s)
    return REPLACE(Event(symptom=symptom, at=at, message=message, detail=message, source="journalctl", unit=UNIT), **changes)


RESTART = (told(Symptom.PROCESS_STOPPED, 0, f"Stopping {UNIT}..."), told(Symptom.PROCESS_STARTED, 2, f"Started {UNIT}."))


def cut(symptom: Symptom, *, first_s: float = 0, last_s: float = 2, count: int = 20) -> Tally:
    """Return failures between two times, in seconds after the stop."""
    first, last = (STOPPED + timedelta(seconds=seconds) for seconds in (first_s, last_s))
    return REPLACE(failing(symptom, APP, count), first=first, last=last)


def restarted(*tallies: Tally, events: tuple[Event, ...] = RESTART, probe: Symptom | None = None) -> Snapshot:
    """Return a machine whose service was restarted 20 s ago and is running."""
    here = machine(*tallies, routes=(route(APP, 7),))
    return REPLACE(
        here,
        processes=(*(here.processes or ()), Process(pid=40, name="gunicorn", unit=UNIT, started_at=STARTED)),
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,))),
        services=(Service(manager="systemd", name=UNIT, is_running=True, main_pid=40, targets=(APP,)),),
        events=events,
        probes=(Probe(target=APP, protocol="http", symptom=probe, status=None if probe else 200, repeats=True, at=NOW),),
    )


def answers(here: Snapshot) -> list[tuple[str, bool]]:
    """Return the asserted causes in order, each with whether it is ongoing."""
    return [(finding.cause, finding.ongoing) for finding in diagnose(here).findings if finding.confidence >= 0.5]


@pytest.mark.parametrize("probe", [None, Symptom.READ_TIMED_OUT])
def test_the_gap_of_a_restart_is_over_whatever_fails_by_now(probe: Symptom | None) -> None:
    here = restarted(cut(Symptom.CONNECT_REFUSED), cut(Symptom.RESET_BEFORE_HEADER, last_s=0), probe=probe)
    assert ("deploy-termination-race", False) in answers(here)
    assert not {"backend-crashed", "backend-not-running", "connection-reset"} & {cause for cause, _ in answers(here)}


def test_failures_that_continue_after_a_restart_rank_above_its_gap() -> None:
    here = restarted(
        cut(Symptom.CONNECT_REFUSED), cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=19), probe=Symptom.READ_TIMED_OUT
    )
    found = answers(here)
    assert found[0] == ("backend-too-slow", True)
    assert ("deploy-termination-race", False) in found


def test_a_server_that_breaks_connections_after_its_start_is_not_being_restarted() -> None:
    here = restarted(cut(Symptom.CONNECT_REFUSED), cut(Symptom.CLOSED_BEFORE_HEADER, first_s=3, last_s=8))
    assert "premature-close" in dict(answers(here))
    assert "deploy-termination-race" not in dict(answers(here))


@pytest.mark.parametrize(("joined", "expected"), [({"unit": ""}, False), ({}, True), ({"unit": "", "pid": 40}, True)])
def test_a_death_that_only_a_name_joins_explains_no_restart(joined: dict[str, object], expected: bool) -> None:
    death = told(
        Symptom.PROCESS_CRASHED, 0.5, "gunicorn (pid 6724): segfault at 0", **({"pid": 6724, "process": "gunicorn"} | joined)
    )
    here = restarted(cut(Symptom.CONNECT_REFUSED), cut(Symptom.RESET_BEFORE_HEADER, last_s=0), events=(*RESTART, death))
    assert ("backend-crashed" in dict(answers(here))) is expected


def test_a_service_that_does_not_listen_there_any_more_is_not_being_restarted() -> None:
    here = restarted(cut(Symptom.CONNECT_REFUSED, last_s=11))
    elsewhere = REPLACE(here, listeners=(Listener(target=REPLACE(APP, port=3001), pids=(40,)),), probes=())
    assert "deploy-termination-race" not in dict(answers(elsewhere))


def test_a_socket_that_systemd_holds_for_a_service_makes_no_other_its_worker() -> None:
    here = restarted(cut(Symptom.CONNECT_REFUSED))
    other = Process(pid=50, ppid=1, name="postgres")
    held = REPLACE(here, processes=(*(here.processes or ()), other), listeners=(Listener(target=APP, pids=(1, 40)),))
    assert [process.pid for process in Case(here=held, target=APP).processes] == [40]


def boots(count: int, *, first_s: float = 3, last_s: float = 19) -> Event:
    """Return a master's log lines about workers that exit as they start."""
    said = told(Symptom.START_FAILED, first_s, "Early termination of worker", count=count)
    return REPLACE(said, last=STOPPED + timedelta(seconds=last_s))


def test_workers_that_do_not_start_under_a_master_that_listens() -> None:
    late = cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=18)
    here = restarted(late, events=(*RESTART, boots(50)), probe=Symptom.READ_TIMED_OUT)
    assert answers(here) == [("backend-startup-failure", True)]
    once = restarted(late, events=(*RESTART, boots(1, last_s=3)), probe=Symptom.READ_TIMED_OUT)
    assert answers(once)[0][0] != "backend-startup-failure"


@pytest.mark.parametrize(("served_s", "is_start"), [(2, True), (12, False)])
def test_a_service_that_answered_after_a_failed_start_did_start(served_s: float, is_start: bool) -> None:
    broken = cut(Symptom.CLOSED_BEFORE_HEADER, first_s=3, last_s=13)
    here = restarted(broken, cut(Symptom.CONNECT_REFUSED, first_s=14, last_s=19), events=(boots(4, last_s=13),))
    logs = REPLACE(
        here.logs,
        targets=(TargetTraffic(target=APP, attempts=80, failures=40, last_success=STOPPED + timedelta(seconds=served_s)),),
    )
    down = (Service(manager="systemd", name=UNIT, is_running=False, exit_code=3, result="exit-code", targets=(APP,)),)
    gone = REPLACE(here, logs=logs, listeners=(), services=down, probes=(), processes=())
    assert ("backend-startup-failure" in dict(answers(gone))) is is_start
    assert ("backend-crashed" in dict(answers(gone))) is not is_start


@pytest.mark.parametrize(("last_s", "expected"), [(19, "worker-timeout"), (0, "deploy-termination-race")])
def test_workers_that_are_killed_since_the_restart_go_before_its_gap(last_s: float, expected: str) -> None:
    """gunicorn answers 500 for a request whose worker it kills, so the proxy logs no failure."""
    killed = told(Symptom.WORKER_TIMED_OUT, -3, "WORKER TIMEOUT", count=3, last=STOPPED + timedelta(seconds=last_s))
    gone = told(Symptom.PROCESS_CRASHED, 18, "Worker (pid:41) was sent SIGKILL!")
    here = restarted(cut(Symptom.CONNECT_REFUSED), cut(Symptom.RESET_BEFORE_HEADER, last_s=0), events=(*RESTART, killed, gone))
    assert answers(here)[0] == (expected, expected == "worker-timeout")


def dying(*more: Event) -> Snapshot:
    """Return a machine where workers die since the restart, under a master that listens and starts them again and again."""
    end = STOPPED + timedelta(seconds=19)
    dies = told(Symptom.PROCESS_CRASHED, 0.1, "Fatal Python error: out of memory", count=46, last=end)
    late = cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=18)
    return restarted(cut(Symptom.CONNECT_REFUSED), late, events=(*RESTART, *more, dies), probe=Symptom.READ_TIMED_OUT)


def test_workers_that_die_since_the_restart_do_not_make_its_gap_longer() -> None:
    found = answers(dying())
    assert ("deploy-termination-race", False) in found
    assert found[0][1]


def test_workers_that_die_again_and_again_do_not_start_although_their_master_listens() -> None:
    unasked = REPLACE(dying(told(Symptom.PROCESS_STOPPED, 1, f"Stopped {UNIT}.")), probes=())
    first = diagnose(unasked).findings[0]
    assert (first.cause, first.ongoing) == ("backend-startup-failure", True)
    assert first.confidence > 0.8


@pytest.mark.parametrize(("statuses", "expected"), [({"200": 9, "500": 3}, True), ({"200": 9, "404": 3}, False)])
def test_the_errors_of_a_route_are_those_of_its_target(statuses: dict[str, int], expected: bool) -> None:
    """An access log without upstream addresses: the path identifies the application."""
    killed = told(Symptom.WORKER_TIMED_OUT, 10, "WORKER TIMEOUT", count=3, last=STOPPED + timedelta(seconds=19))
    here = restarted(cut(Symptom.CONNECT_REFUSED), events=(*RESTART, killed))
    path = PathTraffic(request="GET /report", at=route(APP, 7).at, statuses=statuses)
    seen = REPLACE(here, logs=REPLACE(here.logs, paths=(path,)))
    assert (answers(seen)[0] == ("worker-timeout", True)) is expected


def killed(requests: tuple[tuple[str, int], ...], *, worker_s: float) -> Snapshot:
    """Return a machine with a long-running master, whose worker was started at that time, and broken connections."""
    broken = REPLACE(cut(Symptom.CLOSED_BEFORE_HEADER, first_s=5, last_s=19), requests=requests)
    here = restarted(broken, events=())
    processes = (*(here.processes or ()), Process(pid=41, ppid=40, name="puma", started_at=STOPPED + timedelta(seconds=worker_s)))
    served = TargetTraffic(target=APP, attempts=80, failures=20, last_success=NOW)
    return REPLACE(here, processes=processes, logs=REPLACE(here.logs, targets=(served,)), probes=())


@pytest.mark.parametrize(
    ("requests", "worker_s", "is_crash"),
    [
        ((("GET /export", 18), ("GET /about", 2)), 19, True),
        ((("GET /export", 18), ("GET /about", 2)), 3, False),  # its worker is as old as before
        ((("GET /export", 7), ("GET /about", 7), ("GET /cart", 6)), 19, False),
    ],
)
def test_a_request_that_ends_each_worker_crashes_it(
    requests: tuple[tuple[str, int], ...], worker_s: float, is_crash: bool
) -> None:
    assert answers(killed(requests, worker_s=worker_s))[0][0] == ("backend-crashed" if is_crash else "premature-close")


@pytest.mark.parametrize("is_its", [True, False])
def test_a_service_that_listens_elsewhere_has_finished_starting(is_its: bool) -> None:
    """A service that has just started may not have opened its port yet; one that listens elsewhere has finished starting."""
    here = restarted(cut(Symptom.CONNECT_REFUSED, last_s=20))
    own = Process(pid=40, name="gunicorn", unit=UNIT, started_at=STARTED)
    other = Process(pid=50, name="gunicorn", unit="other.service", started_at=STARTED)
    elsewhere = Listener(target=REPLACE(APP, port=3001), pids=(40 if is_its else 50,))
    service = Service(manager="systemd", name=UNIT, is_running=True, main_pid=40, started_at=STARTED, targets=(APP,))
    seen = REPLACE(
        here, processes=(*(here.processes or ())[:2], own, other), listeners=(elsewhere,), services=(service,), probes=()
    )
    (found,) = [finding for finding in diagnose(seen).findings if finding.cause == "backend-not-running"]
    assert any("does not listen" in item.message for item in found.evidence) is not is_its


@pytest.mark.parametrize(("first_s", "last_s", "is_restart"), [(-60, 2, True), (-60, -30, False), (-200, 2, False)])
def test_a_restart_after_other_restarts(first_s: float, last_s: float, is_restart: bool) -> None:
    """Lines of several restarts are one event, and the first of them may be long before the failures."""
    stops = told(Symptom.PROCESS_STOPPED, -120, f"Stopping {UNIT}...", count=3, last=STOPPED)
    starts = told(Symptom.PROCESS_STARTED, -118, f"Started {UNIT}.", count=3, last=STARTED)
    here = restarted(cut(Symptom.CONNECT_REFUSED, first_s=max(first_s, -200), last_s=last_s), events=(stops, starts))
    assert ("deploy-termination-race" in dict(answers(here))) is is_restart


@pytest.mark.parametrize(
    ("refused", "ended", "expected"),
    [(20, 12, "worker-timeout"), (20, 1, "application-error"), (4, 4, "worker-timeout"), (2, 2, "worker-timeout")],
)
def test_a_server_answers_for_workers_that_it_ends(refused: int, ended: int, expected: str) -> None:
    """gunicorn answers 500 for a request that it aborts."""
    here = restarted(events=(told(Symptom.WORKER_TIMED_OUT, 1, "WORKER TIMEOUT", count=ended, last=NOW),))
    assert here.logs is not None and here.proxies is not None
    own = here.proxies[0].routes[0].at
    path = PathTraffic(
        request="GET /report", at=own, statuses={"500": refused}, clients=8, refused_since=refused, last_refused=NOW
    )
    others = PathTraffic(request="GET /", at=own, statuses={"200": 90}, clients=8)
    told_500 = REPLACE(failing(Symptom.UPSTREAM_STATUS, APP, refused), status=500)
    logs = REPLACE(here.logs, paths=(path, others), tallies=(told_500,), requests=90 + refused, has_access=True)
    assert next((cause for cause, _ in answers(REPLACE(here, logs=logs))), "") == expected


@pytest.mark.parametrize(("status", "expected"), [(101, "connection-reset"), (200, "truncated-response")])
def test_an_upgraded_connection_carries_no_response(status: int, expected: str) -> None:
    broken = REPLACE(failing(Symptom.RESET_IN_BODY, APP, 6), status=status, last=NOW)
    here = restarted(broken, events=())
    assert answers(here)[0][0] == expected


def test_a_restart_whose_start_failed_is_no_stop() -> None:
    refused = REPLACE(failing(Symptom.CONNECT_REFUSED, APP, 20), first=STOPPED + timedelta(seconds=3), last=NOW)
    events = (
        told(Symptom.PROCESS_STOPPED, 0, f"Stopping {UNIT}..."),
        told(Symptom.PROCESS_STOPPED, 1, f"Stopped {UNIT}."),
        told(Symptom.PROCESS_EXITED, 2, f"{UNIT}: Main process exited, code=exited, status=70/SOFTWARE"),
    )

    def service(started_s: float) -> Service:
        return Service(
            manager="systemd",
            name=UNIT,
            state="failed",
            is_running=False,
            result="exit-code",
            exit_code=70,
            started_at=STOPPED + timedelta(seconds=started_s),
            stopped_at=STOPPED + timedelta(seconds=2),
            reason=("PHP Fatal error: Failed opening required 'preload.php'",),
            targets=(APP,),
        )

    def first(started_s: float) -> str:
        here = machine(refused, routes=(route(APP, 7),))
        return diagnose(REPLACE(here, listeners=(), services=(service(started_s),), events=events)).findings[0].cause

    assert first(1.5) == "backend-startup-failure"
    assert first(-900) == "backend-not-running"


@pytest.mark.parametrize(
    ("result", "served_s", "is_start"),
    [("exit-code", 1, False), ("exit-code", None, True), ("exit-code", -60, True), ("timeout", 1, True)],
)
def test_a_service_that_served_did_start(result: str, served_s: float | None, is_start: bool) -> None:
    """Also where the access log names no address. systemd ends one that never reports its readiness, though it may serve."""
    served = None if served_s is None else STOPPED + timedelta(seconds=served_s)
    here = machine(REPLACE(failing(Symptom.CONNECT_REFUSED, APP, 20), first=STOPPED, last=NOW), routes=(route(APP, 7),))
    service = Service(
        manager="systemd", name=UNIT, state="activating", is_running=False, result=result, exit_code=1, targets=(APP,),
        started_at=STOPPED, stopped_at=STOPPED + timedelta(seconds=5), reason=("TypeError: Cannot read properties of undefined",),
    )  # fmt: skip
    assert here.proxies is not None and here.logs is not None
    place = here.proxies[0].routes[0].at
    path = PathTraffic(request="GET /", at=place, statuses={"200": 30, "502": 20}, clients=9, last_served=served)
    logs = REPLACE(here.logs, paths=(path,), targets=(), requests=50, has_access=True)
    seen = REPLACE(here, listeners=(), services=(service,), logs=logs, events=())
    assert (diagnose(seen).findings[0].cause == "backend-startup-failure") is is_start


@pytest.mark.parametrize(
    ("first_s", "last_s", "is_reload"),
    [(0, 3, True), (-9, 3, False), (0, 19.5, False)],
    ids=["with-the-reloads", "before-the-first", "until-now"],
)
def test_requests_that_a_reload_cuts_are_no_crash(first_s: float, last_s: float, is_reload: bool) -> None:
    """A reload with process_control_timeout=0 ends the workers at once (fpm_process_ctl.c); their master stays."""
    reloads = (told(Symptom.PROCESS_RELOADED, 0, "Reloading in progress", count=3, last=STOPPED + timedelta(seconds=3)),)
    here = restarted(cut(Symptom.CLOSED_BEFORE_HEADER, first_s=first_s, last_s=last_s), events=reloads)
    young = Process(pid=41, ppid=40, name="gunicorn", unit=UNIT, started_at=STOPPED + timedelta(seconds=4))
    old = Process(pid=40, name="gunicorn", unit=UNIT, started_at=STOPPED - timedelta(hours=1))
    kept = [process for process in here.processes or () if process.pid != 40]
    here = REPLACE(here, processes=(*kept, old, young))
    assert ("deploy-termination-race" in dict(answers(here))) is is_reload
    assert "backend-crashed" not in dict(answers(here))


@pytest.mark.parametrize(("restarts", "expected"), [(2, "backend-crashed"), (0, "backend-not-running")])
def test_a_service_that_systemd_starts_again_has_died(restarts: int, expected: str) -> None:
    """Its journal could not be read. A start that somebody orders sets the number of restarts to 0."""
    broken = REPLACE(failing(Symptom.CLOSED_BEFORE_HEADER, APP, 2), first=STOPPED, last=STOPPED)
    refused = REPLACE(failing(Symptom.CONNECT_REFUSED, APP, 12), first=STOPPED + timedelta(seconds=1), last=NOW)
    service = Service(
        manager="systemd", name=UNIT, state="active", is_running=True, restarts=restarts, main_pid=40, targets=(APP,),
        started_at=NOW - timedelta(seconds=1),
    )  # fmt: skip
    here = machine(broken, refused, routes=(route(APP, 7),))
    assert diagnose(REPLACE(here, listeners=(), services=(service,), events=())).findings[0].cause == expected


@pytest.mark.parametrize(("waiting", "expected"), [(1, "worker-timeout"), (2, "backend-dependency-slow")])
def test_one_new_worker_at_its_first_query_does_not_show_what_the_killed_ones_did(waiting: int, expected: str) -> None:
    killed = told(Symptom.WORKER_TIMED_OUT, 10, "WORKER TIMEOUT", count=3, last=STOPPED + timedelta(seconds=19))
    here = restarted(cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=19), events=(killed,), probe=Symptom.READ_TIMED_OUT)
    database = Target(host="127.0.0.1", port=3306)
    peer = Dependency(target=APP, peer=database, waiting=waiting, busy=waiting, is_heard=True)
    assert answers(REPLACE(here, dependencies=(peer,)))[0][0] == expected


@pytest.mark.parametrize(("at_s", "expected"), [(0.6, False), (1.5, True)])
def test_an_error_of_the_process_that_was_told_to_stop_is_no_failed_start(at_s: float, expected: bool) -> None:
    """Varnish exits with a status other than 0 after SIGTERM, and systemd calls that a failure."""
    failed = told(Symptom.START_FAILED, at_s, f"{UNIT}: Failed with result 'exit-code'")
    stopped = told(Symptom.PROCESS_STOPPED, 1, f"Stopped {UNIT}.")
    here = restarted(cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=19), events=(*RESTART, failed, stopped))
    assert ("backend-startup-failure" in dict(answers(REPLACE(here, probes=())))) is expected


@pytest.mark.parametrize(("waiting", "is_sure"), [(4, True), (2, False)])
def test_half_of_the_workers_at_one_moment_are_not_most_of_them(waiting: int, is_sure: bool) -> None:
    here = restarted(cut(Symptom.READ_TIMED_OUT, first_s=10, last_s=19), events=(), probe=Symptom.READ_TIMED_OUT)
    peer = Dependency(target=APP, peer=Target(host="127.0.0.1", port=3306), waiting=waiting, busy=4, is_heard=True)
    found = diagnose(REPLACE(here, dependencies=(peer,))).findings
    assert any(one.cause == "backend-dependency-slow" and one.confidence > 0.7 for one in found) is is_sure


@pytest.mark.parametrize(("first_s", "last_s", "killer"), [(0, 1, ""), (0, 12, "GET /report"), (-8, -1, "GET /report")])
def test_a_request_that_was_open_at_the_stop_did_not_end_the_process(first_s: float, last_s: float, killer: str) -> None:
    closed = REPLACE(cut(Symptom.CLOSED_BEFORE_HEADER, first_s=first_s, last_s=last_s), requests=(("GET /report", 20),))
    served = TargetTraffic(target=APP, attempts=90, failures=20, last_success=NOW)
    here = restarted(closed, cut(Symptom.CONNECT_REFUSED, last_s=2))
    assert here.logs is not None
    case = Case(REPLACE(here, logs=REPLACE(here.logs, targets=(served,))), target=APP)
    assert case.restarts
    assert case.killer == killer
