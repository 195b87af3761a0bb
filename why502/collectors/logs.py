"""The summary of the logs that the proxies' configurations name, or that the user gave, for the time window."""

from __future__ import annotations

import io
import posixpath
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec

from why502 import registry
from why502.collectors import container_logs, journal_lines, syslog
from why502.collectors.base import CollectOptions, Found
from why502.diagnosis.targets import peer_sets, routes
from why502.diagnosis.unnamed_requests import by_answers
from why502.diagnosis.ways import by_route, placed, ways_of
from why502.gateways.behaviour import behaviour
from why502.gateways.error_logs import HIDING
from why502.gateways.nginx.logs.log_format import has_time
from why502.gateways.tallies import members_of, settled
from why502.host.base import Host
from why502.host.trust import only_user
from why502.logs import stamps
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.logs.window import PROBE_BYTES, head, is_compressed
from why502.machine.attempt import attempt
from why502.machine.suppliers import ROOT
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.errors import HostError
from why502.model.file_kind import FileKind
from why502.model.logs import LogFile, LogSummary, PathTraffic, Tally
from why502.model.patterns import lazy
from why502.model.probe import SERVER_ERROR
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target

K = TypeVar("K")
SECTION = "logs"
NEEDS = ("admin", "proxies")
WINDOW = timedelta(minutes=15)
PATIENCE_S = 20.0
PATIENCE_OF_USER_S = 3.0  # for the logs of one user other than root
LIMIT_S = PATIENCE_S + 10.0  # the lines read must still be counted
# A request that began before the machine was looked at may fail before its logs are read. Some access logs have the time of its
# begin, and the message about it has that of its end.
MEANWHILE = timedelta(seconds=LIMIT_S)
DESCRIPTORS = 4096
MATCHES = 50  # files that a log's path with variables is looked up for
_VARIABLE = lazy(r"\\\$(?:\\\{\w+\\\}|\w+)|%[A-Za-z]")  # of nginx, and parts of times: strftime(3)
_ERROR_LINE = lazy(r"(?m)^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] .*\n?")


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[LogSummary]:
    """Return what the logs tell between `known.since` and `known.until` (default: from 15 minutes before it was taken to now).

    Logs that the user gave stand in for those of the configurations. None where not a single log could be read.
    """
    since = known.since or (known.until or known.taken_at) - WINDOW
    until = known.until or known.taken_at + MEANWHILE
    gaps: list[Gap] = []
    if options.logs:
        logs = [_given(path, known) for path in dict.fromkeys(options.logs)]
    else:
        logs = [
            log
            for proxy in known.proxies or ()
            for log in _configured(host, proxy, since, until, gaps, is_now=until >= known.taken_at)
        ]
    proxies = known.proxies or ()
    if not logs:
        reason = "no log files found in the configuration" if proxies else "no proxy was found, so its logs are unknown"
        gaps.append(Gap(source="logs", reason=reason, hint="give logs with --log"))
        if not any(proxy.counted for proxy in proxies):
            return Found(None, tuple(gaps))
    peers = (peer.target for peers in peer_sets(routes(known)) for peer in peers)
    sockets = tuple(dict.fromkeys(target.path for target in peers if target is not None and target.is_unix))
    summary, more = _of_all_owners(host, logs, since, until, sockets, proxies)
    counted = () if options.logs else tuple(_counted(proxies, summary, since))
    if counted:
        tried = (traffic for proxy in proxies for traffic in proxy.unanswered)
        known_targets = {traffic.target for traffic in summary.targets}
        targets = (*summary.targets, *(traffic for traffic in tried if traffic.target not in known_targets))
        summary = msgspec.structs.replace(summary, tallies=(*summary.tallies, *counted), targets=targets)
    summary = msgspec.structs.replace(summary, tallies=tuple(_credible(summary.tallies, proxies)))
    ways = ways_of(proxies)
    paths = by_route(_worst_first(summary.paths), ways)
    summary = msgspec.structs.replace(summary, tallies=by_answers(placed(summary.tallies, ways), paths, ways), paths=paths)
    summary = settled(summary, known.proxies or ())
    gaps += [_of_deleted(file) for file in summary.files if file.is_deleted and not file.reason]
    read = bool(counted) or any(not file.reason for file in summary.files)
    if options.logs and read and not any(file.lines for file in summary.files if not file.reason):
        others = [gap for file in summary.files if not file.reason and (gap := _of_another_time(host, file.path))]
        gaps += others
        read = not others
    return Found(summary if read else None, (*gaps, *more))


