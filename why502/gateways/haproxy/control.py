"""The commands by which HAProxy tests and loads its configuration. Source: haproxy(1), doc/management.txt, section 4."""

from __future__ import annotations

from why502.model.snapshot import Proxy

KIND = "haproxy"


def reload_signal(proxy: Proxy) -> str:
    """Return the signal that loads the configuration: "" if there is no master (`-W`) with workers of its own, which it would
    end.
    """
    return "USR2" if proxy.workers else ""


def test(exe: str, config: str) -> tuple[str, ...]:
    """Return the command that tests a configuration."""
    return (exe, "-c", "-q", "-f", config)
