"""An HAProxy backend without any server left: the finding names why its servers are down, not only that none is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.gateways.haproxy import config as haproxy
from why502.gateways.haproxy import logs as lines
from why502.gateways.tallies import settled
from why502.model.config import Peer, Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.remedy import Edit, Run
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

REPLACE = msgspec.structs.replace
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CONFIG = """
frontend www
    bind :443
    default_backend pool
backend pool
    server left 10.1.0.4:8443 check
    server right 10.1.0.5:8443 check
"""
REFUSED = 'www pool/<NOSRV> 0/-1/-1/-1/0 503 217 - - {state} 5/5/4/0/0 0/0 "GET / HTTP/1.1"'
ASKED = "10.9.9.9:4000 [04/Mar/2026:05:06:07.000] "


def findings(*messages: str, later: str = "", answered: int | None = None, config: str = CONFIG) -> tuple[Finding, ...]:
    """Return the findings for HAProxy's log lines."""
    tallies = []
    for message in (*messages, later):
        record = lines.parse(message) if message else None
        if record is None or record.symptom is None:
            continue
        at = AT + timedelta(seconds=30) if message == later else AT
        tallies.append(
            Tally(
                symptom=record.symptom,
                proxy="haproxy",
                group=record.group,
                code=record.code,
                detail=record.detail,
                status=record.status,
                count=9,
                first=at,
                last=at,
            )
        )
    found = haproxy.load(config, "haproxy.cfg")
    proxy = Proxy(kind="haproxy", pid=7, routes=found.routes, upstreams=found.upstreams)
    probes = tuple(
        Probe(target=Target(host=host, port=8443), protocol="http", status=answered, at=AT)
        for host in ("10.1.0.4", "10.1.0.5")
        if answered
    )
    here = Snapshot(
        taken_at=AT,
        proxies=(proxy,),
        probes=probes,
        logs=settled(LogSummary(tallies=tuple(tallies)), (proxy,)),
    )
    return diagnose(here).findings


def down(server: str, reason: str) -> str:
    """Return HAProxy's log line for a server that a health check marks down."""
    return (
        f"[WARNING]  (12) : Server pool/{server} is DOWN, reason: {reason}, check duration: 1ms. 0 active and 0 backup "
        f"servers left."
    )


def test_a_check_that_wants_another_answer_is_the_reason() -> None:
    said = [down(server, 'Layer7 wrong status, code: 401, info: "Unauthorized"') for server in ("left", "right")]
    found = findings(*said, ASKED + REFUSED.format(state="SC--"), "backend 'pool' has no server available!", answered=200)[0]
    assert (found.cause, str(found.target)) == ("health-check-misconfigured", "10.1.0.4:8443")
    assert found.confidence > 0.9


def test_one_member_that_a_check_refuses_does_not_explain_the_other() -> None:
    said = [down("left", 'Layer7 wrong status, code: 401, info: "Unauthorized"'), ASKED + REFUSED.format(state="SC--")]
    assert "all-upstreams-down" in {found.cause for found in findings(*said) if found.confidence >= ASSERTED}


@pytest.mark.parametrize("quoted", ["pool", "'pool'"])
def test_servers_that_were_switched_off_are_maintenance(quoted: str) -> None:
    said = [
        f"Server pool/{server} is going DOWN for maintenance. 0 active and 0 backup servers left." for server in ("left", "right")
    ]
    found = findings(*said, ASKED + REFUSED.format(state="SC--"), f"backend {quoted} has no server available!")[0]
    assert (found.cause, found.target, found.group) == ("maintenance-response", None, "pool")


def test_servers_that_were_tried_again_since_are_not_in_maintenance() -> None:
    said = [
        f"Server pool/{server} is going DOWN for maintenance. 0 active and 0 backup servers left." for server in ("left", "right")
    ]
    again = ASKED + 'www pool/left 0/0/-1/-1/3003 503 217 - - SC-- 5/5/4/0/3 0/0 "GET / HTTP/1.1"'
    assert findings(*said, ASKED + REFUSED.format(state="SC--"), later=again)[0].cause != "maintenance-response"


