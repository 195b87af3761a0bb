"""The interface of every service manager, and how a service is matched to a target."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import ROOT, of_process
from why502.model.container import Container, is_pool_address
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Gap
from why502.model.target import Target
from why502.model.times import of_epoch

CONFIG_BYTES = 256 << 10
UNLINKED = "it fails, and nothing links it to a target"
ADDRESS_TAKEN = "its journal reports that another process holds"  # evidence that a service did not get its address
LISTENS = "its process listens on it"  # evidence that a service serves a target
_OTHER_OPTION = lazy(
    r"(?i)(?:time-?out|workers?|threads?|limit|max|min|size|memory|count|interval|upstream|backend|target|proxy|scrape|redis|database|\bdb\b"
    r"|remote|connect|broker|metrics)"
)
_ADDRESS_VARIABLE = lazy(r"(?i)(?:^|_)(?:port|listen|bind|addr(?:ess)?|host|socket|sock|urls?|server)(?:_|$)")
_OF_OTHERS = lazy(
    r"(?i)(?:^|_)(?:db|database|postgres\w*|pg|mysql|mongo\w*|redis|cache|amqp|rabbit\w*|smtp|mail|upstream|proxy|metrics)(?:_|$)"
)
_SOURCE = (
    ".java",
    ".kts",
    ".groovy",
    ".exs",
    ".lua",
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".py",
    ".rb",
    ".ru",
    ".php",
    ".pl",
    ".sh",
    ".json",
    ".yml",
    ".yaml",
    ".toml",
    ".ini",
    ".conf",
    ".cfg",
    ".env",
    ".properties",
    ".xml",
)
_BY_CONVENTION = (".env", "gunicorn.conf.py", "config/puma.rb", "Procfile", "ecosystem.config.js", "uwsgi.ini")


MOST_OF_USER = 4  # managers of each user other than root


def roots_first(host: Host, pids: Iterable[int]) -> list[tuple[int, int]]:
    """Return user and pid of the managers to examine: root's, then a few of each other user."""
    owned = [(uid, pid) for pid in pids if (uid := attempt(partial(of_process, host, pid))) is not None]
    taken: Counter[int] = Counter()
    found = []
    for uid, pid in sorted(owned):
        taken[uid] += 1
        if uid == ROOT or taken[uid] <= MOST_OF_USER:
            found.append((uid, pid))
    return found


@dataclass(frozen=True, slots=True)
class Look:
    """The query: the targets on this machine, and the processes that listen on each (none: nothing listens)."""

    owners: Mapping[Target, tuple[int, ...]]
    processes: Mapping[int, Process]
    parents: Mapping[int, int]  # of every process of the machine
    names: Mapping[int, str]  # short name of every process of the machine
    pools: tuple[PhpPool, ...]
    since: datetime
    until: datetime
    networks: frozenset[str] = frozenset({""})  # the proxies' namespaces, as in Proxy.network
    containers: tuple[Container, ...] = ()
    called: Mapping[Target, tuple[str, ...]] = field(default_factory=dict)  # the names by which the gateways know a target
    unrelated: frozenset[int] = frozenset()  # processes that listen on no target, and their ancestors
    gaps: list[Gap] = field(default_factory=list)

    @property
    def container_addresses(self) -> frozenset[str]:
        """The addresses of all containers."""
        return frozenset(address for container in self.containers for address in container.addresses)

    def gap(self, source: str, reason: str, hint: str = "") -> None:
        """Record a gap."""
        self.gaps.append(Gap(source=source, reason=reason, hint=hint))

    def line(self, pid: int) -> tuple[int, ...]:
        """Return a process and its ancestors."""
        found = [pid]
        while (above := self.parents.get(found[-1], 0)) > 1 and above not in found:
            found.append(above)
        return tuple(found)

    def served_by(self, pids: Iterable[int], manager_uid: int = 0) -> tuple[Target, ...]:
        """Return the targets that one of these processes, or a child of theirs, listens on.

        A manager of a user other than root is believed only for that user's processes, whatever pids it reports.
        """
        mine = frozenset(pids) - {0}
        if manager_uid:
            mine = frozenset(pid for pid in mine if (found := self.processes.get(pid)) is not None and found.uid == manager_uid)
        return tuple(t for t, owners in self.owners.items() if any(mine & frozenset(self.line(pid)) for pid in owners))

    @property
    def silent(self) -> tuple[Target, ...]:
        """The targets without a listener."""
        return tuple(target for target, owners in self.owners.items() if not owners)


