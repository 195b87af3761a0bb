"""How HAProxy is asked to test and to load its configuration. Source: haproxy(1), doc/management.txt, section 4."""

from __future__ import annotations

KIND = "haproxy"
RELOAD_SIGNAL = ""  # SIGUSR2 is for a master only, and ends an HAProxy that runs without one: only its service manager knows


def test(exe: str, config: str) -> tuple[str, ...]:
    """Return the command that tests a configuration."""
    return (exe, "-c", "-q", "-f", config)
