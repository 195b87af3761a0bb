"""Which logs are followed: those that the configurations of the running gateways name. What cannot be followed is a gap."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from why502.collectors.logs import without_repeats
from why502.gateways.behaviour import behaviour
from why502.host.trust import only_user
from why502.logs.live import current
from why502.logs.scan.line_format import Form
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot
from why502.watch.tailing import streams

ROOT = 0
MOST_MEMBERS = 64  # files of one path with variables
_PIECE = lazy(r"\$\{\w+\}|\$\w+|%[A-Za-z]")  # a variable of nginx, a part of a time: strftime(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log to follow. `name` identifies it for ever, `path` is where it is opened; `unit`: it is that of a unit in the journal.

    `forms`: how its lines may be read, where the configuration tells; `servers`: those that write to it.
    """

    name: str
    path: str
    proxy: Proxy
    kind: LogKind
    forms: tuple[Form, ...] = ()
    servers: tuple[str, ...] = ()
    unit: str = ""
    flush_s: float = 0.0  # lines may come that much later than they were made

    @property
    def is_error_log(self) -> bool:
        """Return whether it has the reasons of failures, and no requests."""
        return self.kind is LogKind.ERROR

    @property
    def form(self) -> Form | None:
        """Return how its lines are read; None: its content tells."""
        return self.forms[0] if len(self.forms) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Logs whose names have variables or times: a set of files that grows. `log` is what they have in common."""

    pattern: str  # glob(7)
    log: Log

    def members(self, since: float) -> list[tuple[float, Log]]:
        """Return the logs that were written to since then, with that time (seconds since the epoch), the latest last."""
        found = []
        for path in current(glob.glob(self.pattern)):  # noqa: PTH207 - the pattern is absolute
            try:
                modified_s = Path(path).stat().st_mtime
            except OSError:
                continue
            if modified_s >= since:
                found.append((modified_s, path))
        return [(modified_s, replace(self.log, name=path, path=path)) for modified_s, path in sorted(found)[-MOST_MEMBERS:]]


@dataclass(slots=True, kw_only=True)
class Found:
    """The logs of a machine, and what cannot be followed."""

    logs: tuple[Log, ...] = ()
    families: tuple[Family, ...] = ()
    gaps: tuple[Gap, ...] = ()


def find(snapshot: Snapshot, given: Sequence[str] = ()) -> Found:
    """Return the logs of the running gateways, and those given by their paths, each file once."""
    logs: dict[str, Log] = {}
    families: dict[str, Family] = {}
    gaps: list[Gap] = []
    for proxy in snapshot.proxies or ():
        if proxy.is_running:
            for found in _of_proxy(proxy, gaps):
                if isinstance(found, Family):
                    families.setdefault(found.pattern, found)
                else:
                    logs.setdefault(found.name, found)
    for log in _given(snapshot, given, gaps):
        if all(log.path != one.path for one in logs.values()):
            logs.setdefault(log.name, log)
    return Found(logs=tuple(logs.values()), families=tuple(families.values()), gaps=tuple(dict.fromkeys(gaps)))


def _given(snapshot: Snapshot, paths: Sequence[str], gaps: list[Gap]) -> Iterator[Log]:
    """Yield the logs that the user named. Their lines are those of the running gateway, whose routes they are counted by."""
    proxy = next((proxy for proxy in snapshot.proxies or () if proxy.is_running), None)
    for path in (str(Path(path).absolute()) for path in paths):
        if proxy is None:
            gaps.append(Gap(source=path, reason="no gateway that could write it is running yet", hint="start the gateway"))
            continue
        kind = LogKind.ERROR if "error" in os.path.basename(path) else LogKind.ACCESS  # noqa: PTH119 - a path as text
        yield Log(name=path, path=path, proxy=proxy, kind=kind)


def _of_proxy(proxy: Proxy, gaps: list[Gap]) -> Iterator[Log | Family]:
    by_place: dict[tuple[LogKind, LogPlace, str], list[LogTarget]] = {}
    for target in proxy.logs:
        by_place.setdefault((target.kind, target.goes_to, target.path), []).append(target)
    for (kind, goes_to, path), targets in without_repeats(by_place, lambda path: Path(proxy.root + path).exists()).items():
        if stranger := _stranger(proxy, targets):
            reason = f"user {stranger} can change the configuration that names it: root does not read files for other users"
            gaps.append(Gap(source=path or f"{kind} log", reason=reason, hint="let only root write the configuration"))
        elif goes_to is LogPlace.FILE:
            yield from _file(proxy, kind, path, targets, gaps)
        elif goes_to is LogPlace.VARIABLE:
            yield Family(pattern=glob.escape(proxy.root) + pattern_of(path), log=_log(proxy, kind, path, targets))
        elif goes_to is LogPlace.OFF:
            gaps.append(_off(kind, targets))
        elif goes_to is LogPlace.MEMORY:
            reason = f"it is in the memory of {proxy.kind}, where it cannot be followed"
            how = f" ({program})" if (program := behaviour(proxy.kind).log_program) else ""
            gaps.append(Gap(source=f"{kind} log", reason=reason, hint=f"log to a file{how}"))
        else:
            yield from _stream(proxy, kind, goes_to, targets, gaps)
        gaps.extend(_partial(kind, targets))


def pattern_of(path: str) -> str:
    """Return the glob pattern of a path with variables or parts of times."""
    return "*".join(map(glob.escape, _PIECE.split(path)))


def _file(proxy: Proxy, kind: LogKind, path: str, targets: Sequence[LogTarget], gaps: list[Gap]) -> Iterator[Log]:
    """Yield the log of a file. In a container's root a link leads to what is there, often to its standard output."""
    real = streams.inside(proxy.root, path) if proxy.root else streams.linked(path)
    if real in streams.STREAMS:
        yield from _stream(proxy, kind, LogPlace.STDERR, targets, gaps)
    else:
        yield _log(proxy, kind, proxy.root + real, targets)


