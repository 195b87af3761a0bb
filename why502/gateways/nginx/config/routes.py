"""From the directives of `http` and `stream` to routes, answers, servers and logs."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from why502.gateways.nginx.config import passes, scope, units, variables
from why502.gateways.nginx.config.defaults import PASSES, STREAM_PASS, TUNNEL, Defaults, Pass
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.logs import Logs
from why502.gateways.nginx.config.scope import Settings
from why502.model.config import Answer, Location, Peer, Position, Route, Server, Upstream
from why502.model.proxy import ConfigProblem
from why502.model.target import Target
from why502.model.times import whole_number

DEFAULT_LISTEN = ("*:80",)


class World(msgspec.Struct, kw_only=True):
    """The settings of all servers in a `http` or `stream` block, and the values found in them so far."""

    defaults: Defaults
    logs: Logs
    is_stream: bool = False
    settings: Settings = {}
    upstreams: dict[str, Upstream] = {}  # by lower-case name
    in_force: dict[
        tuple[object, ...], tuple[Settings, dict[str, Any]]
    ] = {}  # by directive and the identity of its settings, which are kept alive
    members: dict[str, tuple[Peer, ...]] = {}  # of groups, by name: one tuple for all routes
    values: dict[str, tuple[str, ...]] = {}  # of variables
    routes: list[Route] = []
    answers: list[Answer] = []
    servers: list[Server] = []
    listens: dict[Target, None] = {}  # in order
    problems: dict[ConfigProblem, None] = {}  # in order


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The present position in a server."""

    names: tuple[str, ...]
    listens: tuple[str, ...]
    is_tls: bool
    server_at: Position
    elsewhere: variables.Values  # values from any `set` of the server
    server_values: variables.Values  # after the rewrite directives of the server itself
    values: variables.Values  # and after those of this place; a location does not run those of enclosing locations
    locations: list[Location]
    path: tuple[str, ...] = ()
    location_at: Position | None = None
    conditions: tuple[str, ...] = ()

    @property
    def server(self) -> str:
        """The server's name in error logs: its first."""
        return self.names[0] if self.names else ""


def read(block: Sequence[Directive], outer: Settings, world: World) -> None:
    """Process the content of a `http` or `stream` block; `outer` is in force around it."""
    world.settings = scope.inner(outer, block)
    world.logs.define(block)
    world.values = variables.mapped(block)
    for directive in block:
        if directive.name == "upstream":
            group = passes.group(directive, None if world.is_stream else world.defaults)
            world.upstreams[group.name.lower()] = group
    _answers(block, None, world)
    for directive in block:
        if directive.name == "server" and directive.children is not None:
            _server(directive, directive.children, world)


def _server(directive: Directive, block: Sequence[Directive], world: World) -> None:
    settings = scope.inner(world.settings, block)
    names = tuple(name for setting in settings.get("server_name", ()) for name in setting.args)
    listens = tuple(" ".join(setting.args) for setting in settings.get("listen", ())) or (
        () if world.is_stream else DEFAULT_LISTEN
    )
    values = variables.assigned(world.values, block)
    set_here = variables.anywhere(block)
    place = Place(
        names=names,
        listens=listens,
        is_tls=any({"ssl", "quic"} & set(listen.split()[1:]) for listen in listens) or scope.first(settings, "ssl") == "on",
        server_at=directive.at,
        elsewhere={**world.values, **set_here} if set_here else world.values,
        server_values=values,
        values=values,
        locations=[],
    )
    world.listens.update((target, None) for listen in listens if (target := _listened(listen)))
    _level(block, settings, place, world)
    world.servers.append(
        Server(
            names=names,
            listens=listens,
            at=directive.at,
            locations=tuple(place.locations),
            goes_on_to=_goes_on_to(block, settings),
        )
    )


def _level(block: Sequence[Directive], settings: Settings, place: Place, world: World) -> None:
    """Process a server, a location, or the block of an `if` or `limit_except`."""
    world.logs.level(settings, world.settings, place.server, is_stream=world.is_stream)
    _answers(block, place, world)
    holding = _holding(block)
    for directive in block:
        if directive.name in PASSES and directive.children is None and (directive.args or directive.name == "tunnel_pass"):
            if directive.name == holding:
                _route(directive, settings, place, world)
        elif directive.children is None:
            continue
        elif directive.name == "location" and directive.args:
            _location(directive, directive.children, settings, place, world)
        elif directive.name in ("if", "limit_except"):
            text = " ".join(directive.args)
            condition = (
                f"limit_except {text}" if directive.name == "limit_except" else text.removeprefix("(").removesuffix(")").strip()
            )
            inside = msgspec.structs.replace(
                place,
                conditions=(*place.conditions, condition),
                values=variables.assigned(place.values, directive.children),
            )
            _level(directive.children, scope.inner(settings, directive.children), inside, world)


def _holding(block: Sequence[Directive]) -> str:
    """Return the name of the block's last pass directive, "" without one.

    Each module sets the handler of the location anew: `fastcgi_pass` before `proxy_pass` has no effect.
    """
    return next((directive.name for directive in reversed(block) if directive.name in PASSES), "")