def _of_all_owners(
    host: Host, logs: list[LogInput], since: datetime, until: datetime, sockets: tuple[str, ...], proxies: tuple[Proxy, ...]
) -> tuple[LogSummary, tuple[Gap, ...]]:
    """Return the sum of all logs, each read with the rights of whoever names it, root's first.

    Lines of different owners are never joined, and a tally says whose it is: anybody can write a log of their own.
    """
    by_owner: dict[tuple[int, bool], list[LogInput]] = {}
    for log in logs:
        by_owner.setdefault((log.owner_uid, log.is_of_engine), []).append(log)
    deadline = time.monotonic() + PATIENCE_S
    total: LogSummary | None = None
    gaps: list[Gap] = []
    for uid, is_of_engine in sorted(by_owner):
        left_s = max(0.0, deadline - time.monotonic())
        patience_s = left_s if uid == ROOT else min(left_s, PATIENCE_OF_USER_S)
        try:
            members = members_of(proxy for proxy in proxies if proxy.owner_uid == uid)
            found, more = summarise(
                host if is_of_engine else host.acting_as(uid),
                by_owner[uid, is_of_engine],
                since,
                until,
                patience_s=patience_s,
                sockets=sockets,
                members=members,
            )
        except OSError as error:  # a file system of this user's failed while it was read: that costs this user's logs
            if uid == ROOT:
                raise
            gaps.append(Gap(source="logs", reason=f"the logs of user {uid} could not be read: {error.strerror}"))
            continue
        gaps += more
        if uid != ROOT:
            only = _only_target(proxy for proxy in proxies if proxy.owner_uid == uid)
            owned = tuple(msgspec.structs.replace(_aimed(tally, only), owner_uid=uid) for tally in found.tallies)
            own = ways_of(proxy for proxy in proxies if proxy.owner_uid == uid)
            placed_paths = by_route(_worst_first(found.paths), own)
            may_tell = _may_tell(uid, proxies)
            paths = tuple(path for path in placed_paths if path.at or may_tell(path.server))
            found = msgspec.structs.replace(found, tallies=owned, paths=paths)
        total = found if total is None else _with(total, found)
    return total or LogSummary(), tuple(gaps)


def _counted(proxies: Iterable[Proxy], summary: LogSummary, since: datetime) -> Iterator[Tally]:
    """Yield the failures that gateways counted in the window, of those whose logs tell of none: there may be no log, or its
    lines are still in a buffer.
    """
    logged = {tally.proxy for tally in summary.tallies if tally.is_failure}
    for proxy in proxies:
        if proxy.kind not in logged:
            counted = (tally for tally in proxy.counted if tally.first is not None and tally.first >= since)
            yield from (msgspec.structs.replace(tally, owner_uid=proxy.owner_uid) for tally in counted)


def _only_target(proxies: Iterable[Proxy]) -> Target | None:
    """Return the one address that gateways pass all their requests on to; None where there are several."""
    found = {peer.target for proxy in proxies for peers in peer_sets(proxy.routes) for peer in peers}
    return found.pop() if len(found) == 1 else None


def _aimed(tally: Tally, only: Target | None) -> Tally:
    """Return a failure whose line names no target as one of the only target that its gateway has."""
    if tally.target is not None or not tally.is_failure or (tally.status or 0) < SERVER_ERROR:
        return tally
    return msgspec.structs.replace(tally, target=only)


def _credible(tallies: Iterable[Tally], proxies: tuple[Proxy, ...]) -> Iterator[Tally]:
    """Yield the tallies, without those by which another user's log speaks of targets that root's files name,
    or of none at all on a server that is not that user's.
    """
    roots = _routes_of_root(proxies)
    targets = {peer.target for peers in peer_sets(roots) for peer in peers}
    found = tuple(tallies)
    may_tell = {uid: _may_tell(uid, proxies) for uid in {tally.owner_uid for tally in found}}
    for tally in found:
        is_on_others = tally.target not in targets if tally.target else may_tell[tally.owner_uid](tally.server)
        if not tally.owner_uid or not roots or is_on_others:
            yield tally


