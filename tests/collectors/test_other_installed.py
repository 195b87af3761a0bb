"""A stopped HAProxy or Apache that should run is found with its configuration; one that was never enabled is not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors.other_installed import all_stopped
from why502.collectors.proxies import idle_nginx
from why502.diagnosis.engine import diagnose
from why502.gateways.nginx import installed as nginx_installed
from why502.host.directory import DirectoryHost
from why502.model.config import Peer, Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, ConfigTest, Proxy
from why502.model.snapshot import Gap, Listener, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HAPROXY = (
    "frontend www\n  bind *:8443 ssl crt x.pem\n  bind [::1]:81,/run/x.sock\n  default_backend pool\nbackend pool\n  "
    "server one 10.0.0.9:80\n"
)
APACHE = "Listen 8081\nListen 127.0.0.1:8444 https\nErrorLog logs/error_log\nProxyPass / http://10.0.0.9:3000/\n"
STOPPED = "LoadState=loaded\nActiveState={active}\nSubState={sub}\nResult={result}\nUnitFileState={state}\n"


def found(directory: Path, monkeypatch: pytest.MonkeyPatch, shown: str, *running: Proxy) -> tuple[Proxy, ...]:
    """Return the gateways found in a directory, with these answers of systemctl."""
    for path, text in (("haproxy/haproxy.cfg", HAPROXY), ("httpd/conf/httpd.conf", APACHE)):
        (directory / "etc" / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / "etc" / path).write_text(text)
    monkeypatch.setattr(nginx_installed, "shown", lambda *_: shown)
    gaps: list[Gap] = []
    proxies = all_stopped(DirectoryHost(str(directory)), running, gaps)
    assert gaps == []
    return proxies


@pytest.mark.parametrize(
    ("active", "sub", "result", "state", "expected"),
    [
        ("inactive", "dead", "success", "enabled", "enabled"),
        ("failed", "failed", "exit-code", "disabled", "failed"),
        ("activating", "auto-restart", "exit-code", "enabled", "failed"),
        ("inactive", "dead", "success", "disabled", None),
        ("inactive", "dead", "success", "masked", None),
        ("active", "running", "success", "enabled", None),
    ],
)
def test_only_gateways_that_should_run(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch, active: str, sub: str, result: str, state: str, expected: str | None
) -> None:
    proxies = found(open_directory, monkeypatch, STOPPED.format(active=active, sub=sub, result=result, state=state))
    assert sorted(((proxy.kind, proxy.unit_state) for proxy in proxies), reverse=True) == (
        [("haproxy", expected), ("apache", expected)] if expected else []
    )
    for proxy in proxies:
        assert not proxy.is_running and proxy.routes and proxy.why_stopped.startswith(f"{proxy.unit}: {active} ({sub})")
        assert any(log.goes_to == "stderr" for log in proxy.logs)


def test_the_program_is_found(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (open_directory / "usr/sbin").mkdir(parents=True)
    (open_directory / "usr/sbin/haproxy").touch()
    shown = STOPPED.format(active="failed", sub="failed", result="exit-code", state="enabled")
    assert {proxy.kind: proxy.exe for proxy in found(open_directory, monkeypatch, shown)} == {
        "haproxy": "/usr/sbin/haproxy",
        "apache": "",
    }


def test_addresses_they_would_listen_on(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = STOPPED.format(active="inactive", sub="dead", result="success", state="enabled")
    apache, haproxy = found(open_directory, monkeypatch, shown)
    assert [str(listen) for listen in haproxy.listens] == ["0.0.0.0:8443", "[::1]:81", "unix:/run/x.sock"]
    assert [str(listen) for listen in apache.listens] == ["0.0.0.0:8081", "127.0.0.1:8444"]


def test_a_running_gateway_hides_stopped_ones_of_its_kind(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = STOPPED.format(active="inactive", sub="dead", result="success", state="enabled")
    assert [proxy.kind for proxy in found(open_directory, monkeypatch, shown, Proxy(kind="haproxy", pid=4))] == ["apache"]
    assert len(found(open_directory, monkeypatch, shown, Proxy(kind="haproxy", pid=4, owner_uid=1000))) == 2


def asserted(*proxies: Proxy, listeners: tuple[Listener, ...], tallies: tuple[Tally, ...] = ()) -> list[Finding]:
    """Return the findings that are asserted of gateways beside an httpd of another user's that listens."""
    here = Snapshot(
        taken_at=AT,
        proxies=proxies,
        listeners=listeners,
        processes=(Process(pid=9, name="apache2"),),
        logs=LogSummary(tallies=tallies),
        probes=(),
    )
    return [finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED]


STOPPED_ONE = Proxy(
    kind="haproxy", config="/etc/haproxy/haproxy.cfg", unit="haproxy.service", listens=(Target(host="0.0.0.0", port=88),)
)


def with_state(state: str) -> Proxy:
    return Proxy(
        kind=STOPPED_ONE.kind, config=STOPPED_ONE.config, unit=STOPPED_ONE.unit, listens=STOPPED_ONE.listens, unit_state=state
    )


def test_a_taken_port_is_the_reason() -> None:
    tally = Tally(symptom=Symptom.LISTEN_FAILED, proxy="haproxy", count=3, first=AT, last=AT)
    taken = (Listener(target=Target(host="0.0.0.0", port=88), pids=(9,)),)
    first, *_ = asserted(with_state("failed"), listeners=taken, tallies=(tally,))
    assert first.cause == "proxy-listen-failed"


