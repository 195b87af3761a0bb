"""Levels that set no variable share the values of the maps: copies would cost their product."""

from __future__ import annotations

from why502.gateways.nginx.config import variables
from why502.gateways.nginx.config.files import Directive
from why502.model.config import Position

AT = Position(file="nginx.conf", line=1)


def directive(name: str, *args: str) -> Directive:
    """Return a directive without a block."""
    return Directive(name=name, args=args, at=AT)


def test_a_level_without_assignments_shares_the_values_around_it() -> None:
    before = {"pool": ("a", "b")}
    assert (
        variables.assigned(before, [directive("proxy_pass", "http://$pool"), directive("set_real_ip_from", "10.0.0.0/8")])
        is before
    )


def test_an_assignment_replaces_a_value_and_leaves_those_outside() -> None:
    before = {"pool": ("a", "b")}
    assert variables.assigned(before, [directive("set", "$pool", "c")]) == {"pool": ("c",)}
    assert variables.assigned(before, [directive("set_by_lua_file", "$pool", "x.lua")]) == {}
    assert before == {"pool": ("a", "b")}
