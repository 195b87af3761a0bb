"""Ongoing failures rank above resolved ones: restarts, deaths at a start, groups, and servers that do not answer.

The times are from recorded machines.
"""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from test_verdicts import APP, FRONT, INNER, NOW, REPLACE, asserted, first, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Upstream
from why502.model.finding import ASSERTED
from why502.model.logs import LogFile, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Event, Kernel, Listener, Pressure, Snapshot
from why502.model.target import Target

UNIT = "shop.service"
WAY = route(APP, 7, read_timeout_s=8.0)


def told(symptom: Symptom, ago_s: float, message: str, **changes: object) -> Event:
    """Return the journal of the service from this long ago."""
    event = Event(
        symptom=symptom, at=NOW - timedelta(seconds=ago_s), message=message, detail=message, source="journalctl", unit=UNIT
    )
    return REPLACE(event, **changes)


def cut(symptom: Symptom, first_s: float, last_s: float, count: int = 8, status: int = 502, **changes: object) -> Tally:
    """Return failures between two times, given in seconds before the diagnosis; logs drop the fractions of a second."""
    begun, ended = ((NOW - timedelta(seconds=ago)).replace(microsecond=0) for ago in (first_s, last_s))
    return REPLACE(
        Tally(symptom=symptom, target=APP, proxy="nginx", count=count, status=status, first=begun, last=ended), **changes
    )


def answered(ago_s: float, request: str = "", **statuses: int) -> PathTraffic:
    return PathTraffic(request=request, at=WAY.at, statuses=statuses or {"200": 40}, last_served=NOW - timedelta(seconds=ago_s))


def service(*, is_running: bool = True, **changes: object) -> Service:
    state = "active" if is_running else "activating"
    return REPLACE(
        Service(manager="systemd", name=UNIT, state=state, is_running=is_running, main_pid=40, targets=(APP,)), **changes
    )


def living(*tallies: Tally, events: tuple[Event, ...], started_s: float, paths: tuple[PathTraffic, ...] = ()) -> Snapshot:
    """Return a machine whose service was started this long ago, is running, and accepts connections."""
    here = machine(*tallies, routes=(WAY,), events=events, services=(service(),))
    started = NOW - timedelta(seconds=started_s)
    return REPLACE(
        here,
        processes=(*(here.processes or ()), Process(pid=40, name="gunicorn", unit=UNIT, started_at=started)),
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,), queued=0)),
        probes=(Probe(target=APP, protocol="http", request="connect", at=NOW),),
        logs=REPLACE(here.logs, paths=paths),
    )


STOPS = (
    told(Symptom.PROCESS_STOPPED, 13.28, "Handling signal: term"),
    told(Symptom.PROCESS_STOPPED, 13.28, f"Stopping {UNIT}..."),
    told(Symptom.PROCESS_STOPPED, 6.16, f"Stopped {UNIT}."),
)
STARTS = told(Symptom.PROCESS_STARTED, 16, f"Started {UNIT}.", count=2, last=NOW - timedelta(seconds=6.03))


def test_workers_killed_since_a_restart_go_before_its_gap_of_the_same_second() -> None:
    timeout = told(Symptom.WORKER_TIMED_OUT, 0.86, "WORKER TIMEOUT", count=3, last=NOW - timedelta(seconds=0.85))
    cuts = (cut(Symptom.RESET_BEFORE_HEADER, 6, 6, 6), cut(Symptom.CONNECT_REFUSED, 6, 6, 2))
    here = living(*cuts, events=(*STOPS, STARTS, timeout), started_s=6.15, paths=(answered(0.5),))
    found = [(x.cause, x.ongoing) for x in diagnose(here).findings if x.confidence >= 0.5]
    assert found == [("worker-timeout", True), ("deploy-termination-race", False)]


def test_a_server_that_ends_by_itself_is_not_being_restarted() -> None:
    ends = (
        told(Symptom.START_FAILED, 4.3, "exited with code 3", count=5, last=NOW - timedelta(seconds=0.9), pid=41),
        told(Symptom.PROCESS_STOPPED, 4.3, "Shutting down: Master", count=5, last=NOW - timedelta(seconds=0.6)),
        told(Symptom.PROCESS_EXITED, 0.57, "Main process exited, code=exited, status=3", code=3),
        told(Symptom.RESTART_LOOP, 0.35, "restart counter is at 5"),
        told(Symptom.PROCESS_STARTED, 7, f"Started {UNIT}.", count=5, last=NOW - timedelta(seconds=1.3)),
    )
    cuts = (
        cut(Symptom.CLOSED_BEFORE_HEADER, 4, 1, 5, requests=(("GET /leave", 5),)),
        cut(Symptom.CONNECT_REFUSED, 1, 0, 9),
    )
    here = machine(*cuts, routes=(WAY,), events=ends)
    gone = service(is_running=False, state="failed", result="exit-code", exit_code=3, restarts=5, main_pid=None)
    here = REPLACE(here, services=(gone,), logs=REPLACE(here.logs, paths=(answered(0.5),)))
    assert first(here).cause == "backend-crashed"
    assert not {"deploy-termination-race", "backend-crash-loop"} & set(asserted(here))


