"""The commands by which HAProxy tests and loads its configuration. Source: haproxy(1), doc/management.txt, section 4."""

from __future__ import annotations

KIND = "haproxy"
# SIGUSR2 works only with a master, and kills an HAProxy without one; only its service manager knows which it is
RELOAD_SIGNAL = ""


def test(exe: str, config: str) -> tuple[str, ...]:
    """Return the command that tests a configuration."""
    return (exe, "-c", "-q", "-f", config)