def _may_tell(uid: int, proxies: tuple[Proxy, ...]) -> Callable[[str], bool]:
    """Return whether the log of a user other than root may tell what a server's clients were answered, as a function of the
    server's name: root's files have no routes, or only that user's gateways name the server.
    """
    roots = _routes_of_root(proxies)
    own = (route for proxy in proxies for route in proxy.routes if proxy.supplier(route.at) == uid)
    names = _names(own) - _names(roots)
    return lambda server: not roots or server in names


def _routes_of_root(proxies: Iterable[Proxy]) -> list[Route]:
    return [route for proxy in proxies if not proxy.owner_uid for route in proxy.routes if proxy.supplier(route.at) == ROOT]


def _names(found: Iterable[Route]) -> set[str]:
    return {name for route in found for name in (route.server, *route.server_names) if name}


def _with(total: LogSummary, other: LogSummary) -> LogSummary:
    """Return the summary with the failures and paths of other logs, and the traffic of targets that only those tell of."""
    known = {traffic.target for traffic in total.targets}
    by_status = Counter(total.by_status)
    by_status.update(other.by_status)
    return LogSummary(
        files=(*total.files, *other.files),
        tallies=(*total.tallies, *other.tallies),
        targets=(*total.targets, *(traffic for traffic in other.targets if traffic.target not in known)),
        requests=total.requests + other.requests,
        by_status=dict(by_status),
        has_access=total.has_access or other.has_access,
        paths=(*total.paths, *other.paths),
    )


def _worst_first(paths: Iterable[PathTraffic]) -> list[PathTraffic]:
    """Return the paths, those with most refused requests first."""
    return sorted(paths, key=lambda path: -sum(n for status, n in path.statuses.items() if status >= "4"))


def _of_deleted(file: LogFile) -> Gap:
    """Return the Gap of a log that the gateway writes to after it was deleted: nobody else can read its lines."""
    reason = "it was deleted or rotated, and the gateway still writes to the deleted file: its lines were read from there"
    return Gap(
        source=file.path, reason=reason, hint="make the gateway reopen its logs (nginx -s reopen), now and after each rotation"
    )


def _of_another_time(host: Host, path: str) -> Gap | None:
    """Return the Gap of a log with lines but none in the window; None for an empty log, or one without timestamps."""
    try:
        with host.open(path) as stream:
            is_cut = is_compressed(stream)  # only its begin is read
            if is_cut:
                data = head(stream)
            else:
                stream.seek(max(0, stream.seek(0, io.SEEK_END) - PROBE_BYTES))
                data = stream.read(PROBE_BYTES)
    except (HostError, OSError):
        return None
    lines = data.decode("utf-8", "replace").splitlines()
    at = next((at for line in (lines if is_cut else reversed(lines)) if (at := stamps.find(line))), None)
    if at is None:
        return None
    reason = f"no lines in the time window: the {'first' if is_cut else 'last'} line is from {at:%Y-%m-%d %H:%M:%S}"
    return Gap(source=path, reason=reason, hint=f"include its time: --since {at:%Y-%m-%d}")


def _given(path: str, known: Snapshot) -> LogInput:
    """Return a log given by the user, with the settings of the configurations."""
    targets = [target for proxy in known.proxies or () if behaviour(proxy.kind).access_format for target in proxy.logs]
    named = [target for target in targets if target.path == path and target.kind is LogKind.ERROR]
    formats = dict.fromkeys((target.format, target.escape) for target in targets if target.format)
    return LogInput(path=path, kind=LogKind.ERROR if named else "", candidates=tuple(formats), is_rotated=False, is_given=True)