def _location(directive: Directive, block: Sequence[Directive], outer: Settings, place: Place, world: World) -> None:
    settings = scope.inner(outer, block)
    path = (*place.path, location_name(directive.args))
    place.locations.append(Location(path=path, at=directive.at, goes_on_to=_goes_on_to(block, settings)))
    inside = msgspec.structs.replace(
        place,
        path=path,
        location_at=directive.at,
        values=variables.assigned(place.server_values, block),
    )
    _level(block, settings, inside, world)


def location_name(args: Sequence[str]) -> str:
    """Return the name of a location, with its modifier: `/api/`, `= /x`, `^~ /x`, `~ \\.php$`, `~* x`, `@name`."""
    if len(args) > 1:
        return " ".join(args[:2])
    match = re.fullmatch(r"(=|\^~|~\*|~)(.*)", args[0], re.DOTALL)
    return f"{match[1]} {match[2]}" if match else args[0]


def _goes_on_to(block: Iterable[Directive], settings: Settings) -> tuple[str, ...]:
    """Return the internal redirects of a level, to which requests go without an answer to the client."""
    found = []
    for directive in block:
        args = directive.args
        if directive.name == "try_files" and args and not args[-1].startswith("="):
            found.append(args[-1])
        elif directive.name == "rewrite" and len(args) > 1 and args[2:] not in (("redirect",), ("permanent",), ("break",)):
            found.append(args[1])
    found += [name for setting in settings.get("index", ()) for name in setting.args if not name.startswith("/")]
    found += [page for setting in settings.get("error_page", ()) for page in setting.args[-1:] if page[:1] in ("/", "@")]
    return tuple(dict.fromkeys(found))


def _answers(block: Iterable[Directive], place: Place | None, world: World) -> None:
    for directive in block:
        args = directive.args
        status = None
        if directive.name == "return" and args:
            status = units.number(args[0])
        elif directive.name == "deny" and args == ("all",):
            status = 403
        elif directive.name == "try_files" and args and args[-1].startswith("="):
            status = units.number(args[-1][1:])
        if status is not None and 400 <= status <= 999:
            world.answers.append(
                Answer(
                    server=place.server if place else "",
                    location=place.path[-1] if place and place.path else "",
                    status=status,
                    at=directive.at,
                    if_conditions=place.conditions if place else (),
                )
            )


def _route(directive: Directive, settings: Settings, place: Place, world: World) -> None:
    kind = STREAM_PASS if world.is_stream else PASSES[directive.name]
    directive = directive if directive.args else msgspec.structs.replace(directive, args=(TUNNEL,))
    known: variables.Values = ChainMap(place.values, place.elsewhere)  # type: ignore[arg-type]  # only read
    aim = passes.aim(directive, kind, known, world.upstreams, world.members, is_tls=place.is_tls)
    world.problems.update(dict.fromkeys(aim.problems))
    world.routes.append(
        Route(
            server=place.server,
            server_names=place.names,
            server_at=place.server_at,
            listens=place.listens,
            listens_tls=place.is_tls,
            location=place.path[-1] if place.path else "",
            location_at=place.location_at,
            location_path=place.path,
            at=directive.at,
            directive=directive.name,
            passes=directive.args[0],
            protocol=aim.protocol,
            uri=aim.uri,
            proxy_host=aim.proxy_host,
            upstream=aim.upstream.name if aim.upstream else None,
            peers=aim.peers,
            has_variables=variables.is_in(directive.args[0]),
            keepalive=aim.upstream.keepalive if aim.upstream else 0,
            keepalive_timeout_s=aim.upstream.keepalive_timeout_s if aim.upstream else 60.0,
            settings=settings,
            if_conditions=place.conditions,
            **_in_force(directive.name, kind, settings, world),
        )
    )


def _in_force(directive: str, kind: Pass, settings: Settings, world: World) -> dict[str, Any]:
    """Return the result of `passes.in_force`, computed once for all routes that inherit the same settings of their module."""
    prefix = f"{directive.removesuffix('_pass')}_"
    own = {
        name: found
        for name, found in settings.items()
        if (name.startswith(prefix) and name != directive) or name in (kind.header_directive, "resolver")
    }
    key = (directive, *((name, id(found)) for name, found in own.items()))
    if key not in world.in_force:
        world.in_force[key] = (own, passes.in_force(directive, kind, settings, world.defaults, world.problems))
    return world.in_force[key][1]


@lru_cache(maxsize=1 << 12)
def _listened(listen: str) -> Target | None:
    """Return the address of a `listen`; None for a range of ports."""
    address = listen.split()[0] if listen.split() else ""
    if (port := whole_number(address, 5)) is not None:
        return Target(host="0.0.0.0", port=port)
    found = passes.target(re.sub(r"^\*(?=:|$)", "0.0.0.0", address), 80)
    return None if re.search(r"\d-\d+$", address) and not address.startswith("unix:") else found
