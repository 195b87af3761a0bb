"""From files, or a dump of `nginx -T`, to the effective configuration."""

from __future__ import annotations

from why502.config.configuration import Configuration
from why502.gateways.nginx.config import routes, scope, units
from why502.gateways.nginx.config.defaults import WORKER_CONNECTIONS, build, by_version
from why502.gateways.nginx.config.files import Directive, Listing, Read, Rights, Where, dumped, gather, split_dump
from why502.gateways.nginx.config.logs import Logs
from why502.gateways.nginx.config.parse import parse
from why502.gateways.nginx.directives import table
from why502.model.errors import Why502Error


def load(
    read: Read,
    listing: Listing,
    main: str,
    prefix: str = "",
    *,
    version: str = "",
    build_arguments: tuple[str, ...] = (),
    command_line: str = "",
    error_log: str = "",
    where: Where = str,
    rights: Rights | None = None,
) -> Configuration:
    """Return the configuration with this main file (an absolute path). Raises the HostError of `read` for that file.

    `read(path)` returns a file's content, `listing(directory)` the names in a directory; both raise HostError. `prefix`:
    option -p. `version`: "1.22.1". `build_arguments`: the configure arguments of `nginx -V`; without them no built-in path is
    known. `command_line`: the directives of option -g. `error_log`: option -e. `where(path)`: the real location of an included
    path, if different. `rights(file)`: the functions that read and list a file's includes, if not `read` and `listing`.
    """
    built = build(build_arguments, prefix, error_log)
    files, directives = gather(read, listing, main, where, rights)
    given = parse(command_line.encode(), "-g") if command_line else None
    if given is not None:
        directives = files.expand(given.children, (main,)) + directives
    if _is_of_stream(directives):
        directives = [Directive(name="stream", args=(), at=directives[0].at, children=tuple(directives))]
    logs = Logs(built)
    settings = scope.inner({}, [*directives, *_blocks(directives, "events")])
    logs.main(settings)
    http = routes.World(defaults=by_version(version), logs=logs)
    stream = routes.World(defaults=by_version(version), logs=logs, is_stream=True)
    for name, world in (("http", http), ("stream", stream)):
        if block := _blocks(directives, name):
            routes.read(block, settings, world)
    if any(directive.name in ("server", "upstream", "location") for directive in directives):
        routes.read(_fragment(directives), settings, http)
    return Configuration(
        files=tuple(files.records),
        trees=tuple(files.trees.values()),
        routes=(*http.routes, *stream.routes),
        upstreams=(*http.upstreams.values(), *stream.upstreams.values()),
        servers=(*http.servers, *stream.servers),
        answers=(*http.answers, *stream.answers),
        logs=logs.found,
        listens=tuple(dict.fromkeys((*http.listens, *stream.listens))),
        user=scope.first(settings, "user") or built.user,
        worker_connections=units.number(scope.first(settings, "worker_connections")) or WORKER_CONNECTIONS,
        worker_files_limit=units.number(scope.first(settings, "worker_rlimit_nofile")),
        pid_file=built.path(scope.first(settings, "pid")) or built.pid_file,
        problems=(*files.problems, *http.problems, *stream.problems, *logs.problems),
        gaps=tuple(files.gaps),
        directives=tuple(directives),
    )


def load_dump(dump: bytes, prefix: str = "", *, version: str = "", build_arguments: tuple[str, ...] = ()) -> Configuration:
    """Return the configuration in the output of `nginx -T`. Raises Why502Error if it is not such a dump."""
    contents = split_dump(dump)
    if not contents:
        raise Why502Error("this is not a configuration dump", "Create one with: nginx -T > FILE")
    read, listing = dumped(contents)
    return load(read, listing, next(iter(contents)), prefix, version=version, build_arguments=build_arguments)


def _blocks(directives: list[Directive], name: str) -> list[Directive]:
    """Return the content of every top-level block with that name."""
    return [child for directive in directives if directive.name == name for child in directive.children or ()]


def _is_of_stream(directives: list[Directive]) -> bool:
    """Return whether a file without `http` and `stream` belongs into `stream`: its servers proxy outside a location, or use
    UDP.
    """
    if any(directive.name in ("http", "stream", "events") for directive in directives):
        return False
    inside = [child for directive in directives if directive.name == "server" for child in directive.children or ()]
    known = [found for child in inside if (found := table().get(child.name))]
    return any(found.may_stand("r") and not found.may_stand("s") for found in known) and not any(
        child.name == "location" for child in inside
    )


def _fragment(directives: list[Directive]) -> list[Directive]:
    """Return a file that belongs into `http`, or into a `server` there, as the content of `http`."""
    loose = tuple(directive for directive in directives if directive.name == "location")
    if not loose:
        return directives
    server = Directive(name="server", args=(), at=loose[0].at, children=loose)
    return [*(directive for directive in directives if directive not in loose), server]
