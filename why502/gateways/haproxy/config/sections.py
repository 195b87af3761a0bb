"""The sections of HAProxy's files as HAProxy sees them: several files are one configuration, variables are replaced, conditional
blocks resolved, and each proxy has the settings of its `defaults`.

Source: doc/configuration.txt, 2 (format) and 4 (proxies: `from`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice

from why502.config.tree import Node, Tree
from why502.gateways.haproxy.config.conditions import KEYWORDS, Blocks
from why502.gateways.haproxy.config.words import expanded, variables_in
from why502.gateways.haproxy.server_tls import options
from why502.model.config import Position
from why502.model.patterns import lazy

PROXIES = frozenset({"frontend", "backend", "listen", ""})  # "": the lines of a fragment
_WITH_SECOND = frozenset({"timeout", "option", "no", "errorfile", "http-error", "stats", "email-alert"})
_OLD = {"contimeout": "timeout connect", "clitimeout": "timeout client", "srvtimeout": "timeout server"}  # up to 1.9
_MOST_CHAINED = 50  # `defaults` that inherit from one another
_MOST_SETTINGS = 500  # that a `defaults` passes on
_MOST_RULES = 200
_ADDRESS = lazy(r"\[?[0-9a-fA-F:.]*\]?(?::[+-]?\d+)?")
_ALREADY = lazy(r"^(?:ipv[46]|tcp[46]?|udp[46]?|quic[46]|unix|abns|fd|sockpair|rev|rhttp)@")
_ORDERED = frozenset({"http-check", "tcp-check"})  # those of a proxy replace those of its defaults
# Lines whose variables are replaced. Others hold passwords and tokens, which must not leave the environment.
_WITH_VALUES = KEYWORDS | frozenset(
    "server server-template default-server bind default_backend use_backend timeout mode source maxconn fullconn balance option"
    " http-check retries dispatch setenv presetenv unsetenv resetenv tune.bufsize ca-base crt-base".split()
)
_RULES = frozenset(
    "acl use_backend use-server http-request http-response http-after-response tcp-request tcp-response bind server"
    " server-template default-server stick-table stick log filter http-check tcp-check redirect monitor dispatch".split()
)


_last: ContextVar[tuple[tuple[Tree, ...], list[Section]] | None] = ContextVar("last", default=None)


@dataclass(slots=True)  # not frozen: that makes each of tens of thousands several times slower
class Line:
    """A keyword with its arguments. `condition`: that of the blocks around it whose outcome is unknown."""

    words: tuple[str, ...]
    at: Position
    condition: str = ""


@dataclass(slots=True)
class Server:
    """A `server` or `server-template` line with the options in force, those of `default-server` included.

    `numbers`: of a template, how many servers it makes, as written.
    """

    name: str
    address: str
    options: dict[str, str]
    at: Position
    is_template: bool = False
    numbers: str = ""

    @property
    def is_dormant(self) -> bool:
        """Whether it gets no requests as configured: disabled, or only a reserve."""
        return "disabled" in self.options or "backup" in self.options

    @property
    def host_name(self) -> str:
        """The host name in its address; "" for an IP address, a socket, or one with a variable."""
        if (
            self.address.startswith("/")
            or "$" in self.address
            or _ALREADY.match(self.address)
            or _ADDRESS.fullmatch(self.address)
        ):
            return ""
        return re.sub(r":[+-]?\d*$", "", self.address).lower()


@dataclass(slots=True)
class Section:
    """A section: its kind, name and lines. `base` is the `defaults` section that it inherits from."""

    kind: str
    name: str
    at: Position | None = None
    lines: list[Line] = field(default_factory=list)
    base: Section | None = None
    depth: int = 0  # how many `defaults` it inherits from in a row
    _settings: dict[str, tuple[Line, ...]] | None = None
    _rules: list[Line] | None = None
    _servers: list[Server] | None = None

    @property
    def settings(self) -> dict[str, tuple[Line, ...]]:
        """The lines in force by keyword, such as `timeout server`; those of the section itself override its defaults'.

        Rules of the defaults are not among them: see `inherited`.
        """
        if self._settings is None:
            self._settings = dict(islice(self.base.settings.items(), _MOST_SETTINGS)) if self.base else {}
            own: dict[str, tuple[Line, ...]] = {}
            for line in self.lines:
                name = keyword(line.words)
                if name.startswith("no option "):
                    self._settings.pop(name[3:], None)
                    own.pop(name[3:], None)
                else:
                    own[name] = (*own.get(name, ()), line) if line.words[0] in _ORDERED else (line,)
            self._settings.update((name, lines) for name, lines in own.items() if name.partition(" ")[0] not in _RULES - _ORDERED)
        return self._settings

    def words(self, name: str) -> tuple[str, ...]:
        """Return the arguments of a setting; () if it is not set."""
        lines = self.settings.get(name, ())
        return lines[-1].words[1 if lines[-1].words[0] in _OLD else len(name.split()) :] if lines else ()

    @property
    def rules(self) -> list[Line]:
        """The rules and the options of servers that a `defaults` passes on, those that it inherits first."""
        if self._rules is None:
            own = [line for line in self.lines if line.words[0] in _RULES]
            self._rules = [*(self.base.rules if self.base else ()), *own][:_MOST_RULES]
        return self._rules

    @property
    def servers(self) -> list[Server]:
        """The servers, in order: those after a `default-server` line have its options."""
        if self._servers is None:
            self._servers = list(self._read_servers())
        return self._servers

    def _read_servers(self) -> Iterator[Server]:
        given: dict[str, str] = {}
        for line in self.inherited():
            words = line.words
            if words[0] == "default-server":
                given = options(words[1:], given)
            elif words[0] == "server" and len(words) >= 3:
                yield Server(words[1], words[2], options(words[3:], given), line.at)
            elif words[0] == "server-template" and len(words) >= 4:
                yield Server(words[1], words[3], options(words[4:], given), line.at, is_template=True, numbers=words[2])

    def inherited(self) -> Iterator[Line]:
        """Yield the rules of its defaults, then its own lines."""
        if self.base is not None:
            yield from self.base.rules
        yield from self.lines


def keyword(words: tuple[str, ...]) -> str:
    """Return the name of a line's setting: its first word, and those that belong to it (`timeout server`, `no option x`)."""
    if words[0] in _OLD:
        return _OLD[words[0]]
    if words[0] == "no" and len(words) > 2 and words[1] == "option":
        return f"no option {words[2]}"
    return f"{words[0]} {words[1]}" if words[0] in _WITH_SECOND and len(words) > 1 else words[0]


