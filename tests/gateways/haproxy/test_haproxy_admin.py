"""What HAProxy's runtime socket says of its servers."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from free_ports import free_port
from msgspec.structs import replace

from why502.diagnosis.checks import check_all
from why502.diagnosis.engine import diagnose
from why502.explanation import explain
from why502.gateways.admin import Asking, Door
from why502.gateways.haproxy import admin, config
from why502.gateways.haproxy.states import COUNTERS
from why502.gateways.haproxy.tallies import settled
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.finding import ASSERTED, Verdict
from why502.model.logs import LogFile, LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Answered, PeerState, PeerView, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

PROCESS = Process(pid=1, name="haproxy")
CONFIG = """\
global
  stats socket {socket} mode 600 level operator
defaults
  mode http
  timeout connect 500ms
  timeout server 2s
  timeout client 5s
  timeout check 500ms
frontend f
  bind 127.0.0.1:{front}
  stats uri /stats
  default_backend b
backend b
  option httpchk GET /up
  server refused 127.0.0.1:{closed} check inter 100 fall 1
  server tracked 127.0.0.1:{closed} track b/refused
  server named nobody.invalid:80 check init-addr none
  server plain 127.0.0.1:{front}
  server off 127.0.0.1:{front} check disabled
  server weightless 127.0.0.1:{front} weight 0
