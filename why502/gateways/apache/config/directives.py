"""httpd's directives in the order in which httpd reads them: files included where they are named, conditions and macros resolved,
variables replaced, each with the sections around it.

Sources: the documentation of core (Include, Define, IfDefine, IfModule, If, VirtualHost), of mod_macro, and server/config.c.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from why502.config.tree import Node, Tree
from why502.model.config import Position
from why502.model.patterns import lazy

MOST = 200_000  # directives that are read, each time that their file is included
_MOST_TIMES = 64  # that one file is included
_DEEPEST = 100  # blocks and includes within one another
_VARIABLE = lazy(r"\$\{([^}\s]{1,200})\}")
# Compiled into the usual builds; a configuration that loads modules names all others.
_BUILT_IN = frozenset("core so http log_config logio version unixd watchdog mpm_winnt mpm_netware".split())
_ALWAYS = frozenset({"ifversion", "iffile", "ifsection", "ifdirective"})  # their outcome depends on what is not known here
_PLACES = frozenset("location locationmatch files filesmatch directory directorymatch proxy proxymatch limit limitexcept".split())
_RUNTIME = frozenset({"if", "elseif", "else", "requireall", "requireany", "requirenone"})


@dataclass(frozen=True, slots=True)
class Scope:
    """The sections around a directive. `host`: the number of the virtual host, 0 for the main server."""

    host: int = 0
    address: str = ""  # the arguments of <VirtualHost>
    section: str = ""  # the innermost section with a place, as written: "FilesMatch \\.php$"
    path: str = ""  # its place
    directory: str = ""  # the <Directory> or <DirectoryMatch> around it, as written; of `.htaccess`, its own directory
    proxy: str = ""  # the URL of <Proxy>
    conditions: tuple[str, ...] = ()  # those of <If>, which hold or not for each request


@dataclass(slots=True)  # not frozen: that makes each of tens of thousands several times slower
class Directive:
    """A directive in force: its name in lower case, its arguments with their variables replaced, and its place."""

    name: str
    written: str
    args: tuple[str, ...]
    at: Position
    scope: Scope


class Reader:
    """Reads the files of a configuration as one text, the main one first.

    `environment`: the variables of the running process; None if they are unknown: names in the text then stay as written.
    `defined`: the names that its command line defines (`-D`).
    """

    def __init__(self, trees: Sequence[Tree], environment: Mapping[str, str] | None = None, defined: Iterable[str] = ()) -> None:
        self.trees = {tree.file: tree for tree in trees}
        self.main = trees[0].file if trees else ""
        self.values: dict[str, str] = dict(environment or {})
        self.defined = set(defined)
        self.root = posixpath.dirname(self.main)
        self.loaded: set[str] = set()
        self.loads_modules = any(True for tree in trees for node in nodes_of(tree) if node.name.lower() == "loadmodule")
        self.macros: dict[str, Node] = {}
        self.hosts = 0
        self.left = MOST
        self.read_files: Counter[str] = Counter()
        self.open_files: list[str] = []  # those that include the present one

    def directives(self) -> Iterator[Directive]:
        """Yield them; of files that nothing includes, too, as a part of a configuration may be all that is known."""
        for tree in self.trees.values():
            if tree.file not in self.read_files:
                yield from self._file(tree.file, Scope(), 0)

    def part(self, scope: Scope) -> Iterator[Directive]:
        """Yield those of the main file, which is read in a place of its own."""
        yield from self._file(self.main, scope, 0)

    def _file(self, path: str, scope: Scope, depth: int) -> Iterator[Directive]:
        if path in self.open_files or self.read_files[path] >= _MOST_TIMES:
            return
        self.read_files[path] += 1
        self.open_files.append(path)
        yield from self._body(self.trees[path].children, scope, {}, depth + 1)
        self.open_files.pop()

    def _body(self, nodes: Iterable[Node], scope: Scope, given: Mapping[str, str], depth: int) -> Iterator[Directive]:
        if depth > _DEEPEST:
            return
        for node in nodes:
            self.left -= 1
            if self.left < 0:
                return
            if node.body is None:
                yield from self._line(node, scope, given, depth)
            else:
                yield from self._section(node, scope, given, depth)

    def _line(self, node: Node, scope: Scope, given: Mapping[str, str], depth: int) -> Iterator[Directive]:
        name = node.name.lower()
        args = tuple(self._replaced(word, given) for word in node.args)
        match name, args:
            case "define", (variable, *value):
                self.defined.add(variable)
                self.values[variable] = value[0] if value else ""
            case "undefine", (variable, *_):
                self.defined.discard(variable)
                self.values.pop(variable, None)
            case "serverroot", (root, *_):
                self.root = posixpath.join(self.root, root)
            case "loadmodule", (module, *_):
                self.loaded.add(module.removesuffix("_module"))
            case "include" | "includeoptional", (pattern, *_):
                for path in self._fitting(pattern):
                    yield from self._file(path, scope, depth)
                return
            case "use", (macro, *values) if macro.lower() in self.macros:
                yield from self._used(macro.lower(), values, scope, depth)
                return
        yield Directive(name, node.name, args, node.at, scope)

    def _used(self, macro: str, values: list[str], scope: Scope, depth: int) -> Iterator[Directive]:
        node = self.macros[macro]
        given = dict(zip(node.args[1:], values, strict=False))
        yield from self._body(node.children, scope, given, depth + 1)

    def _section(self, node: Node, scope: Scope, given: Mapping[str, str], depth: int) -> Iterator[Directive]:
        name = node.name.lower()
        args = tuple(self._replaced(word, given) for word in node.args)
        if name == "macro" and args:
            self.macros[args[0].lower()] = node
            return
        if name == "ifdefine" and args:
            if (args[0].lstrip("!") in self.defined) is args[0].startswith("!"):
                return
        elif name == "ifmodule" and args:
            if self._has(args[0].lstrip("!")) is args[0].startswith("!"):
                return
        elif name == "virtualhost":
            self.hosts += 1
            scope = Scope(host=self.hosts, address=" ".join(args))
        elif name in _PLACES:
            is_expression = bool(args) and args[0] == "~"
            path = " ".join(args[1:] if is_expression else args)
            kind = f"{node.name}Match" if is_expression else node.name
            if name == "proxy":
                yield Directive("<proxy", node.name, args, node.at, scope)
                scope = replace(scope, proxy=args[0] if args else "")
            elif not name.startswith("limit"):
                scope = replace(scope, path=path, section=f"{kind} {path}")
                if name.startswith("directory"):
                    scope = replace(scope, directory=scope.section)
        elif name in _RUNTIME and name in ("if", "elseif", "else"):
            scope = replace(scope, conditions=(*scope.conditions, " ".join(args) or name))
        elif name not in _ALWAYS and name not in _RUNTIME:
            yield Directive(f"<{name}", node.name, args, node.at, scope)
        yield from self._body(node.children, scope, given, depth + 1)

    def _has(self, module: str) -> bool:
        """Return whether a module is loaded, by either of its names: `proxy_module`, `mod_proxy.c`."""
        name = module.removeprefix("mod_").removesuffix(".c").removesuffix("_module")
        if name in self.loaded or not self.loads_modules:
            return True
        return name in _BUILT_IN

    def _replaced(self, word: str, given: Mapping[str, str]) -> str:
        """Return a word with its variables and the parameters of its macro replaced; unknown ones stay as written."""
        for parameter in sorted(given, key=len, reverse=True):
            word = word.replace(parameter, given[parameter])
        if "${" not in word:
            return word
        return _VARIABLE.sub(lambda match: self.values.get(match[1], match[0]), word)[:8192]

    def _fitting(self, pattern: str) -> list[str]:
        """Return the files that an include means, of those that are known, in httpd's order."""
        whole = posixpath.normpath(posixpath.join(self.root, pattern))
        if whole in self.trees:
            return [whole]
        parts = whole.split("/")
        found = []
        for path in self.trees:
            names = path.split("/")
            if len(names) >= len(parts) and all(map(fnmatch.fnmatchcase, names, parts)):
                found.append(path)  # with more names, the pattern is that of a directory
        return sorted(found)


def nodes_of(tree: Tree) -> Iterator[Node]:
    """Yield every node of a file, in no order."""
    waiting = list(tree.children)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def variables_of(tree: Tree) -> frozenset[str]:
    """Return the names of the variables in a file."""
    return frozenset(match[1] for node in nodes_of(tree) for word in node.words for match in _VARIABLE.finditer(word.value))


def defined_by(argv: Sequence[str]) -> Iterator[str]:
    """Yield the names that a command line defines: `-D NAME`, `-DNAME`."""
    for number, word in enumerate(argv):
        if match := re.match(r"-D(.*)", word):
            yield match[1] or next(iter(argv[number + 1 : number + 2]), "")