def test_an_enabled_gateway_is_missing_unless_another_took_its_port() -> None:
    free = (Listener(target=Target(host="0.0.0.0", port=80), pids=(9,)),)
    taken = (Listener(target=Target(host="0.0.0.0", port=88), pids=(9,)), *free)
    assert [finding.cause for finding in asserted(with_state("enabled"), listeners=free)] == ["proxy-not-running"]
    assert asserted(with_state("enabled"), listeners=taken) == []
    assert asserted(with_state("disabled"), listeners=free) == []


def test_beside_a_running_gateway_only_a_failed_one_is_reported() -> None:
    runs = Proxy(kind="nginx", pid=5)
    assert asserted(runs, with_state("enabled"), listeners=()) == []
    assert [finding.cause for finding in asserted(runs, with_state("failed"), listeners=())] == ["proxy-not-running"]


@pytest.mark.parametrize(
    ("kind", "state", "is_found"),
    [
        ("haproxy", "failed", True),
        ("haproxy", "enabled", True),
        ("haproxy", "disabled", False),
        ("nginx", "failed", False),
        (None, "disabled", True),
    ],
)
def test_an_nginx_that_should_run_is_found_beside_another_gateway(kind: str | None, state: str, is_found: bool) -> None:
    stopped = Proxy(kind="nginx", unit="nginx.service", unit_state=state, routes=(Route(),))
    running = [Proxy(kind=kind, pid=4)] if kind else []
    assert list(idle_nginx(running, lambda _: (stopped,))) == ([stopped] if is_found else [])


@pytest.mark.parametrize(
    ("port", "state", "is_found"), [(8082, "enabled", True), (8082, "disabled", False), (80, "enabled", False)]
)
def test_an_nginx_of_static_files_behind_another_gateway(port: int, state: str, is_found: bool) -> None:
    stopped = Proxy(kind="nginx", unit="nginx.service", unit_state=state, listens=(Target(host="127.0.0.1", port=port),))
    peers = (
        Peer(name="files", target=Target(host="127.0.0.1", port=8082)),
        Peer(name="app", target=Target(path="/run/app.sock")),
    )
    running = [Proxy(kind="haproxy", pid=4, routes=(Route(peers=peers),))]
    assert list(idle_nginx(running, lambda _: (stopped,))) == ([stopped] if is_found else [])


def test_a_gateway_whose_ports_others_took_is_not_missing() -> None:
    runs = Proxy(kind="nginx", pid=5)
    taken = (Listener(target=Target(host="0.0.0.0", port=88), pids=(9,)),)
    assert asserted(runs, with_state("failed"), listeners=taken) == []


def test_a_gateway_behind_a_gateway_that_fails_its_own_test_does_not_start() -> None:
    inner = Target(host="127.0.0.1", port=8080)
    problem = ConfigProblem(message='dlopen() "/usr/share/nginx/modules/x.so" failed', source="nginx -t")
    stopped = Proxy(
        kind="nginx", unit="nginx.service", unit_state="failed", listens=(inner,), test=ConfigTest.FAILED, problems=(problem,)
    )
    outer = Proxy(kind="haproxy", pid=5, routes=(Route(proxy="haproxy", peers=(Peer(name="web", target=inner),)),))
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", target=inner, count=9, status=503, first=AT, last=AT)
    (finding, *_) = asserted(outer, stopped, listeners=(), tallies=(refused,))
    assert (finding.cause, finding.target) == ("proxy-config-invalid", inner)
    assert "dlopen()" in finding.message


def test_a_gateway_behind_a_gateway_that_was_stopped_is_named_whatever_else_listens() -> None:
    """A port beside it is another application's."""
    inner, beside = Target(host="127.0.0.1", port=8088), Target(host="127.0.0.1", port=9102)
    stopped = Proxy(kind="nginx", config="/etc/nginx/nginx.conf", unit="nginx.service", unit_state="enabled", listens=(inner,))
    outer = Proxy(kind="varnish", pid=5, routes=(Route(proxy="varnish", peers=(Peer(name="web", target=inner),)),))
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="varnish", target=inner, count=9, status=503, first=AT, last=AT)
    found = asserted(outer, stopped, listeners=(Listener(target=beside, pids=(9,)),), tallies=(refused,))
    assert [(one.cause, one.target) for one in found] == [("backend-not-running", inner)]
    assert any("nginx.service" in item.message for item in found[0].evidence)


CADDYFILE = "shop.example {\n\treverse_proxy 127.0.0.1:3000\n}\n"


@pytest.mark.parametrize(("state", "expected"), [("enabled", ["caddy"]), ("disabled", [])])
def test_a_caddy_that_does_not_start(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch, state: str, expected: list[str]
) -> None:
    (open_directory / "etc/caddy").mkdir(parents=True)
    (open_directory / "etc/caddy/Caddyfile").write_text(CADDYFILE)
    shown = STOPPED.format(active="inactive", sub="dead", result="success", state=state)
    proxies = found(open_directory, monkeypatch, shown)
    assert [proxy.kind for proxy in proxies if proxy.kind == "caddy"] == expected
    assert all(proxy.unit == "caddy.service" and proxy.routes for proxy in proxies if proxy.kind == "caddy")
