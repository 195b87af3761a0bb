"""Bundles: a compressed file that contains a snapshot and can be diagnosed anywhere. Secrets are removed before it is written.

The file is gzip (RFC 1952) of one JSON object: {"schema": "why502.bundle/2", "why502": VERSION, "snapshot": {…}}. There is
nothing to unpack into a directory, so no path in it is ever used as one.
"""

from __future__ import annotations

import gzip
from typing import Any

import msgspec

from why502.model import bounds, retired
from why502.model.base import NOT_OURS, Value, decode
from why502.model.config import Peer
from why502.model.errors import Why502Error
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.redaction.anonymous import anonymous
from why502.redaction.snapshots import redacted as without_secrets
from why502.version import __version__

SCHEMA = "why502.bundle/2"
LIMIT_BYTES = 64 << 20  # of the compressed file


class Bundle(Value, frozen=True, kw_only=True):
    """What the file holds."""

    schema: str
    why502: str
    snapshot: Snapshot


def save(snapshot: Snapshot, *, anonymize: bool = False) -> bytes:
    """Return the bytes of a bundle. With `anonymize`, addresses other than loopback, host names, e-mail
    addresses and users are replaced, each always by the same one.
    """
    bundle = Bundle(schema=SCHEMA, why502=__version__, snapshot=redacted(_lean(snapshot), anonymize=anonymize))
    return gzip.compress(msgspec.json.encode(bundle), compresslevel=6, mtime=0)


def load(data: bytes, name: str) -> Snapshot:
    """Return the snapshot in a bundle. Raises Why502Error where it is damaged, foreign or too large."""
    hint = "Collect it again with `why502 collect -o FILE`."
    if len(data) > LIMIT_BYTES:
        raise Why502Error(f"{name}: a bundle of {len(data)} bytes is too large", hint)
    if not data.startswith(b"\x1f\x8b"):
        raise Why502Error(f"{name} is not a why502 bundle", hint)
    text = bounds.unpacked(data, name)
    bounds.check(text, name)
    head = decode(text, _Head, name)
    if head.schema != SCHEMA:
        raise Why502Error(
            f"{name} has schema {head.schema!r}; this version reads {SCHEMA!r}", "Use the version of why502 that wrote it."
        )
    return _full(bounds.cut(_decoded(text, name)))


def _decoded(text: bytes, name: str) -> Snapshot:
    """Return the snapshot of a bundle's text, without the fields that only earlier versions had. Raises Why502Error."""
    try:
        return decode(text, Bundle, name).snapshot
    except Why502Error:
        if not retired.may_be_in(text):
            raise
    bounds.check(text, name, copies=2)  # as plain data, and as values
    whole = decode(text, dict[str, Any], name)
    try:
        return msgspec.convert({**whole, "snapshot": retired.without_retired(whole.get("snapshot"))}, Bundle).snapshot
    except msgspec.ValidationError as error:
        raise Why502Error(f"{name}: {error}", NOT_OURS) from error


def _lean(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the peers of a group written once, in the group:
    thousands of routes may lead to thousands of peers.
    """

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
    """Return the snapshot without secrets, as a bundle holds it; with `anonymize` with pseudonyms, too."""
    kept = without_secrets(snapshot)
    return anonymous(kept) if anonymize else kept
