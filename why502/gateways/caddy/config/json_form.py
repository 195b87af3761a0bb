"""Caddy's JSON configuration: routes, logs and the address of the admin interface.

It is also what the admin interface answers to `GET /config/`. Source: caddyserver.com/docs/json.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from why502.gateways.caddy.config.routes import Handling, route_of
from why502.gateways.go_programs import seconds_of
from why502.model.config import LogKind, LogTarget, Position, Route

_DEEPEST = 96
_FASTCGI = "fastcgi"
TLS_PORTS = (":443",)


def routes_in(tree: dict[str, Any], file: str) -> Iterator[Route]:
    """Yield a route for each handler `reverse_proxy`, with the hosts and paths that lead to it."""
    at = Position(file=file, line=1)
    for server in _objects(_inside(tree, "apps", "http", "servers")):
        listens = tuple(word for word in _list(server.get("listen")) if isinstance(word, str))
        is_tls = "tls_connection_policies" in server or any(word.endswith(TLS_PORTS) for word in listens)
        start = Handling(upstreams=[], at=at, listens=listens, listens_tls=is_tls)
        yield from _routes(server.get("routes"), start, 0)
        yield from _routes(_inside(server, "errors", "routes"), start, 0)


def _routes(routes: object, around: Handling, depth: int) -> Iterator[Route]:
    """Yield the routes in a list of Caddy's own routes, below the matchers around them."""
    if depth > _DEEPEST:
        return
    for route in _list(routes):
        if not isinstance(route, dict):
            continue
        matchers = [each for each in _list(route.get("match")) if isinstance(each, dict)] or [{}]
        for matcher in matchers[:64]:
            hosts = tuple(word for word in _list(matcher.get("host")) if isinstance(word, str)) or around.hosts
            path = next((word for word in _list(matcher.get("path")) if isinstance(word, str)), "")
            location = path.removesuffix("*") if path.startswith("/") and path != "/*" else around.location
            inside = Handling(
                upstreams=[],
                at=around.at,
                hosts=hosts,
                listens=around.listens,
                listens_tls=around.listens_tls,
                location=location,
            )
            for handler in _list(route.get("handle")):
                if isinstance(handler, dict):
                    yield from _of_handler(handler, inside, depth)


def _of_handler(handler: dict[str, Any], around: Handling, depth: int) -> Iterator[Route]:
    if handler.get("handler") == "reverse_proxy":
        yield route_of(_handling(handler, around))
        for each in _list(handler.get("handle_response")):
            if isinstance(each, dict):
                yield from _routes(each.get("routes"), around, depth + 1)
    elif handler.get("handler") == "subroute":
        yield from _routes(handler.get("routes"), around, depth + 1)
    elif isinstance(handler.get("handler"), str):  # of a plug-in: its routes may stand anywhere in it
        for value in handler.values():
            yield from _routes(value, around, depth + 1)


def _handling(handler: dict[str, Any], around: Handling) -> Handling:
    transport = _inside(handler, "transport")
    tls = _inside(transport, "tls")
    authority = _inside(tls, "ca")
    files = [*_list(authority.get("pem_files")), *_list(tls.get("root_ca_pem_files")), authority.get("path", "")]
    passive = _inside(handler, "health_checks", "passive")
    dials = [each.get("dial") for each in _list(handler.get("upstreams")) if isinstance(each, dict)]
    hosts = _list(_inside(handler, "headers", "request", "set").get("Host"))
    is_fastcgi = transport.get("protocol") == _FASTCGI
    return Handling(
        upstreams=[word for word in dials if isinstance(word, str)],
        at=around.at,
        hosts=around.hosts,
        listens=around.listens,
        listens_tls=around.listens_tls,
        location=around.location,
        protocol=_FASTCGI if is_fastcgi else "https" if "tls" in transport else "http",
        host_header=host_header(str(hosts[0]) if hosts else ""),
        dial_s=_seconds(transport.get("dial_timeout")),
        write_s=_seconds(transport.get("write_timeout")),
        answer_s=_seconds(transport.get("response_header_timeout", transport.get("read_timeout"))),
        fail_s=_seconds(passive.get("fail_duration")),
        max_fails=passive["max_fails"] if isinstance(passive.get("max_fails"), int) else 1,
        verifies=tls.get("insecure_skip_verify") is not True,
        server_name=_text(tls.get("server_name")),
        tls={
            "trusted_certificate": next((_text(path) for path in files if path), ""),
            "certificate": _text(tls.get("client_certificate_file")),
            "certificate_key": _text(tls.get("client_certificate_key_file")),
        },
    )


def host_header(written: str) -> str:
    """Return the Host header that a handler sends, as the routes of all gateways write it: the client's, unless it is set."""
    if not written or written in ("{http.request.host}", "{host}", "{http.request.hostport}", "{hostport}"):
        return "$host"
    return "$proxy_host" if "upstream" in written else written if "{" not in written else "$host"


def logs_in(tree: dict[str, Any]) -> Iterator[LogTarget]:
    """Yield the files that it logs to."""
    for log in _objects(_inside(tree, "logging", "logs")):
        writer = _inside(log, "writer")
        path = writer.get("filename") if writer.get("output") == "file" else None
        if isinstance(path, str) and path.startswith("/"):
            yield LogTarget(kind=LogKind.ACCESS, path=path)


def admin_in(tree: dict[str, Any]) -> str:
    """Return the address of the admin interface as written: "off" if it is disabled, "" for the default."""
    admin = _inside(tree, "admin")
    return "off" if admin.get("disabled") is True else _text(admin.get("listen"))


def checked_in(tree: dict[str, Any]) -> frozenset[str]:
    """Return the servers that have an active health check, as written."""
    return frozenset(_checked(_inside(tree, "apps", "http", "servers"), 0))


def _checked(value: object, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        if value.get("handler") == "reverse_proxy" and _inside(value, "health_checks", "active"):
            yield from (str(each.get("dial")) for each in _list(value.get("upstreams")) if isinstance(each, dict))
        for inner in value.values():
            yield from _checked(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _checked(inner, depth + 1)


def _inside(value: object, *names: str) -> dict[str, Any]:
    """Return the object that a path of names leads to; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _objects(members: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (each for each in members.values() if isinstance(each, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    """Return a duration in seconds: a text in Go's notation, or a number of nanoseconds."""
    return seconds_of(value) if isinstance(value, str) else float(value) / 1e9 if isinstance(value, int | float) else 0.0
