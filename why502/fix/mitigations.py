"""Mitigations: from a snapshot to a plan that relieves an outage at once and can be reverted. Pure.

Each raises Why502Error if the configuration lacks something that the mitigation needs.
"""

from __future__ import annotations

import json
import re
import zlib

import msgspec

from why502.config import edit
from why502.config.tree import Node, Tree, content, node_at, nodes
from why502.diagnosis.targets import addresses
from why502.fix.plan import Plan, warnings
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import parse
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.remedy import Edit
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.remedies.changes import family, reload

ANSWER_BYTES = 3000  # a word in nginx's configuration has less than 4096 bytes (NGX_CONF_BUFFER, src/core/ngx_conf_file.c)
NO_BACKUP = ("ip_hash", "hash", "random", "ip-hash")  # balancing methods that refuse `backup` (ngx_http_upstream_module)
STALE = "error timeout updating http_500 http_502 http_503 http_504"
FORCED = " --force"
SHOWN = 6
NO_BODY = (204, 205, 304, 444, 499)  # statuses without a body, or nginx's own code for sending no response
_PLAIN = lazy(r"[\w.:/\[\]-]{1,200}", re.ASCII)

Member = tuple[Proxy, Upstream, Peer]


def down(snapshot: Snapshot, text: str, *, is_forced: bool = False) -> Plan:
    """Mark a server `down` in each group that contains it: it gets no more requests and keeps its place."""
    members = _members(snapshot, text)
    gone = frozenset().union(*(_servers(peer, snapshot) for *_, peer in members))
    members += [member for member in _every(snapshot) if member not in members and _servers(member[2], snapshot) <= gone]
    up = [member for member in members if not member[2].is_down]
    if not up:
        raise Why502Error(f"{text} is already marked down", "`why502 mitigate list` shows the active mitigations.")
    if len({proxy.config for proxy, *_ in up}) > 1:
        raise Why502Error(f"{text} is a server of several proxies", "Name one of them with --config.")
    for _, group, peer in up:
        if not is_forced and not any(not other.is_down and _servers(other, snapshot) - gone for other in group.peers):
            raise Why502Error(
                f"{peer.name} is the last server of group {group.name}: without it, every request to the group fails with 502",
                "Bring another one in first (why502 mitigate standby), serve an answer (why502 mitigate answer), or use --force.",
            )
    changes = tuple(edit.add_argument(_tree(proxy, peer.at), _place(peer.at), "down") for proxy, _, peer in up)
    names = {group.name for _, group, _ in up}
    plan = _plan(f"down {text}", f"take {text} out of {', '.join(sorted(names))}: it gets no new requests", up[0][0], changes)
    if not is_forced:
        return plan
    places = tuple(route.at for route in up[0][0].routes if route.upstream in names and route.at)
    return msgspec.structs.replace(plan, mitigation=f"{plan.mitigation}{FORCED}", places=places)


def may_fail(lever: str) -> bool:
    """Return whether the mitigated routes may fail afterwards: because the proxy answers for them, or because the user
    allowed it.
    """
    return lever.startswith("answer ") or lever.endswith(FORCED)


def _servers(peer: Peer, snapshot: Snapshot) -> frozenset[tuple[str, int] | Target | str]:
    """Return an upstream member in a form that is equal for all its names: 127.0.0.1, [::1] and localhost are the same."""
    found = addresses(peer, snapshot) or ((peer.target,) if peer.target else ())
    return frozenset(
        ("loopback", target.port) if target.is_loopback and not target.is_unix else target for target in found
    ) or frozenset({peer.name})


def standby(snapshot: Snapshot, text: str, *, group: str = "", is_backup: bool = False) -> Plan:
    """Bring a server into service: without its `down` or `backup`, or as a new member.

    `is_backup`: only used if the others fail.
    """
    found = [member for member in _every(snapshot) if _is(member[2], text) and group in ("", member[1].name)]
    if found:
        return _changed(found, text, is_backup=is_backup)
    target = Target.parse(text)
    if target is None or str(target) != text or not _PLAIN.fullmatch(text) or not (target.port or target.is_unix):
        raise Why502Error(f"{text!r} is not a valid server address", "Write it like 10.0.0.7:8080, or unix:/run/app.sock.")
    proxy, into = _group(snapshot, group)
    _may_back_up(into, is_backup=is_backup)
    tree = _tree(proxy, into.at)
    line = f"server {text}{' backup' if is_backup else ''};"
    last = into.peers[-1].at if into.peers else None
    change = edit.insert_after(tree, last, line) if last and last.file == tree.file else edit.insert(tree, _place(into.at), line)
    how = "as backup of" if is_backup else "into"
    return _plan(f"standby {text}", f"bring {text} {how} group {into.name}", proxy, (change,))