def test_requests_that_wait_for_the_next_life_are_not_slow() -> None:
    """systemd holds the socket in the meantime, so connections are not refused."""
    ends = (
        told(Symptom.START_FAILED, 22, "exited with code 3", count=7, last=NOW - timedelta(seconds=1), pid=41),
        told(Symptom.PROCESS_EXITED, 17, "Main process exited, code=exited, status=3", code=3, count=5),
        told(Symptom.RESTART_LOOP, 3, "restart counter is at 6"),
    )
    cuts = (
        cut(Symptom.CLOSED_BEFORE_HEADER, 22, 15, 3, requests=(("GET /leave", 3),)),
        cut(Symptom.READ_TIMED_OUT, 13, 2, 13, 504, requests=(("GET /about", 6), ("GET /leave", 4), ("GET /", 3))),
    )
    here = living(*cuts, events=ends, started_s=3, paths=(answered(15),))
    assert first(REPLACE(here, services=(service(restarts=6),))).cause == "backend-crashed"


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGKILL, "backend-crashed"), (signal.SIGSEGV, "backend-crash-loop")])
def test_kills_from_elsewhere_are_no_crash_loop(number: int, expected: str) -> None:
    deaths = told(Symptom.PROCESS_CRASHED, 6.7, "Main process exited, code=killed", code=number, count=3)
    deaths = REPLACE(deaths, last=NOW - timedelta(seconds=2.7))
    loop = told(Symptom.RESTART_LOOP, 2.5, "Scheduled restart job, restart counter is at 3")
    here = living(cut(Symptom.CONNECT_REFUSED, 7, 6, 6), events=(deaths, loop), started_s=2.4, paths=(answered(1),))
    here = REPLACE(here, services=(service(restarts=3, changed_at=NOW - timedelta(seconds=2.4)),))
    assert first(here).cause == expected


def stopped_and_dead(*events: Event, served_s: float) -> Snapshot:
    """Return a machine whose service was stopped 2 s ago, started again, and exited on its own a second later."""
    began = (
        told(Symptom.LISTENS_ON, 5, "Listening", target=APP),
        told(Symptom.PROCESS_STOPPED, 1.87, f"Stopping {UNIT}..."),
        told(Symptom.PROCESS_STOPPED, 1.74, f"Stopped {UNIT}."),
        told(Symptom.PROCESS_STARTED, 1.73, f"Started {UNIT}."),
    )
    cuts = (cut(Symptom.RESET_BEFORE_HEADER, 2, 2, 1), cut(Symptom.CONNECT_REFUSED, 2, 0, 20))
    here = machine(*cuts, routes=(WAY,), events=(*began, *events))
    ended = service(is_running=False, result="exit-code", exit_code=1, restarts=0, started_at=NOW - timedelta(seconds=1.73))
    return REPLACE(here, services=(ended,), logs=REPLACE(here.logs, paths=(answered(served_s),)))


EXIT = told(Symptom.PROCESS_EXITED, 0.72, "Main process exited, code=exited, status=1/FAILURE", code=1)
THROWN = told(Symptom.PROCESS_CRASHED, 0.75, "IllegalStateException: Failed to configure a DataSource")


@pytest.mark.parametrize("events", [(EXIT,), (THROWN, EXIT)])
def test_a_service_that_exits_before_it_listens_failed_to_start(events: tuple[Event, ...]) -> None:
    assert first(stopped_and_dead(*events, served_s=2)).cause == "backend-startup-failure"


def test_a_service_that_exits_after_it_listened_did_start() -> None:
    listens = told(Symptom.LISTENS_ON, 1.5, "Listening", target=APP)
    assert first(stopped_and_dead(listens, THROWN, EXIT, served_s=0.8)).cause == "backend-crashed"


def test_an_error_at_the_end_of_a_stop_is_not_one_of_a_start() -> None:
    here = stopped_and_dead(REPLACE(EXIT, at=NOW - timedelta(seconds=1.8)), served_s=2)
    assert "backend-startup-failure" not in asserted(here)


