"""Gateways behind another one on the same machine: whose application answers, and whose rule refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.diagnosis.index import Joins
from why502.diagnosis.takers import door_of, taker
from why502.gateways.caddy import config as caddy
from why502.gateways.nginx.config.load import load_dump
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CGI, CADDY, STARMAN = (Target(host="127.0.0.1", port=port) for port in (8085, 8081, 5000))


NGINX = """# configuration file /etc/nginx/nginx.conf:
events {}
http { server {
    location / { proxy_pass http://127.0.0.1:8081; }
    location /cgi-bin/ { proxy_pass http://127.0.0.1:8085; }
} }
"""


def machine(**more: object) -> Snapshot:
    """Return nginx in front of Caddy, in front of Starman, and in front of Apache with CGI scripts."""
    found = load_dump(NGINX.encode())
    nginx = Proxy(kind="nginx", pid=1, routes=found.routes, servers=found.servers)
    inner = Proxy(kind="caddy", pid=2, routes=caddy.load(":8081 {\n reverse_proxy 127.0.0.1:5000\n}\n", "Caddyfile").routes)
    here = Snapshot(
        taken_at=NOW,
        addresses=("127.0.0.1",),
        proxies=(nginx, inner),
        listeners=tuple(Listener(target=target, pids=(pid,)) for target, pid in ((CADDY, 2), (CGI, 3), (STARMAN, 4))),
        processes=tuple(
            Process(pid=pid, name=name) for pid, name in ((1, "nginx"), (2, "caddy"), (3, "apache2"), (4, "starman"))
        ),
    )
    return Snapshot(**{**{name: getattr(here, name) for name in here.__struct_fields__}, **more})  # type: ignore[arg-type]


def test_clients_ask_the_outer_gateway() -> None:
    joins = Joins(machine())
    assert taker(joins, "GET /cgi-bin/sacks.pl", "") == CGI
    assert taker(joins, "GET /about", "") == CADDY


def test_gateways_side_by_side_leave_it_open() -> None:
    assert taker(Joins(machine(listeners=())), "GET /about", "") is None


def test_the_address_of_an_inner_gateway() -> None:
    joins = Joins(machine())
    assert (door_of(joins, "caddy"), door_of(joins, "nginx"), door_of(joins, "haproxy")) == (CADDY, None, None)


@pytest.mark.parametrize(("kind", "target"), [("caddy", CADDY), ("nginx", None)])
def test_a_rule_that_refuses_everyone_is_on_the_gateway_that_has_it(kind: str, target: Target | None) -> None:
    since = NOW - timedelta(seconds=30)
    tally = Tally(symptom=Symptom.DENIED_BY_RULE, proxy=kind, status=403, count=40, server="inside", first=since, last=NOW)
    path = PathTraffic(
        server="inside",
        request="GET /stars",
        statuses={"200": 9, "403": 40},
        clients=6,
        refused_since=40,
        last_refused=NOW,
        last_served=since,
    )
    found = diagnose(machine(logs=LogSummary(tallies=(tally,), paths=(path,), has_access=True)))
    assert ("denied-by-rule", target) in [(each.cause, each.target) for each in found.findings if each.confidence >= 0.5]


@pytest.mark.parametrize(("queued", "is_late", "is_full"), [(31, True, True), (0, True, False), (31, False, False)])
def test_a_pool_that_was_restarted_and_is_full_behind_a_gateway_that_waits(queued: int, is_late: bool, is_full: bool) -> None:
    """Its socket was missing for a moment, and the gateway in front of it has no later failure in its log."""
    pool = Target(path="/run/php/castle.sock")
    inner = Proxy(
        kind="caddy", pid=2, routes=caddy.load(":8081 {\n php_fastcgi unix//run/php/castle.sock\n}\n", "Caddyfile").routes
    )
    here = machine()
    assert here.proxies and here.listeners
    missing = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="caddy", target=pool, status=502, count=24, first=NOW, last=NOW)
    full = Event(
        symptom=Symptom.PHP_MAX_CHILDREN, at=NOW, message="server reached pm.max_children", unit="php.service", source="log"
    )
    settings = PhpPool(
        name="castle", file="castle.conf", target=pool, pm="static", max_children=2, children=2, master_pid=9, unit="php.service"
    )
    probe = Probe(
        target=CADDY, symptom=Symptom.READ_TIMED_OUT if is_late else None, request="GET /", status=None if is_late else 200
    )
    here = machine(
        proxies=(here.proxies[0], inner),
        listeners=(*here.listeners, Listener(target=pool, pids=(9,), queued=queued)),
        processes=(*(here.processes or ()), Process(pid=9, name="php-fpm8.2", unit="php.service")),
        php_pools=(settings,),
        events=(full,),
        probes=(probe,),
        logs=LogSummary(tallies=(missing,)),
    )
    found = {one.cause: one.ongoing for one in diagnose(here).findings if one.confidence >= 0.5 and one.target == pool}
    assert ("php-fpm-max-children" in found) is is_full
