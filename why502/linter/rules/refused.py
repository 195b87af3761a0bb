"""Configurations that nginx rejects although each directive is valid: buffers, groups, locations, zones.

Sources: `*_merge_loc_conf` of the upstream modules, src/http/ngx_http_upstream.c (ngx_http_upstream_server),
src/http/modules/ngx_http_proxy_module.c (ngx_http_proxy_pass), src/http/ngx_http.c (ngx_http_add_location).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.config import edit
from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.deployment.variants import alternatives, certainty, directory_of, joined
from why502.gateways.nginx.config import units
from why502.model.config import Position
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.model.remedy import Remedy

_INVALID = "proxy-config-invalid"
_PAGE = 4096
_LOCATION = lazy(r"(=|\^~|~\*|~)?(.*)", re.DOTALL)
_NO_BACKUP = frozenset({"hash", "ip_hash", "random"})
_ZONES = (
    ("limit_req", "limit_req_zone", r"zone=([^:]+).*"),
    ("limit_conn", "limit_conn_zone", r"([^=]+)"),
    ("proxy_cache", "proxy_cache_path", r"(?!off$)([^$]+)"),
    ("fastcgi_cache", "fastcgi_cache_path", r"(?!off$)([^$]+)"),
    ("uwsgi_cache", "uwsgi_cache_path", r"(?!off$)([^$]+)"),
    ("scgi_cache", "scgi_cache_path", r"(?!off$)([^$]+)"),
)


@rule(10, "buffers-contradict", Severity.ERROR, _INVALID)
def buffers(deployment: Deployment) -> Iterator[Risk]:
    """The sizes of the response buffers contradict each other.

    busy_buffers_size must be at least the larger of buffer_size and one buffer, and at most all buffers but one. By default it is
    twice that larger size, so raising only proxy_buffer_size to 16k is refused already. The message names the end of the block,
    not the directive.
    """
    seen = set()
    modules = [module for module in ("proxy", "fastcgi", "uwsgi", "scgi") if deployment.uses(*_buffer_names(module))]
    for level in deployment.blocks("server", "location", "if") if modules else ():
        if level.path[:1] == ("stream",):
            continue
        for module in modules:
            if found := _contradiction(deployment, level, module):
                at = found.at
                if at not in seen:
                    seen.add(at)
                    yield found


def _buffer_names(module: str) -> tuple[str, ...]:
    return tuple(f"{module}_{name}" for name in ("busy_buffers_size", "buffer_size", "buffers", "temp_file_write_size"))


def _contradiction(deployment: Deployment, level: Level, module: str) -> Risk | None:
    names = _buffer_names(module)
    set_here = [level.settings[name][-1] for name in names if name in level.settings]
    if not set_here:
        return None
    busy_at, size_at, buffers_at, _ = (level.settings[name][-1] if name in level.settings else None for name in names)
    size = units.size(size_at.args[0]) if size_at and size_at.args else _PAGE
    count, each = 8, _PAGE
    if buffers_at:
        if len(buffers_at.args) != 2:
            return None
        count, each = units.number(buffers_at.args[0]) or 0, units.size(buffers_at.args[1]) or 0
    if not size or not each:
        return None
    largest = max(size, each)
    busy = (units.size(busy_at.args[0]) if busy_at and busy_at.args else None) or 2 * largest
    write = units.size(level.first(f"{module}_temp_file_write_size")) or 2 * largest
    at = set_here[0].at
    if count < 2:
        return risk(f'there must be at least 2 "{module}_buffers"', buffers_at.at if buffers_at else at, "use at least 4")
    room = (count - 1) * each
    if largest <= busy <= room and write >= largest:
        return None
    if write < largest <= busy <= room:
        message = f"{module}_temp_file_write_size {_k(write)} is less than the largest buffer, {_k(largest)}"
        return risk(message, level.settings[names[3]][-1].at, "raise it, or remove it")
    how = "" if busy_at else " (twice the largest buffer, its default)"
    message = (
        f"{module}_busy_buffers_size is {_k(busy)}{how}, and must be at least the largest buffer, {_k(largest)}"
        if busy < largest
        else f"{module}_busy_buffers_size is {_k(busy)}{how}, and must be at most all {module}_buffers but one, {_k(room)}"
    )
    return risk(message, at, _smaller(deployment, module, at, busy_at is not None, largest, room) or _advice(module, size))


def _advice(module: str, size: int) -> str:
    return f"change them together: {module}_buffer_size {_k(size)}; {module}_buffers 4 {_k(size)};"


def _smaller(deployment: Deployment, module: str, at: Position | None, is_set: bool, largest: int, room: int) -> Remedy | None:
    """Return the smallest change: a busy size that fits. None if no size fits."""
    tree = deployment.trees.get(at.file) if at else None
    if largest > room or tree is None or at is None:
        return None
    value = _k(largest)
    line = f"{module}_busy_buffers_size {value};"
    step = edit.replace_argument(tree, at, 1, value) if is_set else edit.insert_after(tree, at, line)
    return Remedy(message=f"`{line}` fits", steps=(step,), safe=True)


def _k(size: int) -> str:
    return f"{size >> 10}k" if size % 1024 == 0 else str(size)


@rule(11, "backup-not-allowed", Severity.ERROR, _INVALID)
def backup_with_hash(deployment: Deployment) -> Iterator[Risk]:
    """A group has a `backup` server, but its balancing method does not support one.

    nginx refuses it with hash, ip_hash and random: `balancing method does not support parameter "backup"`.
    """
    for group in deployment.upstreams:
        for peer in group.peers:
            if peer.is_backup and group.method in _NO_BACKUP:
                yield risk(f"{group.method} does not support backup servers", peer.at, "use another method, or drop `backup`")


@rule(12, "group-without-servers", Severity.ERROR, "no-upstream-members")
def no_servers(deployment: Deployment) -> Iterator[Risk]:
    """A group has no server, or only backup servers.

    nginx refuses it: `no servers are inside upstream`, `no servers in upstream`. Groups with `zone` may be filled through an API.
    """
    for level in deployment.blocks("upstream"):
        if level.own("include", "zone", "state") or any(
            directive.name.startswith("balancer_by_lua") for directive in level.directives
        ):
            continue
        group = level.args[0] if level.args else ""
        servers = level.own("server")
        if not servers:
            yield risk(f'there is no server in upstream "{group}"', level.at, "add one, or remove the group")
        elif all("backup" in server.args for server in servers):
            yield risk(f'upstream "{group}" has only backup servers', level.at, "remove `backup` from one")


@rule(13, "duplicate-group", Severity.ERROR, _INVALID)
def duplicate_group(deployment: Deployment) -> Iterator[Risk]:
    """Two groups have the same name.

    nginx refuses it: `duplicate upstream`.
    """
    seen: dict[tuple[tuple[str, ...], str], Position | None] = {}
    for level in deployment.blocks("upstream"):
        key = (level.path[:1], level.args[0].lower() if level.args else "")
        if key in seen and level.at != seen[key] and not alternatives(seen[key], level.at):
            severity = certainty(seen[key], level.at, deployment.is_here)
            if severity is Severity.WARNING and level.at and directory_of(level.at) in deployment.patterned - {"sites-enabled"}:
                severity = Severity.NOTE  # it may replace the one of the main file, and the deployment may lack it
            message = f'upstream "{level.args[0]}" is also defined at {seen[key]}'
            yield risk(message, level.at, "rename or remove one", severity=severity)
        seen.setdefault(key, level.at)


@rule(14, "duplicate-location", Severity.ERROR, _INVALID)
def duplicate_location(deployment: Deployment) -> Iterator[Risk]:
    """Two locations of a server are the same.

    nginx refuses it for prefixes, exact and named ones (`duplicate location`). Of two equal regular expressions the second is
    never used.
    """
    for level in deployment.blocks("server", "location"):
        seen: dict[tuple[str, ...], Position] = {}
        for directive in level.own("location"):
            match = _LOCATION.fullmatch(" ".join(directive.args).strip())
            modifier, name = ((match[1] or "").strip(), match[2].strip()) if match else ("", "")
            kind = "exact" if modifier == "=" else modifier if modifier.startswith("~") else "prefix"
            if (kind, name) in seen:
                shown = " ".join(directive.args)
                is_expression = kind.startswith("~")
                message = f'location "{shown}" is also at {seen[kind, name]}' + (
                    "; this one is never reached" if is_expression else ""
                )
                severity = Severity.WARNING if is_expression else joined(seen[kind, name], directive.at, deployment.is_here)
                yield risk(message, directive.at, "merge or remove one", severity=severity)
            else:
                seen[kind, name] = directive.at


@rule(15, "duplicate-default-server", Severity.ERROR, _INVALID)
def duplicate_default(deployment: Deployment) -> Iterator[Risk]:
    """Two servers are the default of one address.

    nginx refuses it: `a duplicate default server`.
    """
    seen: dict[str, Position | None] = {}
    for server in deployment.servers:
        for listen in server.listens:
            address, *words = listen.split() or [""]
            if not {"default_server", "default"} & set(words):
                continue
            address = re.sub(r"^(?:\*|0\.0\.0\.0):", "", address)
            if address in seen and seen[address] != server.at and not alternatives(seen[address], server.at):
                severity = certainty(seen[address], server.at, deployment.is_here)
                message = f"{address} has another default server at {seen[address]}"
                yield risk(message, server.at, "keep one of them", severity=severity)
            seen.setdefault(address, server.at)


@rule(16, "uri-not-allowed", Severity.ERROR, _INVALID)
def uri_not_allowed(deployment: Deployment) -> Iterator[Risk]:
    """A `proxy_pass` has a URI part where none is allowed.

    In a location given by a regular expression, a named one, within `if` or `limit_except` nginx does not know which part of the
    request's URI to replace, and refuses the configuration. A single `/` after the port already counts as a URI.
    """
    for route in deployment.routes:
        if route.directive != "proxy_pass" or route.uri is None or route.has_variables:
            continue
        is_expression = route.location.startswith(("~", "@"))
        if is_expression or route.if_conditions:
            where = "within `if` or `limit_except`" if route.if_conditions else f"in location {route.location}"
            yield risk(f'"{route.uri}" may not follow the address {where}', route.at, "remove the URI, or rewrite before")


@rule(17, "zone-not-defined", Severity.ERROR, _INVALID)
def zone_not_defined(deployment: Deployment) -> Iterator[Risk]:
    """A limit or a cache names a zone that nothing defines.

    nginx refuses it: `zero size shared memory zone`, `"proxy_cache" zone is unknown`.
    """
    if not deployment.is_whole or not all(level.is_known for level in deployment.blocks("http", "")):
        return
    defined = {
        (directive.name, name)
        for definition in {definition for _, definition, _ in _ZONES}
        for _, directive in deployment.uses(definition)  # also where it is misplaced, which another rule reports
        for word in directive.args
        if (name := word.partition("=")[2].partition(":")[0]) and word.startswith(("zone=", "keys_zone="))
    }
    for name, definition, pattern in _ZONES:
        for _, directive in deployment.uses(name):
            words = (match[1] for word in directive.args if (match := re.fullmatch(pattern, word)))
            zone = next(words, None)
            if zone and (definition, zone) not in defined:
                yield risk(f'no {definition} defines the zone "{zone}"', directive.at, f"define it in http with {definition}")


@rule(18, "resolve-incomplete", Severity.ERROR, _INVALID, depends_on_build=True)
def resolve_incomplete(deployment: Deployment) -> Iterator[Risk]:
    """`server … resolve` lacks what it needs: a `zone` in the group and a `resolver`.

    nginx refuses it without the zone, and cannot look the name up without the resolver.
    """
    for level in deployment.blocks("upstream"):
        resolving = [server for server in level.own("server") if "resolve" in server.args]
        if not resolving or not level.is_known:
            continue
        missing = [name for name in ("zone", "resolver") if name not in level.settings]
        if not deployment.is_whole:
            missing = [name for name in missing if name == "zone"]
        if missing:
            yield risk(f'"resolve" needs {" and ".join(missing)}', resolving[0].at, f"add {' and '.join(missing)} to the group")


@rule(19, "value-out-of-range", Severity.ERROR, _INVALID)
def weights(deployment: Deployment) -> Iterator[Risk]:
    """A server's `weight` is 0 or not a number, or its `max_fails` or `fail_timeout` is invalid.

    nginx refuses it: `invalid parameter`. To send no requests to a server, mark it `down`.
    """
    for level in deployment.blocks("upstream"):
        for server in level.own("server"):
            for word in server.args[1:]:
                name, _, value = word.partition("=")
                is_bad = (name == "weight" and not units.number(value)) or (name == "max_fails" and units.number(value) is None)
                if is_bad or (name == "fail_timeout" and units.time(value) is None):
                    advice = "mark the server `down`" if (name, value) == ("weight", "0") else "write a number"
                    yield risk(f'"{word}" is rejected', server.at, advice)