def group(*, answers: bool) -> Snapshot:
    """Return a machine with a group of two servers, both stopped, so that no server was left to try."""
    peers = tuple(Peer(name=str(target), target=target) for target in (APP, INNER))
    way = REPLACE(route(APP, 7, upstream="app"), peers=peers)
    none = cut(Symptom.NO_LIVE_UPSTREAMS, 9, 1, 40, target=None, group="app")
    cuts = [cut(Symptom.CONNECT_REFUSED, 9, 1, 3, target=target) for target in (APP, INNER)]
    here = machine(none, *cuts, routes=(way,))
    stopped = [] if answers else [service(is_running=False, state="inactive", targets=(t,), name=str(t)) for t in (APP, INNER)]
    met: dict[str, object] = {"status": 200} if answers else {"symptom": Symptom.CONNECT_REFUSED}
    probes = [Probe(target=t, protocol="http", at=NOW, repeats=True, **met) for t in (APP, INNER)]
    probes.append(
        Probe(
            target=FRONT,
            protocol="http",
            through_proxy=True,
            at=NOW,
            symptom=Symptom.GATEWAY_STATUS,
            status=502,
            repeats=True,
            route_at=way.at,
        )
    )
    proxy = REPLACE((here.proxies or ())[0], upstreams=(Upstream(name="app", peers=peers),))
    heard = [Listener(target=t, pids=(50,)) for t in (APP, INNER)] if answers else []
    return REPLACE(
        here,
        proxies=(proxy,),
        services=tuple(stopped),
        probes=tuple(probes),
        listeners=(*(here.listeners or ()), *heard),
        processes=(*(here.processes or ()), Process(pid=50, name="python", started_at=NOW - timedelta(seconds=3))),
    )


def test_why_each_server_fails_goes_before_that_none_is_left() -> None:
    here = group(answers=False)
    assert asserted(here) == ["backend-not-running", "backend-not-running", "all-upstreams-down"]


def test_a_group_whose_servers_are_well_again_is_a_fault_of_its_own() -> None:
    here = group(answers=True)
    assert first(here).cause == "all-upstreams-down"


LATE = tuple((f"GET /{name}", 5) for name in ("deadlock", "about", ""))
STUCK = {
    "abandoned": {str(APP): 16},
    "worked_off": {str(APP): 0},
    "backend_cpu": {str(APP): 0.0},
    "accepted": {str(APP): 21},
}


def late(kernel: dict[str, object], *, served_s: float = 17, queued: int = 0, requests: object = LATE) -> Snapshot:
    """Return a machine whose backend has timed out on every request for 10 s."""
    here = living(
        cut(Symptom.READ_TIMED_OUT, 10, 0, 15, 504, requests=requests), events=(), started_s=600, paths=(answered(served_s),)
    )
    return REPLACE(
        here, kernel=Kernel(**kernel), listeners=(*(here.listeners or ())[:1], Listener(target=APP, pids=(40,), queued=queued))
    )


def test_an_idle_backend_that_answers_nothing_hangs() -> None:
    assert first(late(STUCK)).cause == "backend-hung"


@pytest.mark.parametrize(
    "here",
    [
        late(STUCK, served_s=1),  # others are answered
        late(STUCK, requests=(("GET /report", 15),)),  # of one path alone
        late(STUCK | {"worked_off": {str(APP): 4}}),
        late(STUCK | {"backend_cpu": {str(APP): 0.9}}),
        late(STUCK, queued=7),
    ],
)
def test_a_backend_that_still_answers_does_not_hang(here: Snapshot) -> None:
    assert "backend-hung" not in asserted(here)


FAR = Target(host="203.0.113.1", port=9000)


@pytest.mark.parametrize(("state", "expected"), [("FIN_WAIT2", "backend-hung"), ("FIN_WAIT1", "connect-timeout")])
def test_another_machine_whose_kernel_answers_for_its_process(state: str, expected: str) -> None:
    way = route(FAR, 7, read_timeout_s=6.0)
    requests = (("GET /", 5), ("GET /about", 5))
    here = machine(
        cut(Symptom.CONNECT_TIMED_OUT, 6, 0, 10, 504, target=FAR, requests=requests),
        cut(Symptom.READ_TIMED_OUT, 4, 4, 6, 504, target=FAR, requests=requests),
        routes=(way,),
        kernel=Kernel(connections={f"{FAR} {state}": 6, f"{FAR} SYN_SENT": 8}),
        probes=(Probe(target=FAR, protocol="http", request="connect", at=NOW, symptom=Symptom.CONNECT_TIMED_OUT),),
    )
    assert first(here).cause == expected


