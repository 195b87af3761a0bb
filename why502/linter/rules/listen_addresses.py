"""Addresses of `listen` that exclude each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.deployment.variants import certainty, joined
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_INVALID = "proxy-config-invalid"
# The options that belong to the socket, not to a server (`lsopt.set` in src/http/ngx_http_core_module.c).
_OF_SOCKET = lazy(r"bind|deferred|reuseport|(?:setfib|fastopen|backlog|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*")


@dataclass(slots=True)
class _Listen:
    address: str
    directive: Directive
    level: Level

    @property
    def is_with_options(self) -> bool:
        return any(_OF_SOCKET.fullmatch(word) for word in self.directive.args[1:])


@lru_cache(2)
def _listens(deployment: Deployment) -> tuple[_Listen, ...]:
    return tuple(_read(deployment))


def _read(deployment: Deployment) -> Iterator[_Listen]:
    for level in deployment.blocks("server"):
        if level.path[:1] == ("mail",):
            continue
        for directive in level.own("listen"):
            if directive.args and "$" not in directive.args[0]:
                udp = "udp " * ("udp" in directive.args or "quic" in directive.args)
                yield _Listen(udp + _address(directive.args[0]), directive, level)


def _address(text: str) -> str:
    """Return an address as nginx compares it: `80`, `*:80` and `0.0.0.0:80` are the same."""
    if text.startswith("unix:"):
        return text
    if text.isdecimal():
        return f"*:{int(text)}"
    host, found, port = text.rpartition(":")
    if not found or text.endswith("]"):
        host, port = text, "80"
    return f"{'*' if host in ('*', '0.0.0.0') else host}:{port}"


@rule(162, "duplicate-listen", Severity.ERROR, _INVALID)
def twice(deployment: Deployment) -> Iterator[Risk]:
    """A server listens twice on the same address.

    nginx refuses it: `a duplicate listen`. The second one often comes from an included file.
    """
    seen: dict[tuple[int, str], Directive] = {}
    for listen in _listens(deployment):
        key = (id(listen.level), listen.address)
        if key in seen:
            message = f"{listen.address.strip()} is also at {seen[key].at}"
            severity = joined(seen[key].at, listen.directive.at, deployment.is_here)
            yield risk(message, listen.directive.at, "remove one", severity=severity)
        seen.setdefault(key, listen.directive)


@rule(163, "listen-options-conflict", Severity.ERROR, _INVALID)
def options(deployment: Deployment) -> Iterator[Risk]:
    """Socket options of one address are given twice, or an IPv6 address also binds the IPv4 port.

    nginx refuses `backlog`, `reuseport`, `ipv6only` and the like for one address in two servers (`duplicate listen options`),
    even if they
    are equal. `[::]:80 ipv6only=off` beside `listen 80` passes the test, but does not start: `Address already in use`.
    """
    seen: dict[str, _Listen] = {}
    wide: dict[str, Directive] = {}
    all_ = _listens(deployment)
    for listen in all_:
        if listen.is_with_options:
            other = seen.setdefault(listen.address, listen)
            if other.level is not listen.level and other.directive.at != listen.directive.at:
                message = f"the options of {listen.address} are also given at {other.directive.at}"
                severity = certainty(other.directive.at, listen.directive.at, deployment.is_here)
                yield risk(message, listen.directive.at, "give them in one server only", severity=severity)
        if "ipv6only=off" in listen.directive.args and "[::]" in listen.address:  # nginx ignores it for an IPv4 address
            wide.setdefault(listen.address.replace("[::]:", "*:"), listen.directive)
    for listen in all_:
        if listen.address in wide and listen.directive.at != wide[listen.address].at:
            message = f"{listen.address} is taken by the listen with ipv6only=off at {wide[listen.address].at}"
            severity = certainty(wide[listen.address].at, listen.directive.at, deployment.is_here)
            yield risk(message, listen.directive.at, "remove this one, or ipv6only=off", severity=severity)
            break
