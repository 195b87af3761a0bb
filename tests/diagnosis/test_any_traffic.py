"""Whatever paths, statuses and times the logs have, they are examined to the end."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from test_verdicts import APP, NOW, REPLACE, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.logs import PathTraffic

ROUTE = route(APP, 3)
PATHS = st.sampled_from(["/", "/a", "/index.jsp", "/x.php", "/.env", "/wp-login.php", "/ws", "/socket.io/", "/manager/html", ""])
STATUSES = st.sampled_from(
    ["101", "200", "302", "304", "400", "401", "403", "404", "413", "421", "431", "499", "500", "502", "503"]
)


@st.composite
def traffic(draw: st.DrawFn) -> PathTraffic:
    path = draw(PATHS)
    counts = draw(st.dictionaries(STATUSES, st.integers(1, 60), max_size=3))
    served, refused = (draw(st.none() | st.integers(0, 900)) for _ in range(2))
    return PathTraffic(
        request=path and f"{draw(st.sampled_from(['GET', 'POST']))} {path}",
        server="shop.example",
        location=draw(st.sampled_from(["/", ""])),
        at=draw(st.sampled_from([ROUTE.at, None])),
        statuses=counts,
        clients=draw(st.integers(0, 9)),
        refused_since=draw(st.integers(0, 60)),
        last_served=None if served is None else NOW - timedelta(seconds=served),
        last_refused=None if refused is None else NOW - timedelta(seconds=refused),
    )


@given(paths=st.lists(traffic(), max_size=6), protocol=st.sampled_from(["http", "fastcgi", "ajp", "uwsgi"]))
@settings(max_examples=150, deadline=None)
def test_all_traffic_is_examined(paths: list[PathTraffic], protocol: str) -> None:
    here = machine(routes=(REPLACE(ROUTE, protocol=protocol),))
    assert here.logs is not None
    found = diagnose(REPLACE(here, logs=REPLACE(here.logs, paths=tuple(paths))))
    assert found.verdict in ("healthy", "problem", "unknown")
