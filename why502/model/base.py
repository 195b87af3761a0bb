"""Value, the base of every record, and its strict JSON encoding."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from why502.model.errors import Why502Error

T = TypeVar("T")
NOT_OURS = "The file is damaged or was not written by why502."


class Value(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A frozen record. Subclasses state `kw_only=True` themselves: msgspec does not inherit it."""


def encode(value: object) -> bytes:
    """Return the value as JSON; fields that hold their default are left out."""
    return msgspec.json.encode(value, order="deterministic")


def decode(data: bytes, kind: type[T], name: str = "input") -> T:
    """Return the value of the given kind encoded in `data` (JSON). Raises Why502Error with the place of the first mismatch."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Why502Error(f"{name}: {error}", NOT_OURS) from error
