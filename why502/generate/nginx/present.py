"""`--from-config`: an existing site as the options that describe it, with what changes, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable

from why502.config.configuration import Configuration
from why502.gateways.nginx.config import load, units
from why502.gateways.nginx.config.files import Directive
from why502.generate.options import Given
from why502.host.base import Host
from why502.model.config import Peer, Route
from why502.model.errors import HostError, Missing, Why502Error

_SPEECHES = {"http": "http", "https": "https", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "grpc": "grpc"}
# Directives whose work the generated site does, in its own way.
_DONE = frozenset(
    """listen server_name server location upstream proxy_pass fastcgi_pass uwsgi_pass grpc_pass proxy_set_header grpc_set_header
    fastcgi_param uwsgi_param include proxy_http_version proxy_connect_timeout proxy_read_timeout proxy_send_timeout
    fastcgi_connect_timeout fastcgi_read_timeout fastcgi_send_timeout uwsgi_read_timeout uwsgi_connect_timeout uwsgi_send_timeout
    grpc_read_timeout grpc_connect_timeout grpc_send_timeout client_max_body_size ssl_certificate ssl_certificate_key
    ssl_protocols ssl_session_cache ssl_session_timeout ssl_prefer_server_ciphers access_log error_log log_format keepalive
    keepalive_timeout zone max_fails http2 proxy_buffering proxy_buffer_size proxy_buffers proxy_busy_buffers_size
    fastcgi_buffer_size fastcgi_buffers fastcgi_busy_buffers_size proxy_next_upstream proxy_next_upstream_tries
    proxy_next_upstream_timeout least_conn ip_hash random root index try_files default_type map default http error_page internal
    fastcgi_split_path_info fastcgi_index proxy_redirect set resolver limit_req limit_req_zone limit_req_status""".split()
)
_SHOWN = 12


def present(host: Host, path: str, given: Given) -> tuple[Given, tuple[str, ...]]:
    """Return an existing site as options, and sentences about what changes. What is given stays.

    Raises Why502Error if the file has no site, or several.
    """
    configuration = _load(host, path)
    routes = _routes(configuration, given, path)
    main = next((route for route in routes if route.location in ("/", "")), routes[0])
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    source = f"{path}:{main.at.line}" if main.at else path

    def add(name: str, values: Iterable[str]) -> None:
        if wanted := tuple(values):
            found[name] = (wanted, source)

    servers = [peer for peer in main.peers if not peer.is_down]
    weights = _weights(configuration, main.upstream or "") if len(servers) > 1 else {}
    add("--app", (_address(peer) + weights.get(peer.name, "") for peer in servers if not peer.is_backup))
    add("--backup", (_address(peer) + weights.get(peer.name, "") for peer in servers if peer.is_backup))
    add("--domain", (name for name in main.server_names if name not in ("_", "") and not name.startswith("~")))
    if main.protocol != "http" and main.protocol in _SPEECHES:
        add("--protocol", (_SPEECHES[main.protocol],))
    if main.protocol == "fastcgi":
        add("--root", _argument(main, "root"))
    certificate, key = _argument(main, "ssl_certificate"), _argument(main, "ssl_certificate_key")
    letsencrypt = certificate and certificate[0].startswith("/etc/letsencrypt/live/")
    if certificate and key and not letsencrypt:
        add("--tls", (f"{certificate[0]},{key[0]}",))
    elif not certificate:
        add("--tls", ("off",))
    add("--max-body", (one for one in _argument(main, "client_max_body_size") if units.size(one)))
    if main.read_timeout_s != 60:
        add("--read-timeout", (f"{max(1, int(main.read_timeout_s))}s",))
    if main.keepalive and main.keepalive_timeout_s != 60:
        add("--app-idle", (f"{int(main.keepalive_timeout_s) + 1}s",))
    if main.buffer_size_bytes > 4096:
        add("--response-header", (str(main.buffer_size_bytes),))
    add("--websocket", (_path(route) for route in routes if _is_upgraded(route) and _path(route) not in ("", "/")))
    add("--stream", (_path(route) for route in routes if _is_unbuffered(route) and _path(route) not in ("", "/")))
    return given.with_measured(found, frozenset(found)), tuple(_changes(configuration, routes, main))


def _load(host: Host, path: str) -> Configuration:
    def read(name: str) -> bytes:
        if name != path:
            raise Missing("only the named file is read")
        return host.read(path)

    def listing(_: str) -> list[str]:
        raise Missing("only the named file is read")

    try:
        return load(read, listing, path)
    except HostError as error:
        raise Why502Error(f"--from-config {path}: {error.reason}", error.hint or "Check the path and its permissions.") from error


def _routes(configuration: Configuration, given: Given, path: str) -> list[Route]:
    """Return the routes of the one site that is meant. Raises Why502Error."""
    wanted = given.get("--domain")
    every = [route for route in configuration.routes if route.protocol != "tcp" and route.peers]
    names = sorted({name for route in every for name in route.server_names if name})
    found = [route for route in every if not wanted or wanted in route.server_names]
    if not found:
        raise Why502Error(
            f"--from-config {path}: no site that passes requests on{f' is called {wanted}' if wanted else ''}",
            f"It has: {', '.join(names)}." if names else "Name the file of the site, like /etc/nginx/sites-available/shop.",
        )
    if len({route.server_names for route in found}) > 1:
        raise Why502Error(f"--from-config {path}: it has several sites", f"Choose one with --domain: {', '.join(names)}.")
    return found


def _address(peer: Peer) -> str:
    target = peer.target
    if target is None:
        raise Why502Error(f"--from-config: the target {peer.name} is computed", "Give it with --app.")
    return str(target if target.is_unix or target.port else f"{target}:80")


def _weights(configuration: Configuration, group: str) -> dict[str, str]:
    """Return `=2` for each server of a group with that weight."""
    found = {}
    for block in blocks(configuration.directives):
        if block.name == "upstream" and block.args == (group,):
            for server in block.children or ():
                weight = next((word.removeprefix("weight") for word in server.args[1:] if word.startswith("weight=")), "")
                if server.name == "server" and weight not in ("", "=1"):
                    found[server.args[0]] = weight
    return found


def blocks(directives: Iterable[Directive]) -> Iterable[Directive]:
    """Yield every directive, inner ones too; the keys of tables are none."""
    stack = list(directives)
    while stack:
        one = stack.pop()
        yield one
        if one.name not in ("map", "types", "geo"):
            stack += one.children or ()


def _argument(route: Route, name: str) -> tuple[str, ...]:
    setting = route.setting(name)
    return setting.args[:1] if setting else ()


def _path(route: Route) -> str:
    word = route.location.removeprefix("^~ ").removeprefix("= ")
    return word if word.startswith("/") else ""


def _is_upgraded(route: Route) -> bool:
    return any(name.lower() == "upgrade" for name, _ in route.headers)


def _is_unbuffered(route: Route) -> bool:
    return _argument(route, "proxy_buffering") == ("off",) and not _is_upgraded(route)


def _changes(configuration: Configuration, routes: list[Route], main: Route) -> Iterable[str]:
    """Yield what will behave differently, then what the new site does not have."""
    if main.connect_timeout_s != 3:
        yield f"a server that does not accept connections is given up after 3 s instead of {main.connect_timeout_s:g} s"
    if main.read_timeout_s == 60:
        yield "the proxy waits 30 s for an answer instead of 60 s: --read-timeout 60s keeps that"
    if "non_idempotent" in main.next_upstream:
        yield "a POST is no longer sent to a second server"
    if not main.keepalive and main.protocol in ("http", "https"):
        yield "connections to the application are kept open"
    if main.http_version == "1.0" and main.protocol in ("http", "https"):
        yield "the application gets HTTP/1.1 instead of HTTP/1.0"
    if main.host_header == "$proxy_host":
        yield "the application sees the host name that the client asked for"
    yield "502 becomes 503 with Retry-After, and errors have a JSON form: --no-error-pages keeps nginx's own"
    targets = {peer.name for peer in main.peers}
    for route in routes:
        if {peer.name for peer in route.peers} != targets:
            yield f"NOT CARRIED OVER: location {route.location} passes to {route.passes}: it needs a separate site"
    left = sorted({directive.name for directive in blocks(configuration.directives) if directive.name not in _DONE})
    if left:
        more = f", and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        yield f"NOT CARRIED OVER: {', '.join(left[:_SHOWN])}{more}"
    regex = [route.location for route in routes if route.location.startswith("~") and main.protocol != "fastcgi"]
    if regex:
        yield f"NOT CARRIED OVER: location {', '.join(regex)}"
