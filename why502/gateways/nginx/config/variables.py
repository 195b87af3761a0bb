"""Variables whose values the configuration defines: `set`, `map`, `geo`, `split_clients`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from why502.gateways.nginx.config.files import Directive
from why502.model.patterns import lazy

MAX_VALUES = 64
_MAX_STEPS = 1000
_VARIABLE = lazy(r"\$(?:\{(\w+)\}|(\w+))")
_WORDS = frozenset({"hostnames", "volatile", "ranges", "delete", "proxy", "proxy_recursive"})

Values = Mapping[str, tuple[str, ...]]  # by variable: every value it may have, as written


def is_in(text: str) -> bool:
    """Return whether the text contains a variable."""
    return "$" in text and _VARIABLE.search(text) is not None


def mapped(directives: Iterable[Directive]) -> dict[str, tuple[str, ...]]:
    """Return the values of variables defined by `map`, `geo` and `split_clients` blocks."""
    found = {}
    for directive in directives:
        if directive.name in ("map", "geo", "split_clients") and directive.args and directive.children is not None:
            values = (line.args[0] for line in directive.children if line.args and line.name not in _WORDS)
            found[directive.args[-1].lstrip("$").lower()] = tuple(dict.fromkeys(values))
    return found


class Layer(Values):
    """Values of which a level sets some: a copy for each of thousands of levels would take time with the square of their number.

    `own`: those that it sets; None for one that becomes unknown here.
    """

    def __init__(self, own: Mapping[str, tuple[str, ...] | None], before: Values) -> None:
        self._own = own
        self._before = before

    def __getitem__(self, name: str) -> tuple[str, ...]:
        found = self._own[name] if name in self._own else self._before[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from (name for name, found in self._own.items() if found is not None)
        yield from (name for name in self._before if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def assigned(before: Values, directives: Iterable[Directive]) -> Values:
    """Return the values after the rewrite directives of a level. A `set` within an `if` adds a value; any other replaces it.

    A variable set by code (Lua, njs, Perl, an authorization request) becomes unknown. A level that sets none shares the values:
    there may be thousands of levels and of maps.
    """
    own = [(directive, is_certain) for directive, is_certain in _statements(directives, True) if _is_assignment(directive)]
    if not own:
        return before
    values: dict[str, tuple[str, ...] | None] = {}
    for directive, is_certain in own:
        name = directive.args[0][1:].lower()
        if directive.name == "set" and len(directive.args) == 2:
            known = values[name] if name in values else before.get(name)
            values[name] = tuple(dict.fromkeys((*((not is_certain and known) or ()), directive.args[1])))
        else:
            values[name] = None
    return Layer(values, before)


def anywhere(directives: Iterable[Directive]) -> dict[str, tuple[str, ...]]:
    """Return every value from any `set` of a server: these apply after an internal redirect to a location without one."""
    values: dict[str, tuple[str, ...]] = {}
    waiting = list(directives)
    while waiting:
        directive = waiting.pop()
        if directive.name == "set" and len(directive.args) == 2:
            name = directive.args[0].lstrip("$").lower()
            values[name] = tuple(dict.fromkeys((*values.get(name, ()), directive.args[1])))
        waiting.extend(directive.children or ())
    return values


def expanded(text: str, values: Values) -> tuple[str, ...]:
    """Return every text that this one may expand to, at most MAX_VALUES; unknown variables stay."""
    out: dict[str, None] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(text, frozenset())]
    for _ in range(_MAX_STEPS):
        if not waiting or len(out) >= MAX_VALUES:
            break
        template, used = waiting.pop()
        name = next((name for name in _names(template) if name not in used and values.get(name)), None)
        if name is None:
            out[template] = None
            continue
        waiting.extend((_filled(template, name, value), used | {name}) for value in reversed(values[name][:MAX_VALUES]))
    return tuple(out)


def _names(text: str) -> Iterator[str]:
    return ((match[1] or match[2]).lower() for match in _VARIABLE.finditer(text))


def _filled(text: str, name: str, value: str) -> str:
    return _VARIABLE.sub(lambda match: value if (match[1] or match[2]).lower() == name else match[0], text)


def _is_assignment(directive: Directive) -> bool:
    return "set" in directive.name and bool(directive.args) and directive.args[0].startswith("$")


def _statements(directives: Iterable[Directive], is_certain: bool) -> Iterator[tuple[Directive, bool]]:
    for directive in directives:
        if directive.name == "if":
            yield from _statements(directive.children or (), False)
        else:
            yield directive, is_certain
