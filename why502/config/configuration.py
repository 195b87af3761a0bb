"""Configuration: the meaning of a proxy's configuration files, for every product."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from why502.config.tree import Tree
from why502.model.config import Answer, LogTarget, Route, Server, Upstream
from why502.model.proxy import ConfigFile, ConfigProblem, UnusedRoute
from why502.model.snapshot import Gap
from why502.model.target import Target

if TYPE_CHECKING:
    from why502.gateways.nginx.config.files import Directive


RouteFinder = Callable[[str, str, bool], Route | None]  # path, server, whether the request is known to be proxied


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `model.proxy.Proxy` that come from the configuration, under the same names, and the trees.

    `problems`: errors for which the proxy would refuse the configuration, in its own words where we know them. `gaps`:
    unreadable parts.
    """

    files: tuple[ConfigFile, ...] = ()  # in the order in which the proxy reads them; the main one first
    trees: tuple[Tree, ...] = ()  # one for each of `files`
    routes: tuple[Route, ...] = ()
    routes_elsewhere: bool = False  # further routes may come from another source than files: Docker, a discovery service
    unused_routes: tuple[UnusedRoute, ...] = ()
    attaches_by_default: bool | None = None  # whether containers need no label to get a route; None: it looks at no containers
    upstreams: tuple[Upstream, ...] = ()
    servers: tuple[Server, ...] = ()
    answers: tuple[Answer, ...] = ()
    logs: tuple[LogTarget, ...] = ()
    listens: tuple[Target, ...] = ()
    user: str = ""  # user of its workers; "" if none is set
    worker_connections: int | None = None
    worker_files_limit: int | None = None
    pid_file: str = ""
    problems: tuple[ConfigProblem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    directives: tuple[Directive, ...] = ()  # as the proxy sees them, includes resolved (nginx)

    def tree(self, file: str) -> Tree | None:
        """Return the tree of a file."""
        return next((tree for tree in self.trees if tree.file == file), None)
