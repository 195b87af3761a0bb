"""Every regular expression of the program, and texts built from it that make a bad expression slow."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any, NamedTuple

import why502
from why502.model import patterns

ROOT = Path(why502.__file__).parent
WAYS = ("search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split")
ALPHABET = " \t\n\r0aAzZ_-.:/,;\"'`[]{}()<>=\\|+*%$#&@!?~^éx1\x00\x1b\xa0"
_REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
FULL = 128 << 10
SIZES = (2 << 10, 16 << 10, FULL)
MANY = 32  # repetitions that a bound may allow and still be fast


class Expression(NamedTuple):
    """A regular expression, the place where it is made, and the methods called on it."""

    pattern: str | bytes
    flags: int
    place: str
    ways: frozenset[str]

    @property
    def anchored(self) -> bool:
        """True if it is only ever tried at the start of a text."""
        return self.ways <= {"match", "fullmatch"}


def modules() -> list[str]:
    """Return the names of all modules of the program."""
    return [each.name for each in pkgutil.walk_packages(why502.__path__, "why502.") if not each.name.endswith("__main__")]


def compiled_at_import() -> list[Expression]:
    """Return the expressions compiled when the modules are imported, or at first use."""
    seen: dict[tuple[str | bytes, int], set[str]] = defaultdict(set)
    original = re.compile

    def record(pattern: Any, flags: int = 0) -> Any:
        made = original(pattern, flags)
        frame = sys._getframe(1)
        if frame.f_code.co_filename.startswith(f"{ROOT}/"):
            seen[made.pattern, made.flags].add(f"{Path(frame.f_code.co_filename).relative_to(ROOT.parent)}:{frame.f_lineno}")
        return made

    re.compile = record  # type: ignore[assignment]
    made_lazily, patterns.lazy = patterns.lazy, record  # type: ignore[assignment]
    try:
        for name in modules():
            importlib.import_module(name)
    finally:
        re.compile, patterns.lazy = original, made_lazily
    named = _named()
    return [
        Expression(pattern, flags, min(places), frozenset(way for place in places for way in named.get(place, {"search"})))
        for (pattern, flags), places in seen.items()
    ]


@cache
def written_in_calls() -> tuple[list[Expression], list[str]]:
    """Return the expressions in calls such as `re.search("…", text)`, and the places that build one at call time."""
    found: list[Expression] = []
    computed: list[str] = []
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        inside = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)}
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
            ):
                continue
            if node.func.value.id != "re" or node.func.attr not in (*WAYS, "compile") or id(node) not in inside:
                continue
            place = f"{path.relative_to(ROOT.parent)}:{node.lineno}"
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes):
                flags = 0
                for word in re.findall(r"re\.([A-Z]+)", ast.unparse(node)):
                    flags |= int(re.RegexFlag[word])
                way = "search" if node.func.attr == "compile" else node.func.attr
                found.append(Expression(first.value, flags, place, frozenset({way})))
            else:
                computed.append(f"{path.relative_to(ROOT.parent)}: {ast.unparse(first)}")
    return found, computed


def _named() -> dict[str, set[str]]:
    """Return for each place that binds an expression to a name the methods that the program calls on that name."""
    uses: dict[tuple[str, str], set[str]] = defaultdict(set)
    bound: dict[str, tuple[str, str]] = {}
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        origin: dict[str, tuple[str, str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                origin |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
        calls: set[int] = set()
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=way) if way in WAYS:
                    uses[origin.get(name, (module, name))].add(way)
                    calls.add(id(node.value))
                case ast.Attribute(value=ast.Attribute(value=ast.Name(id=holder), attr=name), attr=way) if way in WAYS:
                    uses[".".join(origin.get(holder, (module, holder))), name].add(way)
                    calls.add(id(node.value))
                case ast.Attribute(value=ast.Name(), attr="pattern" | "groupindex"):
                    calls.add(id(node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in calls:
                uses[origin.get(node.id, (module, node.id))].add("search")  # passed on: its use is unknown
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and ast.unparse(node.value.func) in ("re.compile", "lazy"):
                    for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                        bound[f"{path.relative_to(ROOT.parent)}:{line}"] = (module, target.id)
    return {place: uses[key] or {"search"} for place, key in bound.items()}


class _Tree:
    """The parsed form of an expression, from which samples are built."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self.is_text = isinstance(pattern, str)
        self.root = _parser.parse(pattern, flags & ~int(re.UNICODE) if isinstance(pattern, str) else flags)
        self.flags = flags
        self._chars: dict[int, tuple[Any, str]] = {}  # by the id of a node, and the node

    def chars(self, node: Any) -> str:
        """Return the characters of the alphabet that a one-character node matches."""
        if id(node) not in self._chars:
            self._chars[id(node)] = (node, self._chars_of(node))
        return self._chars[id(node)][1]

    def _chars_of(self, node: Any) -> str:
        own = [chr(value) for value in _literals(node) if value < 256 or self.is_text]
        sub = _parser.SubPattern(self.root.state, [node])
        taker = _compiler.compile(sub, self.flags)
        return "".join(
            char
            for char in dict.fromkeys([*ALPHABET, *own])
            if (self.is_text or ord(char) < 256) and taker.fullmatch(char if self.is_text else char.encode("latin-1"))
        )

    def sample(self, nodes: Any, long: bool) -> str:
        """Return a text that these nodes match, in the shortest form or with one of everything."""
        out = ""
        for node in nodes:
            operation, value = node
            if operation is _constants.LITERAL:
                out += chr(value)
            elif operation in {_constants.NOT_LITERAL, _constants.ANY, _constants.IN}:
                chars = self.chars(node)
                out += next((char for char in chars if char.isalnum()), chars[:1])
            elif operation in _REPEATS:
                least, most, body = value
                out += self.sample(body, long) * min(max(least, 1 if long and most else least), 40)
            elif operation is _constants.SUBPATTERN:
                out += self.sample(value[3], long)
            elif operation is _constants.ATOMIC_GROUP:
                out += self.sample(value, long)
            elif operation is _constants.BRANCH:
                out += self.sample(value[1][-1 if long else 0], long)
            elif operation is _constants.ASSERT and value[0] > 0 and node is nodes[-1]:
                out += self.sample(value[1], long)
        return out


