"""The commands by which Caddy tests and loads its configuration. Source: caddyserver.com/docs/command-line.

`caddy adapt` has no side effects, unlike `caddy validate`, which opens logs and storage as the user who runs it. What it does not
see is seen by the reload: Caddy refuses a configuration that does not work, and keeps the running one.
"""

from __future__ import annotations

from why502.gateways.control import by_unit
from why502.model.proxy import Proxy

IS_BY_PROGRAM = False


def test(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that tests the configuration on disk."""
    return (proxy.exe, "adapt", "--config", proxy.config, "--adapter", "caddyfile")


def load(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that loads it; () without a unit, or for a JSON configuration, which has no lines to change."""
    return () if proxy.config.endswith(".json") else by_unit(proxy, "")


def start(proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: ARG001 - see gateways/control.py
    """Return no command: its service manager starts it."""
    return (), ()
