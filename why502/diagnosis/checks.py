"""The checklist: the steps that a careful person would check, each passed, failed, warned or skipped.

It follows the usual runbooks: the proxy, its configuration, its logs, the names, the backend's process, its socket,
its answer, the machine. A step that could not be checked is skipped and names the access it needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from why502.diagnosis.index import Joins
from why502.diagnosis.listening import Doors, takes
from why502.diagnosis.peers import OUT, contradictions, described, is_full
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.serving import serving
from why502.diagnosis.targets import peer_sets, routes
from why502.diagnosis.unserved import is_much, last_words, unserved
from why502.gateways.statuses import STATUSES
from why502.model.config import LogPlace
from why502.model.file_kind import FileKind
from why502.model.finding import SERVED, Check, CheckStatus
from why502.model.logs import Symptom
from why502.model.proxy import FEW, ConfigTest, PeerState, Proxy
from why502.model.snapshot import Event, Lookup, Snapshot
from why502.model.words import words

# The proxy's own limits on client requests: reported, but not a failure of the gateway.
_LIMITS = {
    "400": "malformed request",
    "408": "client too slow",
    "413": "body too large",
    "414": "URI too long",
    "431": "header too large",
    "494": "header too large",
}
# Failures may be missed if more than this share of a log is unparsed; every error log contains messages of applications.
UNREAD = 0.5
_LOW_SPACE = 0.02  # share of a file system below which it counts as full


def check_all(here: Snapshot, *, offline: bool = False, index: Joins | None = None) -> tuple[Check, ...]:
    """Return every step of the checklist for the proxy's machine, in order.

    offline: only files were read. index: the indexes of this snapshot, if they were built before.
    """
    joins = index or Joins(here)
    refused = unserved(joins)
    steps = (
        _clients_served(here, refused, joins),
        _proxy_runs(here)
        if not offline
        else _check("proxy-runs", "a proxy is running", CheckStatus.SKIP, "not checked: --offline"),
        _config_passes(here),
        _config_is_loaded(here),
        _logs_read(here),
        _requests_succeed(here, joins),
        _names_resolve(here),
        _backend_listens(here, joins),
        _socket_permits(here),
        _backend_answers(here, joins),
        _through_proxy(here),
        _servers_in_use(here, joins),
        _counted_errors(here),
        _service_runs(here, joins),
        _machine(here) if not offline else None,
        _limits(here, refused),
    )
    return tuple(step for step in steps if step is not None)


def _check(id_: str, title: str, status: CheckStatus, detail: str = "") -> Check:
    return Check(id=id_, title=title, status=status, detail=detail)


def _skip(here: Snapshot, id_: str, title: str, *sources: str) -> Check:
    gap = next((gap for gap in here.gaps if gap.source.startswith(sources)), None)
    detail = (f"{gap.reason}; {gap.hint}" if gap.hint else gap.reason) if gap else "not checked"
    return _check(id_, title, CheckStatus.SKIP, detail)


def _result(id_: str, title: str, bad: Iterable[str], good: str = "") -> Check:
    problems = list(dict.fromkeys(bad))
    if problems:
        more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
        return _check(id_, title, CheckStatus.FAIL, "; ".join(problems[:4]) + more)
    return _check(id_, title, CheckStatus.PASS, good)


def _name(proxy: Proxy) -> str:
    return f"{proxy.kind} {proxy.version}".strip()


def _proxy_runs(here: Snapshot) -> Check:
    message = "a proxy is running"
    if here.proxies is None:
        return _skip(here, "proxy-runs", message, "proxies")
    running = [proxy for proxy in here.proxies if proxy.is_running]
    if running:
        return _check(
            "proxy-runs", message, CheckStatus.PASS, ", ".join(f"{_name(p)} (pid {p.pid}, {p.config})" for p in running)
        )
    if other := serving(here):
        idle = ", ".join(dict.fromkeys(proxy.kind for proxy in here.proxies))
        return _check("proxy-runs", message, CheckStatus.PASS, f"{other}; {idle} is installed but not running, and is not needed")
    return _check(
        "proxy-runs",
        message,
        CheckStatus.FAIL,
        "; ".join(p.why_stopped or f"no process runs with {p.config}" for p in here.proxies),
    )


def _config_passes(here: Snapshot) -> Check:
    message = "the configuration passes its own test"
    if not here.proxies or all(proxy.test is ConfigTest.UNKNOWN for proxy in here.proxies):
        read = [f"{problem.message} ({problem.at or proxy.config})" for proxy in here.proxies or () for problem in proxy.problems]
        if read:
            return _check("config-test", "the configuration can be read", CheckStatus.WARN, "; ".join(read[:4]))
        return _skip(here, "config-test", message, "config test" if here.proxies else "proxies")
    if serving(here):
        return _check("config-test", message, CheckStatus.SKIP, "another gateway serves this machine, see above")
    bad = [
        f"{proxy.problems[0].message} ({proxy.problems[0].at})" if proxy.problems else f"{proxy.config} fails"
        for proxy in here.proxies
        if proxy.test is ConfigTest.FAILED
    ]
    return _result("config-test", message, bad, ", ".join(proxy.config for proxy in here.proxies if proxy.test is ConfigTest.OK))


def _config_is_loaded(here: Snapshot) -> Check | None:
    """Return whether the running configuration is the one on disk; None if that is not known of any gateway."""
    if others := [f"{proxy.kind} at {proxy.admin}: {target}" for proxy in here.proxies or () for target in proxy.not_in_files]:
        detail = f"the running configuration has servers that no file names: {', '.join(others[:4])}"
        return _check("config-loaded", "the running configuration is the one on disk", CheckStatus.WARN, detail)
    known = [proxy for proxy in here.proxies or () if proxy.is_running and proxy.changed_at and proxy.loaded_at]
    if not known:
        return None
    stale = [p for p in known if p.changed_at and p.loaded_at and p.changed_at > p.loaded_at]
    message = "the running configuration is the one on disk"
    if refused := [p.config for p in known if p.is_running and p.test is ConfigTest.FAILED]:
        return _check("config-loaded", message, CheckStatus.WARN, f"{', '.join(refused)}: rejected, so an older one is running")
    if not stale:
        return _check("config-loaded", message, CheckStatus.PASS)
    detail = "; ".join(f"{p.config}: changed {p.changed_at:%H:%M:%S}, loaded {p.loaded_at:%H:%M:%S}" for p in stale)
    return _check("config-loaded", message, CheckStatus.WARN, detail)


def _log_paths(here: Snapshot) -> tuple[str, ...]:
    return tuple(log.path for proxy in here.proxies or () for log in proxy.logs if log.goes_to is LogPlace.FILE)


def _logs_read(here: Snapshot) -> Check:
    message = "the logs can be read"
    if here.logs is None:
        return _skip(here, "logs-readable", message, "logs", *_log_paths(here))
    bad = [f"{file.path}: {file.reason}" for file in here.logs.files if file.reason]
    lost = [
        f"{file.path}: {file.unread} of {file.lines} lines match no known format"
        for file in here.logs.files
        if file.unread > UNREAD * file.lines
    ]
    # Where the access log and the error log are one file, it is read twice, and named once.
    read = (f"{file.path} ({file.lines} line{'' if file.lines == 1 else 's'})" for file in here.logs.files if not file.reason)
    good = ", ".join(dict.fromkeys(read))
    if bad:
        return _check("logs-readable", message, CheckStatus.WARN, "; ".join(bad[:4]))
    if not here.logs.files:
        return _skip(here, "logs-readable", message, "logs")
    return _check("logs-readable", message, CheckStatus.WARN if lost else CheckStatus.PASS, "; ".join(lost[:4]) or good)


def _requests_succeed(here: Snapshot, joins: Joins) -> Check:
    message = "requests succeed"
    if here.logs is None:
        return _skip(here, "no-failures", message, "logs", *_log_paths(here))
    failed: Counter[str] = Counter()
    for tally in joins.alarms:
        failed[words(tally.symptom) + (f" on {tally.target}" if tally.target else "")] += tally.count
    bad = [f"{count} × {what}" for what, count in failed.most_common()]
    good = f"{here.logs.requests} requests" if here.logs.has_access else "no access log in the window"
    for target in sorted(joins.made_good, key=str):
        good += f"; {target} refuses connections, and another address of the same name serves these requests"
    return _result("no-failures", message, bad, good)


def _names_resolve(here: Snapshot) -> Check | None:
    message = "backend names resolve"
    named = any(peer.target and not peer.target.is_address for peers in peer_sets(routes(here)) for peer in peers)
    if here.names is None:
        return _skip(here, "names-resolve", message, "names") if named else None
    if not here.names:
        return None
    bad = [f"{name.name}: {name.detail or name.outcome} ({name.source})" for name in here.names if name.outcome is not Lookup.OK]
    if bad:  # a running process may have resolved it earlier: the next load will fail
        return _check("names-resolve", message, CheckStatus.WARN, "; ".join(list(dict.fromkeys(bad))[:4]))
    return _check("names-resolve", message, CheckStatus.PASS, ", ".join(sorted({name.name for name in here.names})))


def _backend_listens(here: Snapshot, joins: Joins) -> Check:
    message = "something listens on every target"
    if here.listeners is None:
        return _skip(here, "backend-listens", message, "listeners")
    bad = [f"nothing listens on {target}" for target in joins.targets_without_listener]
    own = {*(here.addresses or ()), *(address for space in here.networks or () for address in space.addresses)}
    doors = Doors(here.listeners)
    known = joins.targets
    good = [
        str(target)
        for target in known
        if target.is_loopback or target.host in own
        if any(takes(x, target) for x in doors.near(target))
    ]
    if not bad and not good:
        reason = "no target is on this machine" if known else "no targets known"
        if not any(proxy.is_running for proxy in here.proxies or ()):
            reason = "no proxy is running that would connect to one"
        return _check("backend-listens", message, CheckStatus.SKIP, reason)
    return _result("backend-listens", message, bad, ", ".join(good[:6]))


def _socket_permits(here: Snapshot) -> Check | None:
    if not here.socket_paths:
        return None
    bad = [
        f"user {p.user} has no access to {p.blocked_at or p.path}"
        for p in here.socket_paths
        if p.is_reachable is False and p.kind is FileKind.SOCKET
    ]
    return _result("socket-permits", "the proxy's user can access the unix sockets", bad)


def _backend_answers(here: Snapshot, joins: Joins) -> Check:
    message = "every target answers a probe"
    direct = [probe for probe in here.probes or () if not probe.through_proxy]
    if here.probes is None:
        return _skip(here, "backend-answers", message, "probes")
    if not direct:
        return _check("backend-answers", message, CheckStatus.SKIP, "no target to probe")
    spares = joins.idle_spares
    bad = [f"{p.target}: {p.detail or words(p.symptom)}" for p in direct if p.symptom is not None and p.target not in spares]
    good = ", ".join(f"{p.target} {p.status or ''}".strip() for p in direct[:6] if p.symptom is None)
    return _result("backend-answers", message, bad, good)


def _through_proxy(here: Snapshot) -> Check | None:
    asked = [probe for probe in here.probes or () if probe.through_proxy]
    if not asked:
        return None
    bad = [
        f"{p.url}: {p.status or (words(p.symptom) if p.symptom else '')}"
        for p in asked
        if p.symptom is not None or (p.status or 0) >= 500
    ]
    return _result(
        "answers-through-proxy",
        "the same probe through the proxy succeeds",
        bad,
        ", ".join(f"{p.url} {p.status}" for p in asked[:4]),
    )


def _servers_in_use(here: Snapshot, joins: Joins) -> Check | None:
    """Return whether the gateways use all their servers, by their own word; None if no admin interface answered.

    A server that an administrator took out is not a warning while clients do not need it.
    """
    asked = [proxy for proxy in here.proxies or () if proxy.admin]
    if not any(proxy.peers for proxy in asked):
        return None
    unused, bad, spares = list[str](), list[str](), joins.idle_spares
    for proxy in asked:
        for view in proxy.peers:
            if view.state is PeerState.MAINTENANCE and view.target in spares:
                continue
            disputed = list(contradictions(proxy, view, here.probes or ()))
            if (view.state in OUT or is_full(view)) and not disputed:
                unused.append(f"{described(proxy, view)} ({view.source})")
            bad += disputed
    where = ", ".join(f"{proxy.kind} at {proxy.admin}: {len(proxy.peers)} servers" for proxy in asked)
    detail = "; ".join([*bad[:4], *unused[:4]])
    return _check(
        "servers-in-use", "the proxy uses all its servers", CheckStatus.WARN if detail else CheckStatus.PASS, detail or where
    )


def _counted_errors(here: Snapshot) -> Check | None:
    """Return where a gateway counts 5xx, if its log has lines, but none with a status; None if there is nothing to say."""
    found = [(proxy, one) for proxy in here.proxies or () for one in proxy.answered if one.errors > FEW * one.responses]
    if not found or here.logs is None or here.logs.by_status or not any(file.lines for file in here.logs.files):
        return None
    messages = [
        f"{proxy.kind} counts {one.errors} 5xx of {one.responses} responses at {one.name} since {one.since:%Y-%m-%d %H:%M:%S}Z "
        f"({one.source})"
        for proxy, one in sorted(found, key=lambda each: -each[1].errors)
    ]
    detail = f"{'; '.join(messages[:4])}; when is unknown: no line of the logs has a status"
    return _check("no-counted-errors", "the proxy's counters show few errors", CheckStatus.WARN, detail)


def _service_runs(here: Snapshot, joins: Joins) -> Check | None:
    if not here.services:
        return None
    missing = set(joins.targets_without_listener)
    bad = [
        f"{s.name}: {s.state} {s.exit_message}".strip()
        for s in here.services
        if s.is_running is False and any(here.listeners is None or target in missing for target in s.targets)
    ]
    running = Counter(s.name for s in here.services if s.is_running and s.targets)
    good = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in running.items())
    if not bad and not good:
        return None
    return _check(
        "service-runs", "backend services are running", CheckStatus.WARN if bad else CheckStatus.PASS, "; ".join(bad) or good
    )


def _machine(here: Snapshot) -> Check:
    message = "the machine has free memory, disk space and descriptors"
    if here.disks is None and here.pressure is None and here.events is None:
        return _skip(here, "machine-resources", message, "disks")
    bad = [
        f"{d.path} is full"
        for d in here.disks or ()
        if d.is_of_proxy  # another one matters only where something fails
        if (d.total_bytes and d.free_bytes / d.total_bytes < _LOW_SPACE) or (d.total_inodes and d.free_inodes == 0)
    ]
    kills = [event for event in here.events or () if event.symptom is Symptom.OOM_KILLED]
    own = {service.name for service in here.services or () if service.targets}
    bad += _killed(event for event in kills if event.unit in own)
    others = _killed(event for event in kills if event.unit not in own)
    detail = "; ".join([*bad[:4], *(f"{each} (not known to serve a target)" for each in others)])
    return _check("machine-resources", message, CheckStatus.WARN if bad else CheckStatus.PASS, detail)


def _killed(events: Iterable[Event]) -> list[str]:
    """Return what the kernel killed for lack of memory, in one phrase, or nothing."""
    killed = Counter(event.process or "a process" for event in events).most_common(4)
    names = ", ".join(f"{count} × {name}" for name, count in killed)
    return [f"the kernel killed {names} for lack of memory"] if killed else []


def _limits(here: Snapshot, refused: tuple[Unserved, ...]) -> Check | None:
    """Return whether clients stay within the proxy's limits; a few that exceed them are not a fault of this site."""
    seen = here.logs.by_status if here.logs else {}
    limits = [f"{seen[status]} × {status} ({what})" for status, what in _LIMITS.items() if seen.get(status)]
    if not limits:
        return None
    limited = [one for one in refused if one.reason is Reason.LIMIT]
    over = [one.message for one in limited]
    causes = dict.fromkeys(STATUSES[status].makers[0].causes[0] for status in _LIMITS if seen.get(status))
    detail = "; ".join([*over[:4], *limits]) + ": " + ", ".join(causes)
    status = CheckStatus.WARN if any(is_much(here, one) for one in limited) else CheckStatus.PASS
    return _check("client-limits", "requests stay within the proxy's limits", status, detail)


def _clients_served(here: Snapshot, refused: tuple[Unserved, ...], joins: Joins) -> Check | None:
    """Return the routes whose clients are mostly refused, with the application's last error; None if there are none."""
    bad = [one for one in refused if one.reason is not Reason.LIMIT]
    if not bad:
        return None
    messages = [
        f"{one.message}{f'; its last error: {error}' if (error := last_words(here, one.target, joins)) else ''}"
        for one in bad[:4]
    ]
    status = CheckStatus.WARN if all(one.is_over for one in bad) else CheckStatus.FAIL
    return _check(SERVED, "clients get a successful answer", status, "; ".join(messages))