@lru_cache(maxsize=1)
def _tree(pattern: str | bytes, flags: int) -> _Tree:
    """Return the tree of an expression; it is used for several attacks in a row."""
    return _Tree(pattern, flags)


def _literals(node: Any) -> Iterator[int]:
    operation, value = node
    if operation in {_constants.LITERAL, _constants.NOT_LITERAL}:
        yield value
    elif operation is _constants.IN:
        for inner in value:
            if inner[0] is _constants.LITERAL:
                yield inner[1]
            elif inner[0] is _constants.RANGE:
                yield from inner[1]


def _repetitions(tree: _Tree, nodes: Any, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, tuple[str, ...]]]:
    """Yield for each repetition: texts that lead to it, its body, texts that may follow."""
    items = list(nodes)
    for index, (operation, value) in enumerate(items):
        lead = tuple(dict.fromkeys(prefix + tree.sample(items[:index], long) for prefix in before for long in (False, True)))[:2]
        rest = tuple(dict.fromkeys(tree.sample(items[index + 1 :], long)[:60] for long in (False, True)))
        if operation in _REPEATS:
            _, most, body = value
            if most == _constants.MAXREPEAT or most > MANY:
                yield lead, body, rest
            yield from _repetitions(tree, body, lead)
        elif operation is _constants.SUBPATTERN:
            yield from _repetitions(tree, value[3], lead)
        elif operation is _constants.ATOMIC_GROUP:
            yield from _repetitions(tree, value, lead)
        elif operation is _constants.BRANCH:
            for branch in value[1]:
                yield from _repetitions(tree, branch, lead)
        elif operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
            yield from _repetitions(tree, value[1], lead if value[0] > 0 else before)