def test_a_full_queue_is_reported_for_the_backend() -> None:
    found = findings(ASKED + 'www pool/<NOSRV> 0/4001/-1/-1/4001 503 217 - - sQ-- 22/22/21/0/0 0/4 "GET / HTTP/1.1"')[0]
    assert (found.cause, found.group) == ("upstream-connection-limit", "pool")


def test_the_limit_that_is_reached_is_named() -> None:
    full = ASKED + 'www pool/<NOSRV> 0/4001/-1/-1/4001 503 217 - - sQ-- 22/22/21/0/0 0/4 "GET / HTTP/1.1"'
    found = findings(full, config=CONFIG.replace("8443 check", "8443 check maxconn 3"))[0]
    assert "each server of pool gets at most 3 connections at a time" in found.message


def test_the_limit_of_a_gateway_behind_another_is_not_placed_at_that_gateway() -> None:
    """A HAProxy behind nginx reports it both in its log and in its journal; nginx only sees the status."""
    front = Target(host="127.0.0.1", port=443)
    read = haproxy.load(CONFIG.replace("8443 check", "8443 check maxconn 3").replace(":443", "127.0.0.1:443"), "haproxy.cfg")
    inner = Proxy(kind="haproxy", pid=40, routes=read.routes, upstreams=read.upstreams)
    outer = Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=front),)),))
    full = Tally(symptom=Symptom.PEER_LIMIT, proxy="haproxy", group="pool", code="sQ--", status=503, count=9, first=AT, last=AT)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="nginx", target=front, status=503, count=9, first=AT, last=AT)
    told = Event(symptom=Symptom.PEER_LIMIT, at=AT, message="", source="journalctl", unit="haproxy.service", count=9)
    here = Snapshot(
        taken_at=AT,
        proxies=(outer, inner),
        addresses=("127.0.0.1",),
        processes=(Process(pid=40, name="haproxy", unit="haproxy.service"),),
        listeners=(Listener(target=front, pids=(40,)),),
        services=(Service(manager="systemd", name="haproxy.service", is_running=True, main_pid=40, targets=(front,)),),
        events=(told,),
        logs=LogSummary(tallies=(full, seen)),
    )
    found = diagnose(here).findings[0]
    assert (found.cause, found.group, found.ongoing) == ("upstream-connection-limit", "pool", True)


def test_the_names_of_a_backend_are_one() -> None:
    texts = ("backend pool has no server available!", "[ALERT] (3) : backend 'pool' has no server available!")
    assert {record.group for text in texts if (record := lines.parse(text))} == {"pool"}
    assert all((record := lines.parse(text)) and record.symptom is Symptom.NO_LIVE_UPSTREAMS for text in texts)


@pytest.mark.parametrize(
    ("served_s", "request_failed", "is_told"),
    [(20, False, False), (None, False, True), (-20, False, True), (20, True, True)],
)
def test_a_server_removed_by_checks_in_time_is_not_a_failure(served_s: float | None, request_failed: bool, is_told: bool) -> None:
    """A rolling restart: a health check fails, no client's request does, and the server recovers."""
    record = lines.parse(
        'Server pool/left is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. 1 active'
    )
    assert record is not None and record.symptom is not None
    check = Tally(symptom=record.symptom, proxy="haproxy", group=record.group, code=record.code, count=1, first=AT, last=AT)
    lost = REPLACE(check, symptom=Symptom.CONNECT_REFUSED, code="SC--", status=503)
    served = AT + timedelta(seconds=served_s) if served_s is not None else None
    read = haproxy.load(CONFIG, "/etc/haproxy/haproxy.cfg")
    proxies = (Proxy(kind="haproxy", pid=5, routes=read.routes, upstreams=read.upstreams),)
    left = Target(host="10.1.0.4", port=8443)
    logs = LogSummary(
        tallies=(check, lost) if request_failed else (check,),
        targets=(TargetTraffic(target=left, attempts=9, failures=int(request_failed), last_success=served),),
    )
    found = settled(logs, proxies).tallies
    assert {tally.target for tally in found} == {left}
    assert [tally for tally in found if tally.is_failure] == (list(found) if is_told else [])


