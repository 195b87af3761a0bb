"""The commands that test, load and start a gateway."""

from __future__ import annotations

from why502.gateways.control import control
from why502.model.process import Process
from why502.model.proxy import Proxy

EXE = "/usr/sbin/x"


def commands(**fields: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    proxy = Proxy(exe=EXE, pid=7, config="/etc/x.conf", **fields)  # type: ignore[arg-type]
    by = control(proxy.kind)
    assert by is not None
    return by.test(proxy), by.load(proxy)


def test_each_product_has_its_own() -> None:
    assert commands(kind="nginx", options=("-c", "/x")) == ((EXE, "-c", "/x", "-t"), (EXE, "-c", "/x", "-s", "reload"))
    assert commands(kind="apache") == (("apachectl", "-t", "-f", "/etc/x.conf"), ("kill", "-USR1", "7"))
    assert commands(kind="haproxy", unit="haproxy.service")[1] == ("systemctl", "reload", "haproxy.service")
    assert commands(kind="caddy", unit="caddy.service") == (
        (EXE, "adapt", "--config", "/etc/x.conf", "--adapter", "caddyfile"),
        ("systemctl", "reload", "caddy.service"),
    )
    assert control("traefik") is None  # it watches its files itself


def test_a_signal_never_ends_a_haproxy_without_a_master() -> None:
    assert commands(kind="haproxy")[1] == ()
    assert commands(kind="haproxy", workers=(Process(pid=8),))[1] == ("kill", "-USR2", "7")


def test_what_its_service_manager_starts_has_no_command_of_its_own() -> None:
    for kind in ("apache", "caddy", "haproxy"):
        by = control(kind)
        assert by is not None and by.start(Proxy(kind=kind, exe=EXE)) == ((), ())
    by = control("nginx")
    assert by is not None and by.start(Proxy(exe=EXE)) == ((EXE,), (EXE, "-s", "quit"))
