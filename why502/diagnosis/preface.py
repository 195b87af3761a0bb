"""The PROXY header: finds gateways of this machine that send it to a target that does not expect it, and the reverse.

Sources: proxy-protocol.txt; ngx_http_core_module and ngx_stream_proxy_module (`proxy_protocol`); varnishd(1), -a; hitch.conf(5).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from itertools import pairwise

from why502.diagnosis.index import Joins, addresses
from why502.model.config import SENDS_PROXY, Route
from why502.model.snapshot import Proxy, Snapshot
from why502.model.target import Target

_EVERY = ("", "*", "0.0.0.0", "::")
_MOST = 2000  # addresses that are compared


def unmet(joins: Joins) -> dict[Target, str]:
    """Return, by target, the mismatch between what one gateway of this machine sends first and what the next one expects."""
    return joins.once(_unmet)


def _unmet(joins: Joins) -> dict[Target, str]:
    here = joins.here
    own = set(here.addresses or ())
    listening = {id(proxy): _Listens(proxy) for proxy in here.proxies or ()}
    found: dict[Target, str] = {}
    for target, proxy, route in _passed(here):
        if target in found or len(found) >= _MOST or not (target.is_unix or target.is_loopback or target.host in own):
            continue
        sends = _sends(route)
        wanted = _wanted(target, proxy.network, here, listening) if sends is not None else None
        if sends is None or wanted is None or wanted[0] is sends:
            continue
        sender = f"{proxy.kind} sends {'a' if sends else 'no'} PROXY header to {target} ({route.at})"
        found[target] = f"{sender}, and {wanted[1]} {'requires one' if wanted[0] else 'does not expect one'}"
    return found


def _passed(here: Snapshot) -> Iterator[tuple[Target, Proxy, Route]]:
    """Yield the addresses that running gateways pass requests or connections to, from configurations that are loaded."""
    for proxy in here.proxies or ():
        if not proxy.is_running or not _is_loaded(proxy):
            continue
        for route in {id(route.peers): route for route in proxy.routes}.values():
            for peer in route.peers:
                for target in () if peer.is_down or peer.is_backup else addresses(peer, here):
                    yield target, proxy, route


def _is_loaded(proxy: Proxy) -> bool:
    return not (proxy.changed_at and proxy.loaded_at and proxy.changed_at > proxy.loaded_at)


def _sends(route: Route) -> bool | None:
    """Return whether the gateway sends a PROXY header on a route; None if unknown, or if its servers differ."""
    if route.proxy == "nginx":
        if route.protocol != "tcp":
            return False
        setting = route.setting("proxy_protocol")
        return True if setting is not None and setting.args == ("on",) else None  # it may pass on the client's own header
    if route.proxy not in ("haproxy", "varnish", "hitch"):
        return None
    setting = route.setting(SENDS_PROXY)
    return False if setting is None else True if setting.args[:1] != ("",) else None


class _Listens:
    """The addresses that a gateway listens on, by port or path, with the route if one has the address.
    With this index a target is compared with few of them.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._all: dict[str, list[tuple[str, Route | None]]] = {}
        for route in proxy.routes:
            for word in route.listens:
                self._all.setdefault(_end(word), []).append((word, route))
        for server in proxy.servers:
            for word in server.listens:
                self._all.setdefault(_end(word), []).append((word, None))

    def at(self, target: Target) -> list[tuple[str, Route | None]]:
        """Return those that take connections to a target."""
        end = target.path if target.is_unix else str(target.port)
        return [(word, route) for word, route in self._all.get(end, ()) if _is_at(word, target)]


def _end(word: str) -> str:
    """Return the port of an address as listened on, or the path of a socket."""
    address = word.split(" ")[0]
    if address.startswith(("/", "unix:", "unix@")):
        return address.removeprefix("unix:").removeprefix("unix@")
    return address.rpartition(":")[2]


def _wanted(target: Target, network: str, here: Snapshot, listening: Mapping[int, _Listens]) -> tuple[bool, str] | None:
    """Return whether the gateway that listens on a target requires a PROXY header, and its setting's place; None if unknown."""
    for proxy in here.proxies or ():
        if not proxy.is_running or proxy.network != network or not _is_loaded(proxy):
            continue
        if proxy.kind == "nginx":
            found = _of_nginx(listening[id(proxy)].at(target))
        elif proxy.kind == "haproxy":
            found = _of_haproxy(listening[id(proxy)].at(target))
        else:
            found = _of_varnish(proxy, target, here) if proxy.kind == "varnish" else None
        if found is not None:
            return found
    return None


def _of_nginx(found: list[tuple[str, Route | None]]) -> tuple[bool, str] | None:
    """`proxy_protocol` of one `listen` applies to all of its address; a stream server without it may forward the header."""
    fitting = list({id(route): route for _, route in found if route is not None}.values())
    words = [word for word, _ in found]
    if exact := [word for word in words if _host(word) not in _EVERY]:
        words = exact
    demanding = next((word for word in words if "proxy_protocol" in word.split()), "")
    if demanding:
        return True, f"nginx's `listen {demanding}`"
    if not fitting or any(route.protocol == "tcp" for route in fitting):
        return None
    return False, f"nginx's `listen {words[0]}` ({fitting[0].server_at or fitting[0].at})"


def _of_haproxy(found: list[tuple[str, Route | None]]) -> tuple[bool, str] | None:
    """Read only `bind … accept-proxy`: without it a rule (`expect-proxy`) may still require the header."""
    demanding = next((word for word, route in found if route is not None and "accept-proxy" in word.split()), "")
    return (True, f"HAProxy's `bind {demanding}`") if demanding else None


def _of_varnish(proxy: Proxy, target: Target, here: Snapshot) -> tuple[bool, str] | None:
    """Read its option -a: `-a [NAME=]ADDRESS[,PROTO]`."""
    process = next((process for process in here.processes or () if process.pid == proxy.pid), None)
    argv = process.argv if process and posixpath.basename(process.argv[0] if process.argv else "") == "varnishd" else ()
    for option, value in pairwise(argv):
        if option != "-a":
            continue
        address, *words = value.partition("=")[2].split(",") if "=" in value.split(",")[0] else value.split(",")
        if _is_at(address, target):
            return ("PROXY" in words), f"Varnish's `-a {value}`"
    return None


def _host(word: str) -> str:
    address = word.split(" ")[0]
    return address.rpartition(":")[0].strip("[]") if not address.startswith(("/", "unix")) else address


def _is_at(word: str, target: Target) -> bool:
    """Return whether a listen address ("8443 ssl", "127.0.0.1:8443", "unix:/run/x.sock") takes connections to a target."""
    address = word.split(" ")[0]
    if target.is_unix:
        return address.removeprefix("unix:").removeprefix("unix@") == target.path
    host, _, port = address.rpartition(":")
    return port == str(target.port) and (host.strip("[]") in _EVERY or host.strip("[]") in (target.host, "localhost"))