@pytest.mark.parametrize(
    ("ended_s", "expected"), [(5, "proxy-timeout-too-short"), (60, "backend-too-slow"), (None, "backend-too-slow")]
)
def test_requests_that_never_end_are_not_evidence_about_the_limit(ended_s: float | None, expected: str) -> None:
    """Neither are those that ended only before the first failure: something else changed then."""
    here = living(
        cut(Symptom.READ_TIMED_OUT, 10, 0, 14, 504, requests=(("GET /report", 14),)),
        events=(),
        started_s=600,
        paths=(answered(0.5), *([answered(ended_s, "GET /report")] if ended_s else [])),
    )
    quick = Probe(target=APP, protocol="http", request="GET /", status=200, first_byte_s=0.005, at=NOW)
    assert first(REPLACE(here, probes=(quick,))).cause == expected


@pytest.mark.parametrize(("took_s", "expected"), [(0.005, "backend-too-slow"), (2.0, "memory-pressure")])
def test_short_memory_slows_down_every_path(took_s: float, expected: str) -> None:
    late = cut(Symptom.READ_TIMED_OUT, 10, 0, 14, 504, requests=(("POST /jobs", 14),))
    here = living(late, events=(), started_s=600, paths=(answered(0.5), answered(60, "POST /jobs")))
    others = Probe(target=APP, protocol="http", request="GET /", status=200, first_byte_s=took_s, at=NOW)
    found = first(REPLACE(here, probes=(others,), pressure=(Pressure(memory_some=0.27),)))
    assert found.cause == expected
    assert found.cause != "backend-too-slow" or "all 14 failures are POST /jobs" in found.message


def test_a_target_without_traffic_is_left_alone() -> None:
    traffic = TargetTraffic(target=APP, attempts=40, failures=0, last_success=NOW)
    here = living(events=(STARTS,), started_s=6)
    assert asserted(REPLACE(here, logs=REPLACE(here.logs, targets=(traffic,)))) == []


def chain(*, starts: bool) -> Snapshot:
    """Return a machine whose nginx passes requests to an HAProxy that is not running. Unless `starts`,
    its invalid configuration keeps it from starting.
    """
    backend = route(APP, 3, f"127.0.0.1:{INNER.port}", proxy="haproxy")
    inner = Proxy(kind="haproxy", unit="haproxy.service", unit_state="enabled", listens=(INNER,), routes=(backend,))
    message = "parsing [/etc/haproxy/haproxy.cfg:24] : unknown option 'httpcheck'"
    refused = cut(Symptom.CONFIG_INVALID, 2, 2, 4, target=None, proxy="haproxy", detail=message)
    failed = cut(Symptom.PROXY_START_FAILED, 2, 2, 4, target=None, proxy="haproxy", detail="Failed with result 'exit-code'")
    here = machine(
        cut(Symptom.CONNECT_REFUSED, 2, 0, 27, target=INNER), *(() if starts else (refused, failed)), routes=(route(INNER, 7),)
    )
    probe = Probe(target=INNER, protocol="http", symptom=Symptom.CONNECT_REFUSED, at=NOW)
    return REPLACE(here, proxies=(*(here.proxies or ()), inner), probes=(probe,))


def test_a_gateway_behind_another_that_does_not_start_is_a_backend_that_does_not() -> None:
    found = first(chain(starts=False))
    assert (found.cause, found.target) == ("backend-startup-failure", INNER)
    assert "httpcheck" in found.evidence[0].message
    assert "proxy-not-running" not in asserted(chain(starts=False))


def test_a_gateway_behind_another_that_was_stopped_does_not_run() -> None:
    assert first(chain(starts=True)).cause == "backend-not-running"


@pytest.mark.parametrize("ago_s", [3, 120])
def test_one_word_of_a_killed_worker_counts_while_requests_still_wait(ago_s: float) -> None:
    timeout = told(Symptom.WORKER_TIMED_OUT, ago_s, "WORKER TIMEOUT")
    cuts = (cut(Symptom.RESET_BEFORE_HEADER, 12, 12, 8), cut(Symptom.CONNECT_REFUSED, 12, 11, 7))
    waits = cut(Symptom.READ_TIMED_OUT, 2, 0, 2, 504)
    here = living(*cuts, waits, events=(*STOPS, STARTS, timeout), started_s=10.8, paths=(answered(0.5),))
    found = {x.cause: x.ongoing for x in diagnose(here).findings if x.confidence >= 0.5}
    assert found.get("worker-timeout") is (ago_s < 60)


