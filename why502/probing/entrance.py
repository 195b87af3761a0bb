"""Probes through the proxy itself: one for each failing route, and one for each URL given by the user."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from urllib.parse import urlsplit

import msgspec

from why502.model.config import Route
from why502.model.errors import Why502Error
from why502.model.logs import Tally
from why502.model.proxy import Proxy
from why502.model.target import Target
from why502.model.times import whole_number
from why502.probing.plan import asked, server_name
from why502.probing.request import PROXY_HEADERS, Request, Tls
from why502.probing.tls import sni_of

HEADER_BYTES = 65536
LOCAL = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def of_route(route: Route, failures: Iterable[Tally], harmful: Container[str] = frozenset()) -> Request | None:
    """Return the request that reaches the route the way a visitor's does; None if there is none that can or may be sent (see
    `asked`).
    """
    name = server_name(route)
    choice = asked(route, failures, harmful)
    path = choice.path
    if not path:
        return None
    if route.location.startswith("@"):
        path = "/"
    for listen in route.listens or ("80",):
        words = listen.split()
        address, options = listens_at(words[0]), words[1:]
        is_tls = "ssl" in options
        if address is None or "quic" in options or ("http2" in options and not is_tls):
            continue
        return _request(
            address, name, path, method=choice.method, is_tls=is_tls, options=options, route=route, repeats=choice.repeats
        )
    return None


def of_url(url: str, proxies: Iterable[Proxy]) -> Request:
    """Return the request for a URL, sent to the proxy of this machine that listens on its port. Raises Why502Error."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        name = (
            (parts.hostname or "").encode("idna").decode("ascii") if ":" not in (parts.hostname or "") else parts.hostname or ""
        )
    except (ValueError, KeyError) as error:
        raise Why502Error(f"{url!r} is not an http or https URL", "Write it as http://example.com/path.") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not name or not re.fullmatch(r"[!-~]+", path):
        raise Why502Error(
            f"{url!r} has no host, or a character that must be percent-encoded", "Write it as http://example.com/path."
        )
    for proxy in sorted(proxies, key=lambda proxy: proxy.network):  # those in our own network first
        for listen in proxy.listens:
            if listen.port == port and proxy.is_running:
                address = Target(host=LOCAL.get(listen.host, listen.host), port=port)
                request = _request(address, name, path, is_tls=parts.scheme == "https")
                return msgspec.structs.replace(request, network_of=proxy.away, owner_uid=proxy.owner_uid if proxy.away else 0)
    raise Why502Error(f"no running proxy listens on port {port} of {url}", "")


def listens_at(text: str) -> Target | None:
    """Return the address to connect to for a `listen` directive; None if it contains a name."""
    if (port := whole_number(text, 5)) is not None:
        return Target(host="127.0.0.1", port=port)
    target = Target.parse(
        "0.0.0.0:" + text.removeprefix("*")[1:] if text.startswith(("*:", ":")) else text
    )  # HAProxy: `bind :80`
    if target is None or target.is_unix:
        return target
    target = Target(host=LOCAL.get(target.host, target.host), port=target.port or 80)
    return target if target.is_address else None


def _request(
    address: Target,
    name: str,
    path: str,
    *,
    is_tls: bool,
    method: str = "GET",
    options: Iterable[str] = (),
    route: Route | None = None,
    repeats: bool = False,
) -> Request:
    scheme, usual = ("https", 443) if is_tls else ("http", 80)
    shown = f"[{name}]" if ":" in name else name
    host = shown if address.port in (usual, 0) else f"{shown}:{address.port}"
    return Request(
        target=address,
        protocol=scheme,
        method=method,
        path=path,
        host=host,
        headers=(("Connection", "close"),),
        http_version="1.1",
        tls=Tls(sni=sni_of(name)) if is_tls else None,
        preamble=PROXY_HEADERS["v1"] if "proxy_protocol" in options else "",
        buffer_bytes=HEADER_BYTES,
        repeats=repeats,
        through_proxy=True,
        url=f"{scheme}://{host}{path.partition('?')[0]}",
        route_at=route.at if route else None,
    )