"""


def test_doors() -> None:
    text = 'global\n stats socket "${SOCKET}" level admin\n stats socket ipv4@127.0.0.1:9999\n stats socket fd@3\n'
    found = admin.doors(Proxy(), PROCESS, [("/h.cfg", text)], {"SOCKET": "/run/h.sock"})
    assert [str(door.target) for door in found] == ["127.0.0.1:9999"]  # the variable of a socket is not read
    text = "global\n stats socket /run/h.sock\nlisten s\n bind :8404\n stats enable\n stats auth a:b\n"
    assert [str(door.target) for door in admin.doors(Proxy(), PROCESS, [("/h.cfg", text)], {})] == ["unix:/run/h.sock"]
    with pytest.raises(HostError, match="no runtime socket"):
        admin.doors(Proxy(), PROCESS, [("/h.cfg", "global\n daemon\n")], {})


@pytest.mark.real
def test_a_real_haproxy(tmp_path: Path) -> None:
    front, closed = free_port(), free_port()
    config, door = tmp_path / "h.cfg", tmp_path / "s.sock"
    config.write_text(CONFIG.format(socket=door, front=front, closed=closed))
    with subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            proxy = Proxy(kind="haproxy", pid=process.pid)
            every = admin.doors(proxy, PROCESS, [(str(config), config.read_text())], {})
            until = time.monotonic() + 10
            while True:
                try:
                    views = [admin.look(Asking(LocalHost(), proxy, found), proxy) for found in every]
                except HostError:
                    views = []
                if (views and views[0].peers[0].state is PeerState.DOWN) or time.monotonic() > until:
                    break
                time.sleep(0.05)
        finally:
            process.terminate()
    for view in views:  # of the socket, and of the page
        assert [(peer.name, peer.state, peer.check) for peer in view.peers] == [
            ("refused", PeerState.DOWN, "L4CON"),
            ("tracked", PeerState.DOWN, ""),
            ("named", PeerState.DOWN, "resolution"),
            ("plain", PeerState.UNCHECKED, ""),
            ("off", PeerState.MAINTENANCE, ""),
            ("weightless", PeerState.DRAINING, ""),
        ]
        assert "Connection refused" in view.peers[0].reason
    assert [str(peer.target) for peer in views[0].peers[:3]] == [
        f"127.0.0.1:{closed}",
        f"127.0.0.1:{closed}",
        "nobody.invalid:80",
    ]
    assert views[0].version.startswith(("2.", "3."))


def test_only_questions_are_sent() -> None:
    asking = Asking(LocalHost(), Proxy(kind="haproxy"), Door(target=Target.unix("/nowhere"), named_by=""))
    for words in ("disable server b/x", "show stat; disable server b/x\n", "set server b/x state maint"):
        with pytest.raises(HostError):
            asking.command(words)


def test_an_answer_that_is_no_table_is_refused() -> None:
    with pytest.raises(HostError, match="not a table"):
        list(admin._views("<html>", {}, "x"))


@pytest.mark.parametrize(
    ("view", "symptom"),
    [
        (
            PeerView(state=PeerState.DOWN, check="L4CON", reason="Layer4 connection problem, Connection refused"),
            Symptom.CONNECT_REFUSED,
        ),
        (
            PeerView(state=PeerState.DOWN, check="L4CON", reason="Layer4 connection problem, No route to host"),
            Symptom.HOST_UNREACHABLE,
        ),
        (
            PeerView(state=PeerState.DOWN, check="L7STS", reason="Layer7 wrong status, 404, Not Found"),
            Symptom.HEALTH_CHECK_STATUS,
        ),
        (PeerView(state=PeerState.DOWN, check="L7STS", reason="Layer7 wrong status, 503, Down"), Symptom.UPSTREAM_STATUS),
        (PeerView(state=PeerState.DOWN, check="L6RSP", reason="Layer6 invalid response"), Symptom.TLS_FAILED),
        (PeerView(state=PeerState.DOWN, check="resolution"), Symptom.NAME_NOT_FOUND),
        (PeerView(state=PeerState.MAINTENANCE), Symptom.PEER_DISABLED),
        (PeerView(state=PeerState.DRAINING), Symptom.PEER_DISABLED),
        (PeerView(state=PeerState.UP), None),
    ],
)
def test_a_view_says_why_no_server_is_left(view: PeerView, symptom: Symptom | None) -> None:
    """A server that went down before the first line that is read has no line that says why."""
    target = Target(host="10.0.0.1", port=80)
    shown = PeerView(
        group="b", name="a", target=target, state=view.state, check=view.check, reason=view.reason, source="show stat"
    )
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="b", status=503, count=3)
    found = settled(LogSummary(tallies=(empty,)), (Proxy(kind="haproxy", peers=(shown,)),)).tallies[1:]
    assert [(tally.symptom, tally.target, tally.source) for tally in found] == (
        [(symptom, target, "show stat")] if symptom else []
    )


@pytest.mark.parametrize(
    ("code", "logged", "reason", "symptoms"),
    [
        ("L7STS", "HTTP content check did not match", "", [Symptom.HEALTH_CHECK_STATUS]),  # the next check is under way
        ("L7RSP", "Invalid", ", HTTP content check did not match", [Symptom.HEALTH_CHECK_STATUS]),  # it fails otherwise now
        ("", "", "", [Symptom.HEALTH_CHECK_FAILED]),
    ],
)
def test_a_check_under_way_does_not_hide_how_the_last_one_failed(
    code: str, logged: str, reason: str, symptoms: list[Symptom]
) -> None:
    words = "Layer7 invalid response"
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="b", count=3)
    line = Tally(
        symptom=Symptom.HEALTH_CHECK_STATUS if code == "L7STS" else Symptom.HEADER_INVALID,
        proxy="haproxy",
        group="b/a",
        code=code,
        detail=f"{words}, {logged}",
    )
    view = PeerView(group="b", name="a", state=PeerState.DOWN, check="L7RSP", reason=words + reason, source="show stat")
    tallies = (empty, line) if code else (empty,)
    found = settled(LogSummary(tallies=tallies), (Proxy(kind="haproxy", peers=(view,)),)).tallies
    assert [tally.symptom for tally in found if tally.group == "b/a"] == symptoms


STATISTICS = """\
# pxname,svname,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,type
web,FRONTEND,0,90,0,4,6,0,0
app,app1,0,90,0,4,2,0,2
app,app2,0,9,0,0,0,0,2
app,BACKEND,0,99,0,4,2,0,1
raw,FRONTEND,,,,,,,0
raw,socket,,,,,,,3
"""


def test_counted_errors_of_servers_and_frontends() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = list(admin.errors(STATISTICS, 3600, now))
    assert [(one.name, one.errors, one.responses) for one in found] == [("frontend web", 6, 100), ("app/app1", 2, 96)]
    assert {one.since for one in found} == {now - timedelta(hours=1)}
    assert not list(admin.errors(STATISTICS, None, now))
    assert admin._uptime_s("Name: HAProxy\nUptime_sec: 12\n") == 12
    assert admin._uptime_s("Name: HAProxy\n") is None


@pytest.mark.parametrize(
    ("errors", "by_status", "lines", "is_told"),
    [(6, {}, 9, True), (1, {}, 9, False), (6, {"200": 9}, 9, False), (6, {}, 0, False)],
    ids=("no-status", "few", "statuses", "idle"),
)
def test_counted_errors_are_not_healthy_where_the_log_has_no_status(
    errors: int, by_status: dict[str, int], lines: int, is_told: bool
) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    counted = Answered(name="app/app1", responses=100, errors=errors, since=now - timedelta(days=2), source="show stat")
    here = Snapshot(
        taken_at=now,
        proxies=(Proxy(kind="haproxy", pid=1, answered=(counted,)),),
        logs=LogSummary(files=(LogFile(path="/var/log/haproxy.log", lines=lines),), by_status=by_status),
        listeners=(),
    )
    details = [check.detail for check in check_all(here) if check.id == "no-counted-errors"]
    assert bool(details) is is_told
    if is_told:
        assert "6 5xx of 100 responses at app/app1 since 2026-11-21 12:00:00Z" in details[0]
        assert diagnose(here).verdict is Verdict.UNKNOWN
    elif lines:
        assert diagnose(here).verdict is Verdict.HEALTHY


def test_a_refusal_without_a_status_has_several_causes() -> None:
    line = "haproxy[14]: 10.0.0.9:50367 [23/Nov/2026:22:12:47.518] web web/<NOSRV> -1/-1/0 217 PR 2/2/0/0/0 0/0"
    found = explain(line).candidates
    assert {"denied-by-rule", "rate-limited", "client-bad-request"} <= {each.cause for each in found}
    assert all(each.confidence < ASSERTED for each in found)
    assert "no status" in explain(line).message
    forbidden = line.replace(" -1/-1/0 217 ", " 0/-1/-1/-1/0 403 217 - - ").replace(" PR ", " PR-- ")
    assert explain(forbidden).candidates[0].cause == "denied-by-rule"
    assert explain(forbidden).candidates[0].confidence > ASSERTED


def counters(*, front: int, server: int) -> tuple[Answered, ...]:
    """Return the counters of a HAProxy with one frontend and one server."""
    since = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = (("frontend web", front), ("app/app1", server))
    return tuple(Answered(name=name, responses=100, errors=many, since=since, source=COUNTERS) for name, many in found if many)


@pytest.mark.parametrize(
    ("front", "server", "found"),
    [
        (60, 60, [("upstream-status", "app/app1", 60)]),
        (60, 0, [("own-status", "web", 60)]),
        (60, 20, [("upstream-status", "app/app1", 20), ("own-status", "web", 40)]),
        (1, 1, []),
    ],
)
def test_whose_the_counted_errors_are(front: int, server: int, found: list[tuple[str, str, int]]) -> None:
    assert [(str(one.symptom), one.group, one.count) for one in admin.failed(counters(front=front, server=server))] == found


def test_which_of_two_frontends_answered_is_unknown() -> None:
    both = counters(front=60, server=0)
    assert not list(admin.failed((*both, replace(both[0], name="frontend other"))))


def test_a_server_in_drain_is_known_where_lines_have_a_status() -> None:
    """Its state is no counter: the log's statuses do not tell more than it."""
    view = PeerView(group="app", name="app1", state=PeerState.DRAINING, source="show stat")
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="app/<NOSRV>", code="SC--", status=503)
    proxy = Proxy(kind="haproxy", peers=(view,))
    for by_status in ({}, {"503": 1}):
        once = settled(LogSummary(tallies=(empty,), by_status=by_status), (proxy,))
        assert {one.symptom for one in once.tallies} == {Symptom.NO_LIVE_UPSTREAMS, Symptom.PEER_DISABLED}


