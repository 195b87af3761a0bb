"""All workers are busy: those of the gateway, or those of a backend because of one slow route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Dependency, Event, Kernel, Listener, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BACKEND = Target(host="127.0.0.1", port=8009)


def _first(here: Snapshot) -> Finding | None:
    """Return the leading finding if one is asserted."""
    return next((finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED), None)


def _gateway(kind: str, waiting: int, state: str = "S") -> Snapshot:
    """Return a machine whose gateway has this many clients waiting to be accepted, and whose logs are empty."""
    route = Route(proxy=kind, peers=(Peer(name=str(BACKEND), target=BACKEND),))
    worker = Process(pid=4, ppid=3, name=kind, state=state)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(kind=kind, pid=3, routes=(route,), workers=(worker,)),),
        listeners=(
            Listener(target=Target(host="::", port=80), pids=(3, 4), queued=waiting, backlog=511),
            Listener(target=BACKEND, pids=(9,), queued=0),
        ),
        logs=LogSummary(requests=40, by_status={"200": 40}, has_access=True),
    )


def test_clients_that_wait_for_a_worker_of_apache_are_in_no_log() -> None:
    first = _first(_gateway("apache", 36))
    assert first is not None and first.cause == "worker-connections-exhausted"
    assert "36 clients wait to be accepted" in first.message


@pytest.mark.parametrize(("kind", "waiting", "state"), [("apache", 3, "S"), ("nginx", 36, "S"), ("apache", 36, "T")])
def test_a_short_queue_and_a_stopped_gateway_are_no_lack_of_workers(kind: str, waiting: int, state: str) -> None:
    first = _first(_gateway(kind, waiting, state))
    assert first is None or first.cause != "worker-connections-exhausted"


PLACE = Position(file="/etc/nginx/sites-enabled/shop", line=9)


def _backend(paths: dict[str, dict[str, int]], failed: dict[str, int], *, served_s: float = 5, pool: bool = False) -> Snapshot:
    """Return a machine whose backend keeps requests waiting. The arguments give each path's responses and number of timeouts.

    `served_s`: seconds between the last answered request and the diagnosis.
    """
    route = Route(location="/", at=PLACE, peers=(Peer(name=str(BACKEND), target=BACKEND),), read_timeout_s=8)
    last = AT - timedelta(seconds=served_s)
    traffic = tuple(
        PathTraffic(request=request, location="/", at=PLACE, statuses=statuses, last_served=last if "200" in statuses else None)
        for request, statuses in paths.items()
    )
    count = sum(failed.values())
    tally = Tally(
        symptom=Symptom.READ_TIMED_OUT,
        target=BACKEND,
        status=504,
        count=count,
        first=AT - timedelta(seconds=2),
        last=AT,
        requests=tuple(failed.items()),
    )
    busy = Event(
        symptom=Symptom.PHP_MAX_CHILDREN,
        message="server reached pm.max_children setting (5)",
        unit="php.service",
        at=AT,
        source="php.log",
    )
    fpm = PhpPool(name="www", target=BACKEND, unit="php.service", max_children=5, children=5, children_busy=5)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        listeners=(Listener(target=BACKEND, pids=(9,), queued=11),),
        processes=(Process(pid=9, name="gunicorn", unit="php.service"),),
        logs=LogSummary(tallies=(tally,), paths=traffic, requests=60, has_access=True),
        kernel=Kernel(accepted={str(BACKEND): 3}),
        php_pools=(fpm,) if pool else (),
        events=(busy,) if pool else (),
    )


ONE_SLOW = {"GET /report": {"504": 3}, "GET /": {"200": 30, "504": 2}, "": {"200": 12}}
LATE = {"GET /report": 3, "GET /": 2}


@pytest.mark.parametrize("pool", [False, True])
def test_one_slow_path_that_holds_all_workers_leads(pool: bool) -> None:
    first = _first(_backend(ONE_SLOW, LATE, pool=pool))
    assert first is not None and first.cause == "backend-too-slow"
    assert "GET /report within the 8 s" in first.message and "42 of 44 other requests were answered" in first.message


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(
    ("paths", "failed", "served_s"),
    [
        ({**ONE_SLOW, "GET /report": {"200": 9, "504": 3}}, LATE, 5),  # a burst of requests: some are answered
        (ONE_SLOW, LATE, 40),  # nothing at all has been answered since it was first requested
        ({"GET /report": {"504": 3}, "GET /": {"504": 30, "200": 2}, "": {"200": 12}}, LATE, 5),  # most others fail as well
        ({"GET /report": {"504": 1}, "GET /": {"200": 30}}, {"GET /report": 1}, 5),  # once
        ({"GET /": {"200": 30, "504": 2}}, LATE, 5),  # the path's responses are unknown
        ({"GET /report": {"504": 3}, "GET /other": {"504": 3}, "GET /": {"200": 30}}, {"GET /report": 3, "GET /other": 3}, 5),
    ],
)
def test_too_few_workers_for_a_rush_are_no_slow_path(
    paths: dict[str, dict[str, int]], failed: dict[str, int], served_s: float, pool: bool
) -> None:
    first = _first(_backend(paths, failed, served_s=served_s, pool=pool))
    assert first is not None and first.cause == ("php-fpm-max-children" if pool else "workers-exhausted")


def _queues_itself(*, entrance: Symptom | None, direct: Symptom | None, closed: int = 6) -> Snapshot:
    """Return a machine whose backend accepts every connection but queues it internally. It speaks AJP,
    which cannot be probed.
    """
    here = _backend({"GET /slow.jsp": {"200": 18, "504": 30}}, {"GET /slow.jsp": 30})
    through = Probe(
        target=Target(host="127.0.0.1", port=80), protocol="http", through_proxy=True, symptom=entrance, route_at=PLACE, at=AT
    )
    straight = Probe(target=BACKEND, protocol="ajp", symptom=direct, request="connect", at=AT)
    assert here.logs is not None
    return msgspec.structs.replace(
        here,
        listeners=(Listener(target=BACKEND, pids=(9,), queued=0),),
        kernel=Kernel(accepted={str(BACKEND): 63}, worked_off={str(BACKEND): closed}),
        probes=(straight, through),
        logs=msgspec.structs.replace(here.logs, by_status={"200": 18, "504": 30}),
    )


def test_connections_that_wait_in_a_queue_of_the_server_itself() -> None:
    first = _first(_queues_itself(entrance=Symptom.READ_TIMED_OUT, direct=None))
    assert first is not None and first.cause == "workers-exhausted"


@pytest.mark.parametrize(("entrance", "closed"), [(None, 6), (Symptom.READ_TIMED_OUT, 0)])
def test_a_server_that_answers_or_works_nothing_off_has_no_queue(entrance: Symptom | None, closed: int) -> None:
    first = _first(_queues_itself(entrance=entrance, direct=None, closed=closed))
    assert first is None or first.cause != "workers-exhausted"


@pytest.mark.parametrize(("queued", "said"), [(29, "29 connections wait"), (1, "1 connection waits"), (0, "")])
def test_the_full_pool_whose_children_wait_for_a_database_is_named(queued: int, said: str) -> None:
    here = _backend({"GET /search": {"504": 9}}, {"GET /search": 9}, pool=True)
    (fpm,) = here.php_pools or ()
    full = msgspec.structs.replace(fpm, max_children=2, children=2, children_busy=2)
    peer = Dependency(target=BACKEND, peer=Target(path="/run/mysqld/mysqld.sock"), busy=2, waiting=2, is_heard=True)
    listener = Listener(target=BACKEND, pids=(9,), queued=queued)
    first = _first(msgspec.structs.replace(here, php_pools=(full,), dependencies=(peer,), listeners=(listener,), events=()))
    assert first is not None and first.cause == "backend-dependency-slow"
    assert ("pm.max_children = 2 of pool www" in first.message) is bool(said)
    assert said in first.message


@pytest.mark.parametrize(
    ("queued", "served_s", "cause"),
    [(29, 1, "php-fpm-max-children"), (29, 5, "backend-dependency-slow"), (1, 1, "backend-dependency-slow")],
)
def test_a_long_queue_for_children_that_go_on_answering(queued: int, served_s: float, cause: str) -> None:
    """Two children that ask a database, as each request does, and are free again in between: that it is slow is not shown."""
    here = _backend({"GET /search": {"504": 9, "200": 4}}, {"GET /search": 9}, served_s=served_s, pool=True)
    (fpm,) = here.php_pools or ()
    full = msgspec.structs.replace(fpm, max_children=2, children=2, children_busy=2)
    peer = Dependency(target=BACKEND, peer=Target(path="/run/mysqld/mysqld.sock"), busy=2, waiting=2, is_heard=True)
    listener = Listener(target=BACKEND, pids=(9,), queued=queued)
    first = _first(msgspec.structs.replace(here, php_pools=(full,), dependencies=(peer,), listeners=(listener,), events=()))
    assert first is not None and first.cause == cause


@pytest.mark.parametrize(("broken", "cause"), [(3, "worker-timeout"), (1, "backend-too-slow")])
def test_a_path_whose_requests_break_off_is_not_slow_for_the_proxy(broken: int, cause: str) -> None:
    """The server kills what serves it. The requests that the proxy gave up waited behind it."""
    here = _backend({"GET /report": {"502": broken, "504": 2}, "GET /": {"200": 30, "504": 11}}, {"GET /report": 2, "GET /": 11})
    assert here.logs is not None
    (late,) = here.logs.tallies
    breaks = msgspec.structs.replace(
        late, symptom=Symptom.CLOSED_BEFORE_HEADER, status=502, count=broken, requests=(("GET /report", broken),)
    )
    killed = Event(symptom=Symptom.WORKER_TIMED_OUT, message="WORKER TIMEOUT", unit="php.service", at=AT, source="journalctl")
    logs = msgspec.structs.replace(here.logs, tallies=(late, breaks))
    first = _first(msgspec.structs.replace(here, logs=logs, events=(killed,)))
    assert first is not None and first.cause == cause


@pytest.mark.parametrize(
    ("started_s", "limit", "cause"),
    [(3, "5", "worker-timeout"), (3, "30", "backend-too-slow"), (600, "5", "backend-too-slow")],
)
def test_requests_that_a_long_stop_kept_waiting_say_nothing_about_the_new_run(started_s: float, limit: str, cause: str) -> None:
    """The proxy gave them up before the server was started with the limit that kills its workers now."""
    here = _backend({"GET /report": {"504": 5}, "GET /": {"200": 30, "504": 11}}, {"GET /report": 5, "GET /": 11})
    assert here.logs is not None
    late = msgspec.structs.replace(here.logs.tallies[0], first=AT - timedelta(seconds=4), last=AT)
    killed = Event(symptom=Symptom.WORKER_TIMED_OUT, message="WORKER TIMEOUT", unit="app.service", at=AT, source="journalctl")
    service = Service(
        manager="systemd",
        name="app.service",
        is_running=True,
        state="active",
        started_at=AT - timedelta(seconds=started_s),
        argv=("gunicorn", "--timeout", limit, "app:app"),
        targets=(BACKEND,),
    )
    listener = Listener(target=BACKEND, pids=(9,))
    logs = msgspec.structs.replace(here.logs, tallies=(late,))
    first = _first(msgspec.structs.replace(here, logs=logs, events=(killed,), services=(service,), listeners=(listener,)))
    assert first is not None and first.cause == cause


@pytest.mark.parametrize(("killed", "cause"), [(6, "worker-timeout"), (1, "workers-exhausted")])
def test_more_requests_are_killed_than_the_proxy_gave_up(killed: int, cause: str) -> None:
    """Another route waits for less time than the server's limit, and gave up one request behind those that were killed."""
    here = _backend({"GET /spectra": {"500": killed}, "GET /": {"200": 30, "504": 1}}, {"GET /": 1})
    assert here.logs is not None
    late = msgspec.structs.replace(here.logs.tallies[0], first=AT - timedelta(seconds=2), last=AT - timedelta(seconds=2))
    event = Event(
        symptom=Symptom.WORKER_TIMED_OUT, message="WORKER TIMEOUT", unit="php.service", at=AT, source="journalctl", count=killed
    )
    logs = msgspec.structs.replace(here.logs, tallies=(late,))
    first = _first(msgspec.structs.replace(here, logs=logs, events=(event,)))
    assert first is not None and first.cause == cause


@pytest.mark.parametrize(("stopped", "cause"), [(True, "backend-dependency-down"), (False, "backend-too-slow")])
def test_an_event_loop_that_waits_for_a_stopped_peer(stopped: bool, cause: str) -> None:
    """Its one thread waits for all requests, so the number of waiting threads says little; that the peer is stopped says all."""
    here = _backend({"GET /lots": {"504": 9}, "GET /": {"200": 30}}, {"GET /lots": 9})
    place = Target(host="127.0.0.1", port=6379)
    peer = Dependency(
        target=BACKEND, peer=place, busy=8, waiting=1, is_heard=True, pid=7, process="redis-server", is_stopped=stopped
    )
    listener = Listener(target=BACKEND, pids=(9,))
    first = _first(msgspec.structs.replace(here, dependencies=(peer,), listeners=(listener,)))
    assert first is not None and first.cause == cause
    assert (str(place) in first.message) is stopped
