"""Hypothesis strategies made from the types of the model: every value that a type allows, and often a realistic one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from why502.model.config import Position
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
TARGETS = st.sampled_from(
    [
        Target(host="127.0.0.1", port=3000),
        Target(host="127.0.0.1", port=3001),
        Target(host="::1", port=3000),
        Target(host="0.0.0.0", port=3000),
        Target(host="app.internal", port=80),
        Target(path="/run/app.sock"),
    ]
)
WORDS = (
    "",
    "nginx",
    "app",
    "http",
    "127.0.0.1",
    "127.0.0.1:3001",
    "/run/app.sock",
    "shop.example",
    "failed",
    "\x1b[31m\u202e",
    "<b>`|&",
)
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
POSITIONS = st.builds(Position, file=st.sampled_from(["/etc/nginx/nginx.conf", "b.conf"]), line=st.integers(1, 30))
STATUSES = ("status", "upstream_status")  # three digits in every log
MINE: dict[type, st.SearchStrategy[Any]] = {Target: TARGETS, Position: POSITIONS}


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Return the values of a type."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType():
            return st.one_of(*(_of(part) for part in info.types))
        case inspect.VarTupleType():
            return st.lists(_of(info.item_type), max_size=2).map(tuple)
        case inspect.TupleType():
            return st.tuples(*(_of(part) for part in info.item_types))
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=2)
        case inspect.EnumType():
            return st.sampled_from(info.cls)
        case inspect.DateTimeType():
            return st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 22), timezones=st.just(UTC))
        case inspect.StrType():
            return TEXTS
        case inspect.IntType():
            return st.integers(0, 1 << 31)
        case inspect.FloatType():
            return st.floats(0, 1e6)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return st.one_of(st.none(), TEXTS, st.integers(0, 999))
        case inspect.LiteralType():
            return st.sampled_from(info.values)
    raise TypeError(info)


def _struct(info: inspect.StructType) -> st.SearchStrategy[Any]:
    if info.cls in MINE:
        return MINE[info.cls]
    fields = {}
    for field in info.fields:
        values = st.deferred(lambda kind=field.type: _of(kind))
        if field.name in STATUSES and isinstance(field.type, inspect.IntType | inspect.UnionType):
            values = (
                st.one_of(st.integers(0, 999), st.none()) if isinstance(field.type, inspect.UnionType) else st.integers(0, 999)
            )
        default = field.default if field.default is not msgspec.NODEFAULT else msgspec.NODEFAULT
        fields[field.name] = values if field.required else st.one_of(st.just(_default(default, field)), values)
    return st.builds(info.cls, **fields)


def _default(default: Any, field: inspect.Field) -> Any:
    return field.default_factory() if default is msgspec.NODEFAULT else default
