"""Failures in an access log without upstream fields are assigned to a target if the configuration leaves no doubt."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.diagnosis.alarms import alarms
from why502.diagnosis.engine import diagnose
from why502.diagnosis.index import Joins
from why502.diagnosis.listening import Doors, accepts, takes, targets_without_listener
from why502.diagnosis.spares import idle_spares, made_good
from why502.diagnosis.ways import placed, ways_of
from why502.gateways.nginx.config.load import load_dump
from why502.model.finding import Verdict
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Resolution, Snapshot
from why502.model.target import Target

DUMP = """# configuration file /etc/nginx/nginx.conf:
events {}
http {
    upstream two { server 127.0.0.1:3001; server 127.0.0.1:3002; }
    server {
        server_name a.example;
        location / { proxy_pass http://127.0.0.1:3000; }
        location /two/ { proxy_pass http://two; }
        location /name/ { proxy_pass http://$arg_x; }
        location /old/ { return 503; }
    }
}
"""


@pytest.mark.parametrize(
    ("requests", "status", "port"),
    [
        (["GET /"], 502, 3000),
        (["GET /", "POST /x"], 504, 3000),
        (["/"], 502, 3000),  # a log without the method
        (["GET /"], 499, 3000),
        (["GET /two/"], 502, None),  # ambiguous
        (["GET /", "GET /two/"], 502, None),
        (["GET /name/"], 502, None),
        (["GET /"], 503, None),  # the proxy itself answers that
        ([], 502, None),
    ],
)
def test_a_status_is_placed_where_its_requests_lead_to_one_address(requests: list[str], status: int, port: int | None) -> None:
    found = load_dump(DUMP.encode())
    proxy = Proxy(routes=found.routes, servers=found.servers, answers=found.answers, upstreams=found.upstreams)
    seen = Tally(
        symptom=Symptom.CLIENT_CLOSED if status == 499 else Symptom.GATEWAY_STATUS,
        proxy="nginx",
        status=status,
        count=len(requests),
        requests=tuple((request, 1) for request in requests),
    )
    expected = Target(host="127.0.0.1", port=port) if port else None
    assert [tally.target for tally in placed([seen], ways_of([proxy]))] == [expected]


def test_a_socket_whose_path_leads_elsewhere_takes_nothing() -> None:
    """Another mount namespace, or a replaced file: the name is the same, the file is not."""
    path = Target(path="/run/app.sock")
    listener = Listener(target=path, inode=1)
    assert takes(listener, path)
    assert takes(msgspec.structs.replace(listener, is_at_path=True), path)
    assert not takes(msgspec.structs.replace(listener, is_at_path=False), path)


HOSTS = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1", "localhost", "10.0.0.1", "2001:db8::1")
TARGETS = st.one_of(
    st.builds(Target, host=st.sampled_from(HOSTS), port=st.sampled_from((80, 81))),
    st.builds(Target, path=st.sampled_from(("/a", "/b"))),
)
LISTENERS = st.lists(st.builds(Listener, target=TARGETS, inode=st.integers(1, 99), only_v6=st.sampled_from((None, True, False))))


@given(LISTENERS, st.lists(TARGETS))
def test_the_indexes_find_what_a_search_finds(listeners: list[Listener], wanted: list[Target]) -> None:
    doors = Doors(listeners)
    for target in wanted:
        assert [one for one in doors.near(target) if takes(one, target)] == [one for one in listeners if takes(one, target)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    joins = Joins(Snapshot(taken_at=now, asked=tuple(wanted), listeners=tuple(listeners)))
    meant = [one for one in listeners if any(accepts(one.target, target, one.only_v6) for target in wanted)]
    assert [one for one in listeners if one not in joins.unnamed] == [one for one in listeners if one in meant]


def test_the_error_log_decides_between_two_servers_with_the_same_path() -> None:
    """Both servers write to one log that does not name them; the error log names the server."""
    text = (
        DUMP.rstrip().removesuffix("}")
        + "server { server_name b.example; location / { proxy_pass http://127.0.0.1:4000; } }\n}\n"
    )
    found = load_dump(text.encode())
    proxy = Proxy(routes=found.routes, servers=found.servers, answers=(), upstreams=found.upstreams)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, status=503, count=7, requests=(("GET /", 7),))
    said = Tally(symptom=Symptom.APPLICATION_ERROR, target=Target(host="127.0.0.1", port=4000), count=6, requests=(("GET /", 6),))
    few = msgspec.structs.replace(said, count=1, requests=(("GET /", 1),))
    elsewhere = msgspec.structs.replace(said, target=Target(host="127.0.0.1", port=5000))
    for other, expected in ((said, Target(host="127.0.0.1", port=4000)), (few, None), (elsewhere, None)):
        assert placed([seen, other], ways_of([proxy]))[0].target == expected


CHOICE = """# configuration file /etc/nginx/nginx.conf:
events {}
http {
    map $host $pool { default none; a.example a; }
    map $host $only { b.example http://127.0.0.1:3009; }
    server {
        server_name a.example;
        location / { fastcgi_pass unix:/run/$pool.sock; }
        location /set/ { proxy_pass $only; }
    }
}
"""
NONE = Target(path="/run/none.sock")


@pytest.mark.parametrize(
    ("requests", "failing", "asked", "is_spare"),
    [
        (9, (), (), True),
        (9, (NONE,), (), False),  # clients requested it
        (9, (), (NONE,), False),  # the user asked about it
        (0, (), (), False),  # the requests of clients are unknown
    ],
)
def test_a_value_of_a_variable_is_a_target_only_once_requests_reach_it(
    requests: int, failing: tuple[Target, ...], asked: tuple[Target, ...], *, is_spare: bool
) -> None:
    found = load_dump(CHOICE.encode())
    tallies = tuple(Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="nginx", count=1, target=target) for target in failing)
    here = Snapshot(
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        proxies=(Proxy(pid=1, routes=found.routes, servers=found.servers),),
        logs=LogSummary(requests=requests, tallies=tallies),
        listeners=(),
        asked=asked,
    )
    spares = idle_spares(here)
    assert (NONE in spares) is is_spare
    assert (NONE not in (targets_without_listener(here) or ())) is is_spare
    assert Target(host="127.0.0.1", port=3009) not in spares  # the variable has only this value


LOCALHOST = """# configuration file /etc/nginx/nginx.conf:
events {}
http { server { server_name a.example; location / { proxy_pass http://localhost:5050; } } }
"""
V6, V4 = Target(host="::1", port=5050), Target(host="127.0.0.1", port=5050)


@pytest.mark.parametrize(
    ("statuses", "sibling", "is_good"),
    [
        ({"200": 50}, None, True),
        ({"200": 50, "500": 9}, None, True),  # the application's own errors
        ({"200": 50, "502": 2}, None, False),  # clients were affected
        ({"200": 50, "502": 2}, 502, True),  # the connections to the other address broke
        ({}, None, False),  # nobody was served
    ],
)
def test_a_refused_address_is_harmless_if_another_of_the_name_answers(
    statuses: dict[str, int], sibling: int | None, *, is_good: bool
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = load_dump(LOCALHOST.encode())
    tallies = [Tally(symptom=Symptom.CONNECT_REFUSED, proxy="nginx", status=502, count=3, target=V6, first=at, last=at)]
    if sibling:
        tallies.append(Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, proxy="nginx", status=sibling, count=2, target=V4))
    path = PathTraffic(server="a.example", at=found.routes[0].at, statuses=statuses, last_served=at if statuses else None)
    here = Snapshot(
        taken_at=at,
        proxies=(Proxy(pid=1, routes=found.routes, servers=found.servers),),
        names=(Resolution(name="localhost", addresses=("::1", "127.0.0.1")),),
        logs=LogSummary(requests=sum(statuses.values()), tallies=tuple(tallies), paths=(path,), has_access=True),
        probes=(Probe(target=V6, symptom=Symptom.CONNECT_REFUSED), Probe(target=V4, status=404)),
        listeners=(Listener(target=V4),),
    )
    assert (made_good(here) == {V6}) is is_good
    assert (V6 not in {tally.target for tally in alarms(here)}) is is_good
    answer = diagnose(here)
    assert (answer.verdict is Verdict.HEALTHY) is (is_good and sibling is None)
    assert answer.findings[0].cause == "wrong-address" or sibling
