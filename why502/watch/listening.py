"""Addresses and Unix sockets to listen on, as settings and options name them."""

from __future__ import annotations

import errno
import ipaddress
import socket
import stat
from pathlib import Path

from why502.model.errors import Why502Error

MOST_PORT = 65535


def address(text: str, name: str, hint: str, *, least_port: int = 1) -> tuple[str, int] | Path:
    """Return the address and port to listen on, or the path of a Unix socket. `name`: of the setting. Raises Why502Error."""
    if text.startswith("unix:"):
        if text.startswith("unix:/"):
            return Path(text.removeprefix("unix:"))
        raise Why502Error(f"{name}: {text!r} is not an absolute path", hint)
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise Why502Error(f"{name}: {text!r} has no IP address", hint) from None
    if not (port.isascii() and port.isdecimal() and least_port <= int(port) <= MOST_PORT):
        raise Why502Error(f"{name}: {text!r} has no port between {least_port} and {MOST_PORT}", hint)
    return host, int(port)


def family_of(where: tuple[str, int] | Path) -> socket.AddressFamily:
    """Return the family of the socket that listens there."""
    if isinstance(where, Path):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in where[0] else socket.AF_INET


def words(where: tuple[str, int] | Path) -> str:
    """Return an address for a message."""
    return str(where) if isinstance(where, Path) else f"{where[0]}:{where[1]}"


def remove_left_over(path: Path, name: str, hint: str) -> None:
    """Remove a socket that nobody listens on. Raises Why502Error if it is not a socket, or in use."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Why502Error(f"{name}: {path} exists and is not a socket", hint)
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        reason = probe.connect_ex(str(path))
    if reason != errno.ECONNREFUSED:
        raise Why502Error(f"{name}: {path} is in use", hint)
    path.unlink()
