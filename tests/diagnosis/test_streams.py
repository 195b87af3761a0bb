"""A gateway that passes on an application's connections to its database, and ends them when they are silent for a short time."""

from __future__ import annotations

import pytest
from test_verdicts import APP, FRONT, NOW, REPLACE, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route, Setting
from why502.model.logs import PathTraffic, Symptom
from why502.model.snapshot import Dependency, Event, Listener
from why502.model.target import Target

ENTRANCE, DATABASE = Target(host="127.0.0.1", port=6432), Target(host="127.0.0.1", port=5432)
LIMIT_AT = Position(file="/etc/nginx/stream.d/db.conf", line=5)


@pytest.mark.parametrize(
    ("limit_s", "is_up", "words", "is_cut"),
    [
        (2.0, True, "psycopg2.OperationalError: server closed the connection unexpectedly", True),
        (600.0, True, "psycopg2.OperationalError: server closed the connection unexpectedly", False),
        (2.0, False, "psycopg2.OperationalError: server closed the connection unexpectedly", False),
        (2.0, True, 'psycopg2.OperationalError: FATAL:  password authentication failed for user "sky"', False),
    ],
    ids=["a short limit", "the default", "no database", "another reason"],
)
def test_connections_that_a_stream_ends(limit_s: float, is_up: bool, words: str, is_cut: bool) -> None:
    way = route(APP, 7)
    stream = Route(
        passes=str(DATABASE),
        protocol="tcp",
        listens=("127.0.0.1:6432",),
        at=Position(file="/etc/nginx/stream.d/db.conf", line=6),
        peers=(Peer(name=str(DATABASE), target=DATABASE),),
        read_timeout_s=limit_s,
        settings={"proxy_timeout": (Setting(args=(f"{limit_s:g}s",), at=LIMIT_AT),)},
    )
    bad = PathTraffic(request="GET /almanac", at=way.at, statuses={"500": 19}, clients=8, refused_since=19, last_refused=NOW)
    good = PathTraffic(at=way.at, statuses={"200": 45}, last_served=NOW)
    said = Event(
        symptom=Symptom.APPLICATION_ERROR, at=NOW, last=NOW, message=words, detail=words, source="journal", count=19, target=APP
    )
    here = machine(
        routes=(way, stream),
        listeners=(
            Listener(target=FRONT, pids=(10,)),
            Listener(target=ENTRANCE, pids=(10,)),
            Listener(target=APP, pids=(40,)),
            *((Listener(target=DATABASE, pids=(50,)),) if is_up else ()),
        ),
        events=(said,),
    )
    assert here.logs is not None and here.proxies
    here = REPLACE(
        here,
        proxies=(REPLACE(here.proxies[0], pid=10),),
        dependencies=(Dependency(target=APP, peer=ENTRANCE, busy=4, is_heard=True, pid=10, process="nginx"),),
        logs=REPLACE(here.logs, paths=(bad, good), requests=64, by_status={"200": 45, "500": 19}),
    )
    found = [one for one in diagnose(here).findings if one.confidence >= 0.5]
    assert (found[0].cause == "proxy-timeout-too-short") is is_cut
    if is_cut:
        (one,) = found
        assert "nginx ends them after 2 s of silence between it and 127.0.0.1:5432" in one.message
        assert [remedy.message for remedy in one.remedies] == [
            "raise proxy_timeout in /etc/nginx/stream.d/db.conf:5 above the time that the longest query is silent (2 s now)"
        ]
