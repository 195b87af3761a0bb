"""Apache's mod_status, as text (`?auto`): the members of the balancers that the virtual host with that page knows.

balancer-manager is not asked: each question leaves an error in the log.

Sources: the documentation of mod_status and mod_proxy_balancer; modules/proxy/mod_proxy.c, proxy_status_hook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from why502.gateways.admin import AdminView, Asking, Door
from why502.gateways.apache.config.directives import Directive, Reader, defined_by
from why502.gateways.apache.config.match import Matcher
from why502.gateways.apache.config.parse import parse
from why502.gateways.apache.config.workers import member
from why502.gateways.running import Texts
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.target import Target
from why502.model.times import whole_number

SOURCE = "/server-status?auto"
CHECK_FAILS = "HcFl"  # a health check of mod_proxy_hcheck failed
_MOST = 2_000
_BALANCER = lazy(r"ProxyBalancer\[(\d{1,5})\]Name: balancer://(\S{1,200})")
_WORKER = lazy(r"ProxyBalancer\[(\d{1,5})\]Worker\[(\d{1,5})\](Name|Status|Busy): ?(.{0,500})")
_STATES = (  # flags in the order in which they count
    ("Dis", PeerState.MAINTENANCE, ""),
    ("Stop", PeerState.MAINTENANCE, ""),
    (CHECK_FAILS, PeerState.DOWN, "its health check fails"),
    ("Err", PeerState.EJECTED, "a connection to it failed, and it is not tried before the end of `retry`"),
    ("Drn", PeerState.DRAINING, ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page(Door):
    """A page of mod_status."""

    path: str


@dataclass(slots=True)
class _Server:
    """A virtual host: where it listens, and its first name."""

    address: str = ""
    name: str = ""
    is_tls: bool = False


def doors(proxy: Proxy, process: Process, texts: Texts, environment: Mapping[str, str]) -> list[Door]:
    """Return the pages of mod_status that no route takes. Raises HostError if there is none."""
    trees = [parse(text.encode("utf-8", "surrogateescape"), path) for path, text in texts]
    found = list(Reader(trees, environment, defined_by(process.argv)).directives())
    pages = [
        each
        for each in found
        if each.name == "sethandler" and each.args[:1] == ("server-status",) and each.scope.path.startswith("/")
    ]
    every = list(_doors(proxy, found, pages))
    if not every:
        raise HostError("no page of mod_status is found", "enable mod_status, with `ProxyStatus On`, for the loopback address")
    return every


def _doors(proxy: Proxy, found: list[Directive], pages: list[Directive]) -> Iterator[Door]:
    servers: dict[int, _Server] = {0: _Server()}
    listens: list[str] = []
    for each in found:
        server = servers.setdefault(each.scope.host, _Server(each.scope.address))
        if each.name == "servername" and each.args:
            server.name = each.args[0]
        elif each.name == "sslengine":
            server.is_tls = each.args[:1] != ("off",)
        elif each.name == "listen" and each.args and each.args[1:2] != ("https",):
            listens.append(each.args[0])
    matcher = Matcher(proxy.routes)
    for page in pages:
        for listen in listens:
            host, _, port = listen.rpartition(":")
            hosting = [server for number, server in servers.items() if number and _listens(server, port)] or [servers[0]]
            own = servers[page.scope.host]
            for server in [own] if page.scope.host and own in hosting else hosting if not page.scope.host else []:
                number = whole_number(port, 5)
                if number and number <= 65535 and not server.is_tls and not matcher.may_pass(page.scope.path, server.name):
                    yield _Page(
                        target=Target(host=host.strip("[]") or "*", port=number),
                        named_by=str(page.at),
                        host_header=server.name,
                        path=f"{page.scope.path}?auto",
                    )


def _listens(server: _Server, port: str) -> bool:
    ports = {word.rpartition(":")[2] for word in server.address.split()}
    return bool(ports & {port, "*"})


def look(ask: Asking, proxy: Proxy) -> AdminView:
    """Return its view of each member of a balancer. Raises HostError."""
    assert isinstance(ask.door, _Page)
    text = ask.get(ask.door.path).decode("utf-8", "replace")
    if "ServerVersion: " not in text and "Scoreboard: " not in text:
        raise HostError("its answer is not that of mod_status")
    version = re.search(r"ServerVersion: \S{1,20}/([\d.]{1,20})", text)
    checks = {str(peer.target): peer.check for group in proxy.upstreams for peer in group.peers}
    return AdminView(peers=tuple(views(text, checks)), version=version[1] if version else "")


def views(text: str, checks: Mapping[str, str]) -> Iterator[PeerView]:
    """Yield the members of the balancers in a page of mod_status. `checks`: what the checks of each address ask for."""
    groups = {match[1]: match[2] for match in _BALANCER.finditer(text)}
    workers: dict[tuple[str, str], dict[str, str]] = {}
    for match in _WORKER.finditer(text):
        if len(workers) < _MOST or (match[1], match[2]) in workers:
            workers.setdefault((match[1], match[2]), {})[match[3]] = match[4].strip()
    for (group, _), worker in workers.items():
        target, flags = member(worker.get("Name", "")), worker.get("Status", "").split()
        check = checks.get(str(target), "")
        state, reason, flag = next(
            ((state, reason, flag) for flag, state, reason in _STATES if flag in flags),
            (PeerState.UP if check else PeerState.UNCHECKED, "", ""),
        )
        yield PeerView(
            group=groups.get(group, ""),
            name=worker.get("Name", ""),
            target=target,
            state=state,
            check=flag if state in (PeerState.DOWN, PeerState.EJECTED) else "",
            reason=f"{reason} ({check})" if flag == CHECK_FAILS and check else reason,
            active=whole_number(worker.get("Busy", ""), 9),
            source=SOURCE,
        )