def sections(trees: tuple[Tree, ...], environment: Mapping[str, str] | None = None) -> list[Section]:
    """Return the sections of the files, read in this order.

    `environment`: the variables of the running process; None if they are unknown: names in the text then stay as written.
    """
    if environment is None and (last := _last.get()) is not None and last[0] is trees:
        return last[1]  # lint's rules ask for those that the configuration was made of
    reader = _Reader(environment)
    for tree in trees:
        reader.read(tree)
    if environment is None:
        _last.set((trees, reader.found))
    return reader.found


def variables_of(tree: Tree) -> frozenset[str]:
    """Return the names of the variables in a file, also those in its conditions."""
    found: set[str] = set()
    for node in _nodes(tree):
        for word in node.words:
            found.update(variables_in(word.raw))
        if node.name in KEYWORDS:
            found.update(part[8:].partition(")")[0] for part in " ".join(node.args).split() if part.startswith("defined("))
    return frozenset(found)


def _nodes(tree: Tree) -> Iterator[Node]:
    for node in tree.children:
        yield node
        yield from node.children


class _Reader:
    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.found = [Section("", "")]
        self.is_known = environment is not None
        self.given = dict(environment or {})
        self.variables = dict(self.given)
        self.defaults: Section | None = None
        self.named: dict[str, Section] = {}

    def read(self, tree: Tree) -> None:
        blocks = Blocks()
        for node in _nodes(tree):
            words = self._words(node)
            if not words:
                continue
            if words[0] in KEYWORDS:
                blocks.take(words[0], " ".join(words[1:]), self.variables if self.is_known else None)
            elif blocks.is_active:
                self._take(Line(words, node.at, blocks.text), is_section=node.body is not None)

    def _words(self, node: Node) -> tuple[str, ...]:
        for word in node.words:
            if "$" in word.raw and (node.name in _WITH_VALUES or node.body is not None):
                break
        else:
            return tuple([word.value for word in node.words])  # nearly every line
        found: list[str] = []
        for word in node.words:
            if "$" in word.raw:
                found += expanded(word.raw, self.variables, is_complete=self.is_known)
            else:
                found.append(word.value)
        return tuple(found)

    def _take(self, line: Line, *, is_section: bool) -> None:
        words = line.words
        if is_section:
            self._begin(line)
            return
        section = self.found[-1]
        section.lines.append(line)
        if section.kind == "global" and words[0] in ("setenv", "presetenv", "unsetenv", "resetenv"):
            self._set(words)

    def _begin(self, line: Line) -> None:
        kind, *rest = line.words
        base = self.defaults
        if "from" in rest[:-1]:
            place = rest.index("from")
            base = self.named.get(rest[place + 1], base)
            del rest[place : place + 2]
        elif kind == "defaults":
            base = None  # a new section begins with HAProxy's own defaults
        if base is not None and (base.depth >= _MOST_CHAINED or not (kind in PROXIES or kind == "defaults")):
            base = None
        section = Section(kind, rest[0] if rest else "", line.at, base=base, depth=base.depth + 1 if base else 0)
        if kind == "defaults":
            self.defaults = section
            if section.name:
                self.named[section.name] = section
        if kind in ("listen", "frontend") and len(rest) > 1:  # an address after the name, as in old configurations
            section.lines.append(Line(("bind", *rest[1:]), line.at, line.condition))
        self.found.append(section)

    def _set(self, words: tuple[str, ...]) -> None:
        match words:
            case ("setenv", name, value, *_):
                self.variables[name] = value
            case ("presetenv", name, value, *_):
                self.variables.setdefault(name, value)
            case ("unsetenv", *names):
                for name in names:
                    self.variables.pop(name, None)
            case ("resetenv", *names):
                self.variables = {name: value for name, value in self.variables.items() if name in names}
            case _:
                pass