def _changed(found: list[Member], text: str, *, is_backup: bool) -> Plan:
    changes = []
    for proxy, group, peer in found:
        tree, at = _tree(proxy, peer.at), _place(peer.at)
        if is_backup and not peer.is_backup:
            _may_back_up(group, is_backup=True)
            if not any(other.at != peer.at and not other.is_down and not other.is_backup for other in group.peers):
                raise Why502Error(
                    f"{text} is the only server of {group.name} that is not a backup", "Bring another one in first."
                )
            changes.append(edit.add_argument(tree, at, "backup"))
        elif not is_backup and (peer.is_down or peer.is_backup):
            unwanted = [word for word in node_at(tree, at).words[2:] if word.value in ("down", "backup")]
            changes += [edit.replace(tree, word.start - 1, word.end, "") for word in unwanted]
    if not changes:
        raise Why502Error(f"{text} is {'a backup' if is_backup else 'in use'} already", "Nothing to do.")
    message = f"use {text} only when the others fail" if is_backup else f"bring {text} back in"
    return _plan(f"standby {text}", message, found[0][0], tuple(changes))


def _may_back_up(group: Upstream, *, is_backup: bool) -> None:
    if is_backup and group.method.split()[0] in NO_BACKUP:
        raise Why502Error(
            f"group {group.name} balances by {group.method}, which does not support backups", "Bring it in as a full member."
        )


def timeout(snapshot: Snapshot, text: str, seconds: float) -> Plan:
    """Make one route wait longer for a response."""
    proxy, route = route_of(snapshot, text)
    if seconds <= route.read_timeout_s:
        raise Why502Error(
            f"that route already waits {route.read_timeout_s:g} s",
            "Give a longer time. To fail sooner, change the configuration.",
        )
    name = f"{family(route)}_read_timeout"
    change = edit.set_directive(_tree(proxy, route.location_at), _place(route.location_at), name, f"{seconds:g}s")
    message = f"let {label(route)} wait {seconds:g} s instead of {route.read_timeout_s:g} s for an answer"
    return _plan(f"timeout {label(route)} {seconds:g}", message, proxy, (change,), route)


def answer(snapshot: Snapshot, text: str, body: str, kind: str, status: int) -> Plan:
    """Serve a fixed response for a route instead of its backend. `kind`: json or html."""
    if 300 <= status < 400 or status in NO_BODY:
        raise Why502Error(f"an answer of status {status} has no body", "Give another --status, such as 503 or 200.")
    proxy, route = route_of(snapshot, text)
    tree, at = _tree(proxy, route.location_at), _place(route.location_at)
    block = node_at(tree, at)
    if any(child.name == "return" for child in block.children):
        raise Why502Error(f"{label(route)} already has a `return`", "Change that `return` instead.")
    line = f" return {status} {_quoted(body, kind)};"
    media = "application/json" if kind == "json" else "text/html"
    own = next((child for child in block.children if child.name == "default_type"), None)
    types = next((child for child in block.children if child.name == "types"), None)
    changes = [] if own is None else [edit.replace_directive(tree, own.words[0].at, f"default_type {media};")]
    if types is None:  # else the type follows the extension of the request's path
        line += " types { }"
    elif types.children:
        changes.append(edit.replace(tree, types.start, types.end, "types { }"))
    line += "" if own else f" default_type {media};"
    start = block.head[-1].end
    return _plan(
        f"answer {label(route)}",
        f"answer {status} for {label(route)} without asking its backend",
        proxy,
        (edit.replace(tree, start, start, line), *changes),
        route,
    )


