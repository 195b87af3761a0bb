"""Evidence from the gateway in front: wrong health checks, a full HAProxy, request loops, names,
other protocols.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from why502.diagnosis.engine import diagnose
from why502.gateways.haproxy import config as haproxy
from why502.model.config import Peer, Route
from why502.model.finding import Diagnosis, Verdict
from why502.model.logs import LogFile, LogSummary, PathTraffic, Sample, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target
from why502.probing.plan import plan

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ONE, TWO = Target(host="127.0.0.1", port=8081), Target(host="127.0.0.1", port=8082)
CFG = """\
global
    maxconn 2000
defaults
    mode http
    timeout server 20s
frontend www
    bind :80
    maxconn 12
    default_backend app
backend app
    option httpchk GET /healthz
    server node1 127.0.0.1:8081 check
    server node2 127.0.0.1:8082 check
"""


def balancer(text: str = CFG) -> Proxy:
    read = haproxy.load(text, "/etc/haproxy/haproxy.cfg")
    worker = Process(pid=233, ppid=201, name="haproxy", state="S")
    return Proxy(
        kind="haproxy",
        pid=201,
        config="/etc/haproxy/haproxy.cfg",
        workers=(worker,),
        routes=read.routes,
        upstreams=read.upstreams,
    )


def tally(symptom: Symptom, seconds: float = 3.0, **fields: Any) -> Tally:
    at = NOW - timedelta(seconds=seconds)
    return Tally(**{"symptom": symptom, "proxy": "haproxy", "count": 6, "first": at, "last": at + timedelta(seconds=1), **fields})


def machine(
    tallies: tuple[Tally, ...], *, proxy: Proxy | None = None, queued: int = 0, served: float | None = None, **fields: Any
) -> Snapshot:
    paths = (
        () if served is None else (PathTraffic(server="www", statuses={"200": 9}, last_served=NOW - timedelta(seconds=served)),)
    )
    nodes = tuple(Process(pid=pid, name="node", started_at=NOW - timedelta(hours=1)) for pid in (97, 98))
    told: dict[str, Any] = {
        "taken_at": NOW,
        "proxies": (proxy or balancer(),),
        "listeners": (
            Listener(target=Target(host="0.0.0.0", port=80), pids=(233,), queued=queued, backlog=2000),
            Listener(target=ONE, pids=(97,)),
            Listener(target=TWO, pids=(98,)),
        ),
        "processes": (*nodes, Process(pid=233, name="haproxy", ppid=201)),
        "probes": tuple(Probe(target=x, status=200, request="GET /", repeats=True, first_byte_s=0.002) for x in (ONE, TWO)),
        "addresses": ("127.0.0.1",),
        "services": (),
        "logs": LogSummary(
            files=(LogFile(path="/var/log/haproxy.log", format="haproxy", lines=99),),
            tallies=tallies,
            paths=paths,
            requests=99,
            has_access=True,
        ),
    }
    return Snapshot(**{**told, **fields})


EMPTY = tally(Symptom.NO_LIVE_UPSTREAMS, group="app", code="SC--", status=503)


def late(target: Target, code: str) -> Tally:
    sample = Sample(source="/var/log/haproxy.log:9", text="Layer7 timeout, check duration: 300ms")
    return tally(Symptom.READ_TIMED_OUT, 4.0, target=target, group="app/x", code=code, count=3, samples=(sample,))


def causes(found: Diagnosis) -> set[tuple[str, Target | None]]:
    return {(one.cause, one.target) for one in found.findings if one.confidence >= 0.5}


def test_a_check_that_waits_too_short_leads_over_the_empty_group() -> None:
    found = diagnose(machine((EMPTY, late(ONE, "L7TOUT"), late(TWO, "L7TOUT")), served=3.05))
    assert found.findings[0].cause == "health-check-misconfigured" and found.findings[0].target in (ONE, TWO)
    assert not {"backend-hung", "all-upstreams-down"} & {cause for cause, _ in causes(found)}


@pytest.mark.parametrize(
    ("codes", "served"),
    [(("L7TOUT", "L7TOUT"), 9.0), (("sH--", "sH--"), 3.05), (("L7TOUT", "L7TOUT"), None)],
    ids=["nobody-was-answered", "visitors-timed-out-too", "unknown"],
)
def test_servers_that_really_hung_are_not_the_fault_of_the_check(codes: tuple[str, str], served: float | None) -> None:
    found = diagnose(machine((EMPTY, late(ONE, codes[0]), late(TWO, codes[1])), served=served))
    assert "health-check-misconfigured" not in {cause for cause, _ in causes(found)}


def test_an_answer_to_a_host_that_we_made_up_blames_nobody() -> None:
    (route,) = haproxy.load(CFG, "h.cfg").routes
    assert not plan(balancer(), route, ONE).knows_host
    named = CFG.replace("GET /healthz", "GET / HTTP/1.1\\r\\nHost:\\ shop.example")
    (route,) = haproxy.load(named, "h.cfg").routes
    asked = plan(balancer(named), route, ONE)
    assert asked.knows_host and asked.host == "shop.example"


def test_clients_waiting_for_a_full_haproxy_are_reported() -> None:
    found = diagnose(machine((), queued=44))
    assert found.verdict is Verdict.PROBLEM and found.findings[0].cause == "worker-connections-exhausted"
    assert any("maxconn is 12" in item.message and item.source.endswith(":8") for item in found.findings[0].evidence)


@pytest.mark.parametrize(("queued", "state"), [(2, "S"), (44, "T")], ids=["a-moment", "stopped"])
def test_a_short_queue_or_a_stopped_haproxy_is_not_full(queued: int, state: str) -> None:
    proxy = balancer()
    proxy = replace(proxy, workers=tuple(replace(worker, state=state) for worker in proxy.workers))
    found = diagnose(machine((), proxy=proxy, queued=queued))
    assert "worker-connections-exhausted" not in {cause for cause, _ in causes(found)}


@pytest.mark.parametrize(("port", "is_loop"), [(80, True), (81, False)])
def test_servers_that_are_haproxys_own_bind(port: int, is_loop: bool) -> None:
    text = CFG.replace("127.0.0.1:8081", f"127.0.0.1:{port}").replace("127.0.0.1:8082", f"127.0.0.1:{port}")
    itself = Target(host="127.0.0.1", port=port)
    failed = tally(Symptom.READ_TIMED_OUT, target=itself, group="app/node1", code="sH--", status=504, count=900)
    found = diagnose(machine((failed,), proxy=balancer(text), probes=()))
    assert (("proxy-loop", itself) in causes(found)) is is_loop


def test_a_bind_that_leads_elsewhere_is_not_a_loop() -> None:
    text = CFG.replace("127.0.0.1:8081", "127.0.0.1:8443").replace("127.0.0.1:8082", "127.0.0.1:8443")
    text += "frontend inner\n    bind 127.0.0.1:8443\n    default_backend real\nbackend real\n    server x 127.0.0.1:9000\n"
    inner = Target(host="127.0.0.1", port=8443)
    failed = tally(Symptom.READ_TIMED_OUT, target=inner, group="app/node1", code="sH--", status=504, count=900)
    found = diagnose(machine((failed,), proxy=balancer(text), probes=()))
    assert ("proxy-loop", inner) not in causes(found)


BROKER = Target(host="127.0.0.1", port=1883)


@pytest.mark.parametrize(("name", "is_other"), [("mosquitto", True), ("python3", False)])
def test_a_broker_behind_proxy_pass(name: str, is_other: bool) -> None:
    peer = Peer(name="127.0.0.1:1883", target=BROKER)
    proxy = Proxy(pid=5, config="n.conf", routes=(Route(passes="http://127.0.0.1:1883", peers=(peer,)),))
    failed = tally(Symptom.RESET_BEFORE_HEADER, proxy="nginx", target=BROKER, protocol="http", status=502, count=12)
    probe = Probe(target=BROKER, symptom=Symptom.RESET_BEFORE_HEADER, request="GET /")
    listener = Listener(target=BROKER, pids=(77,))
    processes = (Process(pid=77, name=name, started_at=NOW - timedelta(hours=1)),)
    found = diagnose(machine((failed,), proxy=proxy, probes=(probe,), listeners=(listener,), processes=processes))
    assert (("wrong-protocol", BROKER) in causes(found)) is is_other


@pytest.mark.parametrize("symptom", [Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED])
def test_the_target_of_a_name_is_the_name_with_its_port(symptom: Symptom) -> None:
    api = Target(host="api.internal", port=3000)
    peers = (Peer(name="api.internal:3000", target=api),)
    proxy = Proxy(pid=5, config="n.conf", routes=(Route(passes="http://$api:3000", peers=peers, has_variables=True),))
    failed = tally(symptom, proxy="nginx", detail="api.internal", status=502)
    first = diagnose(machine((failed,), proxy=proxy, probes=(), listeners=())).findings[0]
    assert first.target == api
    other = replace(failed, detail="another.internal")
    found = diagnose(machine((failed, other), proxy=proxy, probes=(), listeners=())).findings[0]
    assert found.target is None
