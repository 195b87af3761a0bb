"""The commands by which an Apache httpd tests and loads its configuration. Source: apachectl(8), httpd's "Stopping and
Restarting".
"""

from __future__ import annotations

from why502.model.snapshot import Proxy

KIND = "apache"


def reload_signal(proxy: Proxy) -> str:  # noqa: ARG001 - every httpd takes it
    """Return the signal that loads the configuration; children end after their request."""
    return "USR1"


def test(exe: str, config: str) -> tuple[str, ...]:  # noqa: ARG001 - the program alone lacks the variables that Debian's script sets
    """Return the command that tests a configuration."""
    return ("apachectl", "-t", "-f", config)
