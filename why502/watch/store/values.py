"""Values as the store keeps them: JSON without secrets, compressed where it is long."""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec

from why502.model.base import Value, decode
from why502.redaction import redact
from why502.redaction.snapshots import without_secrets
from why502.watch.model import Incident, Message

V = TypeVar("V", bound=Value)
_JSON = b"{"  # what uncompressed JSON starts with; zlib starts with 0x78

# Made by why502 itself, and compared: they stay exactly as they are.
_INCIDENT = ("id", "key", "earlier", "caused_by")
_MESSAGE = ("key", "receiver", "thread")


def pack(value: Value) -> bytes:
    """Return a value as it is written: without secrets."""
    data = msgspec.json.encode(_clean(value))
    return zlib.compress(data, 6) if len(data) > 500 else data


def unpack(data: bytes, kind: type[V]) -> V:
    """Return a value that `pack` wrote. Raises Why502Error where it is damaged."""
    if not data.startswith(_JSON):
        data = zlib.decompress(data)
    return decode(data, kind, "the store")


def _clean(value: Value) -> Any:
    plain = msgspec.to_builtins(value)
    kept = without_secrets(plain)
    if isinstance(value, Incident):
        return _exact(plain, kept, _INCIDENT)
    if isinstance(value, Message):
        return _exact(plain, kept, _MESSAGE) | {"incident": _exact(plain["incident"], kept["incident"], _INCIDENT)}
    return kept


def _exact(plain: dict[str, Any], kept: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return kept | {name: plain[name] for name in names if name in plain}


def searched(incident: Incident) -> str:
    """Return the text that a search for incidents looks at, in lower case, without secrets."""
    finding = incident.finding
    texts = (
        incident.id,
        incident.host,
        incident.proxy,
        incident.symptom,
        incident.cause,
        incident.target,
        incident.location,
        finding.message if finding else "",
        incident.closing,
        *incident.locations,
        *incident.targets,
    )
    return redact("\n".join(dict.fromkeys(filter(None, texts)))).lower()