def test_a_check_that_expects_another_content_is_at_fault() -> None:
    reason = 'reason: Layer7 invalid response, code: 200, info: "HTTP content check did not match", check duration: 1ms'
    found = findings(
        *(f"Server pool/{name} is DOWN, {reason}. 0 active servers left." for name in ("left", "right")),
        later=ASKED + REFUSED.format(state="SC--"),
        answered=200,
    )
    assert {finding.cause for finding in found if finding.confidence >= ASSERTED} == {"health-check-misconfigured"}


def test_a_source_address_that_the_machine_lacks() -> None:
    line = "[ALERT] (197) : Cannot bind to source address before connect() for backend pool. Aborting."
    record = lines.parse(line)
    assert record is not None
    assert (record.symptom, record.group) == (Symptom.BIND_FAILED, "pool")


@pytest.mark.parametrize(
    ("option", "served_s", "is_named"),
    [("proto h2", None, True), ("proto h2", -9, True), ("proto h2", 9, False), ("", None, False)],
)
def test_a_protocol_that_the_server_does_not_speak(option: str, served_s: int | None, is_named: bool) -> None:
    """`served_s`: when a request was served last, after the first failure. Some servers speak both HTTP/1.1 and HTTP/2."""
    text = (
        CONFIG.replace("server right 10.1.0.5:8443 check", "")
        .replace("8443 check", f"8443 {option}")
        .replace("backend pool", "backend pool\n mode http", 1)
    )
    read = haproxy.load(text, "haproxy.cfg")
    target = Target(host="10.1.0.4", port=8443)
    refused = Tally(
        symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", target=target, code="SC--", status=503, count=9, first=AT, last=AT
    )
    probe = Probe(target=target, status=200, first_bytes="HTTP/1.1 200 OK", request="GET /", at=AT)
    proxy = Proxy(kind="haproxy", pid=7, routes=read.routes, upstreams=read.upstreams)
    last = None if served_s is None else AT + timedelta(seconds=served_s)
    path = PathTraffic(request="GET /", at=read.routes[0].at, statuses={"200": 5}, last_served=last)
    named = TargetTraffic(target=target, attempts=14, failures=9, last_success=last)
    for here in (LogSummary(tallies=(refused,), paths=(path,)), LogSummary(tallies=(refused,), targets=(named,))):
        found = diagnose(Snapshot(taken_at=AT, proxies=(proxy,), probes=(probe,), logs=here)).findings
        assert (found[0].cause == "wrong-protocol" and found[0].confidence >= ASSERTED) is is_named


def test_the_limit_of_the_whole_process_counts() -> None:
    """An accept queue that HAProxy no longer empties counts as full, however short it is."""
    read = haproxy.load("global\n maxconn 6\n" + CONFIG, "haproxy.cfg")
    proxy = Proxy(kind="haproxy", pid=7, routes=read.routes, upstreams=read.upstreams)
    full = Listener(target=Target(host="0.0.0.0", port=443), pids=(7,), queued=7, backlog=6)

    def causes(door: Listener) -> list[str]:
        here = Snapshot(taken_at=AT, proxies=(proxy,), listeners=(door,), logs=LogSummary())
        return [finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED]

    assert causes(full) == ["worker-connections-exhausted"]
    assert causes(REPLACE(full, queued=3)) == []