def stale(snapshot: Snapshot, text: str) -> Plan:
    """Serve cached responses, even stale ones, while the backend fails."""
    proxy, route = route_of(snapshot, text)
    cache = route.setting(f"{family(route)}_cache")
    if cache is None or cache.args[:1] in ((), ("off",)):
        raise Why502Error(f"{label(route)} has no cache", "Serve a fixed answer: why502 mitigate answer ROUTE --json TEXT")
    name = f"{family(route)}_cache_use_stale"
    change = edit.set_directive(_tree(proxy, route.location_at), _place(route.location_at), name, STALE)
    return _plan(
        f"answer {label(route)} --stale", f"serve {label(route)} from its cache while the backend fails", proxy, (change,), route
    )


def limit(snapshot: Snapshot, text: str, most: int) -> Plan:
    """Limit the concurrent requests of a route; the others get 503 immediately."""
    proxy, route = route_of(snapshot, text)
    tree, at = _tree(proxy, route.location_at), _place(route.location_at)
    zone = f"why502_{zlib.crc32(f'{at.file} {label(route)}'.encode()):08x}"
    if any(zone in file.text for file in proxy.files):
        raise Why502Error(f"{label(route)} is already limited", "Undo that mitigation first: why502 mitigate list")
    server = _around(tree, at, "server")
    if server is None:
        raise Why502Error(f"{label(route)} is in a file without its server block", "Set limit_conn manually.")
    # A limit at one level replaces those of the levels above (ngx_http_limit_conn_merge_conf), so they are repeated.
    own = any(child.name == "limit_conn" for child in node_at(tree, at).children)
    inherited = () if own else route.settings.get("limit_conn", ())
    lines = [*(f"limit_conn {' '.join(setting.args)};" for setting in inherited), f"limit_conn {zone} {most};"]
    zone_line = f"limit_conn_zone $server_name zone={zone}:64k;"
    changes = (edit.insert_before(tree, server.words[0].at, zone_line), edit.insert(tree, at, " ".join(lines)))
    return _plan(
        f"limit {label(route)} {most}",
        f"limit {label(route)} to {most} concurrent requests",
        proxy,
        changes,
        route,
    )


def label(route: Route) -> str:
    """Return the display name of a route: server name and location."""
    name = next((name for name in route.server_names if name and name != "_"), "")
    return f"{name}{route.location}" if route.location.startswith("/") else f"{name} {route.location}".strip()


def route_of(snapshot: Snapshot, text: str) -> tuple[Proxy, Route]:
    """Return the one route that a text names: by location, or by server name and location.

    Raises Why502Error if no route matches, or several do.
    """
    every = [(p, r) for p in _editable(snapshot) for r in p.routes if r.location_at is not None]
    found: dict[Position, tuple[Proxy, Route]] = {}
    for proxy, route in every:
        bare = route.location.split(" ", 1)[-1]
        names = {label(route), route.location, bare, *(f"{name}{bare}" for name in route.server_names)}
        if text in names and route.location_at is not None:
            found.setdefault(route.location_at, (proxy, route))
    if len(found) == 1:
        return next(iter(found.values()))
    known = found.values() if found else every
    listed = list(dict.fromkeys(f"{label(route)} ({route.location_at})" for _, route in known))
    more = f", and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    raise Why502Error(
        f"{text!r} matches {len(found)} routes" if found else f"no route to a backend matches {text!r}",
        f"There {'is' if len(listed) == 1 else 'are'}: {', '.join(listed[:SHOWN])}{more}."
        if listed
        else "No route to a backend was found.",
    )


def _editable(snapshot: Snapshot) -> tuple[Proxy, ...]:
    return tuple(proxy for proxy in snapshot.proxies or () if behaviour(proxy.kind).takes_directives)


def _every(snapshot: Snapshot) -> list[Member]:
    return [(proxy, group, peer) for proxy in _editable(snapshot) for group in proxy.upstreams for peer in group.peers]


def _is(peer: Peer, text: str) -> bool:
    wanted = Target.parse(text)
    return peer.name == text or (wanted is not None and peer.target == wanted) or (":" not in text and peer.name == f"{text}:80")


