"""A bundle: one compressed file that holds a snapshot, to be diagnosed anywhere. Secrets are removed before it is written.

The file is gzip (RFC 1952) of one JSON object: {"schema": "why502.bundle/1", "why502": VERSION, "snapshot": {…}}. There is nothing to
unpack into a folder, so no path in it is ever used as one.
"""

from __future__ import annotations

import gzip
import ipaddress
import re
from collections.abc import Callable
from typing import Any

import msgspec

from why502.logs.masked import NAMES, in_place
from why502.logs.redact import HIDDEN, redact
from why502.model import bounds
from why502.model.base import Value, decode
from why502.model.config import Peer
from why502.model.errors import Why502Error
from why502.model.snapshot import Proxy, Snapshot
from why502.version import __version__

SCHEMA = "why502.bundle/1"
LIMIT_BYTES = 64 << 20  # of the compressed file

_SECRET_NAME = re.compile(
    r"(?i)(?:-{1,2}|\$)?[\w.-]{0,60}(?:authorization|cookie|token|secret|passw(?:or)?d|passwd|passphrase|api[-_]?key|credential)[\w-]{0,40}"
)
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])")
_SECRET_FIELD = re.compile(rf"(?i)[\w.-]{{0,60}}{NAMES}[\w.-]{{0,40}}")
_PAIRS = ("headers", "args")  # fields of names and values as the configuration sets them
_SECRETS = ("secure_link_secret", "secure_link_md5")  # directives whose arguments are secrets
_TEXTS = (
    "text",
    "if_conditions",
)  # of a configuration: what is removed is replaced by as many characters, no byte changes its place


class Bundle(Value, frozen=True, kw_only=True):
    """What the file holds."""

    schema: str
    why502: str
    snapshot: Snapshot


def save(snapshot: Snapshot, *, anonymize: bool = False) -> bytes:
    """Return the bytes of a bundle. With `anonymize`, addresses other than loopback are replaced, each always by the same one."""
    bundle = Bundle(schema=SCHEMA, why502=__version__, snapshot=redacted(_lean(snapshot), anonymize=anonymize))
    return gzip.compress(msgspec.json.encode(bundle), compresslevel=6, mtime=0)


def load(data: bytes, name: str) -> Snapshot:
    """Return the snapshot in a bundle. Raises Why502Error where it is damaged, foreign or too large."""
    hint = "Write it anew with `why502 collect -o FILE`."
    if len(data) > LIMIT_BYTES:
        raise Why502Error(f"{name}: a bundle of {len(data)} bytes is too large", hint)
    if not data.startswith(b"\x1f\x8b"):
        raise Why502Error(f"{name} is no bundle of why502", hint)
    text = bounds.unpacked(data, name)
    bounds.check(text, name)
    head = decode(text, _Head, name)
    if head.schema != SCHEMA:
        raise Why502Error(
            f"{name} is written as {head.schema!r}, this program reads {SCHEMA!r}", "Use the version of why502 that wrote it."
        )
    return _full(bounds.cut(decode(text, Bundle, name).snapshot))


def _lean(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the peers of a group written once, in the group: thousands of routes may lead to thousands of peers."""

    def lean(proxy: Proxy) -> Proxy:
        groups = _groups(proxy)
        routes = (
            msgspec.structs.replace(route, peers=())
            if route.upstream and route.peers and groups.get(route.upstream) is route.peers
            else route
            for route in proxy.routes
        )
        return msgspec.structs.replace(proxy, routes=tuple(routes))

    return msgspec.structs.replace(snapshot, proxies=tuple(map(lean, snapshot.proxies))) if snapshot.proxies else snapshot


def _full(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the peers of their group in the routes that were written without."""

    def full(proxy: Proxy) -> Proxy:
        groups = _groups(proxy)
        routes = (
            msgspec.structs.replace(route, peers=groups[route.upstream])
            if route.upstream and not route.peers and groups.get(route.upstream)
            else route
            for route in proxy.routes
        )
        return msgspec.structs.replace(proxy, routes=tuple(routes))

    return msgspec.structs.replace(snapshot, proxies=tuple(map(full, snapshot.proxies))) if snapshot.proxies else snapshot


def _groups(proxy: Proxy) -> dict[str, tuple[Peer, ...]]:
    """Return the peers of the first group of each name."""
    return {group.name: group.peers for group in reversed(proxy.upstreams)}


class _Head(msgspec.Struct):
    schema: str = ""


def redacted(snapshot: Snapshot, *, anonymize: bool = False) -> Snapshot:
    """Return the snapshot without secrets; of files whose bytes are counted every byte keeps its place."""
    hide = _Addresses() if anonymize else None
    plain = msgspec.to_builtins(snapshot)
    return msgspec.convert(_walk(plain, hide), Snapshot)


def _walk(value: Any, hide: Callable[[str], str] | None, field: str = "") -> Any:
    if isinstance(value, dict):
        return {
            (hide(key) if hide and not key.isidentifier() else key): _walk(
                item, hide, field if field in _SECRETS and key == "args" else key
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return _secrets_out([_walk(item, hide, field) for item in value], _SECRET_FIELD if field in _PAIRS else _SECRET_NAME)
    if isinstance(value, str):
        if field in _SECRETS:
            return HIDDEN
        text = in_place(value) if field in _TEXTS else redact(value)
        return hide(text) if hide else text
    return value


def _secrets_out(items: list[Any], names: re.Pattern[str]) -> list[Any]:
    """Return a list of words without those that follow a secret's name: ("Authorization", "Basic …"), ("--password", "…")."""
    for number in range(1, len(items)):
        before = items[number - 1]
        if isinstance(before, str) and isinstance(items[number], str) and names.fullmatch(before):
            items[number] = items[number] if items[number].startswith("$") else HIDDEN
    return items


class _Addresses:
    """Replaces addresses: IPv4 by 198.18.0.0/15 (RFC 2544), IPv6 by 2001:db8::/32 (RFC 3849); loopback and wildcard stay."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return _IPV6.sub(self._replaced, _IPV4.sub(self._replaced, text))

    def _replaced(self, match: re.Match[str]) -> str:
        try:
            ip = ipaddress.ip_address(match[0])
        except ValueError:
            return match[0]
        if ip.is_loopback or ip.is_unspecified:
            return match[0]
        key = str(ip)
        if key not in self.known:
            number = len(self.known) + 1
            first = ipaddress.IPv4Address("198.18.0.0") if ip.version == 4 else ipaddress.IPv6Address("2001:db8::")
            self.known[key] = str(first + number)
        return self.known[key]
