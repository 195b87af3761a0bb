"""Deployment: the files to check before they are deployed: one nginx configuration, PHP-FPM pools, systemd units.

Rules read it as causes read a Case. `levels` are the blocks of the configuration, each with its own directives and those in
force there, so that a rule can distinguish the two.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from why502.backends.php_fpm.config import Entry
from why502.config.configuration import Configuration
from why502.config.tree import Tree, nodes
from why502.gateways.nginx.config import Matcher, scope, variables
from why502.gateways.nginx.config.defaults import PASSES
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.scope import Settings
from why502.model.base import Value
from why502.model.config import Peer, Position, Route, Server, Upstream
from why502.model.patterns import lazy
from why502.model.service import PhpPool
from why502.model.target import Target
from why502.model.times import whole_number
from why502.supervisors.systemd.unit_files import Unit

_IP = lazy(r"[0-9.]+")
_DATA = frozenset({"map", "geo", "types", "split_clients", "charset_map", "match"})
_PIECES = (("location",), ("if",), ("limit_except",))  # what a file of such blocks inherits is in another file
_MOST_PEERS = 200  # of a group of which every route looks at each peer
_FEW_PEERS = 20  # of a larger one, for all of its routes but the first of each kind
_MOST_KINDS = 16  # of routes to one large group
_MODULES = tuple(name.removesuffix("_pass") for name in PASSES)
_INNER = frozenset({"http", "stream", "mail", "events", "server", "upstream", "location", "if", "limit_except"})


@dataclass(kw_only=True, eq=False, slots=True)  # not frozen: that makes each of tens of thousands several times slower
class Level:
    """A block. `path`: the names of the enclosing blocks and its own, outermost first; () is the file itself. `name`: its own
    name, "" for the file.
    """

    directives: tuple[Directive, ...]
    settings: Settings  # in force here
    path: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    at: Position | None = None
    around: Level | None = None
    name: str = field(init=False)
    by_name: Mapping[str, tuple[Directive, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.name = self.path[-1] if self.path else ""
        found: dict[str, tuple[Directive, ...]] = {}
        for directive in self.directives:
            name = directive.name
            if name not in found:
                found[name] = (directive,)
        if len(found) < len(self.directives):
            several: dict[str, list[Directive]] = {}
            for directive in self.directives:
                several.setdefault(directive.name, []).append(directive)
            found = {name: tuple(same) for name, same in several.items()}
        self.by_name = found

    @property
    def is_known(self) -> bool:
        """Whether all settings in force here could be read: the file is not a piece of a `server`, and no `include` here or in
        an enclosing block leads to a missing file.
        """
        if self.path[:1] in _PIECES:
            return False
        return "include" not in self.settings or not any(_matters(setting.args) for setting in self.settings["include"])

    def own(self, *names: str) -> tuple[Directive, ...]:
        """Return the directives with one of these names in the block itself."""
        if len(names) == 1:
            return self.by_name.get(names[0], ())
        if self.by_name.keys().isdisjoint(names):
            return ()
        return tuple(directive for directive in self.directives if directive.name in names)

    def first(self, name: str) -> str:
        """Return the first argument of a directive in force; "" if it is not set."""
        return scope.first(self.settings, name)

    @property
    def server(self) -> Level | None:
        """The level itself or the nearest enclosing one that is a `server`; None outside of any."""
        return next((outer for outer in self.outwards if outer.name == "server"), None)

    @property
    def outwards(self) -> Iterator[Level]:
        """Yield the level itself and the enclosing ones."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.around


