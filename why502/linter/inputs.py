"""From paths to deployments: finds main configurations, fragments, PHP-FPM pools and systemd units."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import msgspec

from why502.backends.php_fpm import config as php_fpm
from why502.config.configuration import Configuration
from why502.deployment.files import Deployment
from why502.gateways.detect import kind
from why502.gateways.nginx.config import load, load_dump, recognition
from why502.gateways.nginx.config.defaults import NEWEST
from why502.gateways.nginx.config.files import Listing, Read, split_dump
from why502.gateways.nginx.config.templates import is_stored_link, is_template
from why502.host.base import Host
from why502.linter import gateway_files, scripts
from why502.machine.suppliers import Rights
from why502.model.errors import HostError, Missing, Why502Error
from why502.model.file_kind import FileKind
from why502.model.patterns import lazy
from why502.model.service import PhpPool
from why502.model.snapshot import Gap
from why502.supervisors.systemd import unit_files as systemd

TEMPLATE = "it is a template, not a configuration"
UNKNOWN = (-1, -1)
LINK = "it is a link that was stored as a file"
MAX_FILES = 20_000
MAX_DEPTH = 12
_MOST_PARTS = 4
_SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})
# Hidden directories with files for deployment.
_HIDDEN_HOME = lazy(
    r"\.(?:docker|container|deploy|infra|devops|ops|platform|provision|nginx|haproxy|apache|httpd|server)(?![\w-]*\.\w)"
)
# Directories of files that no server reads: of tests, and of documentation and its examples.
_NOT_DEPLOYED = frozenset(
    {
        *("test", "tests", "testing", "testdata", "test-data", "fixtures", "__tests__", "spec"),
        *("doc", "docs", "documentation", "example", "examples", "sample", "samples", "tutorial", "tutorials"),
    }
)
_EXAMPLE = lazy(r"(?:^|[._-])(?:example|sample|dist)(?:[._-]|$)", re.IGNORECASE)  # the name of a file to copy and adapt
_ABRIDGED = lazy(r"^[ \t]*#[ \t]*(?:\.{3,}|…)[ \t]*$", re.MULTILINE)  # a part that the reader knows is left out
# Backup copies that no program reads: of editors, package managers and people.
_COPY = lazy(
    r"(?:~|\.(?:bak|old|orig|save|disabled|rpmsave|rpmnew|dpkg-\w+|swp))$|\.(?:bak|backup)\b|[-_.]backup[-_.]?\d{4}"
    r"|[-_]bak$|\(\d{1,2}\)(?:\.|$)|^(?:backups?|_?old)$",
    re.IGNORECASE,
)
_FILLED_IN = lazy(rb"\{\{-?[ \t]*[A-Za-z_][^{}\n]{0,200}\}\}|\{%|<%")  # by Jinja or ERB; `{{.Names}}` is an argument of docker
_VARIABLE = lazy(rb"[$%]\{[^{}\n]{0,200}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LintInput:
    """The input of the linter. `texts`: every file by name. `shown`: the files whose findings are reported; None means all.

    `unchecked`: files named by the user that are not configuration we check.
    `dumped`: names of files in a dump; a file with the same name on this machine is another one.
    """

    deployments: tuple[Deployment, ...]
    texts: dict[str, str]
    gaps: tuple[Gap, ...] = ()
    shown: frozenset[str] | None = None
    dumped: frozenset[str] = frozenset()
    unchecked: tuple[str, ...] = ()


def gather(host: Host, paths: Iterable[str], version: str = "", standard_input: bytes | None = None) -> LintInput:
    """Return the content of the paths (absolute; `-` is standard input). Raises Why502Error if one cannot be read."""
    reader = _Reader(host, version)
    for path in paths:
        if path == "-":
            reader.take("-", standard_input or b"", named=True)
        else:
            reader.enter(path)
    return reader.result()


class _Reader:
    def __init__(self, host: Host, version: str) -> None:
        self.host = host
        self.version = version
        self.mains: dict[str, bytes] = {}
        self.fragments: dict[str, bytes] = {}
        self.dumps: dict[str, bytes] = {}
        self.units: list[systemd.Unit] = []
        self.entries: list[php_fpm.Entry] = []
        self.texts: dict[str, str] = {}
        self.gaps: list[Gap] = []
        self.seen: set[tuple[int, int]] = set()
        self.count = 0
        self.unchecked: list[str] = []
        self.others: dict[str, dict[str, str]] = {}  # texts by path, by the gateway whose configuration they are
        self.read_files: set[tuple[int, int]] = set()  # device and inode of files that configurations include
        self.is_own_build = False
        self.scripted: set[str] = set()  # names of files that scripts and recipes change
        self.named: set[str] = set()
        self.walked: tuple[str, ...] = ()  # the directories that the user named, each with a slash at its end
        self.directories: dict[str, bool] = {}  # whether they exist, or may exist
        self.around: dict[str, Configuration | None] = {}  # main configurations that the user did not name, by path

    def enter(self, path: str) -> None:
        """Add a file, or all relevant files of a directory, given by the user."""
        try:
            if self.host.stat(path).kind is FileKind.DIRECTORY:
                self.walked = (*self.walked, path.rstrip("/") + "/")
                self._walk(path, 0)
            else:
                self.take(path, self.host.read(path), named=True)
        except HostError as error:
            raise Why502Error(f"{path}: {error.reason}", error.hint or "Check the path and its permissions.") from error

    def _walk(self, directory: str, depth: int) -> None:
        try:
            names = self.host.list(directory)
        except HostError as error:
            self.gaps.append(Gap(source=directory, reason=error.reason, hint=error.hint))
            return
        for name in names:
            if (name.startswith(".") and not _HIDDEN_HOME.match(name)) or _COPY.search(name):
                continue  # no include pattern matches a hidden name
            path = posixpath.join(directory, name)
            try:
                found = self.host.stat(path)
                if found.kind is FileKind.DIRECTORY:
                    if (
                        name not in _SKIPPED
                        and depth < MAX_DEPTH
                        and self.host.stat(path, follow=False).kind is FileKind.DIRECTORY
                    ):
                        self._walk(path, depth + 1)
                elif found.kind is FileKind.FILE and scripts.is_script(name):
                    text = self.host.read(path, limit_bytes=scripts.MOST_BYTES)
                    self.is_own_build = self.is_own_build or scripts.builds_with_modules(name, text)
                    self.scripted |= scripts.changed(text)
                elif (
                    found.kind is FileKind.FILE
                    and (recognition.is_likely(path) or systemd.is_unit_name(name) or name.endswith(gateway_files.ENDINGS))
                    and (found.device, found.inode) not in self.seen
                ):
                    self.seen.add((found.device, found.inode))
                    self.count += 1
                    if self.count > MAX_FILES:
                        raise Why502Error(f"{directory}: more than {MAX_FILES} files", "Give a directory with fewer files.")
                    self.take(path, self.host.read(path), named=False)
            except Missing:
                continue  # a broken link
            except HostError as error:
                self.gaps.append(Gap(source=path, reason=error.reason, hint=error.hint))

    def take(self, path: str, content: bytes, *, named: bool) -> None:
        """Classify a file. `named`: given by the user; other files are skipped if they are not configuration."""
        if named:
            self.named.add(path)
        if b"\0" in content or is_stored_link(content):
            if named:
                self._leave(path, named, "it is not text" if b"\0" in content else LINK)
            return
        proxy = kind(content.decode("latin-1"))
        is_other = proxy in gateway_files.products()
        is_unit = systemd.is_unit_file(path)
        if (is_unit or php_fpm.is_pool_file(path, content)) and _FILLED_IN.search(content):
            self._leave(path, named, TEMPLATE, "lint the rendered result")
            return
        if is_unit:
            self.units.append(systemd.parse(content, path))
        elif split_dump(content):
            self.dumps[path] = content
            return
        elif php_fpm.is_pool_file(path, content):
            self.entries.extend(php_fpm.parse(content, path))
        elif is_template(path, _without_variables(content) if is_other else content):
            if named or proxy == recognition.KIND:
                self._leave(path, named, TEMPLATE, "lint the rendered result")
            return
        else:
            if proxy is not None and is_other:
                text = content.decode("utf-8", "surrogateescape")
                self.others.setdefault(proxy, {})[path] = text
                self.texts[path] = content.decode("utf-8", "replace")
                return
            if proxy not in (None, recognition.KIND):
                if named:
                    checked = " and ".join((recognition.KIND, *sorted(gateway_files.products())))
                    self._leave(path, named, f"it is a {proxy} configuration; only those of {checked} are checked")
                return
            if not named and (proxy is None or not recognition.is_configuration(content)):
                return
            (self.mains if recognition.is_main(path, content) else self.fragments)[path] = content
        self.texts[path] = content.decode("utf-8", "replace")

    def _leave(self, path: str, named: bool, reason: str, hint: str = "") -> None:
        """Record that a file is not checked."""
        self.gaps.append(Gap(source=path, reason=reason, hint=hint))
        if named:
            self.unchecked.append(path)

    def result(self) -> LintInput:
        """Return the deployments found in all added files."""
        found: list[tuple[Configuration, bool, bool]] = []
        shown = {unit.file for unit in self.units} | {entry.at.file for entry in self.entries}
        dumped: set[str] = set()
        for content in self.dumps.values():
            configuration = load_dump(content, version=self.version or NEWEST)
            found.append((configuration, True, True))
            dumped |= {file.path for file in configuration.files}
        shown |= dumped
        read: set[str] = set()
        loaded = {path: self._load(path, content) for path, content in self.mains.items()}
        parts = {file.path for configuration in loaded.values() for file in configuration.files[1:]}
        for path, configuration in loaded.items():
            if path in parts and posixpath.basename(path) != recognition.MAIN_NAME:
                continue  # a main file may keep its `http` block in a file of its own
            is_here = posixpath.dirname(path) in recognition.PLACES
            found.append((configuration, True, is_here))
            files = {file.path for file in configuration.files}
            read |= files
            shown |= files
        for path, content in self.fragments.items():
            if path in read or self._identity(path) in self.read_files - {UNKNOWN}:
                continue
            shown.add(path)
            main = self._main_of(path)
            if main is not None:
                read |= {file.path for file in main.files}
                found.append((main, True, posixpath.dirname(main.files[0].path) in recognition.PLACES))
            else:
                found.append((self._load(path, content), False, False))
        others = [each for product, texts in self.others.items() for each in gateway_files.deployments(self.host, product, texts)]
        shown |= {path for texts in self.others.values() for path in texts}
        if not found and not others:
            found.append((Configuration(), False, False))
        mains = [_main(configuration) for configuration, _, _ in found]
        homes = {file: _nearest(file, mains) for file in {*(u.file for u in self.units), *(e.at.file for e in self.entries)}}
        deployments = []
        for configuration, is_whole, is_here in found:
            entries = tuple(entry for entry in self.entries if homes[entry.at.file] & {_main(configuration)})
            self.texts.update((file.path, file.text) for file in configuration.files)
            self.gaps.extend(configuration.gaps)
            deployments.append(
                Deployment(
                    configuration=configuration,
                    version=self.version,
                    is_whole=is_whole,
                    is_here=is_here,
                    is_own_build=self.is_own_build and not is_here,
                    is_piece=not is_whole and _main(configuration) not in self.named,
                    doubtful=frozenset() if is_here else self._doubtful(file.path for file in configuration.files),
                    pools=_pools(entries),
                    pool_entries=entries,
                    units=tuple(unit for unit in self.units if homes[unit.file] & {_main(configuration)}),
                )
            )
        for deployment, texts in others:
            deployments.append(
                deployment if deployment.is_here else msgspec.structs.replace(deployment, doubtful=self._doubtful(texts))
            )
            self.texts.update((path, text) for path, text in texts.items() if path not in self.texts)
            shown |= texts.keys()
        gaps = tuple(dict.fromkeys(self.gaps))
        return LintInput(
            deployments=tuple(deployments),
            texts=self.texts,
            gaps=gaps,
            shown=frozenset(shown),
            dumped=frozenset(dumped),
            unchecked=tuple(self.unchecked),
        )

    def _below(self, file: str) -> str:
        """Return the path of a file below the directory that the user named."""
        return file.removeprefix(next((top for top in self.walked if file.startswith(top)), ""))

    def _doubtful(self, files: Iterable[str]) -> frozenset[str]:
        """Return those of the files of a directory whose text proves nothing: see `Deployment.doubtful`."""
        return frozenset(
            file
            for file in files
            if file not in self.named
            and file.startswith(self.walked)
            and (
                posixpath.basename(file) in self.scripted
                or _EXAMPLE.search(posixpath.basename(file))
                or _ABRIDGED.search(self.texts.get(file, ""))
                or _NOT_DEPLOYED & set(self._below(file).lower().split("/")[:-1])
            )
        )

    def _load(self, path: str, content: bytes | None) -> Configuration:
        home, lying = posixpath.dirname(path), {path}
        guessed: dict[str, str] = {}  # the name that a file was found by

        @cache
        def where(name: str) -> str:
            try:
                found = self._where(name, home)
            except Missing:
                return name
            if not self._is_exact(name, home) and guessed.setdefault(found, name) != name:
                return name  # two names are two files: at least one of the two guesses is wrong
            lying.add(found)
            return found

        def reading(host: Host) -> tuple[Read, Listing]:
            def read(name: str) -> bytes:
                if name == path and content is not None:
                    return content
                known = self._known(name, lying)
                self._require_directory(posixpath.dirname(known))
                found = host.read(known)
                if name != path:
                    _require_configuration(name, found)
                self.read_files.add(self._identity(name))
                return found

            def listing(directory: str) -> list[str]:
                """Return the names in a directory, without main files: a repository keeps them beside what they include."""
                names = host.list(self._known(directory, lying))
                if _is_installed(home):
                    return names
                mains = {path, posixpath.join(directory, recognition.MAIN_NAME)}
                return [name for name in names if posixpath.join(directory, name) not in mains]

            return read, listing

        rights = Rights(self.host, 0)  # the user chose the file, but anyone who can write it chooses its includes
        return load(
            *reading(self.host), path, version=self.version or NEWEST, where=where, rights=lambda file: reading(rights.of(file))
        )

    def _identity(self, path: str) -> tuple[int, int]:
        """Return a value that is equal for two names of one file; UNKNOWN if it cannot be determined."""
        try:
            found = self.host.stat(path)
        except HostError:
            return UNKNOWN
        return found.device, found.inode

    @staticmethod
    def _known(name: str, lying: set[str]) -> str:
        """Return the path if it is one of those found, or below one. Raises Missing."""
        above = name
        while above not in lying:
            if above in ("/", ""):
                raise Missing("it is outside the given paths")
            above = posixpath.dirname(above)
        return name

    def _where(self, name: str, home: str) -> str:
        """Return the location of a file that a configuration names. Raises Missing.

        A configuration in a directory that the gateway reads is resolved literally. In one elsewhere (a repository), names
        below the usual directories refer to the repository: this machine's files there are not those of the target machine.
        """
        if not home:
            raise Missing("it is outside the given paths")
        if self._is_exact(name, home):
            return self._beside(name, home)
        for prefix in recognition.PLACES:
            if name.startswith(f"{prefix}/"):
                return self._beside(home + name.removeprefix(prefix), home)
        if root := _root_of_copy(name, home):
            return self._beside(root + name, home)
        return self._ending(name, home)

    @staticmethod
    def _is_exact(name: str, home: str) -> bool:
        """Return whether a name is the file's own path, not that of its copy in a repository."""
        return _is_installed(home) or name.startswith(f"{home}/")

    def _ending(self, name: str, home: str) -> str:
        """Return the file beside the main one whose path is the longest end of a name: the repository's files are copied to
        another place. Raises Missing.
        """
        parts = name.strip("/").split("/")
        for start in range(max(1, len(parts) - _MOST_PARTS), len(parts)):
            path = posixpath.join(home, *parts[start:])
            try:
                self.host.stat(path)
            except HostError:
                continue
            return path
        raise Missing("it is outside the given paths")

    def _beside(self, name: str, home: str) -> str:
        """Return the path itself, or if it does not exist the same name in the directory above:
        names in a fragment are relative to the main configuration.
        """
        if not name.startswith(f"{home}/"):
            return name
        rest = name.removeprefix(f"{home}/")
        for directory in (home, posixpath.dirname(home)):
            path = posixpath.join(directory, rest)
            try:
                self._require_directory(posixpath.dirname(path))
                self.host.stat(path)
            except HostError:
                continue
            return path
        return name

    def _require_directory(self, path: str) -> None:
        """Raise Missing if a directory does not exist. Each is looked for once: thousands of includes may name the same."""
        if path not in self.directories:
            try:
                self.directories[path] = self.host.stat(path) is not None
            except HostError as error:
                self.directories[path] = not isinstance(error, Missing)
        if not self.directories[path]:
            raise Missing("its directory does not exist")

    def _main_of(self, path: str) -> Configuration | None:
        """Return the configuration that a fragment belongs to: a main configuration in a directory above that includes it."""
        directory = posixpath.dirname(path)
        for _ in range(3):
            candidate = posixpath.join(directory, recognition.MAIN_NAME)
            if candidate != path:
                if candidate not in self.around:
                    self.around[candidate] = self._around(candidate)
                configuration = self.around[candidate]
                if configuration and any(file.path == path for file in configuration.files):
                    return configuration
            if directory in ("/", ""):
                break
            directory = posixpath.dirname(directory)
        return None

    def _around(self, main: str) -> Configuration | None:
        try:
            return self._load(main, None)
        except HostError:
            return None