def behind_ajp(*, front: int = 403, served_s: float = 9, protocol: str = "ajp") -> Snapshot:
    """Return a machine whose Tomcat was restarted 7 s ago and has answered 403 to everything since."""
    way = REPLACE(WAY, protocol=protocol)
    path = PathTraffic(
        request="GET /index.jsp",
        statuses={"200": 23, "403": 13},
        clients=6,
        refused_since=11,
        last_refused=NOW - timedelta(seconds=1),
        last_served=NOW - timedelta(seconds=served_s),
    )
    here = living(cut(Symptom.CONNECT_REFUSED, 8, 7, 7, 503), events=(), started_s=7, paths=(path,))
    entrance = Probe(target=FRONT, protocol="http", through_proxy=True, request="GET /", status=front, at=NOW, route_at=way.at)
    proxy = REPLACE((here.proxies or ())[0], kind="apache", routes=(way,))
    return REPLACE(here, proxies=(proxy,), probes=(*(here.probes or ()), entrance))


def test_everything_behind_ajp_is_forbidden_since_a_restart() -> None:
    found = first(behind_ajp())
    assert (found.cause, found.ongoing) == ("ajp-secret-mismatch", True)


@pytest.mark.parametrize("here", [behind_ajp(front=200), behind_ajp(served_s=3), behind_ajp(protocol="http")])
def test_other_403_responses_are_not_evidence_of_a_secret(here: Snapshot) -> None:
    assert "ajp-secret-mismatch" not in asserted(here)


@pytest.mark.parametrize(("failed_s", "expected"), [(20, False), (5, True)])
def test_a_failed_start_before_the_last_stop_is_resolved(failed_s: float, expected: bool) -> None:
    listens = told(Symptom.LISTENS_ON, 20, "Listening", target=APP, count=2, last=NOW - timedelta(seconds=5.5))
    events = (*STOPS, STARTS, listens, told(Symptom.START_FAILED, failed_s, "Exception in worker process", count=3))
    here = living(cut(Symptom.CONNECT_REFUSED, 7, 4, 26), events=events, started_s=6.15)
    silent = Probe(target=APP, protocol="http", symptom=Symptom.CLOSED_BEFORE_HEADER, at=NOW)
    assert ("backend-startup-failure" in asserted(REPLACE(here, probes=(silent,)))) is expected


def test_a_failing_probe_is_not_the_gap_of_a_restart() -> None:
    """So far the log shows only the restart; each handshake since then runs into its timeout."""
    way = REPLACE(WAY, protocol="https")
    listens = (
        told(Symptom.LISTENS_ON, 20, "Listening at: https://127.0.0.1:3000", target=APP),
        told(Symptom.LISTENS_ON, 5, "Listening at: http://127.0.0.1:3000", target=APP),
    )
    cuts = (cut(Symptom.CONNECT_REFUSED, 7, 5, 18), cut(Symptom.TLS_FAILED, 7, 7, 1))
    here = living(*cuts, events=(*STOPS, STARTS, *listens), started_s=6.15, paths=(answered(8),))
    silent = Probe(target=APP, protocol="https", symptom=Symptom.TLS_TIMED_OUT, at=NOW)
    proxy = REPLACE((here.proxies or ())[0], routes=(way,))
    found = first(REPLACE(here, proxies=(proxy,), probes=(silent,)))
    assert (found.cause, found.ongoing) == ("wrong-protocol", True)


SOCKET = Target(path="/srv/shop/tmp/puma.sock")


def of_socket(*probes: Probe) -> Snapshot:
    """Return a machine whose unix socket failed once, a while ago, and whose listener has a new socket file at the same path."""
    seen = cut(Symptom.SOCKET_PATH_MISSING, 20, 19, target=SOCKET)
    here = machine(seen, routes=(route(SOCKET, 7),))
    other = Listener(target=SOCKET, pids=(40,), device=1, file_inode=2, is_at_path=False)
    return REPLACE(here, listeners=(*(here.listeners or ()), other), probes=probes)


@pytest.mark.parametrize(
    "probe",
    [
        Probe(target=SOCKET, protocol="http", status=200, request="GET /", at=NOW),
        Probe(target=SOCKET, protocol="http", request="connect", at=NOW),
        Probe(target=SOCKET, protocol="http", symptom=Symptom.HEADER_INVALID, first_byte_s=0.1, at=NOW),
    ],
)
def test_a_target_that_answers_listens_although_no_socket_was_recognized(probe: Probe) -> None:
    said = diagnose(of_socket(probe))
    assert not [
        x for x in said.findings if x.cause in ("backend-not-running", "unix-socket-missing") and x.confidence >= ASSERTED
    ]
    assert not [check for check in said.checks if "nothing listens" in check.detail]


@pytest.mark.parametrize("probes", [(), (Probe(target=SOCKET, protocol="http", symptom=Symptom.CONNECT_REFUSED, at=NOW),)])
def test_a_target_that_does_not_answer_does_not_listen(probes: tuple[Probe, ...]) -> None:
    assert [check for check in diagnose(of_socket(*probes)).checks if "nothing listens" in check.detail]


