"""An application that answers only to the site's own name, behind a proxy that sends another."""

from __future__ import annotations

import pytest
from test_verdicts import APP, FRONT, NOW, REPLACE, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.finding import Finding
from why502.model.logs import PathTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.snapshot import Listener


def refused(
    status: int = 400, *, host_header: str = "$proxy_host", probed: int = 400, name: str = "shop.example"
) -> list[Finding]:
    """Return the asserted findings about a site whose pages all get this status, as does our probe."""
    one = route(APP, 7, server=name, host_header=host_header)
    paths = tuple(
        PathTraffic(
            server=name,
            request=request,
            location="/",
            at=one.at,
            statuses={str(status): 60},
            clients=8,
            refused_since=60,
            last_refused=NOW,
        )
        for request in ("GET /", "GET /hello")
    )
    sent = str(APP) if host_header == "$proxy_host" else name
    here = machine(
        routes=(one,),
        listeners=(Listener(target=FRONT, pids=(10,)), Listener(target=APP, pids=(40,))),
        processes=(Process(pid=10, name="nginx"), Process(pid=40, name="gunicorn")),
        probes=(Probe(target=APP, host=sent, request="GET /", status=probed, at=NOW),),
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=paths, requests=120, by_status={str(status): 120}))
    return [one for one in diagnose(here).findings if one.confidence >= 0.5]


@pytest.mark.parametrize("status", [400, 421])
def test_a_host_that_the_application_refuses_to_all(status: int) -> None:
    (one,) = refused(status, probed=status)
    assert (one.cause, one.target) == ("wrong-host-header", APP)
    assert one.ongoing
    assert 0.5 <= one.confidence < 0.8  # other reasons of a 400 are not ruled out
    assert f"the Host {APP}, which the proxy sends instead of shop.example" in one.message


def test_other_refusals_name_no_host() -> None:
    assert refused(host_header="$host") == []  # it gets the site's name
    assert refused(probed=200) == []  # it answers to that name
    assert refused(403, probed=403) == []  # as permissions do
    assert refused(name="_") == []  # the site has no name
