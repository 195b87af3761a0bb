"""Every value of the model: decoding an encoded value gives the same value."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
import pytest
import values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampled import sampled

from why502 import model
from why502.model.base import Value, decode, encode
from why502.model.errors import Why502Error
from why502.model.target import Target

KINDS = sorted(
    {
        kind
        for module in pkgutil.iter_modules(model.__path__, "why502.model.")
        for kind in vars(importlib.import_module(module.name)).values()
        if isinstance(kind, type) and issubclass(kind, Value) and kind is not Value
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", sampled(KINDS, 4), ids=lambda kind: kind.__name__)
def test_encoded_values_decode_to_the_same(kind: type[Value]) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large))
    @given(values.of(kind))
    def check(value: Value) -> None:
        assert decode(encode(value), kind) == value

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_foreign_fields_are_refused(kind: type[Value]) -> None:
    with pytest.raises(Why502Error, match="no_such_field"):
        decode(b'{"no_such_field": 1}', kind)


@pytest.mark.parametrize("data", [b"", b"[", b"null", b"\xff", b'{"host": 5}', b"[" * 100_000])
def test_invalid_values_are_refused(data: bytes) -> None:
    with pytest.raises(Why502Error, match=r"x\.json"):
        decode(data, Target, "x.json")


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(http://|unix:|\[)?[0-9a-f.:/]{0,20}\]?:?\d{0,6}")))
def test_any_text_is_a_target_or_none(text: str) -> None:
    target = Target.parse(text)
    assert target is None or target.path or target.host


@given(values.TARGETS)
def test_a_target_is_printed_as_it_is_read(target: Target) -> None:
    assert Target.parse(str(target)) == target


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Target(host="a").host = "b"  # type: ignore[misc]
    assert all(kind.__struct_config__.frozen and issubclass(kind, msgspec.Struct) for kind in KINDS)