def named(host: Host, look: Look, what: Described, *, listens: bool, network: str = "") -> list[tuple[Target, str]]:
    """Return the targets named in a description, and the evidence. If the service has no listening socket, targets that another
    process listens on are included.

    Its last log lines must show whether it lost its address to that process: it may keep trying for long. `network` is the
    namespace of its manager; its loopback differs from that of proxies in other namespaces.
    """
    wanted: Iterable[Target] = look.silent if listens else look.owners
    if network not in look.networks:
        wanted = [target for target in wanted if target.is_unix or not target.is_loopback]
    return [(target, how) for target in wanted if (how := link(host, target, what))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """The parts of a service's configuration that may contain an address. Never stored: they contain secrets."""

    argv: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    files: tuple[str, ...] = ()  # environment files and similar
    directories: tuple[str, ...] = ()  # directories below /run that its manager creates at each start


def link(host: Host, target: Target, what: Described) -> str:
    """Return the evidence that a service's description names the target ("its command names port 3000"); "" if it does not."""
    if target.is_unix:
        hows = (_path_link(host, path, what) for path in names_of(host, target))
        return next((how for how in hows if how), "")
    port = target.port
    if _argv_names(what.argv, port):
        return f"its command names port {port}"
    for name, value in what.environment.items():
        if _variable_names(name, value, port):
            return f"its variable {name} names port {port}"
    named = (*what.files, *_files(what))
    for path in dict.fromkeys(named):
        if _file_names(host, path, port):
            return f"{path} names port {port}"
    return ""


def names_of(host: Host, target: Target) -> tuple[str, ...]:
    """Return the path of a unix socket and the paths its links lead to, even if the last link is dangling."""
    left, at, links = [part for part in target.path.split("/") if part][::-1], "/", 40
    while left:
        here = posixpath.join(at, left.pop())
        aim = attempt(partial(host.link, here)) if links else None
        if aim is None:
            at = here
            continue
        links -= 1
        left += [part for part in posixpath.normpath(posixpath.join(at, aim)).split("/") if part][::-1]
        at = "/"
    return tuple(dict.fromkeys((target.path, at)))


def _argv_names(argv: tuple[str, ...], port: int) -> bool:
    pattern = re.compile(rf"(?:^|[:=\s'\"(,]|^-[pP]){port}(?![\w.:])")
    before = ""
    for word in argv[1:]:
        option, equals, _ = word.partition("=")
        if pattern.search(word) and not _OTHER_OPTION.search(option if equals else before if before.startswith("-") else ""):
            return True
        before = word
    return False


def _variable_names(name: str, value: str, port: int) -> bool:
    if not _ADDRESS_VARIABLE.search(name) or _OF_OTHERS.search(name):
        return False
    return bool(re.search(rf"(?:^|[:;,\s=]){port}(?![\w.])", value))


def _files(what: Described) -> Iterable[str]:
    """Yield the scripts and configuration files named in the command, and those in its directory by convention."""
    for name in ("CATALINA_BASE", "CATALINA_HOME"):  # Tomcat's scripts name no file
        if base := what.environment.get(name):
            yield posixpath.join(base, "conf/server.xml")
    for word in what.argv[1:]:
        path = word.partition("=")[2] if word.startswith("--") and "=" in word else word
        path = path.removeprefix("python:").removeprefix("file:")
        if path.endswith(_SOURCE) and (what.cwd or path.startswith("/")):
            yield posixpath.join(what.cwd, path)
    if what.cwd not in ("", "/"):
        yield from (posixpath.join(what.cwd, name) for name in _BY_CONVENTION)


def _file_names(host: Host, path: str, port: int) -> bool:
    content = attempt(partial(host.read, path, limit_bytes=CONFIG_BYTES))
    if not content or str(port).encode() not in content:
        return False
    pattern = re.compile(
        rf"(?i)(?:port|listen|bind|addr|host|socket|https?|^accept|^frontend)[^\n#]{{0,60}}?(?<![\w.]){port}(?![\w.])"
    )
    for line in content.decode("utf-8", "replace").splitlines():
        stripped = line[:500].strip()
        name, equals, value = stripped.removeprefix("export ").partition("=")
        if equals and re.fullmatch(r"[A-Z][A-Z0-9_]*", name.strip()):
            if _variable_names(name.strip(), value.strip("\"' "), port):
                return True
        elif pattern.search(stripped) and not stripped.startswith(("#", "//")) and not _OF_OTHERS.search(stripped.split("(")[0]):
            return True
    return False


def _path_link(host: Host, path: str, what: Described) -> str:
    texts = [*what.argv, *what.environment.values()]
    if any(re.search(rf"(?:^|[=:\s'\"]|unix://){re.escape(path)}(?![\w/.-])", text) for text in texts):
        return f"its command names {path}"
    name, directory = posixpath.basename(path), posixpath.dirname(path)
    if what.cwd == directory and any(re.search(rf"(?:^|[=:\s/]){re.escape(name)}$", text) for text in texts):
        return f"its command names {name}, in its directory {directory}"
    for file in dict.fromkeys((*what.files, *_files(what))):
        if _file_names_path(host, file, path, what.cwd):
            return f"{file} names {path}"
    own = next((own for own in what.directories if path.startswith(f"{own}/")), "")
    return f"its RuntimeDirectory is {own}" if own else ""


def _file_names_path(host: Host, file: str, path: str, cwd: str) -> bool:
    """Return whether a line of a file, other than a comment, names the socket: by its full path, or relative to the service's
    directory.
    """
    content = attempt(partial(host.read, file, limit_bytes=CONFIG_BYTES))
    names = [path] + ([path.removeprefix(f"{cwd}/")] if cwd not in ("", "/") and path.startswith(f"{cwd}/") else [])
    if not content or not any(name.encode() in content for name in names):
        return False
    whole = "|".join(re.escape(name) for name in names)
    pattern = re.compile(rf"(?:^|[=:\s'\"(\[,]|unix:/?/?){'(?:' + whole + ')'}(?![\w/.-])")
    lines = (line[:500].strip() for line in content.decode("utf-8", "replace").splitlines())
    return any(pattern.search(line) for line in lines if not line.startswith(("#", "//", ";")))


def is_of_container(target: Target) -> bool:
    """Return whether the address is in the default network pools of Docker and podman."""
    return is_pool_address(target.host)


def words(command: str) -> tuple[str, ...]:
    """Return the words of a command line, even one with unbalanced quotation marks."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return tuple(command.split())


def moment(seconds: Any) -> datetime | None:
    """Return a time from seconds since the epoch; None for 0 and invalid values."""
    try:
        return of_epoch(float(seconds))
    except (ValueError, OverflowError, TypeError):
        return None


def merge(service: Service, target: Target, how: str) -> Service:
    """Return the service with one more target."""
    return msgspec.structs.replace(service, targets=tuple(dict.fromkeys((*service.targets, target))), link=service.link or how)
