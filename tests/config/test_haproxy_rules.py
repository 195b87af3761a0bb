"""HAProxy: why a request reached no server, and which rule denied it, from its configuration and its maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.gateways.haproxy import logs, running
from why502.gateways.haproxy.config import load, map_lookups, names, sections, trees_of
from why502.gateways.haproxy.rules import missing
from why502.gateways.tallies import settled
from why502.host.local import LocalHost
from why502.machine.suppliers import Rights
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy

CONFIG = """
frontend www
    bind :80
    acl is_busy sc_http_req_rate(0) gt 20
    http-request track-sc0 src
    http-request deny deny_status 503 if is_busy
    http-request deny if {{ path_beg /.env }}
    use_backend be_%[req.hdr(host),lower,map({file},none)]
frontend shut
    http-request deny deny_status 503 if {{ path_beg /admin }}
    http-request deny deny_status 503 if {{ src_conn_rate gt 9 }}
frontend picky
    acl is_blocked src -f /etc/haproxy/blocked.lst
    http-request deny deny_status 503 if is_blocked
    http-request deny deny_status 503 if {{ req.hdr(user-agent) -m sub bot }}
    http-request deny deny_status 502 unless {{ src 10.0.0.0/8 }}
    http-request deny deny_status 504 if !{{ src 10.0.0.0/8 }}
frontend paths
    acl is_admin path -m beg /admin
    http-request deny deny_status 503 if is_admin
    http-request deny deny_status 500 if METH_TRACE or {{ query -m sub union }}
    http-request deny deny_status 502
    http-request deny deny_status 504 if {{ date ge 1 }}
    http-request return status 501 if {{ path_beg /shop }}
listen alone
    bind :81
    server one 127.0.0.1:9003
backend be_shop
    server one 127.0.0.1:9001
"""


def _proxy(file: Path) -> Proxy:
    text = CONFIG.format(file=file)
    found = load(text, "haproxy.cfg")
    lost = running.lost_routes(Rights(LocalHost(), 0), [("haproxy.cfg", text)])
    return Proxy(kind="haproxy", pid=7, routes=(*found.routes, *lost), upstreams=found.upstreams, answers=found.answers)


def _tally(line: str, proxy: Proxy) -> Tally:
    record = logs.parse(f"10.9.9.9:4000 [04/Mar/2026:05:06:07.000] {line}")
    assert record is not None and record.symptom is not None
    told = Tally(
        symptom=record.symptom,
        proxy="haproxy",
        group=record.group,
        status=record.status,
        code=record.code,
        named=record.causes[0] if record.causes else "",
    )
    return settled(LogSummary(tallies=(told,)), (proxy,)).tallies[0]


@pytest.mark.parametrize(
    ("line", "symptom"),
    [
        ('www www/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.ROUTE_TARGET_MISSING),
        ('shut~ shut/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.ROUTE_MISSING),
        ('alone alone/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.NO_LIVE_UPSTREAMS),
        ('www be_shop/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.NO_LIVE_UPSTREAMS),
        ('www www/<NOSRV> 0/-1/-1/-1/0 503 217 - - PR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.RATE_LIMITED),
        ('www www/<NOSRV> 0/-1/-1/-1/0 403 217 - - PR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.DENIED_BY_RULE),
        ('shut shut/<NOSRV> 0/-1/-1/-1/0 503 217 - - PR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"', Symptom.OWN_STATUS),
    ],
)
def test_a_request_without_a_server_has_its_reason(tmp_path: Path, line: str, symptom: Symptom) -> None:
    file = tmp_path / "hosts.map"
    file.write_text("shop.example shop\nold.example odl\n")
    assert _tally(line, _proxy(file)).symptom is symptom


@pytest.mark.parametrize(
    ("frontend", "status", "condition"),
    [
        ("picky", 503, "blocked.lst"),
        ("picky", 502, ""),
        ("picky", 504, ""),
        ("paths", 503, "path -m beg /admin"),
        ("paths", 500, "METH_TRACE"),
        ("paths", 502, ""),
        ("paths", 504, ""),
    ],
)
def test_a_rule_that_picks_clients_or_requests_out_is_named(tmp_path: Path, frontend: str, status: int, condition: str) -> None:
    line = f'{frontend} {frontend}/<NOSRV> 0/-1/-1/-1/0 {status} 217 - - PR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"'
    found = _tally(line, _proxy(tmp_path / "none.map"))
    assert (found.symptom, found.is_failure) == (Symptom.OWN_STATUS, True)
    assert (condition in found.detail and found.named == "denied-by-rule") if condition else not found.detail


def test_a_page_of_its_own_for_some_paths_is_maintenance(tmp_path: Path) -> None:
    found = {answer.status: answer.is_of_some for answer in _proxy(tmp_path / "none.map").answers if answer.server == "paths"}
    assert found == {503: True, 500: True, 502: False, 504: False, 501: False}


def test_the_place_of_the_missing_name_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "hosts.map"
    file.write_text("# a comment\nshop.example shop\nold.example   odl\n")
    found = {route.passes: str(route.at) for route in _proxy(file).routes if route.directive == "use_backend"}
    assert found == {"be_none": "haproxy.cfg:8", "be_odl": f"{file}:3"}


def test_a_map_whose_names_all_exist_loses_nothing() -> None:
    text = "frontend www\n use_backend %[path,map_beg(/etc/paths.map)]\nbackend app\n server a 127.0.0.1:1\n"
    found = sections(trees_of([("haproxy.cfg", text)]))
    (lookup,) = map_lookups(found)
    assert lookup.path == "/etc/paths.map"
    assert not list(missing(lookup, "/ app\n", names(found)))
    plain = "frontend www\n use_backend %[req.hdr(host),lower]\n use_backend app if TRUE\n"
    assert not map_lookups(sections(trees_of([("haproxy.cfg", plain)])))


def test_a_map_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    assert not [route for route in _proxy(tmp_path / "none.map").routes if route.directive == "use_backend"]
