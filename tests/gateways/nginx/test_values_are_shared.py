"""Levels that set no variable share the values of the maps: copies would cost their product."""

from __future__ import annotations

from collections.abc import Iterator

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


def test_a_level_that_assigns_keeps_only_its_own_values() -> None:
    """A copy for each of thousands of conditions would take time with the square of their number."""
    before = CountedReads({f"v{number}": (str(number),) for number in range(1000)})
    inner = variables.assigned(before, [directive("set", "$v1", "x"), directive("set_by_lua_file", "$v2", "x.lua")])
    assert (inner["v1"], inner.get("v2"), inner["v3"]) == (("x",), None, ("3",))
    assert before.reads <= 2
    assert dict(variables.assigned(inner, [directive("set", "$v2", "again")]))["v2"] == ("again",)


def test_a_condition_adds_a_value() -> None:
    condition = Directive(name="if", args=("($a)",), at=AT, children=(directive("set", "$pool", "c"),))
    assert variables.assigned({"pool": ("a",)}, [condition]) == {"pool": ("a", "c")}
    assert variables.assigned({"pool": ("a",)}, [directive("set_by_lua_file", "$pool", "x"), condition]) == {"pool": ("c",)}


class CountedReads(dict[str, tuple[str, ...]]):
    """Values that count how many of them are read."""

    reads = 0

    def __getitem__(self, name: str) -> tuple[str, ...]:
        self.reads += 1
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.reads += 1
            yield name
