"""Edits of the proxy's configuration files, as the snapshot contains them, and the commands that load them.

Pure: nothing is written here. Each function returns None if the snapshot lacks what the change needs; the remedy then is only
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from why502.config import edit
from why502.config.tree import Tree, content, node_at, nodes
from why502.diagnosis.case import Case
from why502.gateways.behaviour import behaviour
from why502.gateways.control import control
from why502.gateways.nginx.config import parse
from why502.model.config import Peer, Position, Route, Setting
from why502.model.errors import Why502Error
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.remedy import UNPLACED, Edit, Run
from why502.model.service import PhpPool, Service
from why502.model.target import Target

KEPT = 32  # idle connections kept per worker: nginx's own default since 1.29.7
_FAMILY = {"grpcs": "grpc", "https": "proxy", "http": "proxy", "tcp": "proxy"}


def tree_of(case: Case, at: Position | None) -> Tree | None:
    """Return the tree of the file that contains a position."""
    if at is None:
        return None
    return next((parse(content(file), file.path) for proxy in case.proxies for file in proxy.files if file.path == at.file), None)


def own_servers(case: Case) -> tuple[str, ...]:
    """Return the machine's name servers, in nginx's notation, that resolve the name the proxy could not; at most two."""
    found = dict.fromkeys(server for parameters in case.here.names or () for server in parameters.servers)
    return tuple(f"[{server}]" if ":" in server else server for server in list(found)[:2])


def reload(proxy: Proxy | None) -> tuple[Run, ...]:
    """Return the test of the configuration and its reload, by the proxy's own binary and options; () if it is not running.

    These are the commands of its product's `control`. For a proxy in a container both run inside it (nsenter(1)), if its own
    program does both: here, the same path is a different binary with other files. The reload needs no undo command: after the
    files are restored, it loads them.
    """
    if proxy is None or not proxy.is_running or not proxy.exe:
        return ()
    by = control(proxy.kind)
    if by is None or (proxy.is_apart and not by.IS_BY_PROGRAM):
        return ()
    inside = ("nsenter", "--target", str(proxy.pid), "--all") if proxy.is_apart else ()
    load = by.load(proxy)
    return (Run(argv=(*inside, *by.test(proxy))), Run(argv=(*inside, *load), undo=(*inside, *load))) if load else ()


def test_of(proxy: Proxy | None) -> tuple[str, ...]:
    """Return the proxy's own test of its configuration; () if it is unknown."""
    if proxy is None or not proxy.exe:
        return ()
    by = control(proxy.kind)
    return by.test(proxy) if by else ()


def family(route: Route) -> str:
    """Return the directive prefix of a route: proxy, fastcgi, uwsgi, scgi, grpc."""
    return _FAMILY.get(route.protocol, route.protocol)


def set_in_route(case: Case, name: str, value: str, route: Route | None = None) -> Edit | None:
    """Return the edits that set `name value;` for the route: in its own block, or in the place where it is already set."""
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


def set_where_written(setting: Setting | None, value: str) -> Edit | None:
    """Return the edit of a setting's only argument in the line where it is written: for products of whose files only the meaning
    is known here. None if it is not written anywhere, or has this value.
    """
    if setting is None or setting.at is None or len(setting.args) != 1 or setting.args[0] == value:
        return None
    at = setting.at
    return Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=setting.args[0], after=value)


