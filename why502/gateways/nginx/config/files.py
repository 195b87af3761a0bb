"""The files of an nginx configuration: includes, globs, and the dump that `nginx -T` prints.

Names are relative to the directory of the main file (ngx_conf_include, ngx_process_options). Patterns are those of glob(3),
sorted by byte value. Each file is read once, but interpreted again at each place that includes it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec

from why502.config.tree import Node, Tree, recorded
from why502.gateways.nginx.config.parse import parse
from why502.model.config import Position
from why502.model.errors import Denied, HostError, Missing
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile, ConfigProblem
from why502.model.snapshot import Gap

Read = Callable[[str], bytes]
Listing = Callable[[str], list[str]]
Where = Callable[[str], str]  # from a path in an include to its real location
Rights = Callable[[str], tuple[Read, Listing]]  # from a file to the functions that read and list its includes

MAX_FILES = 10_000
MAX_BYTES = 16 << 20  # of all files; also the limit for one file
MAX_DATA_BYTES = 1 << 20  # of a file within `geo` or the like: address lists of many MiB are common there and not needed
MAX_DIRECTORIES = 2_000  # maximum directories searched for include patterns: `include /*/*/*/*;` would list the whole machine
MAX_DIRECTIVES = 2_000_000  # after includes: a small file included often can expand to a huge configuration
MAX_INCLUDES = 64  # maximum nesting
MAX_DEPTH = 100  # nesting of blocks, includes counted

_MARKER = lazy(rb"^# configuration file (/.*):\r?$", re.MULTILINE)
_SPELLING = lazy(r"/(?:\.?/)+")  # `conf.d//x` and `conf.d/./x` are `conf.d/x`
_WILD = lazy(r"[*?\[]")
_NO_INCLUDES = frozenset({"split_clients", "charset_map"})
_DATA = frozenset({"geo", "map", "types"})


class Directive(msgspec.Struct, frozen=True, kw_only=True):
    """A directive as nginx sees it, includes resolved. `children`: None if it is not a block."""

    name: str
    args: tuple[str, ...]
    at: Position
    children: tuple[Directive, ...] | None = None


class Files:
    """The files read so far, in nginx's order, and the problems found. Created by `gather`."""

    def __init__(self, read: Read, listing: Listing, main: str, where: Where = str, rights: Rights | None = None) -> None:
        self.main = main
        self._where = where
        self.directory = posixpath.dirname(main)
        self.trees: dict[str, Tree] = {}
        self.records: list[ConfigFile] = []
        self.problems: list[ConfigProblem] = []
        self.gaps: list[Gap] = []
        self._read = read
        self._rights: Rights = rights or (lambda _: (read, listing))
        self._bytes = 0
        self._reported: set[tuple[str, Position]] = set()
        self._lists_left = MAX_DIRECTORIES
        self._left = MAX_DIRECTIVES
        self._named: dict[tuple[str, str], tuple[str, ...]] = {}
        self._expanded: dict[tuple[str, str], list[Directive]] = {}

    def expand(self, items: Iterable[Node], around: tuple[str, ...], block: str = "", depth: int = 0) -> list[Directive]:
        """Return the directives of a block, with included files in the place of their `include`.

        `around`: the files being read, outermost first. `block`: the name of the directive whose block it is.
        """
        out: list[Directive] = []
        for node in items:
            name, args = node.words[0].value, node.args
            if name == "include" and len(args) == 1 and node.body is None and block not in _NO_INCLUDES:
                paths = self._paths(args[0], node.at.file)
                for path in paths:
                    out.extend(self._included(path, node.at, around, block, depth))
                    if len(out) > MAX_DIRECTIVES:
                        return self._too_large(out)
                if not paths or any(path not in self.trees for path in paths):  # its contents are unknown
                    out.append(Directive(name="include", args=args, at=node.at))
                continue
            children = None
            if node.body is not None:
                children = tuple(self.expand(node.children, around, name, depth + 1)) if depth < MAX_DEPTH else ()
            out.append(Directive(name=name, args=args, at=node.at, children=children))
        self._left -= len(out)
        return out if self._left >= 0 else self._too_large(out)

    def _included(self, path: str, at: Position, around: tuple[str, ...], block: str, depth: int) -> list[Directive]:
        if path in around or len(around) > MAX_INCLUDES:
            self._problem(f'open() "{path}" failed (24: Too many open files): the file includes itself', at)
            return []
        tree = self.open(path, at, block)
        if tree is None:
            return []
        key = (path, block if block in _NO_INCLUDES else "")
        if key not in self._expanded:
            self._expanded[key] = self.expand(tree.children, (*around, path), block, depth)
        return self._expanded[key]

    def _too_large(self, out: list[Directive]) -> list[Directive]:
        self._gap("the configuration is too large", f"more than {MAX_DIRECTIVES} directives")
        return out[:MAX_DIRECTIVES] if self._left >= 0 else []

    def open(self, path: str, at: Position | None = None, block: str = "") -> Tree | None:
        """Return a file's tree; None, with the reason recorded, if it cannot be read. The main file's HostError propagates."""
        if path in self.trees:
            return self.trees[path]
        if len(self.trees) >= MAX_FILES:
            self._gap(f"{path} was not read", f"the configuration has more than {MAX_FILES} files")
            return None
        try:
            content = (self._read if at is None else self._rights(at.file)[0])(path)
        except HostError as error:
            if at is None:
                raise
            if isinstance(error, Missing):
                self._problem(f'open() "{path}" failed (2: No such file or directory)', at)
            else:
                self._gap(f"{path}: {error.reason}", error.hint)
            return None
        limit = MAX_DATA_BYTES if block in _DATA else MAX_BYTES - self._bytes
        if len(content) >= limit:
            self._gap(f"{path} was not read", f"it is too large: {len(content) >> 20} MiB")
            return None
        self._bytes += len(content)
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        tree = parse(content, shown)
        self.trees[path] = tree
        self.records.append(recorded(shown, content))
        self.problems.extend(tree.problems)
        return tree

    def _paths(self, pattern: str, file: str) -> tuple[str, ...]:
        """Return the paths that match an include in a file."""
        full = _SPELLING.sub("/", posixpath.join(self.directory, pattern))
        wild = _WILD.search(full)
        if wild is None:
            return (self._where(full),)
        fixed = full.rfind("/", 0, wild.start())
        full = self._where(full[:fixed]) + full[fixed:] if fixed > 0 else full
        if (full, file) not in self._named:
            found = self._expand(full, self._rights(file)[1])
            self._named[full, file] = tuple(sorted(found, key=lambda path: path.encode("utf-8", "surrogateescape")))
        return self._named[full, file]

    def _expand(self, pattern: str, listing: Listing) -> Iterator[str]:
        """Yield the paths that match a pattern of glob(3)."""
        found = ["/" if pattern.startswith("/") else ""]
        parts = [part for part in pattern.split("/") if part]
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            if _WILD.search(part) or (is_last and number):
                fits = _pattern(part)
                names = (
                    (directory, name)
                    for directory in found[:MAX_DIRECTORIES]
                    for name in self._names(directory, listing)
                    if fits(name)
                )
                found = [posixpath.join(directory, name) for directory, name in islice(names, MAX_FILES)]
            else:
                found = [posixpath.join(directory, part) for directory in found]
        yield from found

    def _names(self, directory: str, listing: Listing) -> list[str]:
        self._lists_left -= 1
        if self._lists_left < 0:
            self._gap("its includes span too many directories", f"at most {MAX_DIRECTORIES} are listed")
            return []
        try:
            return listing(directory)
        except Denied as error:
            self._gap(f"{directory}: {error.reason}", error.hint)
        except HostError:
            pass  # glob(3) skips a directory that it cannot open
        return []

    def _problem(self, message: str, at: Position) -> None:
        if (message, at) not in self._reported:
            self._reported.add((message, at))
            self.problems.append(ConfigProblem(message=message, at=at, source=at.file))

    def _gap(self, reason: str, hint: str) -> None:
        gap = Gap(source="configuration", reason=reason, hint=hint)
        if gap not in self.gaps:
            self.gaps.append(gap)


