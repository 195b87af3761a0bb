"""Target: the address a proxy really connects to."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from functools import lru_cache

from why502.model.base import Value
from why502.model.patterns import lazy

_HOST_PORT = lazy(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]\"']+)):(?P<port>[0-9]{1,5})")
_BARE = lazy(r"[A-Za-z0-9_.-]+")


class Transport(StrEnum):
    """The transport of a connection to a target."""

    TCP = "tcp"
    UNIX = "unix"


class Target(Value, frozen=True, kw_only=True, order=True):
    """A TCP address (`host` and `port`) or a unix socket (`path`). `host` is an address, or a name not yet resolved."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def __hash__(self) -> int:
        return hash((self.host, self.port, self.path))

    @property
    def transport(self) -> Transport | None:
        """The transport of a connection to it; None (unknown) for a bare name."""
        return Transport.UNIX if self.path else Transport.TCP if self.port else None

    @property
    def is_unix(self) -> bool:
        """True for a unix socket."""
        return bool(self.path)

    @property
    def is_address(self) -> bool:
        """True for a unix socket or an IP address with port; False where a name must be resolved first."""
        return bool(self.path) or (bool(self.port) and _ip(self.host) is not None)

    @property
    def is_loopback(self) -> bool:
        """True if it is local to this machine (or container)."""
        if self.path or self.host == "localhost":
            return True
        may_be = ":" in self.host or self.host.startswith("127.")  # an address is read only then: lint asks for each of 100,000
        return may_be and (ip := _ip(self.host)) is not None and ip.is_loopback

    @property
    def is_wildcard(self) -> bool:
        """True for a listener on every address (0.0.0.0 or ::)."""
        may_be = self.host.lstrip("0:.")[:1] in ("", "%")  # `::%eth0` names an interface
        return may_be and (ip := _ip(self.host)) is not None and ip.is_unspecified

    @classmethod
    def unix(cls, path: str) -> Target:
        """Return the target of a socket path. Repeated slashes count as one (path_resolution(7)), so `unix:///run/x` is
        `unix:/run/x`.
        """
        return cls(path=re.sub("/{2,}", "/", path))

    @classmethod
    def parse(cls, text: str) -> Target | None:
        """Return the target named by a text: `host:port`, `[v6]:port`, `unix:/path`, or a bare name; else None.

        A URL as nginx logs it (`http://127.0.0.1:3001/uri`, `http://unix:/path:/uri`) is also understood.
        """
        text = text.strip().strip("\"'")
        scheme, found, rest = text.partition("://")
        if found and scheme != "unix":
            text = rest
        if text.startswith("unix:"):
            is_url = found and scheme != "unix"
            path = text.removeprefix("unix:").split(":", 1)[0] if is_url else text.removeprefix("unix:").rstrip(":")
            return cls.unix(path) if path else None
        if text.startswith("/") and not found:
            return cls.unix(text)
        if match := _HOST_PORT.match(text):
            port = int(match["port"])
            if port > 65535:
                return None
            return cls(host=_plain(match["v6"] or match["host"]), port=port)
        host = re.split(r"[/?]", text, maxsplit=1)[0]
        if host.startswith("[") and host.endswith("]") and len(host) > 2:
            return cls(host=_plain(host[1:-1]))
        return cls(host=host) if _BARE.fullmatch(host) else None


@lru_cache(maxsize=1 << 15)
def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _plain(host: str) -> str:
    """Return an IPv6 address in its short form, an IPv4-mapped one as IPv4, and anything else unchanged."""
    ip = _ip(host) if ":" in host else None
    return str(ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else host
