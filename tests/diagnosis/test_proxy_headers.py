"""A PROXY header that only one side expects, as seen in configurations, processes and our own requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.engine import diagnose
from why502.gateways.apache import config as apache
from why502.gateways.hitch import config as hitch
from why502.model.config import SENDS_PROXY, Peer, Position, Route, Setting
from why502.model.finding import Verdict
from why502.model.logs import LogSummary, Symptom
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
INNER = Target(host="127.0.0.1", port=8443)
PEERS = (Peer(name=str(INNER), target=INNER),)
ON = (Setting(args=("on",)),)


def _first(*proxies: Proxy, processes: tuple[Process, ...] = (), probes: tuple[Probe, ...] = ()) -> str:
    logs = LogSummary(requests=9, by_status={"200": 9}, has_access=True)
    here = Snapshot(taken_at=AT, proxies=proxies, processes=processes, probes=probes, addresses=(), logs=logs)
    found = diagnose(here)
    return found.findings[0].cause if found.verdict is Verdict.PROBLEM else found.verdict.value


def _stream(**settings: tuple[Setting, ...]) -> Proxy:
    return Proxy(pid=3, routes=(Route(protocol="tcp", listens=("443",), settings=settings, peers=PEERS),))


def _inner(listen: str, *, protocol: str = "http", changed: bool = False) -> Proxy:
    route = Route(listens=(listen,), protocol=protocol, at=Position(file="/etc/nginx/site", line=4))
    return Proxy(pid=4, routes=(route,), changed_at=AT if changed else None, loaded_at=datetime(2026, 3, 4, 4, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("outer", "inner", "is_fault"),
    [
        (_stream(proxy_protocol=ON), _inner("127.0.0.1:8443 ssl"), True),
        (_stream(proxy_protocol=ON), _inner("8443 ssl"), True),
        (_stream(proxy_protocol=ON), _inner("127.0.0.1:8443 ssl proxy_protocol"), False),
        (_stream(proxy_protocol=ON), _inner("127.0.0.1:8444 ssl"), False),
        (_stream(proxy_protocol=ON), _inner("127.0.0.1:8443", protocol="tcp"), False),  # it passes the header on
        (
            _stream(proxy_protocol=ON),
            _inner("127.0.0.1:8443 ssl", changed=True),
            False,
        ),  # the running configuration differs from the one on disk
        (_stream(), _inner("127.0.0.1:8443 ssl proxy_protocol"), False),  # the client's own header may pass through
        (_stream(), _inner("127.0.0.1:8443 ssl"), False),
    ],
)
def test_nginx_before_nginx(outer: Proxy, inner: Proxy, is_fault: bool) -> None:
    assert (_first(outer, inner) == "wrong-protocol") is is_fault


@pytest.mark.parametrize(
    ("header", "option", "is_fault"),
    [
        ("", "127.0.0.1:8443,PROXY", True),
        ("write-proxy-v2 = on", "127.0.0.1:8443,PROXY", False),
        ("write-proxy-v2 = on", "inner=127.0.0.1:8443", True),
        ("write-proxy-v2 = off", "127.0.0.1:8443,PROXY", True),
        ("", "127.0.0.1:8443", False),
        ("", "127.0.0.1:9999,PROXY", False),
    ],
)
def test_hitch_before_varnish(header: str, option: str, is_fault: bool) -> None:
    text = f'frontend = "[*]:443"\nbackend = "[127.0.0.1]:8443"\n{header}\n'
    outer = Proxy(kind="hitch", pid=5, routes=hitch.load(text, "/etc/hitch/hitch.conf").routes)
    varnish = Proxy(kind="varnish", pid=6)
    process = Process(pid=6, name="varnishd", argv=("/usr/sbin/varnishd", "-a", ":80", "-a", option))
    assert (_first(outer, varnish, processes=(process,)) == "wrong-protocol") is is_fault


@pytest.mark.parametrize(
    ("sends", "directive", "is_fault"),
    [
        ("v2", "", True),
        ("v2", "RemoteIPProxyProtocol On", False),
        ("v2", "remoteipproxyprotocol off", True),
        ("", "RemoteIPProxyProtocol On", True),
        ("", "", False),
    ],
)
def test_haproxy_before_apache(sends: str, directive: str, is_fault: bool) -> None:
    text = f"<VirtualHost 127.0.0.1:8443>\nServerName a.example\n{directive}\nProxyPass / http://10.0.0.9:80/\n</VirtualHost>\n"
    settings = {SENDS_PROXY: (Setting(args=(sends,)),)} if sends else {}
    outer = Proxy(kind="haproxy", pid=3, routes=(Route(proxy="haproxy", protocol="tcp", settings=settings, peers=PEERS),))
    inner = Proxy(kind="apache", pid=4, routes=apache.load(text, "/etc/apache2/site.conf").routes)
    assert (_first(outer, inner) == "wrong-protocol") is is_fault


@pytest.mark.parametrize(
    ("text", "listens", "target", "sent"),
    [
        ('frontend = "[*]:443"\nbackend = "[127.0.0.1]:6086"\n', ("*:443 ssl",), "127.0.0.1:6086", ""),
        ('frontend = {\n  host = "10.0.0.1"\n  port = "443"\n}\nbackend = "/run/v.sock"\nwrite-proxy-v1 = on',
        ("10.0.0.1:443 ssl",), "unix:/run/v.sock", "v1"),
        ('frontend = "[::]:443+/etc/a.pem"\nbackend = "[::1]:80" # here\nproxy-proxy = on\n', ("[::]:443 ssl",), "[::1]:80",
        "v2"),
    ],
)  # fmt: skip
def test_a_hitch_conf(text: str, listens: tuple[str, ...], target: str, sent: str) -> None:
    (route,) = hitch.load(text, "hitch.conf").routes
    assert route.listens == listens
    assert [str(peer.target) for peer in route.peers] == [target]
    setting = route.setting(SENDS_PROXY)
    assert (setting.args[0] if setting else "") == sent


def test_a_hitch_conf_without_a_backend_leads_nowhere() -> None:
    assert hitch.load('frontend = "[*]:443"\n', "hitch.conf").routes == ()
    assert hitch.load("backend = nonsense\nfrontend = {", "hitch.conf").routes == ()


@pytest.mark.parametrize("speaks", ["proxy", ""])
def test_our_own_request_shows_it(speaks: str) -> None:
    settings = {} if speaks else {SENDS_PROXY: (Setting(args=("v2",)),)}
    proxy = Proxy(kind="haproxy", pid=3, routes=(Route(proxy="haproxy", settings=settings, peers=PEERS),))
    symptom = Symptom.CLOSED_BEFORE_HEADER if speaks else Symptom.OTHER_PROTOCOL
    detail = "answered 400 to the PROXY header that the proxy sends first, and 200 without it"
    probe = Probe(target=INNER, symptom=symptom, speaks=speaks, detail=detail, at=AT)
    assert _first(proxy, probes=(probe,)) == "wrong-protocol"
