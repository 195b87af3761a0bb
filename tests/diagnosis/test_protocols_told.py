"""A backend's protocol, determined without sending a request: from its pool, its own log, and timeouts of idle WebSockets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.logs.detect import parse_any
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target
from why502.probing.plan import has_answered

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BACKEND = Target(host="127.0.0.1", port=9001)
PLACE = Position(file="/etc/nginx/sites-enabled/shop", line=9)


def _broken(protocol: str, **more: object) -> Snapshot:
    """Return a machine whose backend closes each connection without a response; the proxy speaks a protocol to it."""
    route = Route(location="/", at=PLACE, protocol=protocol, peers=(Peer(name=str(BACKEND), target=BACKEND),))
    tally = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, target=BACKEND, status=502, protocol=protocol, count=9, first=AT, last=AT)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        listeners=(Listener(target=BACKEND, pids=(9,)),),
        processes=(Process(pid=9, name="uwsgi", unit="shop.service"),),
        logs=LogSummary(tallies=(tally,), requests=60, has_access=True),
        **more,  # type: ignore[arg-type]
    )


def _first(here: Snapshot) -> Finding | None:
    return next((finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED), None)


POOL = PhpPool(name="shop", file="/etc/php/pool.d/shop.conf", target=BACKEND, master_pid=9)


@pytest.mark.parametrize("protocol", ["http", "uwsgi", "scgi", "grpc"])
def test_any_protocol_but_fastcgi_is_wrong_for_a_pool(protocol: str) -> None:
    first = _first(_broken(protocol, php_pools=(POOL,)))
    assert first is not None and first.cause == "wrong-protocol"
    assert f"speaks {protocol} to 127.0.0.1:9001, where PHP-FPM's pool shop listens" in first.message


@pytest.mark.parametrize(
    ("protocol", "pool"),
    [
        ("fastcgi", POOL),
        ("http", msgspec.structs.replace(POOL, target=Target(host="127.0.0.1", port=9002))),
        ("http", msgspec.structs.replace(POOL, master_pid=None)),  # a file that no process runs
        ("http", msgspec.structs.replace(POOL, master_pid=77)),  # another program has the port
    ],
)
def test_a_pool_elsewhere_and_fastcgi_to_one_are_not(protocol: str, pool: PhpPool) -> None:
    first = _first(_broken(protocol, php_pools=(pool,)))
    assert first is None or first.cause != "wrong-protocol"


def _parser(name: str, *, seconds: int = 0) -> tuple[Event, ...]:
    """Return uWSGI's log line for a client that disconnects in the middle of a request of that protocol."""
    text = f"Sun Mar  1 14:29:16 2026 - uwsgi_proto_{name}_parser() -> client closed connection"
    record = parse_any(text)
    assert record is not None and record.symptom is Symptom.PROTOCOL_TOLD
    at = AT + timedelta(seconds=seconds)
    return (
        Event(
            symptom=record.symptom, message=record.detail, detail=record.detail, unit="shop.service", at=at, source="journalctl"
        ),
    )


@pytest.mark.parametrize(
    ("protocol", "parser", "seconds", "expected"),
    [
        ("uwsgi", "http", 1, True),
        ("http", "uwsgi", 1, True),
        ("fastcgi", "scgi", 1, True),
        ("http", "http", 1, False),  # clients disconnect
        ("uwsgi", "uwsgi", 1, False),
        ("uwsgi", "http", -300, False),  # at another time
    ],
)
def test_uwsgi_names_the_protocol_that_it_reads(protocol: str, parser: str, seconds: int, expected: bool) -> None:
    first = _first(_broken(protocol, events=_parser(parser, seconds=seconds)))
    assert (first is not None and first.cause == "wrong-protocol") == expected


@pytest.mark.parametrize(
    ("protocol", "expected"), [("scgi", "wrong-protocol"), ("http", "wrong-protocol"), ("uwsgi", "request-header-too-big")]
)
def test_only_the_parser_of_uwsgis_own_protocol_reads_a_block_size(protocol: str, expected: str) -> None:
    """It takes the first bytes of another protocol for a size, which looks like a header that is too big."""
    record = parse_any("Tue Nov 24 04:26:07 2026 - invalid request block size: 14131 (max 4096)...skip")
    assert record is not None and record.symptom is not None
    event = Event(symptom=record.symptom, message=record.detail, detail=record.detail, unit="shop.service", at=AT, source="log")
    first = _first(_broken(protocol, events=(event,)))
    assert first is not None and first.cause == expected


@pytest.mark.parametrize(("last_s", "expected"), [(-5, False), (0, False), (3, True)])
@pytest.mark.parametrize("by_path", [False, True])
def test_answers_before_the_first_failure_do_not_prove_the_protocol(last_s: int, expected: bool, by_path: bool) -> None:
    """A server that changed its protocol with a deploy answered before it:
    those answers do not show that it understands the proxy's protocol now.
    """
    here = _broken("uwsgi")
    assert here.logs is not None and here.proxies is not None
    last = AT + timedelta(seconds=last_s)
    served = PathTraffic(request="GET /", location="/", at=PLACE, statuses={"200": 20, "502": 9}, last_served=last)
    traffic = TargetTraffic(target=BACKEND, attempts=29, failures=9, last_success=last)
    more = {"paths": (served,)} if by_path else {"targets": (traffic,)}
    known = msgspec.structs.replace(here, logs=msgspec.structs.replace(here.logs, by_status={"200": 20, "502": 9}, **more))
    assert has_answered(known, BACKEND, here.proxies[0].routes[0]) == expected


def _idle(count: int, opened: int, limit_s: float) -> Snapshot:
    """Return a machine whose proxy closed this many WebSockets after this long without traffic."""
    route = Route(location="/ws", at=PLACE, peers=(Peer(name=str(BACKEND), target=BACKEND),), read_timeout_s=limit_s)
    tally = Tally(symptom=Symptom.UPGRADED_TIMED_OUT, target=BACKEND, count=count, first=AT, last=AT)
    path = PathTraffic(request="GET /ws", location="/ws", at=PLACE, statuses={"101": opened}, last_served=AT)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        listeners=(Listener(target=BACKEND, pids=(9,)),),
        logs=LogSummary(tallies=(tally,), paths=(path,), requests=opened, has_access=True),
    )


@pytest.mark.parametrize(
    ("count", "opened", "limit_s", "expected"),
    [(8, 60, 5, True), (40, 60, 60, True), (8, 60, 60, False), (2, 60, 5, False)],
)
def test_websockets_that_the_proxy_cuts_for_being_quiet(count: int, opened: int, limit_s: float, expected: bool) -> None:
    first = _first(_idle(count, opened, limit_s))
    assert (first is not None and first.cause == "websocket-idle-timeout") == expected
    if expected and first is not None:
        assert f"{count} times: the backend sent nothing for {limit_s:g} s" in first.message