def _configured(
    host: Host, proxy: Proxy, since: datetime, until: datetime, gaps: list[Gap], *, is_now: bool = True
) -> Iterator[LogInput]:
    """Yield the logs of one proxy, each file once; what goes elsewhere, or nowhere, becomes a Gap unless it can be found."""
    seen: dict[tuple[str, str], list[LogTarget]] = {}
    for target in container_logs.resolved(host, proxy):
        place = target.path if target.goes_to in (LogPlace.FILE, LogPlace.VARIABLE) else target.goes_to
        seen.setdefault((target.kind, place), []).append(target)
    seen = without_repeats(seen, lambda path: attempt(partial(host.stat, proxy.root + path)) is not None)
    for (kind, place), targets in seen.items():
        match targets[0].goes_to:
            case "file":
                gaps.extend(_hidden(targets))
                yield _log(proxy, targets, place, _owner(host, proxy, targets, place))
            case "variable":
                owner = only_user({proxy.supplier(target.at) for target in targets})
                acting = host.acting_as(owner)
                paths = _matching(acting.inside(proxy.root) if proxy.root else acting, place)
                yield from (_log(proxy, targets, path, owner) for path in paths)
                if not paths:
                    reason = f"no file matches the path of the {kind} log, which contains variables"
                    gaps.append(Gap(source=place, reason=reason, hint="give the logs with --log"))
            case "memory":
                yield from _of_memory(host, proxy, targets[0].path, since, until, gaps, is_now=is_now)
            case "off":
                gaps.extend(_off(kind, targets, is_only=sum(1 for other, _ in seen if other == kind) == 1))
    streams = [(kind, place) for kind, place in seen if place in ("syslog", "stderr")]
    yield from _streams(host, proxy, streams, since, until, gaps)


def without_repeats(logs: Mapping[K, list[LogTarget]], exists: Callable[[str], bool]) -> dict[K, list[LogTarget]]:
    """Return the logs, by their places, without those whose requests are all in a file that `exists`: they would count twice."""
    complete = [target for targets in logs.values() for target in targets if target.kind is LogKind.ACCESS and not target.repeats]
    files = [target.path for target in complete if target.goes_to is LogPlace.FILE]
    if not files or not all(map(exists, files)):
        return dict(logs)
    return {key: targets for key, targets in logs.items() if not all(target.repeats for target in targets)}


def _owner(host: Host, proxy: Proxy, targets: list[LogTarget], path: str) -> int:
    """Return the user with whose rights a log is read: of whoever can write where it is named,
    of root where root's master has it open.

    A file that root's own master holds open for writing is its log, whoever may edit the configuration by now.
    """
    owner = only_user({proxy.supplier(target.at) for target in targets})
    if owner == ROOT or proxy.owner_uid != ROOT or proxy.pid is None or proxy.root:
        return owner
    stat = attempt(partial(host.stat, path))
    directory = f"/proc/{proxy.pid}/fd"
    held = (
        attempt(partial(host.stat, f"{directory}/{name}"))
        for name in (attempt(partial(host.list, directory)) or ())[:DESCRIPTORS]
    )
    is_held = stat is not None and any(one is not None and (one.device, one.inode) == (stat.device, stat.inode) for one in held)
    return ROOT if is_held else owner


def _log(proxy: Proxy, targets: list[LogTarget], path: str, owner: int) -> LogInput:
    first, servers = targets[0], {target.server for target in targets}
    stated = behaviour(proxy.kind)
    if not stated.access_format:  # its content decides, or one of its own formats
        return LogInput(
            path=path,
            root=proxy.root,
            is_mixed=len({target.kind for target in targets}) > 1,
            candidates=_own_forms(proxy, targets),
            server=servers.pop() if len(servers) == 1 else "",
            proxy=proxy.kind,
            pid=proxy.pid,
            owner_uid=owner,
        )
    formats = tuple(dict.fromkeys((target.format, target.escape) for target in targets if target.format))
    return LogInput(
        path=path,
        root=proxy.root,
        kind=first.kind,
        format=formats[0][0] if len(formats) == 1 else "",
        escape=formats[0][1] if len(formats) == 1 else "default",
        candidates=formats,
        server=servers.pop() if len(servers) == 1 else "",
        proxy=proxy.kind,
        pid=proxy.pid,
        owner_uid=owner,
    )


