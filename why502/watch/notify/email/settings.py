"""The keys of `kind = "email"`."""

from __future__ import annotations

from email.headerregistry import Address
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from why502.watch.notify.base import ReceiverSettings, check_path
from why502.watch.notify.http import Seconds


class Security(StrEnum):
    """How the connection is encrypted. A server that does not offer what is set is not used."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


PORTS = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}


class Settings(ReceiverSettings, frozen=True, kw_only=True, tag="email"):
    """The server, and from whom to whom. `port` 0: the usual one."""

    host: str
    sender: str = msgspec.field(name="from")
    to: tuple[str, ...]
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    security: Security = Security.STARTTLS
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: Seconds = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.host or not self.host.isprintable() or " " in self.host or "/" in self.host:
            raise ValueError("host must be the name or address of an SMTP server")
        for name, address in (("from", self.sender), *(("to", one) for one in self.to)):
            check_address(name, address)
        if not self.to:
            raise ValueError("to must have at least one address")
        for name in ("password_file", "ca_file"):
            check_path(name, getattr(self, name))
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together")
        if self.user and self.security is Security.NONE:
            raise ValueError("a password is not sent without encryption; set security to starttls or tls")


def check_address(name: str, address: str) -> None:
    """Raise ValueError if the text is not a plain address such as ops@example.org."""
    try:
        found = Address(addr_spec=address)
        is_valid = bool(found.username and found.domain) and address.isascii() and address.isprintable() and " " not in address
    except Exception:  # the parser of the standard library has several kinds, IndexError too
        is_valid = False
    if not is_valid:
        raise ValueError(f"{name} must be an address such as ops@example.org")