def again(count: int, since_s: float) -> Event:
    """Return systemd's messages about automatic restarts of the service: this many, until a second ago."""
    message = "Scheduled restart job, restart counter is at 2"
    return told(Symptom.PROCESS_STARTED, since_s, message, count=count, last=NOW - timedelta(seconds=1))


@pytest.mark.parametrize(("count", "expected"), [(2, "backend-crash-loop"), (1, "deploy-termination-race")])
def test_a_server_that_ends_in_order_again_and_again_is_a_loop(count: int, expected: str) -> None:
    """uvicorn's --limit-max-requests exits with status 0; a unit that is started again only once may have been restarted
    by a deploy.
    """
    here = living(cut(Symptom.CONNECT_REFUSED, 13, 6, 40), events=(*STOPS, STARTS, again(count, 7)), started_s=5.9)
    assert first(here).cause == expected


@pytest.mark.parametrize(("since_s", "expected"), [(6, "upstream-error-status"), (13, "deploy-termination-race")])
def test_application_errors_after_a_restart_rank_above_its_gap(since_s: float, expected: str) -> None:
    """The error log explains nginx's 502 responses but not the 503; those during the gap may be nginx's own."""
    answers = cut(Symptom.GATEWAY_STATUS, since_s, since_s - 4, 9, 503, requests=(("GET /history/", 9),))
    here = living(
        cut(Symptom.CONNECT_REFUSED, 13, 10, 16), answers, events=(*STOPS, STARTS), started_s=6.1, paths=(answered(0.5),)
    )
    here = with_error_log(here)
    assert asserted(here)[0] == expected


def with_error_log(here: Snapshot) -> Snapshot:
    """Return the machine with an nginx error log that was read and contains all levels."""
    log = LogTarget(path="/var/log/nginx/error.log", kind=LogKind.ERROR, level="error", goes_to=LogPlace.FILE)
    proxies = tuple(REPLACE(proxy, logs=(log,)) for proxy in here.proxies or ())
    return REPLACE(
        here, proxies=proxies, logs=REPLACE(here.logs, files=(LogFile(path=log.path, format="nginx_error", lines=16),))
    )


@pytest.mark.parametrize(("served_s", "is_start"), [(1, False), (30, True)])
def test_a_module_missing_in_a_running_server_is_not_a_failed_start(served_s: float, is_start: bool) -> None:
    missing = told(Symptom.START_FAILED, 9, "Cannot find module 'pages/report.js'", count=12, last=NOW - timedelta(seconds=1))
    here = living(cut(Symptom.GATEWAY_STATUS, 4, 3, 2), events=(missing,), started_s=40, paths=(answered(served_s),))
    broken = REPLACE(here, probes=(Probe(target=APP, protocol="http", symptom=Symptom.CLOSED_BEFORE_HEADER, at=NOW),))
    assert ("backend-startup-failure" in asserted(broken if is_start else here)) is is_start


@pytest.mark.parametrize(("served_s", "expected"), [(9, "backend-startup-failure"), (2, "backend-crashed")])
def test_no_answer_between_a_kill_and_an_exit_is_a_failed_start(served_s: float, expected: str) -> None:
    """If it answered between the two deaths, the second one is not a failed start."""
    events = (
        told(Symptom.PROCESS_CRASHED, 6.3, "Main process exited, code=killed, status=9/KILL", code=signal.SIGKILL),
        told(Symptom.PROCESS_EXITED, 1.4, "Main process exited, code=exited, status=1/FAILURE", code=1),
        told(Symptom.PROCESS_STARTED, 30, f"Started {UNIT}.", count=3, last=NOW - timedelta(seconds=1)),
    )
    cuts = (cut(Symptom.CLOSED_BEFORE_HEADER, 6, 6, 1), cut(Symptom.CONNECT_REFUSED, 6, 0, 30))
    here = machine(*cuts, routes=(WAY,), events=events)
    ended = service(is_running=False, result="exit-code", exit_code=1, restarts=2, started_at=NOW - timedelta(seconds=1))
    here = REPLACE(here, services=(ended,), logs=REPLACE(here.logs, paths=(answered(served_s),)))
    assert first(here).cause == expected


@pytest.mark.parametrize("unit", [UNIT, "other.service"])
def test_an_application_logs_that_it_has_no_free_descriptors(unit: str) -> None:
    full = told(Symptom.FILES_EXHAUSTED, 3, "[Errno 24] Too many open files", count=7, last=NOW, unit=unit)
    here = living(cut(Symptom.RESET_BEFORE_HEADER, 3, 0, 7), events=(full,), started_s=60, paths=(answered(1),))
    assert ("too-many-open-files" in asserted(here)) is (unit == UNIT)


