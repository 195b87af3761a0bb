"""The commands by which an Apache httpd tests and loads its configuration. Source: apachectl(8), httpd's "Stopping and
Restarting".
"""

from __future__ import annotations

from why502.gateways.control import by_unit
from why502.model.proxy import Proxy

IS_BY_PROGRAM = False


def test(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that tests the configuration on disk. The program alone lacks the variables of Debian's script."""
    return ("apachectl", "-t", "-f", proxy.config)


def load(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that loads it; children end after their request."""
    return by_unit(proxy, "USR1")


def start(proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: ARG001 - see gateways/control.py
    """Return no command: its service manager starts it."""
    return (), ()
