"""Host names that only a private network knows: is_private_name()."""

from __future__ import annotations

_ENDINGS = (".local", ".internal", ".lan", ".svc", ".consul", ".home.arpa", ".localdomain", ".test")


def is_private_name(name: str) -> bool:
    """Return whether a host name (in lower case) is that of a container, a cluster or a company."""
    return ("." not in name and ":" not in name) or name.endswith(_ENDINGS)
