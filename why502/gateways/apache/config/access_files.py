"""Files in the directories that httpd serves, which it reads with each request: `.htaccess`, where AllowOverride permits them.

Sources: the documentation of core (AccessFileName, AllowOverride, AllowOverrideList, <Directory>, DocumentRoot), mod_alias
(Alias) and mod_rewrite ("Per-directory rewrites"); server/request.c, ap_directory_walk (the order in which sections are merged).
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from why502.config.tree import Tree
from why502.gateways.apache.config.directives import Directive, Reader, Scope, nodes_of
from why502.gateways.nginx.config.match import compiled
from why502.model.patterns import lazy

SECTION = "AccessFile"  # the kind of section that its directives are in; its place is the path of the directory's URL
_USUAL = ".htaccess"
_ALLOWED = lazy(r"^[ \t]*AllowOverride(?:List)?[ \t]+(?!\"?None\b)", re.MULTILINE | re.IGNORECASE)
_LONGEST = 500
_MOST_ALIASES = 100  # of a virtual host that are looked up; with more, the directory of a path is unknown
# Of the directives that matter here: those of a class of AllowOverride.
_CLASSES = {
    "rewriteengine": "fileinfo",
    "rewritecond": "fileinfo",
    "rewriterule": "fileinfo",
    "sethandler": "fileinfo",
    "redirect": "fileinfo",
    "redirectmatch": "fileinfo",
    "errordocument": "fileinfo",
    "require": "authconfig",
}


@dataclass(frozen=True, slots=True)
class _Section:
    """A <Directory> or <DirectoryMatch>, and what it allows."""

    host: int
    place: str
    is_expression: bool
    is_list: bool  # AllowOverrideList, which is beside AllowOverride
    allowed: frozenset[str]

    def covers(self, directory: str) -> bool:
        """Return whether it is about a directory: it, or one above it."""
        if self.is_expression:
            expression = compiled(self.place, False) if len(self.place) <= _LONGEST else None
            return expression is not None and expression.search(directory + "/") is not None
        return is_around(self.place, directory)


@dataclass(slots=True)
class Overrides:
    """Which directories are served, and what a file in them may say, as far as the directives read so far tell."""

    roots: dict[int, str] = field(default_factory=dict)  # by the number of the virtual host
    aliases: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # path of the URL, directory
    unknown: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # such paths whose directory is not known, with ""
    sections: list[_Section] = field(default_factory=list)
    scopes: dict[int, Scope] = field(default_factory=lambda: {0: Scope()})

    def take(self, each: Directive) -> None:
        """Process one directive of the server's configuration."""
        scope = each.scope
        if scope.host not in self.scopes:
            self.scopes[scope.host] = Scope(host=scope.host, address=scope.address)
        match each.name, each.args:
            case "documentroot", (root, *_) if _is_known(root):
                self.roots[scope.host] = posixpath.normpath(root)
            case "alias" | "scriptalias", (url, directory, *_) if url.startswith("/") and _is_known(directory):
                self.aliases.setdefault(scope.host, []).append((url, posixpath.normpath(directory)))
            case "aliasmatch" | "scriptaliasmatch", (expression, *_):
                self.unknown.setdefault(scope.host, []).append((f"~ {expression}", ""))
            case "documentroot", _:
                self.roots[scope.host] = ""
            case "alias" | "scriptalias", (url, *_) if url.startswith("/"):
                self.unknown.setdefault(scope.host, []).append((url, ""))
            case "allowoverride", words if words:
                self._allow(scope, frozenset(word.lower().partition("=")[0] for word in words))
            case "allowoverridelist", words if words:
                self._allow(scope, frozenset(word.lower() for word in words), is_list=True)

    def _allow(self, scope: Scope, words: frozenset[str], *, is_list: bool = False) -> None:
        kind = scope.section.partition(" ")[0].lower()
        if kind in ("directory", "directorymatch"):
            self.sections.append(_Section(scope.host, scope.path, kind == "directorymatch", is_list, words - {"none"}))

    def places(self) -> Iterator[tuple[int, str, str]]:
        """Yield each virtual host with a directory that it serves, and the path of that directory's URL."""
        for host in self.scopes:
            root = self.roots.get(host) or self.roots.get(0)
            if root:
                yield host, root, "/"
            for url, directory in (*self.aliases.get(host, ()), *(self.aliases.get(0, ()) if host else ())):
                yield host, directory, url

    def served(self, host: int) -> tuple[tuple[str, str], ...]:
        """Return the paths of URLs on a virtual host with the directory of each, "" if unknown, in the order in which they are
        tried. A path that begins with `~ ` is an expression (AliasMatch).
        """
        hosts = (host, 0) if host else (0,)
        known = [pair for each in hosts for pair in (*self.unknown.get(each, ()), *self.aliases.get(each, ()))]
        root = self.roots.get(host, self.roots.get(0, ""))
        return (*known, ("/", root)) if len(known) <= _MOST_ALIASES else (("/", ""),)

    def directories(self) -> tuple[str, ...]:
        """Return the directories that may have such a file: those served, and those that a section names in them."""
        served = list(dict.fromkeys(directory for _, directory, _ in self.places()))
        named = [posixpath.normpath(each.place) for each in self.sections if not each.is_expression]
        below = [place for place in named if any(_relative(place, root) is not None for root in served)]
        return tuple(each for each in dict.fromkeys((*served, *below)) if self._allowed_anywhere(each))

    def _allowed_anywhere(self, directory: str) -> bool:
        return any(self.allowed(host, directory) for host in self.scopes)

    def allowed(self, host: int, directory: str) -> frozenset[str]:
        """Return what a file in a directory may say: classes and names of directives in lower case; `all` for everything."""
        about = (each for each in self.sections if each.host in (0, host) and each.covers(directory))
        last = {each.is_list: each.allowed for each in sorted(about, key=_rank)}
        return frozenset().union(*last.values())

    def read(self, trees: Iterable[Tree], main: Reader) -> Iterator[Directive]:
        """Yield what such files say, once for each virtual host that serves them. The server's variables are not theirs."""
        for tree in trees:
            directory = posixpath.dirname(tree.file)
            for host, served, url in dict.fromkeys(self.places()):
                below = _relative(directory, served)
                allowed = self.allowed(host, directory)
                if below is None or not allowed:
                    continue
                path = posixpath.join(url, below) if below else url
                at = self.scopes[host]
                section = f"{SECTION} {path}"
                scope = Scope(
                    host=host, address=at.address, section=section, path=path, directory=f"{SECTION} {directory or '/'}"
                )
                yield from _said(tree, scope, main, allowed)


