"""Failures on sites whose gateway first asks another service if the client may pass: the application's, or that service's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.unserved import unserved
from why502.diagnosis.ways import placed, ways_of
from why502.gateways.caddy import config as caddy
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Event, Snapshot
from why502.model.target import Target

CADDY = """
(door) {
    forward_auth /pages/* 127.0.0.1:9 {
        uri /verify
        transport http {
            response_header_timeout {$LIMIT:7s}
        }
    }
}
wiki.example {
    import door
    handle /pages/* {
        reverse_proxy 127.0.0.1:1 {
            transport http {
                response_header_timeout 9s
            }
        }
    }
}
files.example {
    import door
    reverse_proxy 127.0.0.1:2
}
open.example {
    reverse_proxy 127.0.0.1:3
}
"""
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
AUTH, WIKI, FILES, OPEN = (Target(host="127.0.0.1", port=port) for port in (9, 1, 2, 3))


def failed(symptom: Symptom, server: str, duration_s: float | None = None, status: int = 504) -> Tally:
    """Return failures on one server."""
    return Tally(
        symptom=symptom,
        proxy="caddy",
        server=f"{server}.example",
        status=status,
        requests=(("GET /pages/home", 4),),
        count=4,
        duration_min_s=duration_s,
        duration_max_s=None if duration_s is None else duration_s + 0.01,
    )


def places(*tallies: Tally, limit: str = "7s") -> list[Target | None]:
    """Return the targets of these failures."""
    found = caddy.together([("/etc/caddy/Caddyfile", CADDY)], {"LIMIT": limit})
    return [each.target for each in placed(tallies, ways_of((Proxy(kind="caddy", routes=found.routes),)))]


@pytest.mark.parametrize(
    ("server", "duration_s", "limit", "target"),
    [
        ("wiki", 7.001, "7s", AUTH),
        ("files", 7.001, "7s", AUTH),
        ("wiki", 9.001, "7s", WIKI),
        ("wiki", 9.001, "9s", None),  # both limits
        ("wiki", 12.0, "7s", WIKI),
        ("wiki", 5.0, "7s", None),  # neither
        ("wiki", 9.001, "0s", WIKI),
        ("wiki", None, "7s", None),
        ("open", 7.001, "7s", OPEN),
    ],
)
def test_a_timeout_is_of_the_one_whose_limit_has_passed(
    server: str, duration_s: float | None, limit: str, target: Target | None
) -> None:
    assert places(failed(Symptom.READ_TIMED_OUT, server, duration_s), limit=limit) == [target]


def test_an_error_of_one_application_is_its_own() -> None:
    tallies = (failed(Symptom.UPSTREAM_STATUS, "wiki", status=500), failed(Symptom.UPSTREAM_STATUS, "open", status=500))
    assert places(*tallies) == [WIKI, OPEN]


def test_the_same_error_of_all_applications_behind_it_may_be_its() -> None:
    tallies = (failed(Symptom.UPSTREAM_STATUS, "wiki", status=500), failed(Symptom.UPSTREAM_STATUS, "files", status=500))
    assert places(*tallies) == [None, None]
    other = failed(Symptom.UPSTREAM_STATUS, "files", status=503)
    assert places(tallies[0], other) == [WIKI, FILES]


@pytest.mark.parametrize(
    ("of_auth", "of_wiki", "expected"),
    [(12, 0, AUTH), (12, 2, AUTH), (12, 6, WIKI), (5, 0, WIKI), (0, 12, WIKI), (0, 0, WIKI)],
)
def test_its_error_is_what_the_client_gets(of_auth: int, of_wiki: int, expected: Target) -> None:
    """Caddy hands its answer to the client; its application tells of the error, and that of the wiki of none."""
    routes = caddy.load(CADDY, "/etc/caddy/Caddyfile").routes
    wiki = next(each for each in routes if WIKI in [peer.target for peer in each.peers])
    path = PathTraffic(
        request="GET /pages/home", server="wiki.example", at=wiki.at, statuses={"200": 9, "500": 12}, clients=4, last_refused=NOW
    )
    events = tuple(
        Event(
            symptom=Symptom.APPLICATION_ERROR, at=NOW, message="ValueError: wrong key", count=count, source="journal", target=one
        )
        for one, count in ((AUTH, of_auth), (WIKI, of_wiki))
        if count
    )
    logs = LogSummary(paths=(path,), has_access=True, requests=21, by_status={"200": 9, "500": 12})
    here = Snapshot(taken_at=NOW, proxies=(Proxy(kind="caddy", pid=1, routes=routes),), logs=logs, events=events)
    assert [one.target for one in unserved(Case(here=here).joins)] == [expected]
