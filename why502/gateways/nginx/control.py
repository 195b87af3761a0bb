"""The commands by which nginx tests, loads and starts its configuration. Source: nginx(8)."""

from __future__ import annotations

from why502.model.proxy import Proxy

IS_BY_PROGRAM = True


def test(proxy: Proxy) -> tuple[str, ...]:
    """Return the command that tests the configuration on disk."""
    return (proxy.exe, *proxy.options, "-t")


def load(proxy: Proxy) -> tuple[str, ...]:
    """Return the command by which a running nginx loads its configuration."""
    return (proxy.exe, *proxy.options, "-s", "reload")


def start(proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the command that starts it, and the one that ends it."""
    program = (proxy.exe, *proxy.options)
    return program, (*program, "-s", "quit")