OWN_RULES = "frontend web\n    bind :80\n    default_backend app\n    {rule}\nbackend app\n    server app1 127.0.0.1:3000\n"
DENIES = "http-request deny deny_status 503 if { path_beg /admin }"
LIMITS = "http-request deny deny_status 503 if { sc_http_req_rate(0) gt 3 }"
REFUSED = Tally(symptom=Symptom.DENIED_BY_RULE, proxy="haproxy", group="web/<NOSRV>", code="PR", count=7)


@pytest.mark.parametrize(
    ("rule", "logged", "lines", "by_status", "symptom", "status"),
    [
        (DENIES, (), 9, {}, "own-status", 503),
        (DENIES, (REFUSED,), 9, {}, "own-status", 503),
        (LIMITS, (REFUSED,), 9, {}, "rate-limited", 503),
        (DENIES, (), 0, {}, "gateway-status", None),  # without a line, the server may have been gone
        ("", (), 9, {}, "gateway-status", None),
        (f"{DENIES}\n    http-request return status 500 if METH_TRACE", (), 9, {}, "gateway-status", None),
        (DENIES, (), 9, {"200": 3}, None, None),  # the lines tell more than the counters
    ],
)
def test_errors_of_its_own_behind_a_log_without_statuses(
    rule: str, logged: tuple[Tally, ...], lines: int, by_status: dict[str, int], symptom: str | None, status: int | None
) -> None:
    read = config.load(OWN_RULES.format(rule=rule), "haproxy.cfg")
    proxy = Proxy(kind="haproxy", upstreams=read.upstreams, answers=read.answers)
    counted = tuple(admin.failed(counters(front=60, server=0)))
    files = (LogFile(path="/var/log/haproxy.log", format="haproxy", lines=lines),)
    summary = settled(LogSummary(tallies=(*logged, *counted), files=files, by_status=by_status), (proxy,))
    assert [(str(one.symptom), one.status) for one in summary.tallies] == ([(symptom, status)] if symptom else [])


