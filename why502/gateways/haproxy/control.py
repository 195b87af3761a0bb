"""The commands by which HAProxy tests and loads its configuration. Source: haproxy(1), doc/management.txt, section 4."""

from __future__ import annotations

from why502.gateways.control import by_unit
from why502.model.proxy import Proxy

IS_BY_PROGRAM = False


def test(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that tests the configuration on disk."""
    return (proxy.exe, "-c", "-f", proxy.config)  # with -q it would not give the reason


def load(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that loads it: a signal would end an HAProxy without a master (`-W`) with workers of its own."""
    return by_unit(proxy, "USR2" if proxy.workers else "")


def start(proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: ARG001 - see gateways/control.py
    """Return no command: its service manager starts it."""
    return (), ()