def _members(snapshot: Snapshot, text: str) -> list[Member]:
    found = [member for member in _every(snapshot) if _is(member[2], text)]
    if found:
        return found
    if any(_is(peer, text) for proxy in snapshot.proxies or () for route in proxy.routes for peer in route.peers):
        raise Why502Error(
            f"{text} is not in an upstream group: a route passes to it directly, so there is no other server to take over",
            "Serve a fixed answer instead: why502 mitigate answer ROUTE --json TEXT",
        )
    known = list(dict.fromkeys(f"{peer.name} ({group.name})" for _, group, peer in _every(snapshot)))
    hint = f"There are: {', '.join(known[:SHOWN])}." if known else "The configuration has no upstream group."
    raise Why502Error(f"no group has a server {text}", hint)


def _group(snapshot: Snapshot, name: str) -> tuple[Proxy, Upstream]:
    found = {
        (proxy.config, group.name): (proxy, group) for proxy in snapshot.proxies or () for group in proxy.upstreams if group.at
    }
    wanted = [both for (_, own), both in found.items() if name in ("", own)]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(sorted(own for _, own in found)) or "none"
    message = f"there is no group {name}" if name else f"there are {len(found)} groups" if found else "there is no upstream group"
    raise Why502Error(message, f"Name one with --group: {names}.")


def _plan(mitigation: str, message: str, proxy: Proxy, changes: tuple[Edit, ...], route: Route | None = None) -> Plan:
    if not proxy.is_running:
        raise Why502Error(
            f"{proxy.kind} with {proxy.config} is not running",
            "Start it first; `why502 diagnose` names what keeps it from running.",
        )
    return Plan(
        cause="", message=f"Mitigation: {message}.", remedy=message, mitigation=mitigation, edits=_together(proxy, changes),
        runs=reload(proxy), proxy=proxy, at=route.at if route else None, warnings=warnings(changes, proxy),
    )  # fmt: skip


def _together(proxy: Proxy, changes: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Return the changes without duplicates, which arise if two groups include the same file."""
    found: dict[tuple[str, int, int], Edit] = {}
    for change in changes:
        place = (change.file, change.start, change.end)
        if place in found and found[place].after != change.after:
            tree = _tree(proxy, Position(file=change.file, line=change.line))
            found[place] = edit.replace(tree, change.start, change.end, found[place].after + change.after)
        else:
            found[place] = change
    return tuple(found.values())


def _tree(proxy: Proxy, at: Position | None) -> Tree:
    file = next((file for file in proxy.files if at and file.path == at.file), None)
    if file is None:
        raise Why502Error("the position in the configuration is unknown", "Change it manually.")
    return parse(content(file), file.path)


def _place(at: Position | None) -> Position:
    if at is None:
        raise Why502Error("the position in the configuration is unknown", "Change it manually.")
    return at


def _around(tree: Tree, at: Position, name: str) -> Node | None:
    """Return the block of that name that encloses a place."""
    own = node_at(tree, at).start
    return next(
        (
            node
            for node in nodes(tree)
            if node.name == name and node.body is not None and node.start < own and own in {inner.start for inner in _below(node)}
        ),
        None,
    )


def _below(node: Node) -> list[Node]:
    found = list(node.children)
    for inner in found:
        found += list(inner.children)
    return found


def _quoted(body: str, kind: str) -> str:
    """Return a text quoted as one literal word of nginx's configuration. Raises Why502Error if that is impossible."""
    if kind == "json":
        try:
            body = json.dumps(msgspec.json.decode(body), separators=(",", ":"))
        except msgspec.DecodeError as error:
            raise Why502Error(f"the answer is not valid JSON: {error}", 'Write it like \'{"error": "maintenance"}\'.') from error
    # The file may have any encoding, and clients are sent no charset, so every other character is written in ASCII.
    body = body.encode("ascii", "xmlcharrefreplace").decode()
    # nginx cannot escape the `$` of its variables, but both languages can.
    body = body.replace("$", "\\u0024" if kind == "json" else "&#36;")
    quoted = "'" + body.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if len(quoted.encode()) > ANSWER_BYTES or "\0" in body:
        raise Why502Error(
            f"the answer has more than {ANSWER_BYTES} bytes", "Shorten it, for example by removing images and styles."
        )
    return quoted