def _own_forms(proxy: Proxy, targets: Iterable[LogTarget]) -> tuple[tuple[str, str], ...]:
    """Return the forms of logs that only the configuration tells: those in the product's own notation, and those with a time."""
    read_as = behaviour(proxy.kind).read_as
    return tuple(
        dict.fromkeys(
            form
            for target in targets
            if target.format and ((form := read_as(target.format, target.escape))[0] == target.format or has_time(form[0]))
        )
    )


def _hidden(targets: list[LogTarget]) -> Iterator[Gap]:
    """Yield a Gap if only errors worse than failed connections are logged."""
    levels = {target.level for target in targets if target.kind is LogKind.ERROR}
    if levels and levels <= set(HIDING):
        reason = f"the log level is {targets[0].level}: failed connections (level error) are not logged"
        yield Gap(
            source=targets[0].path, reason=reason, hint=f'set "error_log {targets[0].path} error;"{_at(targets[0])} and reload'
        )


def _off(kind: str, targets: list[LogTarget], *, is_only: bool) -> Iterator[Gap]:
    """Yield a Gap if a log is switched off; a single location without access log is normal and not reported."""
    if kind == "error" or is_only:
        directive = f"{kind}_log"
        yield Gap(
            source=f"{kind} log",
            reason=f"it is disabled{_at(targets[0])}",
            hint=f"set {directive} to a file there and reload the proxy",
        )


def _of_memory(
    host: Host, proxy: Proxy, directory: str, since: datetime, until: datetime, gaps: list[Gap], *, is_now: bool
) -> Iterator[LogInput]:
    """Yield what a gateway keeps in memory; where that cannot be read, a file without lines that says so, and a Gap.

    Its product's `shared_log` reads it.
    """
    shared_log = registry.part("why502.gateways", proxy.kind, "shared_log")
    if shared_log is None:
        return
    source = shared_log.SOURCE.format(directory)
    log = LogInput(path=source, proxy=proxy.kind, pid=proxy.pid, owner_uid=proxy.owner_uid, content=b"")
    try:
        content, is_whole = shared_log.read(host, proxy, directory, since, until, is_now=is_now)
    except HostError as error:
        gaps.append(Gap(source=source, reason=error.reason, hint=error.hint or "run why502 as root"))
        if not proxy.owner_uid:
            yield msgspec.structs.replace(log, unread_because=error.reason)
        return
    if not is_whole:
        gaps.append(
            Gap(source=source, reason="more failed than is read: only the oldest failures are counted", hint="a shorter --since")
        )
    yield msgspec.structs.replace(log, content=content)