def test_the_limits_are_raised_where_they_are_written() -> None:
    """The one of the process and the smaller one of the frontend; a large one stays."""
    text = "global\n maxconn 60\ndefaults\n maxconn 50000\n" + CONFIG.replace("bind :443", "bind :443\n maxconn 6")
    read = haproxy.load(text, "/etc/haproxy/haproxy.cfg")
    proxy = Proxy(kind="haproxy", pid=7, exe="/usr/sbin/haproxy", unit="haproxy.service", config="/etc/haproxy/haproxy.cfg")
    proxy = REPLACE(proxy, routes=read.routes, upstreams=read.upstreams)
    full = Listener(target=Target(host="0.0.0.0", port=443), pids=(7,), queued=9, backlog=6)
    found = diagnose(Snapshot(taken_at=AT, proxies=(proxy,), listeners=(full,), logs=LogSummary())).findings[0]
    (remedy,) = found.remedies
    edits = [step for step in remedy.steps if isinstance(step, Edit)]
    lines = text.splitlines()
    assert sorted((lines[edit.line - 1].strip(), edit.before, edit.after) for edit in edits) == [
        ("maxconn 6", "6", "4096"),
        ("maxconn 60", "60", "4096"),
    ]
    assert [step.argv[0] for step in remedy.steps if isinstance(step, Run)] == ["/usr/sbin/haproxy", "systemctl"]


def test_a_backend_without_servers_is_empty() -> None:
    read = haproxy.load("frontend www\n bind :443\n default_backend bare\nbackend bare\n mode http\n", "haproxy.cfg")
    proxy = Proxy(kind="haproxy", pid=7, routes=read.routes, upstreams=read.upstreams)
    record = lines.parse(ASKED + REFUSED.format(state="SC--").replace("pool/", "bare/"))
    assert record is not None and record.symptom is Symptom.NO_LIVE_UPSTREAMS
    tally = Tally(
        symptom=record.symptom, proxy="haproxy", group=record.group, code=record.code, status=503, count=9, first=AT, last=AT
    )
    logs = settled(LogSummary(tallies=(tally,)), (proxy,))
    found = diagnose(Snapshot(taken_at=AT, proxies=(proxy,), logs=logs)).findings[0]
    assert (found.cause, found.group, found.confidence > 0.8) == ("no-upstream-members", "bare", True)
    assert "haproxy.cfg:4" in str(found)


def test_each_of_several_empty_backends_is_named() -> None:
    config = CONFIG + "backend api\n    server only 10.1.0.6:8443\n"
    config = config.replace("default_backend pool", "use_backend api if { path_beg /api }\n    default_backend pool")
    said = [ASKED + REFUSED.format(state="SC--"), ASKED + REFUSED.replace("pool/", "api/").format(state="SC--")]
    found = [finding for finding in findings(*said, config=config) if finding.cause == "all-upstreams-down"]
    assert sorted((finding.subject, finding.failures) for finding in found) == [("api", 9), ("pool", 9)]
    assert {finding.message.partition(" is marked")[0] for finding in found} == {"every server of api", "every server of pool"}


def test_a_check_of_another_port_says_nothing_about_the_server() -> None:
    text = CONFIG.replace("8443 check", "8443 check port 9000")
    read = haproxy.load(text, "haproxy.cfg")
    proxy = Proxy(kind="haproxy", pid=7, routes=read.routes, upstreams=read.upstreams)
    texts = [down(server, 'Layer4 connection problem, info: "Connection refused"') for server in ("left", "right")]
    records = [record for text in (*texts, ASKED + REFUSED.format(state="SC--")) if (record := lines.parse(text))]
    tallies = tuple(
        Tally(
            symptom=each.symptom,
            proxy="haproxy",
            group=each.group,
            code=each.code,
            detail=each.detail,
            status=each.status,
            count=9,
            first=AT,
            last=AT,
        )
        for each in records
        if each.symptom
    )
    probes = tuple(
        Probe(target=Target(host=host, port=8443), protocol="http", status=200, at=AT) for host in ("10.1.0.4", "10.1.0.5")
    )
    here = Snapshot(taken_at=AT, proxies=(proxy,), probes=probes, logs=settled(LogSummary(tallies=tallies), (proxy,)))
    first = diagnose(here).findings[0]
    assert (first.cause, first.confidence > 0.9) == ("health-check-misconfigured", True)
    assert "10.1.0.4:9000" in str(first)
