"""What mod_status says of the members of a balancer, and which of its pages may be asked."""

from __future__ import annotations

import pytest

from why502.gateways.apache import admin
from why502.gateways.apache.config import together
from why502.gateways.apache.tallies import settled
from why502.model.config import LogKind, LogTarget
from why502.model.errors import HostError
from why502.model.logs import LogFile, LogSummary, PathTraffic, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import PeerState, Proxy
from why502.model.target import Target

STATUS = """\
ServerVersion: Apache/2.4.71 (Debian)
Scoreboard: W___
ProxyBalancer[0]Name: balancer://app
ProxyBalancer[0]Worker[0]Name: http://127.0.0.1:9182
ProxyBalancer[0]Worker[0]Status: Init HcFl
ProxyBalancer[0]Worker[0]Busy: 2
ProxyBalancer[0]Worker[1]Name: http://127.0.0.1:9183
ProxyBalancer[0]Worker[1]Status: Init Dis
ProxyBalancer[0]Worker[2]Name: http://127.0.0.1:9184
ProxyBalancer[0]Worker[2]Status: Init Err Stby
ProxyBalancer[0]Worker[3]Name: http://127.0.0.1:9185
ProxyBalancer[0]Worker[3]Status: Init Ok
"""
CONFIG = """\
Listen 127.0.0.1:8081
<Location /server-status>
  SetHandler server-status
</Location>
<VirtualHost *:8081>
  ServerName shop.example
  {}
</VirtualHost>
"""


def test_members_of_balancers() -> None:
    found = list(admin.views(STATUS, {"127.0.0.1:9182": "GET /up"}))
    assert [(view.state, view.check, view.active) for view in found] == [
        (PeerState.DOWN, "HcFl", 2),
        (PeerState.MAINTENANCE, "", None),
        (PeerState.EJECTED, "Err", None),
        (PeerState.UNCHECKED, "", None),
    ]
    assert (found[0].group, str(found[0].target)) == ("app", "127.0.0.1:9182")
    assert "GET /up" in found[0].reason


@pytest.mark.parametrize(
    ("line", "is_asked"),
    [
        ("DocumentRoot /srv", True),
        ("ProxyPass / http://127.0.0.1:1/", False),
        ("ProxyPass /server-status !\n  ProxyPass / http://127.0.0.1:1/", True),
        ("RewriteRule ^/(.*) http://127.0.0.1:1/$1 [P]", False),
        ("SSLEngine on", False),
    ],
)
def test_a_page_that_a_backend_would_get_is_not_asked_for(line: str, is_asked: bool) -> None:
    """A question to the gateway must not become a request to the application."""
    text = CONFIG.format(line)
    proxy = Proxy(kind="apache", routes=together([("/h.conf", text)], {}).routes)
    process = Process(pid=1, name="apache2", argv=("apache2",))
    if is_asked:
        (door,) = admin.doors(proxy, process, [("/h.conf", text)], {})
        assert (str(door.target), door.host_header) == ("127.0.0.1:8081", "shop.example")
    else:
        with pytest.raises(HostError, match="mod_status"):
            admin.doors(proxy, process, [("/h.conf", text)], {})


def proxy_of(*peers: object) -> Proxy:
    """Return an Apache before one backend, whose error log is read."""
    found = together([("/h.conf", "ProxyPass / http://app.internal:3000/\n")], {})
    logs = (LogTarget(kind=LogKind.ERROR, path="/var/log/error.log"),)
    return Proxy(kind="apache", pid=1, routes=found.routes, logs=logs, peers=peers)  # type: ignore[arg-type]


def test_a_failed_check_explains_an_empty_balancer() -> None:
    empty = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="apache", group="app", status=503, count=3)
    found = settled(LogSummary(tallies=(empty,)), (proxy_of(*admin.views(STATUS, {})),)).tallies
    assert [(tally.symptom, str(tally.target)) for tally in found[1:]] == [
        (Symptom.HEALTH_CHECK_STATUS, "127.0.0.1:9182"),
        (Symptom.PEER_DISABLED, "127.0.0.1:9183"),
    ]


def test_whose_status_it_is() -> None:
    """httpd logs a message for each error that it makes itself."""
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, status=503, count=4)
    read = LogSummary(tallies=(seen,), files=(LogFile(path="/var/log/error.log"),))
    (own,) = settled(read, (proxy_of(),)).tallies
    assert (own.symptom, str(own.target)) == (Symptom.UPSTREAM_STATUS, "app.internal:3000")
    (unread,) = settled(LogSummary(tallies=(seen,)), (proxy_of(),)).tallies
    assert unread.symptom is Symptom.GATEWAY_STATUS
    (others,) = settled(read, (proxy_of(), Proxy(kind="nginx", pid=2))).tallies
    assert others.symptom is Symptom.GATEWAY_STATUS


@pytest.mark.parametrize(("responses", "is_its_own"), [(18, False), (40, True)])
def test_requests_that_began_in_the_window_may_fail_after_it(responses: int, is_its_own: bool) -> None:
    """The access line has the time of the begin: the messages about the last ones came after the window's end."""
    target = Target(host="app.internal", port=3000)
    late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="apache", target=target, status=504, code="AH01075", count=14)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, status=504, count=responses)
    read = LogSummary(tallies=(late, seen), files=(LogFile(path="/var/log/error.log"),))
    rest = settled(read, (proxy_of(),)).tallies[1]
    assert rest.count == responses - 14
    assert (rest.symptom is Symptom.UPSTREAM_STATUS) == is_its_own


def test_a_500_of_httpd_is_not_the_applications() -> None:
    failed = Tally(symptom=Symptom.TLS_FAILED, proxy="apache", code="AH02003", count=6, target=Target(host="10.0.0.1", port=1))
    paths = (PathTraffic(request="GET /", statuses={"500": 6, "200": 1}),)
    assert settled(LogSummary(tallies=(failed,), paths=paths), (proxy_of(),)).paths[0].statuses == {"200": 1}
    many = (PathTraffic(request="GET /", statuses={"500": 60}),)
    assert settled(LogSummary(tallies=(failed,), paths=many), (proxy_of(),)).paths == many


def test_a_name_that_does_not_resolve_is_named_with_its_port() -> None:
    lost = Tally(symptom=Symptom.NAME_NOT_FOUND, proxy="apache", detail="DNS lookup failure for: app.internal returned by /")
    (found,) = settled(LogSummary(tallies=(lost,)), (proxy_of(),)).tallies
    assert (str(found.target), found.detail) == ("app.internal:3000", "app.internal")
