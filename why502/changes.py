"""What remedies are made of: changes of the proxy's configuration files, as the snapshot holds them, and the commands that load them.

Pure: nothing is written here. Each function gives None where the snapshot does not hold what the change needs, so that a remedy falls
back to words.
"""

from __future__ import annotations

from collections.abc import Iterable

from why502.case import Case
from why502.config import edit
from why502.config.nginx import parse
from why502.config.tree import Tree, content, node_at
from why502.model.config import Position, Route
from why502.model.errors import Why502Error
from why502.model.remedy import Edit, Run
from why502.model.snapshot import Proxy
from why502.model.target import Target

_FAMILY = {"grpcs": "grpc", "https": "proxy", "http": "proxy", "tcp": "proxy"}


def tree_of(case: Case, at: Position | None) -> Tree | None:
    """Return the tree of the file that a place lies in."""
    if at is None:
        return None
    return next((parse(content(file), file.path) for proxy in case.proxies for file in proxy.files if file.path == at.file), None)


def reload(proxy: Proxy | None) -> tuple[Run, ...]:
    """Return the test of the configuration and its reload, by the proxy's own binary and options; () where it does not run.

    The reload takes itself back: once the files are as before, it loads those.
    """
    if proxy is None or not proxy.is_running or not proxy.exe:
        return ()
    program = (proxy.exe, *proxy.options)
    load = (*program, "-s", "reload")
    return (Run(argv=(*program, "-t")), Run(argv=load, undo=load))


def family(route: Route) -> str:
    """Return the prefix of the directives of a route: proxy, fastcgi, uwsgi, scgi, grpc."""
    return _FAMILY.get(route.protocol, route.protocol)


def set_in_route(case: Case, name: str, value: str, route: Route | None = None) -> Edit | None:
    """Return what makes `name value;` hold for the route: in its own block, where it is set already there, too."""
    route = route or case.route
    if route is None:
        return None
    into = route.location_at or route.at
    tree = tree_of(case, into)
    if tree is None or into is None or route.location_at is None:
        return None
    try:
        return edit.set_directive(tree, into, name, value)
    except Why502Error:
        return None


def together(case: Case, changes: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the changes, additions at the same place made one: its diff can be read and applied, theirs would overlap."""
    found: dict[tuple[str, int], Edit] = {}
    for change in changes:
        place = (change.file, change.start)
        tree = tree_of(case, Position(file=change.file, line=change.line))
        if place in found and change.start == change.end and tree is not None:
            found[place] = edit.replace(tree, change.start, change.end, found[place].after + change.after)
        else:
            found[place] = change
    return tuple(found.values())


def repoint(case: Case, to: Target) -> Edit | None:
    """Return what lets the proxy connect to another address: of its argument only the host, port or path changes that differs."""
    peer, route, target = case.peer, case.route, case.target
    at = (peer.at if peer else None) or (route.at if route else None)
    tree = tree_of(case, at)
    if peer is None or target is None or tree is None or at is None:
        return None
    try:
        words = node_at(tree, at).words
    except Why502Error:
        return None
    for word in words[1:]:
        new = _readdressed(word.value, target, to)
        if new is not None:
            return edit.replace(tree, word.start, word.end, new)
    return None


def _readdressed(word: str, old: Target, new: Target) -> str | None:
    """Return the argument with the new address in it, None where the old one does not stand there."""
    if old.is_unix or new.is_unix:
        return word.replace(old.path, new.path, 1) if old.is_unix and new.is_unix and old.path in word else None
    scheme, found, rest = word.partition("://")
    if not found:
        scheme, rest = "", word
    address = rest.split("/", 1)[0]
    parsed = Target.parse(address)
    if parsed is None or "$" in address or (parsed.port and parsed.port != old.port):
        return None
    host = parsed.host if old.host == new.host or new.is_wildcard else new.host
    host = f"[{host}]" if ":" in host else host
    after = f"{host}:{new.port}"
    return f"{scheme}{found}{after}{rest[len(address) :]}" if found else after + rest[len(address) :]


def rescheme(case: Case, scheme: str) -> Edit | None:
    """Return what lets proxy_pass (or grpc_pass) speak another scheme."""
    route = case.route
    tree = tree_of(case, route.at if route else None)
    if route is None or route.at is None or tree is None:
        return None
    try:
        word = node_at(tree, route.at).words[1]
    except (Why502Error, IndexError):
        return None
    old, found, rest = word.value.partition("://")
    return edit.replace(tree, word.start, word.end, f"{scheme}://{rest}") if found and old != scheme else None


def size(bytes_: int) -> str:
    """Return a size as nginx takes it, in whole KiB."""
    return f"{-(-bytes_ // 1024)}k"