def gather(
    read: Read, listing: Listing, main: str, where: Where = str, rights: Rights | None = None
) -> tuple[Files, list[Directive]]:
    """Return the files of a configuration and its directives. Raises HostError if the main file cannot be read."""
    files = Files(read, listing, main, where, rights)
    tree = files.open(main)
    if tree is None:
        raise HostError(files.gaps[0].hint)
    return files, files.expand(tree.children, (main,))


def split_dump(dump: bytes) -> dict[str, bytes]:
    """Return the files in the output of `nginx -T`, by path and in order; {} if it is not such a dump."""
    parts = _MARKER.split(dump)
    paths = (path.decode("utf-8", "surrogateescape") for path in parts[1::2])
    return {path: content.removeprefix(b"\n").removesuffix(b"\n") for path, content in zip(paths, parts[2::2], strict=True)}


def dumped(dump: dict[str, bytes]) -> tuple[Read, Listing]:
    """Return the two functions that read and list the files of a dump. They raise Missing."""

    def read(path: str) -> bytes:
        if path not in dump:
            raise Missing("not in the dump")
        return dump[path]

    def listing(directory: str) -> list[str]:
        start = directory.rstrip("/") + "/"
        names = dict.fromkeys(path.removeprefix(start).split("/", 1)[0] for path in dump if path.startswith(start))
        if not names:
            raise Missing("not in the dump")
        return list(names)

    return read, listing


def _pattern(part: str) -> Callable[[str], bool]:
    """Return the matcher for one part of a path pattern (glob(7)): `*`, `?`, `[a-z]`, `[!a]`, backslash."""
    out, i = [], 0
    while i < len(part):
        char = part[i]
        close = part.find("]", i + 3 if part[i + 1 : i + 2] in ("!", "^") else i + 2) if char == "[" else -1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif close > 0:
            inside = part[i + 1 : close]
            negated = inside[:1] in ("!", "^")
            body = re.sub(r"([\\\[&~|^])", r"\\\1", inside[1:] if negated else inside)
            out.append(f"[{'^' if negated else ''}{body}]")
            i = close
        elif char == "\\" and i + 1 < len(part):
            i += 1
            out.append(re.escape(part[i]))
        else:
            out.append(re.escape(char))
        i += 1
    try:
        compiled = re.compile("".join(out), re.DOTALL)
    except re.error:
        return lambda name: name == part
    return lambda name: (not name.startswith(".") or part.startswith(".")) and compiled.fullmatch(name) is not None