def merge_edits(case: Case, changes: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the edits with insertions at the same place merged into one, since their separate diffs would overlap."""
    found: dict[tuple[str, int], Edit] = {}
    for change in changes:
        place = (change.file, change.start)
        tree = tree_of(case, Position(file=change.file, line=change.line))
        if place in found and change.start == change.end and tree is not None:
            found[place] = edit.replace(tree, change.start, change.end, found[place].after + change.after)
        else:
            found[place] = change
    return tuple(found.values())


def set_peer_addresses(case: Case, to: Target, only: Route | None = None) -> tuple[Edit, ...]:
    """Return the edits that connect all routes of the proxy (or one) to another address instead of the target: only the host,
    port or path that differs changes.

    If the argument contains a variable, the `set` with the address is changed instead. () if a user other than root listens
    on the new address (see `unauthorised_listener`): whoever listens there first would get the gateway's requests.
    """
    if case.target is None or unauthorised_listener(case, to):
        return ()
    routes = [only] if only else [route for route in case.routes if case.joins.proxy_of.get(id(route)) is case.proxy]
    found: dict[tuple[str, int, int], Edit] = {}
    for route in routes:
        peer = route.peers[0] if len(route.peers) == 1 else case.joins.members(route.peers).get(case.target)
        if (change := _set_address(case, route, peer, case.target, to)) is not None:
            found.setdefault((change.file, change.line, change.start), change)
            for other in _redirects(case, route, case.target, to):
                found.setdefault((other.file, other.line, other.start), other)
    return tuple(found.values())


def _redirects(case: Case, route: Route, old: Target, new: Target) -> Iterator[Edit]:
    """Yield the edits of the addresses that a gateway replaces in redirects of this backend: otherwise they lead to the old
    one.
    """
    name = behaviour(case.proxy.kind).redirects if case.proxy else ""
    for setting in route.settings.get(name, ()) if name else ():
        address = setting.args[-1].partition("://")[2].partition("/")[0] if setting.at else ""
        after = readdressed(address, old, new) if address and not old.is_unix and not new.is_unix else None
        if setting.at is not None and after is not None and after != address:
            at = setting.at
            yield Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=address, after=after)


def _set_address(case: Case, route: Route, peer: Peer | None, target: Target, to: Target) -> Edit | None:
    at = (peer.at if peer else None) or route.at
    if at is None:
        return None
    if case.proxy is not None and not behaviour(case.proxy.kind).takes_directives:
        return _set_address_in_line(at, peer, target, to)
    return _reword(case, at, lambda word: readdressed(word, target, to)) or (
        _in_variable(case, route, lambda word: readdressed(word, target, to)) if "$" in route.passes else None
    )


def _set_address_in_line(at: Position, peer: Peer | None, old: Target, new: Target) -> Edit | None:
    """Return the edit of an address in a line of another product, for whose files only the meaning is known here."""
    name = peer.name if peer else ""
    if old.is_unix and new.is_unix:
        address, after = name, name.replace(old.path, new.path) if name.count(old.path) == 1 else name
    else:
        address = name.partition("://")[2].partition("/")[0] or name
        is_moved = bool(address) and not old.is_unix and not new.is_unix
        after = (readdressed(address, old, new) if is_moved else None) or address
    if after == address:
        return None
    return Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=address, after=after)


def unauthorised_listener(case: Case, to: Target) -> int:
    """Return the user who listens on an address of the machine without authorisation by root; 0 if there is none.

    Authorised is a listener of root or of the gateway's own user, and one in a service or container started by root: no other
    user can put a process into their control groups (cgroups(7)).
    """
    here, own = case.host, (None, 0, case.proxy.owner_uid if case.proxy else 0)
    listeners = case.heard_at(to)
    for listener in listeners:
        process = case.process_of(listener)
        uid = listener.uid if listener.uid is not None else process.uid if process else None
        if uid not in own and not (process and _is_of_root(process)):
            return uid or 0
    pools = (here.php_pools if here else None) or ()
    return next((pool.owner_uid for pool in pools if not listeners and pool.target == to and pool.owner_uid not in own), 0)


def doubt(case: Case, to: Target) -> str:
    """Return the warning for a remedy when a user other than root listens; "" if there is none."""
    uid = unauthorised_listener(case, to)
    return f" (user {uid} runs that, and nothing of root's: first make sure that it is the application)" if uid else ""


def _is_of_root(process: Process) -> bool:
    is_contained = bool(process.container) and "/user@" not in process.cgroup
    return is_contained or process.unit.endswith(".service")


def rename(case: Case, route: Route, old: str, new: str) -> Edit | None:
    """Return the edits that replace a name by another address in the variable that a route passes to."""
    return _in_variable(case, route, lambda word: word.replace(old, new, 1) if word.count(old) == 1 else None)


def _reword(case: Case, at: Position, change: Callable[[str], str | None]) -> Edit | None:
    """Return the edit of the first argument of a directive."""
    tree = tree_of(case, at)
    try:
        words = node_at(tree, at).words if tree else ()
    except Why502Error:
        return None
    for word in words[1:]:
        new = change(word.value)
        if tree is not None and new is not None and new != word.value:
            return edit.replace(tree, word.start, word.end, new)
    return None


def _in_variable(case: Case, route: Route, change: Callable[[str], str | None]) -> Edit | None:
    """Return the edit of the only `set` in the route's file that gives a variable of its argument such a value."""
    tree = tree_of(case, route.at)
    found = []
    for node in nodes(tree) if tree else ():
        if tree and node.name == "set" and len(node.words) == 3 and node.args[0] in route.passes:
            new = change(node.args[1])
            if new is not None and new != node.args[1]:
                found.append(edit.replace(tree, node.words[2].start, node.words[2].end, new))
    return found[0] if len(found) == 1 else None


def readdressed(word: str, old: Target, new: Target) -> str | None:
    """Return the argument with the new address in it, None if it does not contain the old one."""
    scheme, found, rest = word.partition("://")
    if not found:
        scheme, rest = "", word
    prefix = f"{scheme}{found}"
    if old.is_unix:
        path, colon, uri = rest.removeprefix("unix:").partition(":") if found else (rest.removeprefix("unix:"), "", "")
        if not rest.startswith("unix:") or path != old.path:
            return None
        return f"{prefix}unix:{new.path}{colon}{uri}" if new.is_unix else f"{prefix}{_address(new)}{uri}"
    address = rest.split("/", 1)[0]
    parsed = Target.parse(address)
    if parsed is None or "$" in address or (parsed.port and parsed.port != old.port):
        return None
    uri = rest[len(address) :]
    if new.is_unix:
        return f"{prefix}unix:{new.path}{f':{uri}' if uri else ''}"
    host = parsed.host if old.host == new.host or new.is_wildcard else new.host
    return f"{prefix}{_address(Target(host=host, port=new.port))}{uri}"


def _address(target: Target) -> str:
    host = "127.0.0.1" if target.is_wildcard else target.host
    return f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"


def set_at_top(case: Case, proxy: Proxy, name: str, value: str, block: str = "") -> Edit | None:
    """Return the edit that sets `name value;` in the main configuration file, at top level or in that block (`events`)."""
    tree = tree_of(case, Position(file=proxy.config, line=1))
    if tree is None:
        return None
    if block:
        into = next((node for node in tree.children if node.name == block and node.body is not None), None)
        return edit.set_directive(tree, into.words[0].at, name, value) if into else None
    own = [node for node in tree.children if node.name == name]
    if own:
        return edit.replace_directive(tree, own[-1].words[0].at, f"{name} {value};")
    before = next((node for node in tree.children if node.body is not None), None)
    return edit.insert_before(tree, before.words[0].at, f"{name} {value};") if before else None


def make_file(path: str, text: str) -> Edit:
    """Return the edit that creates a missing file."""
    return edit.with_diff(Edit(file=path, line=1, start=0, end=0, before="", after=text), b"")


def start(service: Service) -> Run:
    """Return the command that starts a service, with the undo command that stops it again if its manager has one."""
    argv = service.start_argv
    for verb in ("start", "restart"):
        if verb in argv[1:]:
            place = argv.index(verb, 1)
            return Run(argv=argv, undo=(*argv[:place], "stop", *argv[place + 1 :]))
    return Run(argv=argv)


def reload_php(case: Case, pool: PhpPool) -> tuple[Run, ...]:
    """Return the test of PHP-FPM's configuration and its reload; () if it is unknown how its master was started."""
    master = next((p for p in (case.host.processes if case.host else None) or () if p.pid == pool.master_pid), None)
    test = test_php(case, pool)
    if master is None or not test:
        return ()
    load = ("systemctl", "reload", pool.unit) if pool.unit.endswith(".service") else ("kill", "-USR2", str(master.pid))
    return (*test, Run(argv=load, undo=load))


def test_php(case: Case, pool: PhpPool) -> tuple[Run, ...]:
    """Return PHP-FPM's own test of its configuration (it adds a line to its log); () if it is unknown."""
    master = next((p for p in (case.host.processes if case.host else None) or () if p.pid == pool.master_pid), None)
    config = " ".join(master.argv).partition("master process (")[2].rstrip(" )") if master else ""
    return (Run(argv=(master.exe, "-t", "--fpm-config", config)),) if master and master.exe and config else ()


def set_scheme(case: Case, scheme: str) -> Edit | None:
    """Return the edit that changes the scheme of proxy_pass (or grpc_pass)."""
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


# The request parameters that an application needs: uwsgi (PEP 3333, besides the HTTP_ fields, which nginx sends by default),
# FastCGI (RFC 3875; some builds of PHP refuse to run without REDIRECT_STATUS).
_COMMON_PARAMETERS = {
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "REQUEST_URI": "$request_uri",
    "SERVER_PROTOCOL": "$server_protocol",
    "REMOTE_ADDR": "$remote_addr",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
}
_UWSGI = {**_COMMON_PARAMETERS, "PATH_INFO": "$document_uri"}
_FASTCGI = {
    **_COMMON_PARAMETERS,
    "SCRIPT_NAME": "$fastcgi_script_name",
    "DOCUMENT_URI": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REQUEST_SCHEME": "$scheme",
    "HTTPS": "$https if_not_empty",
    "REDIRECT_STATUS": "200",
}


def switch_pass_directive(case: Case, protocol: str, script: str = "") -> Edit | None:
    """Return the edit that changes a route's pass directive, with the parameters of the new protocol, one per line.

    `protocol`: http, uwsgi, h2, or fastcgi with the path of the `script`, in nginx's variables.
    """
    route = case.route
    tree = tree_of(case, route.at if route else None)
    if route is None or route.at is None or tree is None or route.uri not in (None, "/"):
        return None
    address = route.passes.partition("://")[2].rstrip("/") or route.passes
    if "$" in address:
        return None
    lines = [f"proxy_pass http://{address};"]
    if protocol == "h2":
        lines = [f"grpc_pass grpc://{address};"]
    elif protocol in ("uwsgi", "fastcgi"):
        address = address.removesuffix(":") if address.startswith("unix:") else address
        parameters = {"SCRIPT_FILENAME": script, **_FASTCGI} if protocol == "fastcgi" else _UWSGI
        lines = [f"{protocol}_pass {address};", *(f"{protocol}_param {name} {value};" for name, value in parameters.items())]
    try:
        return edit.replace_directive(tree, route.at, edit.aligned(tree, route.at, lines))
    except Why502Error:
        return None


def enable_keepalive(case: Case) -> tuple[Edit, ...]:
    """Return the edits that make an HTTP route reuse its connections: `keepalive` in a group, HTTP/1.1, an empty Connection
    header.

    () if the route uses another protocol, keeps connections already, or inherits headers that a further proxy_set_header would
    drop.
    """
    route, group = case.route, case.group
    tree = tree_of(case, route.at if route else None)
    if route is None or route.at is None or tree is None or route.protocol not in ("http", "https") or route.keepalive:
        return ()
    block = next((node for node in nodes(tree) if route.location_at and node.words[0].start == route.location_at.start), None)
    own = {child.name for child in block.children} if block else set()
    has_connection = any(name.lower() == "connection" for name, _ in route.headers)
    if (
        "$" in route.passes
        or has_connection
        or route.setting("proxy_http_version")
        or (route.headers and "proxy_set_header" not in own)
    ):
        return ()
    first: tuple[Edit, ...]
    lines = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    if group is not None:
        home = tree_of(case, group.at)
        if home is None or group.at is None or group.keepalive_at is not None:
            return ()
        first = (edit.insert(home, group.at, f"keepalive {KEPT};"),)
    else:
        server = next((node for node in nodes(tree) if route.server_at and node.words[0].start == route.server_at.start), None)
        address = route.passes.partition("://")[2].partition("/")[0]
        name = "kept_" + re.sub(r"\W", "_", address)
        renamed = _reword(
            case, route.at, lambda word: word.replace(f"://{address}", f"://{name}", 1) if address in word else None
        )
        if server is None or renamed is None or len(route.peers) != 1 or route.peers[0].name.startswith("unix:"):
            return ()
        made = f"upstream {name} {{ server {address}; keepalive {KEPT}; }}"
        first = (edit.insert_before(tree, server.words[0].at, made), renamed)
        if route.host_header == "$proxy_host":  # which would now be the group's name
            lines += f" proxy_set_header Host {address};"
    return (*first, edit.insert_after(tree, route.at, lines))


def size(bytes_: int) -> str:
    """Return a size in nginx's notation, in whole KiB."""
    return f"{-(-bytes_ // 1024)}k"