CAPTURED = """\
Total events captured on [23/Nov/2026:10:40:01.100] : 2

[23/Nov/2026:10:39:58.431] backend app (#4): invalid response
  frontend web (#2), server app1 (#1), event #0, src 127.0.0.1:42314
  buffer starts at 0 (including 0 out), 16318 free,
  len 66, wraps at 16336, error at position 28
  H1 connection flags 0x80000000, H1 stream flags 0x00004814
  H1 msg state MSG_HDR_NAME(17), H1 msg flags 0x00001a94
  H1 chunk len 0 bytes, H1 body len 0 bytes :

  00000  HTTP/1.1 200 OK\\r\\n
  00017  Set-Cookie: secret=1\\r\\n

[23/Nov/2026:10:39:50.000] frontend web (#2): invalid request
  backend <NONE> (#-1), server <NONE> (#-1), event #1, src 127.0.0.1:42314
"""


def test_a_captured_response_is_told_without_its_content() -> None:
    told = "its parser stopped at byte 28 (MSG_HDR_NAME) on 23/Nov/2026:10:39:58.431, local time"
    assert admin.rejected(CAPTURED) == {("app", "app1"): told}
    assert admin.rejected("Total events captured on [23/Nov/2026:10:40:01.100] : 0\n") == {}


RESOLVERS = """\
Resolvers section mydns
 nameserver dns1:
  sent:        8
  snd_error:   {lost}
  valid:       {valid}
  nx:          0
  timeout:     {lost}
"""