class Deployment(Value, frozen=True, kw_only=True, dict=True, eq=False):
    """`version`: of the nginx that will run it, "" for the newest.

    `is_whole`: False for a fragment whose context (upstream groups, `resolver`, inherited settings) is unknown. `is_here`: the
    files are in the place where this machine's nginx reads them. `is_own_build`: the nginx that will run it is built with
    modules of others. `is_piece`: a fragment that was found in a directory, and that no configuration there includes: a
    program may put it together with others, or fill it in. `doubtful`: files that a script changes before the proxy reads them,
    or that are there for tests, so that their text proves nothing.
    """

    configuration: Configuration = Configuration()
    product: str = "nginx"  # whose configuration it is: rules of another product do not look at it
    version: str = ""
    is_whole: bool = True
    is_here: bool = False
    is_own_build: bool = False
    is_piece: bool = False
    doubtful: frozenset[str] = frozenset()
    pools: tuple[PhpPool, ...] = ()
    pool_entries: tuple[Entry, ...] = ()
    units: tuple[Unit, ...] = ()

    def since(self, *version: int) -> bool:
        """Return whether the nginx that will run it has that version or a newer one."""
        return not self.version or self._numbers >= version

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(found for part in self.version.split(".") if (found := whole_number(part, 9)) is not None)

    @cached_property
    def patterned(self) -> frozenset[str]:
        """The names of the directories of which an `include` takes all files that match a pattern."""
        found = (
            node.args[0] for tree in self.trees.values() for node in nodes(tree) if node.words[0].value == "include" and node.args
        )
        return frozenset(posixpath.basename(posixpath.dirname(pattern)) for pattern in found if "*" in pattern)

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes of `http`, each once even if its file is included several times with the same meaning."""
        return self._routes

    @cached_property
    def _routes(self) -> tuple[Route, ...]:
        return tuple(route for route in self.configuration.routes if route.protocol != "tcp")

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """The groups of `http` and `stream`."""
        return self.configuration.upstreams

    @property
    def servers(self) -> tuple[Server, ...]:
        """The virtual servers."""
        return self.configuration.servers

    @cached_property
    def trees(self) -> dict[str, Tree]:
        """The trees by file."""
        return {tree.file: tree for tree in self.configuration.trees}

    @cached_property
    def matcher(self) -> Matcher:
        """The matcher that finds the route of a request."""
        return Matcher(self._routes, [server for server in self.servers if server.listens])

    def routes_of(self, *protocols: str) -> tuple[Route, ...]:
        """Return the routes with one of these protocols."""
        if protocols not in self._of_protocols:
            self._of_protocols[protocols] = tuple(route for route in self._routes if route.protocol in protocols)
        return self._of_protocols[protocols]

    def routes_with(self, *names: str) -> tuple[Route, ...]:
        """Return the routes where one of these directives is in force."""
        if self.directives.keys().isdisjoint(names):
            return ()
        if names not in self._with_names:
            self._with_names[names] = tuple(route for route in self._routes if any(name in route.settings for name in names))
        return self._with_names[names]

    def routes_setting(self, name: str) -> tuple[Route, ...]:
        """Return the routes where a setting that several modules have may be in force: `read_timeout` for
        `proxy_read_timeout`, `fastcgi_read_timeout` and so on.
        """
        return self.routes_with(*(f"{module}_{name}" for module in _MODULES))

    @cached_property
    def _of_protocols(self) -> dict[tuple[str, ...], tuple[Route, ...]]:
        """The routes by protocols, as asked for so far."""
        return {}

    @cached_property
    def _with_names(self) -> dict[tuple[str, ...], tuple[Route, ...]]:
        """The routes by directives in force, as asked for so far."""
        return {}

    @cached_property
    def named_peers(self) -> tuple[tuple[Route, Peer, str], ...]:
        """The peers that are host names, each with its route and the name: see `peers` and `host_name`."""
        return tuple((route, peer, name) for route in self._routes for peer in self.peers(route) if (name := host_name(peer)))

    @cached_property
    def local_peers(self) -> tuple[tuple[Route, Peer, Target], ...]:
        """The peers on this machine (loopback, unix sockets, and the wildcard address), each with its route and target."""
        return tuple(
            (route, peer, target)
            for route in self._routes
            for peer in self.peers(route)
            if (target := peer.target) is not None and (target.is_loopback or target.is_wildcard)
        )

    @cached_property
    def _by_server(self) -> dict[Position | None, list[Route]]:
        found: dict[Position | None, list[Route]] = {}
        for route in self._routes:
            found.setdefault(route.server_at, []).append(route)
        return found

    @cached_property
    def _named(self) -> dict[str, Upstream]:
        return {group.name: group for group in reversed(self.upstreams)}

    @cached_property
    def _groups_at(self) -> dict[Position | None, Upstream]:
        return {group.at: group for group in self.upstreams}

    @cached_property
    def _blocks_at(self) -> dict[Position | None, Level]:
        return {level.at: level for level in reversed(self.levels)}

    def group(self, name: str | None) -> Upstream | None:
        """Return the group of that name."""
        return self._named.get(name) if name else None

    def group_at(self, at: Position | None) -> Upstream | None:
        """Return the group whose block is at that position."""
        return self._groups_at.get(at)

    def block_at(self, at: Position | None) -> Level | None:
        """Return the block at that position; the first one if its file is included several times."""
        return self._blocks_at.get(at)

    @cached_property
    def _servers_at(self) -> dict[Position | None, Server]:
        return {server.at: server for server in self.servers}

    def server(self, at: Position | None) -> Server:
        """Return the virtual server at a position."""
        return self._servers_at.get(at, Server())

    def within(self, server_at: Position | None) -> Matcher:
        """Return the matcher for the routes of one server, whatever the request's host."""
        if server_at not in self._within:
            self._within[server_at] = Matcher(self._by_server.get(server_at, ()), [self.server(server_at)])
        return self._within[server_at]

    @cached_property
    def _within(self) -> dict[Position | None, Matcher]:
        """The matchers made so far: one of thousands of locations is sorted into its tree once."""
        return {}

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All blocks in the order of the configuration, the file itself first."""
        return tuple(_levels(self.configuration.directives))

    def blocks(self, *names: str) -> tuple[Level, ...]:
        """Return the blocks with one of these names."""
        if len(names) == 1:
            return self._levels_by_name.get(names[0], ())
        return tuple(level for level in self.levels if level.name in names)

    @cached_property
    def _levels_by_name(self) -> dict[str, tuple[Level, ...]]:
        found: dict[str, list[Level]] = {}
        for level in self.levels:
            found.setdefault(level.name, []).append(level)
        return {name: tuple(same) for name, same in found.items()}

    @cached_property
    def directives(self) -> dict[str, tuple[tuple[Level, Directive], ...]]:
        """All directives by name, each with its block, in the order of the configuration."""
        found: dict[str, list[tuple[Level, Directive]]] = {}
        for level in self.levels:
            for directive in level.directives:
                name = directive.name
                if name in found:
                    found[name].append((level, directive))
                else:
                    found[name] = [(level, directive)]
        return {name: tuple(same) for name, same in found.items()}

    def uses(self, *names: str) -> tuple[tuple[Level, Directive], ...]:
        """Return the directives with these names, name after name, each with its block."""
        if len(names) == 1:
            return self.directives.get(names[0], ())
        return tuple(use for name in names for use in self.directives.get(name, ()))

    @cached_property
    def _places(self) -> dict[tuple[int, int], Level]:
        """The blocks of pass directives, by the identity of the positions of their server and of the directive.

        Routes have the same objects. To hash tens of thousands of positions takes long.
        """
        found = {}
        servers: dict[int, Position | None] = {}
        for name, uses in self.directives.items():
            for level, directive in uses if name.endswith("_pass") else ():
                around = level if level.around is None or level.name == "server" else level.around
                if id(around) not in servers:
                    servers[id(around)] = next((outer.at for outer in around.outwards if outer.name == "server"), None)
                found[id(servers[id(around)]), id(directive.at)] = level
        return found

    def level(self, route: Route) -> Level | None:
        """Return the block that contains a route's pass directive."""
        found = self._levels_of_routes.get(id(route), self)
        return self._level_of(route) if found is self else found  # type: ignore[return-value]

    def peers(self, route: Route) -> tuple[Peer, ...]:
        """Return the peers of a route that a rule looks at: all, but of a group of hundreds only for the first of each kind.

        For the others a few peers stand for the group: thousands of routes to a group of thousands would otherwise take minutes.
        """
        if len(route.peers) <= _MOST_PEERS or id(route) in self._first_to:
            return route.peers
        return route.peers[:_FEW_PEERS]

    @cached_property
    def _first_to(self) -> frozenset[int]:
        """The identity of the first route of each kind to each large group: kinds may differ in what is wrong."""
        found: dict[int, dict[tuple[object, ...], int]] = {}  # by the identity of the peers, which all routes to a group share
        for route in self.configuration.routes:
            if len(route.peers) > _MOST_PEERS:
                of_group = found.setdefault(id(route.peers), {})
                kind = (route.directive, route.protocol, route.has_variables, route.host_header, route.sends_sni, route.resolver)
                if len(of_group) < _MOST_KINDS:
                    of_group.setdefault(kind, id(route))
        return frozenset(first for of_group in found.values() for first in of_group.values())

    @cached_property
    def _levels_of_routes(self) -> dict[int, Level | None]:
        """The levels of our own routes, by identity: a position takes long to hash, and most rules ask for each route's level."""
        return {id(route): self._level_of(route) for route in self.configuration.routes}

    def _level_of(self, route: Route) -> Level | None:
        if route.at is None:
            return None
        return self._places.get((id(route.server_at), id(route.at))) or self._places.get((id(None), id(route.at)))

    @cached_property
    def values(self) -> variables.Values:
        """The values of variables defined by maps."""
        return variables.mapped(directive for level in self.blocks("http", "") for directive in level.directives)

    def meant(self, text: str) -> tuple[str, ...]:
        """Return every text that a text with map variables may expand to."""
        return variables.expanded(text, self.values)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The names of all upstream groups, in lower case."""
        return frozenset(group.name.lower() for group in self.upstreams)

    @cached_property
    def groups_in_vain(self) -> frozenset[str]:
        """The names of groups that nginx does not take for groups: in the wrong block, or with a misspelt `upstream`."""
        return frozenset(
            directive.args[0].lower()
            for uses in self.directives.values()
            for _, directive in uses
            if directive.children and len(directive.args) == 1 and _has_servers(directive.children)
        )


def _has_servers(block: Sequence[Directive]) -> bool:
    return any(directive.name == "server" and directive.children is None for directive in block)


def _matters(args: tuple[str, ...]) -> bool:
    """Return whether an unreadable file may affect routes."""
    name = args[0] if args else ""
    return not (name.endswith("mime.types") or "modules" in name)


def _levels(directives: Sequence[Directive]) -> Iterator[Level]:
    top = Level(directives=tuple(directives), settings=scope.inner({}, directives))
    waiting = [top]
    while waiting:
        level = waiting.pop()
        yield level
        inside = []
        for directive in level.directives:
            if directive.children is None or directive.name in _DATA or directive.name not in _INNER:
                continue
            inside.append(
                Level(
                    directives=directive.children,
                    settings=scope.inner(level.settings, directive.children),
                    path=(*level.path, directive.name),
                    args=directive.args,
                    at=directive.at,
                    around=level,
                )
            )
        waiting.extend(reversed(inside))


def peers_of(routes: Iterable[Route]) -> Iterator[Peer]:
    """Yield the peers of the routes; those of a group once, however many routes lead to it."""
    for peers in {id(route.peers): route.peers for route in routes}.values():
        yield from peers


def stands_alone(peers: Sequence[Peer]) -> bool:
    """Return whether the peers are one single address: a name may resolve to several."""
    alive = [peer for peer in peers if not peer.is_down]
    return len(alive) == 1 and alive[0].target is not None and alive[0].target.is_address


def same_path(target: Target | None) -> Target | None:
    """Return a target with its socket's canonical path: /var/run is a link to /run."""
    if target is not None and target.path.startswith("/var/run/"):
        return Target(path=target.path.removeprefix("/var"))
    return target


def host_name(peer: Peer) -> str:
    """Return the host name of a peer; "" for an address, a socket, or a name with a variable."""
    if peer.target is None or peer.target.is_unix or _IP.fullmatch(peer.target.host) or ":" in peer.target.host:
        return ""
    return peer.target.host.lower()