def _is_installed(home: str) -> bool:
    """Return whether nginx itself reads the files of a directory."""
    return home in recognition.PLACES or any(home.startswith(f"{prefix}/") for prefix in recognition.PLACES)


def _root_of_copy(name: str, home: str) -> str:
    """Return the directory that a repository keeps a copy of the root in: home is `rootfs/etc/angie`, and the name begins with
    `/etc/angie/`. Empty if home is no such copy.
    """
    parts = home.split("/")
    for count in range(len(parts) - 1, 1, -1):
        if name.startswith("/" + "/".join(parts[-count:]) + "/"):
            return "/".join(parts[:-count])
    return ""


def _without_variables(content: bytes) -> bytes:
    """Return a text without what HAProxy and httpd replace themselves: `${NAME}`, `%{NAME}`."""
    return _VARIABLE.sub(b"", content)


def _require_configuration(path: str, content: bytes) -> None:
    """Raise HostError if an included file is a template or a link, which nginx will read in another form."""
    if is_stored_link(content):
        raise HostError(LINK)
    if path.lower().endswith((".txt", ".md")) and not recognition.is_configuration(content):
        raise HostError("it is not configuration")
    if is_template(path, content):
        raise HostError(TEMPLATE, "lint the rendered result")


def _pools(entries: tuple[php_fpm.Entry, ...]) -> tuple[PhpPool, ...]:
    """Return the pools, grouped by directory: each belongs to its own PHP-FPM (7.4 beside 8.3)."""
    homes: dict[str, list[php_fpm.Entry]] = {}
    for entry in entries:
        homes.setdefault(posixpath.dirname(entry.at.file), []).append(entry)
    return tuple(pool for found in homes.values() for pool in php_fpm.pools(found))


def _main(configuration: Configuration) -> str:
    return configuration.files[0].path if configuration.files else ""


def _nearest(file: str, mains: Iterable[str]) -> set[str]:
    """Return the configurations that a pool or unit belongs to: those with the longest common path."""
    shared = {main: len(posixpath.commonpath((file, main))) if main[:1] == file[:1] == "/" else 0 for main in mains}
    most = max(shared.values(), default=0)
    return {main for main, length in shared.items() if length == most}
