"""What HAProxy's runtime socket says of its servers."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from why502.gateways.admin import Asking, Door
from why502.gateways.haproxy import admin
from why502.gateways.haproxy.tallies import settled
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.snapshot import PeerState, PeerView, Process, Proxy
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
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        front, closed = one.getsockname()[1], two.getsockname()[1]
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