def test_name_servers_that_answer_nothing_are_told() -> None:
    silent = admin.unanswered(RESOLVERS.format(valid=0, lost=4))
    assert silent == "its name has no address: its name servers answered none of 8 questions, and 8 were lost"
    assert admin.unanswered(RESOLVERS.format(valid=1, lost=4)) == ""
    refused = admin.unanswered(RESOLVERS.format(valid=0, lost=0))  # nothing listens there: HAProxy 2.6 counts only what it sent
    assert refused == "its name has no address: its name servers answered none of 8 questions"
    assert admin.unanswered(" nameserver d1:\n  sent:        2\n  timeout:     0\n") == admin.unanswered("") == ""


RULES = """\
defaults
  mode http
frontend web
  bind :80
  http-request return status 503 if { path /off }
  http-request return status 200 if { path /up }
  default_backend app
backend app
  http-response deny if { status 404 }
  server app1 127.0.0.1:3000
"""


@pytest.mark.parametrize(
    ("rejected", "symptom", "named"),
    [
        ("", Symptom.OWN_STATUS, "denied-by-rule"),
        ("its parser stopped at byte 28", Symptom.HEADER_INVALID, "invalid-response"),
        (None, Symptom.GATEWAY_STATUS, ""),
    ],
)
def test_a_refused_response_is_told_from_one_that_could_not_be_read(rejected: str | None, symptom: Symptom, named: str) -> None:
    read = config.load(RULES, "/h.cfg")
    assert [(answer.status, answer.is_of_responses) for answer in read.answers] == [(503, False), (502, True)]
    view = PeerView(group="app", name="app1", rejected=rejected)
    proxy = Proxy(kind="haproxy", upstreams=read.upstreams, answers=read.answers, peers=(view,))
    tally = Tally(
        symptom=Symptom.HEADER_INVALID, proxy="haproxy", group="app/app1", code="PH--", status=502, named="invalid-response"
    )
    (found,) = settled(LogSummary(tallies=(tally,)), (proxy,)).tallies
    assert (found.symptom, found.named) == (symptom, named)
    assert rejected is None or rejected in found.detail or "/h.cfg:9: if { status 404 }" in found.detail


@pytest.mark.parametrize(
    ("check", "symptoms"),
    [
        ("L7STS", [Symptom.NO_LIVE_UPSTREAMS, Symptom.HEALTH_CHECK_STATUS]),
        ("L4CON", [Symptom.NO_LIVE_UPSTREAMS, Symptom.CONNECT_REFUSED]),
        ("", [Symptom.NO_LIVE_UPSTREAMS, Symptom.CONNECT_REFUSED]),
    ],
)
def test_the_present_reason_takes_the_place_of_an_earlier_one(check: str, symptoms: list[Symptom]) -> None:
    """It was refused while it restarted, and the new release lacks the checked page: no line says that."""
    reason = "Layer7 wrong status, 404, Not Found" if check == "L7STS" else ""
    view = PeerView(group="app", name="app1", state=PeerState.DOWN, check=check, reason=reason, source="show stat")
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="app", status=503)
    down = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", group="app/app1", code="L4CON")
    found = settled(LogSummary(tallies=(empty, down)), (Proxy(kind="haproxy", peers=(view,)),))
    assert [tally.symptom for tally in found.tallies] == symptoms


@pytest.mark.parametrize(
    ("state", "reason", "symptoms"),
    [
        (PeerState.DRAINING, "", [Symptom.NO_LIVE_UPSTREAMS, Symptom.PEER_DISABLED]),
        (PeerState.DRAINING, "its agent asks for it", [Symptom.NO_LIVE_UPSTREAMS]),
    ],
)
def test_a_server_in_drain_is_taken_out_by_somebody_or_by_its_check(
    state: PeerState, reason: str, symptoms: list[Symptom]
) -> None:
    view = PeerView(group="app", name="app1", state=state, reason=reason, target=Target(host="127.0.0.1", port=3000))
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="app/<NOSRV>", status=503)
    found = settled(LogSummary(tallies=(empty,)), (Proxy(kind="haproxy", peers=(view,)),))
    assert [tally.symptom for tally in found.tallies] == symptoms