def attacks(pattern: str | bytes, flags: int, size: int) -> Iterator[str]:
    """Yield texts of about `size` characters that maximise the backtracking of an expression."""
    for head, unit, tail in _attack_parts(pattern, flags):
        yield head + unit * (size // len(unit) + 1) + tail


@lru_cache(maxsize=1)
def _attack_parts(pattern: str | bytes, flags: int) -> tuple[tuple[str, str, str], ...]:
    """Return the head, the unit that is repeated, and the tail of each attack; they are filled to several sizes in a row."""
    return tuple(dict.fromkeys(parts for parts in _parts(_tree(pattern, flags)) if parts[1]))


def _parts(tree: _Tree) -> Iterator[tuple[str, str, str]]:
    whole = tree.sample(tree.root, True)
    yield ("", whole[:-1], "!")
    yield ("", whole, "\n!")
    for lead, body, rest in _repetitions(tree, tree.root, ("",)):
        bodies = [tree.sample(body, True), tree.sample(body, False)]
        if len(body) == 1 and body[0][0] in {_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN}:
            bodies += [*_classes(tree.chars(body[0]))]
        else:
            inner = [node for _, part, _ in _repetitions(tree, body, ("",)) for node in part[:1]]
            inner += [node for node in body if node[0] in {_constants.ANY, _constants.IN, _constants.NOT_LITERAL}]
            bodies += [char for node in inner if node[0] not in _REPEATS for char in _classes(_safe(tree, node))]
        for unit in list(dict.fromkeys(bodies))[:10]:
            for head in lead:
                yield (head, unit, "\x00")
                yield ("", head + unit, "\n\x00")
                for tail in rest:
                    yield (head, unit, tail[:-1] + "\x01")
                    yield ("", head + unit + tail[:-1], "\x01")
                    yield (head, unit + tail[:-1], "\x01")
        for head in lead:
            yield ("", head, "!")


def _safe(tree: _Tree, node: Any) -> str:
    try:
        return tree.chars(node)
    except (TypeError, ValueError):
        return ""


def _classes(chars: str) -> str:
    """Return one character of each kind: a space, a digit, a letter, and the punctuation."""
    kept = [next((char for char in chars if test(char)), "") for test in (str.isdigit, str.isalpha, str.isspace)]
    return "".join(kept) + "".join(char for char in chars if not char.isalnum() and not char.isspace())[:6]


class TooSlow(Exception):
    """Raised inside a search that has used up its processor time."""


def spent(call: Callable[[], object], limit_s: float) -> float:
    """Return the processor time of a call; infinite if it was stopped at the limit."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    started = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
        call()
        return time.process_time() - started
    except TooSlow:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def use(made: re.Pattern[Any], expression: Expression, text: str) -> Callable[[], object]:
    """Return the call that the program makes, or the costliest of them, on a text."""
    data: Any = text if isinstance(expression.pattern, str) else text.encode("latin-1", "replace")
    if expression.anchored:
        return lambda: made.match(data) if "match" in expression.ways else made.fullmatch(data)
    if expression.ways & {"findall", "finditer", "sub", "subn", "split"}:
        return lambda: sum(1 for _ in made.finditer(data))
    return lambda: made.search(data)


def slowest(
    expression: Expression, limit_s: float, most: int = 1 << 20, sizes: tuple[int, ...] = SIZES, full: int = FULL
) -> tuple[float, str] | None:
    """Return the time and the start of an attack of `full` characters that takes longer than the limit; None if there is none."""
    made = re.compile(expression.pattern, expression.flags)
    every = sum(1 for _ in attacks(expression.pattern, expression.flags, 64))
    left = set(range(0, every, max(every // most, 1)))
    for stage, size in enumerate(sizes):
        worst: list[tuple[float, int]] = []
        for index, text in enumerate(attacks(expression.pattern, expression.flags, size)):
            if index not in left:
                continue
            took = min(spent(use(made, expression, text), limit_s) for _ in range(2 if stage else 1))
            if took > limit_s:
                return took, text[:120]
            if took * (full / size) ** 2 > limit_s:
                worst.append((took, index))
                if len(worst) >= 6:
                    break
        if not worst:
            return None
        left = {index for _, index in sorted(worst, reverse=True)[:3]}
    return None