def _streams(
    host: Host, proxy: Proxy, streams: list[tuple[str, str]], since: datetime, until: datetime, gaps: list[Gap]
) -> Iterator[LogInput]:
    """Yield the logs sent to syslog or standard error, from their destination: a file, or the journal of the proxy's unit."""
    left = []
    files: dict[str, list[str]] = {}
    for kind, place in streams:
        path = _redirected(host, proxy, 2 if kind == "error" else 1) if place == "stderr" else ""
        if path:
            files.setdefault(path, []).append(kind)
        else:
            left.append((kind, place))
    for path, kinds in files.items():
        yield LogInput(
            path=path,
            root=proxy.root,
            kind=kinds[0] if len(kinds) == 1 else "",
            is_mixed=len(kinds) > 1,
            candidates=_formats(proxy),
            proxy=proxy.kind,
            pid=proxy.pid,
            owner_uid=proxy.owner_uid,
            errors_of=proxy.pid if "error" in kinds else None,
            errors_from=LogPlace.STDERR,
        )
    container = container_logs.container(host, proxy) if left else None
    if container is not None and container.logs and any(place == "stderr" for _, place in left):
        yield from container_logs.inputs(proxy, container)
        left = [(kind, place) for kind, place in left if place != "stderr"]
    if not left:
        return
    match = f"CONTAINER_ID_FULL={container.id}" if container is not None else f"--unit={proxy.unit}"
    whose = f"container {container.words}" if container is not None else proxy.unit
    stated = behaviour(proxy.kind)
    is_dated = not stated.error_format  # some lines have no time of their own: the journal's is read with them
    journal = journal_lines.read(host, match, since, until, is_dated=is_dated) if whose else None
    if (silent := syslog.unheard(host, proxy, match if whose else "", left)) is not None:
        left.remove(("error", "syslog"))
        yield from syslog.inputs(host, proxy, silent, since, gaps, journal_of=whose)
        if not left:
            return
    if isinstance(journal, journal_lines.Lines):
        text = journal.text if stated.journal_line is None else "".join(stated.journal_line.findall(journal.text))
        if text:
            source = f"journalctl {match.replace('--unit=', '-u ')}"
            if journal.cut_because:
                gaps.append(Gap(source=source, reason=journal.cut_because, hint="use a shorter time window with --since"))
            heard = LogPlace.STDERR if silent is not None else ""
            for log in _of_journal(proxy, source, text, left, is_dated=is_dated, is_whole=not journal.cut_because):
                yield msgspec.structs.replace(log, errors_from=heard)
        if text or journal.text:
            return
    for kind, place in left:
        target = next(one for one in container_logs.resolved(host, proxy) if one.kind == kind and one.goes_to == place)
        goes = "syslog" if place == "syslog" else "the standard output of the process" if kind == "access" else "standard error"
        reason = f"it goes to {goes}{_at(target)}"
        if isinstance(journal, HostError):
            reason += f", and the journal of {whose} could not be read: {journal.reason}"
        elif whose:
            reason += f", and the journal of {whose} has no entries from this time"
        gaps.append(
            Gap(
                source=f"{kind} log",
                reason=reason,
                hint=container_logs.hint(container)
                if container is not None
                else "save those lines to a file (docker logs, journalctl) and give it with --log",
                section=f"{kind} log" if isinstance(journal, HostError) or not whose else "",
            )
        )


def _redirected(host: Host, proxy: Proxy, descriptor: int) -> str:
    """Return the file that a stream of the process was redirected to; "" for a pipe, a terminal, or an unreadable one."""
    if proxy.pid is None:
        return ""
    try:
        path = host.link(f"/proc/{proxy.pid}/fd/{descriptor}")
        return path if path.startswith("/") and host.stat(f"/proc/{proxy.pid}/fd/{descriptor}").kind is FileKind.FILE else ""
    except HostError:
        return ""


def _of_journal(
    proxy: Proxy, source: str, text: str, streams: list[tuple[str, str]], *, is_dated: bool, is_whole: bool
) -> Iterator[LogInput]:
    """Yield what the journal has of a proxy: error lines and others apart where they have forms of their own, else together."""
    log = LogInput(path=source, proxy=proxy.kind, pid=proxy.pid, candidates=_formats(proxy), owner_uid=proxy.owner_uid)
    if is_dated:
        errors_of = proxy.pid if is_whole and "error" in dict(streams) else None
        yield msgspec.structs.replace(
            log,
            content=text.encode("utf-8", "surrogateescape"),
            is_wrapped=True,
            is_mixed=True,
            errors_of=errors_of,
        )
        return
    errors, others = "".join(_ERROR_LINE.findall(text)).encode(), _ERROR_LINE.sub("", text).encode()
    for kind, place in dict(streams).items():
        errors_of = proxy.pid if (kind, place) == ("error", "stderr") else None
        yield msgspec.structs.replace(log, kind=kind, content=errors if kind == "error" else others, errors_of=errors_of)


def _formats(proxy: Proxy) -> tuple[tuple[str, str], ...]:
    if not behaviour(proxy.kind).access_format:
        return _own_forms(proxy, proxy.logs)
    return tuple(dict.fromkeys((target.format, target.escape) for target in proxy.logs if target.format))


def _matching(host: Host, path: str) -> list[str]:
    """Return the files that a path with variables in its last part may mean, at most MATCHES."""
    directory, name = posixpath.split(path)
    if "$" in directory:
        return []
    pattern = re.compile(_VARIABLE.sub(r"[^/]*", re.escape(name)))
    try:
        return [posixpath.join(directory, each) for each in host.list(directory) if pattern.fullmatch(each)][:MATCHES]
    except HostError:
        return []


def _at(target: LogTarget) -> str:
    return f" by {target.at}" if target.at else ""