def test_a_program_that_supervisord_has_given_up_is_a_loop() -> None:
    """FATAL means that every start attempt failed, STOPPED that somebody stopped it."""
    fatal, stopped = (
        machine(
            cut(Symptom.CONNECT_REFUSED, 9, 0, 40),
            routes=(WAY,),
            services=(service(is_running=False, manager="supervisord", name="push", state=state),),
        )
        for state in ("FATAL", "STOPPED")
    )
    assert first(fatal).cause == "backend-crash-loop"
    assert first(stopped).cause == "backend-not-running"


def restarted_since(
    status: int | None, *, order_s: float = 6.2, served_s: float = 7.0, repeats: bool = True
) -> list[tuple[str, bool]]:
    """Return the asserted causes of a gap around a restart. A probe that repeats a failed request now gets this status."""
    stops = (
        told(Symptom.PROCESS_STOPPED, order_s, f"Stopping {UNIT}..."),
        told(Symptom.PROCESS_STOPPED, 6.1, f"{UNIT}: Deactivated successfully"),
    )
    here = living(
        cut(Symptom.CONNECT_REFUSED, 6, 4, 30),
        events=(*stops, STARTS),
        started_s=6.03,
        paths=(answered(served_s, **{"200": 40}),),
    )
    probes = (Probe(target=APP, protocol="http", request="GET /", status=status, at=NOW, repeats=repeats),) if status else ()
    return [(x.cause, x.ongoing) for x in diagnose(REPLACE(here, probes=probes)).findings if x.confidence >= ASSERTED]


def test_a_release_that_fails_after_its_restart_is_not_a_gap() -> None:
    assert restarted_since(200) == [("deploy-termination-race", False)]
    assert restarted_since(500)[0] == ("application-error", True)
    assert not any(cause == "deploy-termination-race" for cause, _ in restarted_since(500))
    assert restarted_since(500, served_s=0.5) == [
        ("deploy-termination-race", False)
    ]  # other pages work, so that page was always broken
    assert [cause for cause, _ in restarted_since(500, repeats=False)] == [
        "deploy-termination-race"
    ]  # nobody requested that page


def test_a_restart_that_came_after_the_failures_began_did_not_make_them() -> None:
    early = (cut(Symptom.CONNECT_REFUSED, 14, 4, 30),)
    ordered = told(Symptom.PROCESS_STOPPED, 6.2, f"Stopping {UNIT}...")
    ended = told(Symptom.PROCESS_STOPPED, 6.1, f"{UNIT}: Deactivated successfully")
    for events, is_race in (((ended, STARTS), True), ((ordered, ended, STARTS), False)):
        here = living(*early, events=events, started_s=6.03, paths=(answered(0.5),))
        assert ("deploy-termination-race" in asserted(here)) is is_race


def test_abandoned_requests_rank_below_failures() -> None:
    busy = told(Symptom.WORKERS_BUSY, 3, "seems busy")
    gave_up = cut(Symptom.CLIENT_CLOSED, 4, 3, 2, status=499)
    refused = REPLACE(cut(Symptom.PEER_LIMIT, 5, 1, 17, status=503), target=FRONT)
    here = living(gave_up, refused, events=(busy,), started_s=600, paths=(answered(0.5),))
    here = REPLACE(here, listeners=(*(here.listeners or ())[:-1], Listener(target=APP, pids=(40,), queued=8)))
    causes = asserted(here)
    assert causes[0] == "upstream-connection-limit"
    assert asserted(living(gave_up, events=(busy,), started_s=600))[:1] in ([], ["workers-exhausted"])


@pytest.mark.parametrize(
    ("away_s", "cause"), [(2, "deploy-termination-race"), (50, "deploy-termination-race"), (240, "backend-not-running")]
)
def test_a_service_down_for_minutes_is_not_restarting(away_s: float, cause: str) -> None:
    stops = (
        told(Symptom.PROCESS_STOPPED, 30 + away_s, f"Stopping {UNIT}..."),
        told(Symptom.PROCESS_STOPPED, 30 + away_s, f"Stopped {UNIT}."),
    )
    starts = told(Symptom.PROCESS_STARTED, 800, f"Started {UNIT}.", count=2, last=NOW - timedelta(seconds=30))
    here = living(
        cut(Symptom.CONNECT_REFUSED, 30 + away_s, 30, 300), events=(*stops, starts), started_s=30, paths=(answered(0.5),)
    )
    assert asserted(here) == [cause]


