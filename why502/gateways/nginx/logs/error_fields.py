"""The fields at the end of an nginx error line.

They are `, client: A, server: S, request: "R", subrequest: "U", upstream: "X", host: "H", referrer: "F"`. Their order is fixed,
nothing in them is escaped, and each may be missing or cut (src/http/ngx_http_request.c ngx_http_log_error_handler).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from why502.model.patterns import lazy
from why502.model.request_line import uri_of
from why502.model.target import Target


class Fields(NamedTuple):
    """The fields as written; "" for a missing one. `is_cut`: the upstream's end is missing, and possibly its port."""

    client: str = ""
    server: str = ""
    request: str = ""
    subrequest: str = ""
    upstream: str = ""
    host: str = ""
    referrer: str = ""


class Address(NamedTuple):
    """The address in an upstream field. `kind` is "unix", "ip" or "" if unknown."""

    protocol: str = ""
    target: Target | None = None
    kind: str = ""


NO_FIELDS = Fields()
_WITH_URI = ("http://unix:", "https://unix:")  # for others nginx writes no URI at all
_SOCKET_NAME = lazy(r"\w+://unix:/\S*?\.sock(?:et)?(?=[/?])")
NO_ADDRESS = Address()
_WELL_FORMED = lazy(
    r', client: ([^,]*), server: ([^,]*)(?:, request: "([^"]*)")?(?:, subrequest: "([^"]*)")?(?:, upstream: "([^"]*)")?'
    r'(?:, host: "([^"]*)")?(?:, referrer: "([^"]*)")?\Z'
)
_QUOTED = ("request", "subrequest", "upstream", "host", "referrer")
_WITH_QUOTES = lazy(
    r"(?:, (?:udp )?client ?: ?([^,]*))?(?:, server ?: ?([^,]*))?"
    + "".join(
        rf'(?:, {name} ?: "(.*?)(?:"(?=, (?:{"|".join((*_QUOTED[i + 1 :], "login"))}) ?: ?"|, bytes from/to |\s*\Z)|\Z))?'
        for i, name in enumerate(_QUOTED)
    ),
    re.DOTALL,
)
_REQUEST_END = lazy(r' HTTP/\d(?:\.\d)?(?=", (?:subrequest|upstream|host|referrer)\b)')
_START = lazy(
    r"(?:[,;]\s*|: (?=\"?\w+://)|\s(?=(?:client|request|upstream|host) ?: ?[\"'\d]))"
    r"(?:(?:udp )?client|server|request|upstream|host|referrer|resolver|\"?\w+://)"
)
_ANYHOW = {
    name: lazy(rf"\b{name}\b ?:? ?[\"'“]?([^\"'“”,;\s:][^\"'“”,;\s]*)") for name in ("client", "server", "upstream", "host")
}
_ANY_REQUEST = lazy(r'\brequest ?: ?"([^"]*)')
_ANY_URL = lazy(r"\b(?:https?|fastcgi|uwsgi|suwsgi|scgi|grpcs?|memcached)://[^\"'\s,]+")


def start(text: str) -> int:
    """Return the offset of the fields in a line without time and level; its length if there are none."""
    at = text.find(", client: ")
    if at >= 0:
        return at
    found = _START.search(text)
    return found.start() if found else len(text)


def read(text: str) -> Fields:
    """Return the fields of `text`, which starts with them."""
    if match := _WELL_FORMED.match(text):
        return Fields._make(match.groups(""))
    match = _WITH_QUOTES.match(text)
    found = Fields._make(match.groups("")) if match and match.end() else NO_FIELDS
    if end := _REQUEST_END.search(found.request):  # a value that contains what looks like the next field
        found = found._replace(request=found.request[: end.end()])
    if not found.upstream or not found.client:
        found = _anyhow(found, text)
    return found


def _anyhow(found: Fields, text: str) -> Fields:
    """Return the fields found in a text that a person wrote or shortened by hand."""
    more = {name: match[1] for name, rx in _ANYHOW.items() if not getattr(found, name) and (match := rx.search(text))}
    if not found.request and (match := _ANY_REQUEST.search(text)):
        more["request"] = match[1]
    if (
        "upstream" not in more
        and not found.upstream
        and (match := _ANY_URL.search(text))
        and 'request: "' not in text[: match.start()]
    ):
        more["upstream"] = match[0]
    if more.get("server", "").rstrip(":") in _QUOTED:
        del more["server"]
    return found._replace(**more)


def address(upstream: str, text: str, request: str = "") -> Address:
    """Return the address in an upstream field. If the line `text` was cut inside it, only a complete address counts.

    For a unix socket that timed out, nginx writes no colon between path and URI (ngx_http_upstream_next has lost the address's
    family). The URI is then that of the `request`, or the text after a name that ends in .sock.
    """
    after = upstream.find("://") + 3 if "://" in upstream else 0
    is_path = upstream.startswith(("unix:", "passenger:"), after)
    end = upstream.find(":", after + 10) if is_path else upstream.find("/", after)
    if end >= 0:
        return _address(upstream[:end])
    if is_path and upstream.startswith(_WITH_URI):
        upstream, text = _without_uri(upstream, request), text.replace(upstream, _without_uri(upstream, request), 1)
    return _address(upstream) if upstream + '"' in text else NO_ADDRESS


def _without_uri(upstream: str, request: str) -> str:
    """Return `http://unix:/path/uri` without the URI, as far as the two can be separated."""
    uri = uri_of(request)
    if uri.startswith("/") and upstream.endswith(uri) and not upstream.removesuffix(uri).endswith(":"):
        return upstream.removesuffix(uri)
    match = _SOCKET_NAME.match(upstream)
    return match[0] if match else upstream


@lru_cache(1024)
def _address(text: str) -> Address:
    protocol = text.partition("://")[0] if "://" in text else ""
    if text.startswith("passenger:/"):
        return Address("passenger", Target(path=text.removeprefix("passenger:").rstrip(":")), "unix")
    target = Target.parse(text)
    if target is None:
        return Address(protocol)
    return Address(protocol, target, "unix" if target.is_unix else "ip" if target.is_address else "")
