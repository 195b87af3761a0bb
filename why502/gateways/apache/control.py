"""The commands by which an Apache httpd tests and loads its configuration. Source: apachectl(8), httpd's "Stopping and
Restarting".
"""

from __future__ import annotations

KIND = "apache"
RELOAD_SIGNAL = "USR1"  # graceful: children end after their request


def test(exe: str, config: str) -> tuple[str, ...]:  # noqa: ARG001 - the program alone lacks the variables that Debian's script sets
    """Return the command that tests a configuration."""
    return ("apachectl", "-t", "-f", config)
