"""How a lighttpd tests and loads its configuration. Source: lighttpd(8): -tt, and SIGUSR1 (graceful restart)."""

from __future__ import annotations

from why502.gateways.control import by_unit
from why502.model.proxy import Proxy

IS_BY_PROGRAM = False


def test(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that tests the configuration on disk, with its modules."""
    return (proxy.exe or "lighttpd", "-tt", "-f", proxy.config)


def load(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that loads it; running requests end before."""
    return by_unit(proxy, "USR1")


def start(proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: ARG001 - see gateways/control.py
    """Return no command: its service manager starts it."""
    return (), ()