def _log(proxy: Proxy, kind: LogKind, path: str, targets: Sequence[LogTarget]) -> Log:
    return Log(
        name=path,
        path=path,
        proxy=proxy,
        kind=kind,
        forms=_forms(proxy, kind, targets),
        servers=tuple(dict.fromkeys(target.server for target in targets if target.server)),
        flush_s=max((target.flush_s for target in targets), default=0.0),
    )


def _stream(proxy: Proxy, kind: LogKind, goes_to: LogPlace, targets: Sequence[LogTarget], gaps: list[Gap]) -> Iterator[Log]:
    """Yield the log that has what goes to syslog or to a standard stream: a file, a container's log, or the journal."""
    pid = proxy.pid or 0
    if goes_to is LogPlace.STDERR:
        file = streams.redirected(pid, 1 if kind is LogKind.ACCESS else 2)
        if file:
            yield replace(_log(proxy, kind, file, targets), kind=_kind_of_stream(kind, proxy))
            return
        if file := streams.container(pid):
            yield replace(_log(proxy, LogKind.ACCESS, file, _access(proxy)), flush_s=0.0)
            return
    name = "syslog" if goes_to is LogPlace.SYSLOG else "the standard output" if kind is LogKind.ACCESS else "standard error"
    if proxy.unit and shutil.which("journalctl"):
        log = _log(proxy, LogKind.ACCESS, f"journalctl -u {proxy.unit}", _access(proxy))
        yield replace(log, unit=proxy.unit)
        return
    where = f"{name} of the process" if goes_to is LogPlace.STDERR else name
    reason = f"it goes to {where}{_at(targets[0])}, and no file or journal is known to contain it"
    gaps.append(Gap(source=f"{kind} log", reason=reason, hint="let the gateway log to a file"))


def _kind_of_stream(kind: LogKind, proxy: Proxy) -> LogKind:
    """Return what a stream has: standard error may have access lines too, of gateways that write all there (Caddy)."""
    return kind if behaviour(proxy.kind).error_format else LogKind.ACCESS


def _access(proxy: Proxy) -> list[LogTarget]:
    return [target for target in proxy.logs if target.kind is LogKind.ACCESS and target.goes_to is not LogPlace.OFF]


def _forms(proxy: Proxy, kind: LogKind, targets: Sequence[LogTarget]) -> tuple[Form, ...]:
    stated = behaviour(proxy.kind)
    if kind is LogKind.ERROR:
        return (Form(name=stated.error_format, format_source="the configuration"),) if stated.error_format else ()
    if not stated.access_format:
        return ()
    formats = dict.fromkeys((target.format, str(target.escape)) for target in targets if target.format)
    return tuple(
        Form(name=stated.access_format, log_format=text, escape=escape, format_source="the configuration")
        for text, escape in formats
    )


def _stranger(proxy: Proxy, targets: Sequence[LogTarget]) -> int:
    """Return the user other than root, and other than ours, who controls where a log is; 0 if there is none."""
    user = only_user({proxy.supplier(target.at) for target in targets})
    return 0 if user in (ROOT, os.geteuid()) else user


def _off(kind: LogKind, targets: Sequence[LogTarget]) -> Gap:
    what = "failures there are not counted" if kind is LogKind.ACCESS else "the reasons for failures are unknown"
    return Gap(
        source=f"{kind} log",
        reason=f"it is disabled{_at(targets[0])}: {what}",
        hint=f"set {kind}_log to a file there and reload the proxy",
    )


def _partial(kind: LogKind, targets: Sequence[LogTarget]) -> Iterator[Gap]:
    """Yield a gap for a log that has only some of the requests."""
    for target in targets:
        if target.condition:
            reason = f"it contains only the requests for which {target.condition} is set{_at(target)}: the counts are partial"
            yield Gap(source=target.path or f"{kind} log", reason=reason, hint="remove if= from access_log")


def _at(target: LogTarget) -> str:
    return f" by {target.at}" if target.at else ""