def test_failures_recovered_by_a_retry_rank_below_client_errors() -> None:
    """One server is full for a moment and the proxy retries at another; meanwhile one page answers 500."""
    one = REPLACE(cut(Symptom.PEER_LIMIT, 5, 1, 1, status=200), hidden=1, requests=(("GET /health", 1),))
    errors = REPLACE(cut(Symptom.UPSTREAM_STATUS, 6, 1, 19, status=500), requests=(("GET /api/orders", 19),))
    page = PathTraffic(
        request="GET /api/orders", at=WAY.at, statuses={"200": 20, "500": 19}, clients=8, refused_since=19, last_refused=NOW
    )
    here = living(one, errors, events=(), started_s=600, paths=(answered(0.5), page))
    assert first(here).cause == "application-error"
    felt = REPLACE(one, count=6, status=502, hidden=0)
    assert first(living(felt, errors, events=(), started_s=600, paths=(answered(0.5), page))).cause == "upstream-connection-limit"


@pytest.mark.parametrize(("is_there", "is_rejected"), [(True, True), (False, False)])
def test_a_listener_that_exited_during_the_snapshot_is_not_behind_a_firewall(is_there: bool, is_rejected: bool) -> None:
    here = living(cut(Symptom.CONNECT_REFUSED, 8, 1, 20), events=(), started_s=600)
    refused = Probe(target=APP, protocol="http", symptom=Symptom.CONNECT_REFUSED, detail="Connection refused", at=NOW)
    kept = tuple(process for process in here.processes or () if is_there or process.pid != 40)
    assert ("connect-rejected" in asserted(REPLACE(here, probes=(refused,), processes=kept))) is is_rejected


@pytest.mark.parametrize(("status", "cause"), [(500, "application-error"), (502, "keepalive-race")])
def test_a_connection_that_was_reset_gives_no_500(status: int, cause: str) -> None:
    """The next attempt got an answer, although an error of the application: that is the client's response."""
    way = REPLACE(WAY, keepalive=8)
    reset = REPLACE(cut(Symptom.RESET_BEFORE_HEADER, 4, 4, 2, status=status), duration_max_s=0.01, requests=(("GET /orders", 2),))
    errors = REPLACE(cut(Symptom.UPSTREAM_STATUS, 4, 1, 16, status=500), requests=(("GET /orders", 16),))
    page = PathTraffic(
        request="GET /orders", at=way.at, statuses={"200": 9, "500": 18}, clients=8, refused_since=18, last_refused=NOW
    )
    here = living(reset, errors, events=(), started_s=600, paths=(answered(0.5), page))
    proxy = REPLACE((here.proxies or ())[0], routes=(way,))
    probe = Probe(target=APP, protocol="http", request="GET /", status=200, at=NOW)
    traffic = (TargetTraffic(target=APP, attempts=214, failures=2, last_success=NOW),)
    seen = REPLACE(here, proxies=(proxy,), probes=(probe,), logs=REPLACE(here.logs, targets=traffic))
    assert first(seen).cause == cause
    assert {"application-error", "keepalive-race"} <= set(asserted(seen))


OLD, NEW = Target(path="/run/shop/shop.sock"), Target(path="/tmp/shop.sock")
LOADED = NOW - timedelta(seconds=4.2)


@pytest.mark.parametrize(
    ("ended_s", "read_s", "changed_at", "is_over"),
    [
        (4, 1, LOADED - timedelta(seconds=6), True),  # within the second of the reload, and none since
        (2, 0, LOADED - timedelta(seconds=6), True),  # an old worker finished its requests
        (4, 4, LOADED - timedelta(seconds=6), False),  # nothing was logged since: who knows
        (4, 1, LOADED + timedelta(seconds=1), False),  # the configuration that no longer names it is not loaded yet
        (4, 1, None, False),
    ],
)
def test_a_target_that_the_new_configuration_no_longer_names_is_over(
    ended_s: float, read_s: float, changed_at: object, *, is_over: bool
) -> None:
    """The service moved its socket, and was restarted before nginx was reloaded: more requests failed on the old path."""
    old = cut(Symptom.SOCKET_PATH_MISSING, 9, ended_s, count=54, target=OLD)
    new = cut(Symptom.SOCKET_PATH_MISSING, 4, read_s, count=20, target=NEW)
    here = machine(old, new, routes=(route(NEW, 7),))
    file = LogFile(path="/var/log/nginx/error.log", last=(NOW - timedelta(seconds=read_s)).replace(microsecond=0))
    here = REPLACE(
        here,
        proxies=tuple(REPLACE(proxy, loaded_at=LOADED, changed_at=changed_at) for proxy in here.proxies or ()),
        logs=REPLACE(here.logs, files=(file,)),
    )
    ongoing = {finding.target: finding.ongoing for finding in diagnose(here).findings if finding.confidence >= ASSERTED}
    assert ongoing == {OLD: not is_over, NEW: True}
    assert first(here).target == (NEW if is_over else OLD)
