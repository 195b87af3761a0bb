"""Addresses that gateways listen on, as their configurations write them: "8443 ssl", "127.0.0.1:8443", "unix:/run/x.sock"."""

from __future__ import annotations

from why502.model.target import Target

EVERY_HOST = ("", "*", "0.0.0.0", "::")


def listen_host(word: str) -> str:
    """Return the host of an address, or the path of its socket."""
    address = word.split(" ")[0]
    return address.rpartition(":")[0].strip("[]") if not address.startswith(("/", "unix")) else address


def listen_end(word: str) -> str:
    """Return the port of an address, or the path of its socket."""
    address = word.split(" ")[0]
    if address.startswith(("/", "unix:", "unix@")):
        return address.removeprefix("unix:").removeprefix("unix@")
    return address.rpartition(":")[2]


def accepts_target(word: str, target: Target) -> bool:
    """Return whether an address takes connections to a target."""
    address = word.split(" ")[0]
    if target.is_unix:
        return address.removeprefix("unix:").removeprefix("unix@") == target.path
    host, _, port = address.rpartition(":")
    return port == str(target.port) and (host.strip("[]") in EVERY_HOST or host.strip("[]") in (target.host, "localhost"))