def is_around(place: str, directory: str) -> bool:
    """Return whether the place of a <Directory>, which may have wildcards, is a directory or one above it."""
    names, parts = directory.strip("/").split("/"), posixpath.normpath(place).strip("/").split("/")
    return place == "/" or (len(parts) <= len(names) and all(map(fnmatch.fnmatchcase, names, parts)))


def _said(tree: Tree, scope: Scope, main: Reader, allowed: frozenset[str]) -> Iterator[Directive]:
    """Yield the directives that matter and are allowed; those of mod_rewrite only if the file does not switch it off."""
    reader = Reader((tree,), {}, main.defined)
    reader.loaded, reader.loads_modules = main.loaded, main.loads_modules
    found = [each for each in reader.part(scope) if _may_say(each, allowed)]
    switch = next((each.args[0].lower() for each in reversed(found) if each.name == "rewriteengine" and each.args), "on")
    yield from (each for each in found if switch == "on" or not each.name.startswith("rewrite"))


def _may_say(each: Directive, allowed: frozenset[str]) -> bool:
    kind = each.scope.section.partition(" ")[0].lower()
    found = _CLASSES.get(each.name)
    return kind in (SECTION.lower(), "files", "filesmatch") and found is not None and bool({"all", found, each.name} & allowed)


def may_exist(texts: Iterable[tuple[str, str]]) -> bool:
    """Return whether a configuration permits such files anywhere; since 2.4 it must say so."""
    return any(_ALLOWED.search(text) for _, text in texts)


def split(trees: Iterable[Tree]) -> tuple[tuple[Tree, ...], tuple[Tree, ...]]:
    """Return the trees of the server's configuration, and those of the files in served directories, if there are both."""
    every = tuple(trees)
    names = names_of(every)
    own = tuple(tree for tree in every if posixpath.basename(tree.file) not in names)
    return (own, tuple(tree for tree in every if tree not in own)) if own else (every, ())


def names_of(trees: Iterable[Tree]) -> frozenset[str]:
    """Return the names that such files have."""
    named = frozenset(
        word for tree in trees for node in nodes_of(tree) if node.name.lower() == "accessfilename" for word in node.args
    )
    return named or frozenset({_USUAL})


def _is_known(path: str) -> bool:
    return path.startswith("/") and "$" not in path


def _relative(path: str, above: str) -> str | None:
    """Return a path relative to a directory, "" for the directory itself; None if it is elsewhere."""
    if path == above:
        return ""
    start = above.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


def _rank(section: _Section) -> tuple[bool, int, int]:
    """Return what sorts the sections in the order in which httpd merges them."""
    depth = 0 if section.is_expression else section.place.rstrip("/").count("/")
    return section.is_expression, depth, section.host
