"""The path of the unix socket does not exist, or is not visible to the proxy.

connect() fails with ENOENT, and the proxy answers 502 immediately (Apache 503). Three reasons are common: the application uses
another path, it removed the socket when it stopped, or the proxy sees a different directory under that name (systemd's
PrivateTmp=, a container).

## Do not confuse with
- `php-fpm-socket-mismatch`: a PHP-FPM pool listens elsewhere.
- `unix-socket-permission`: the socket exists, but the proxy may not use it (EACCES).
- `backend-not-running`: the file exists but no process listens on it (ECONNREFUSED), or the service is known to be stopped.

## Confirm
- `ls -l PATH` finds nothing. `ss -Hlxp` shows the path on which the application listens. See also
  `systemctl show -p PrivateTmp UNIT`.

## Fix
- Use the same path in both, in a directory under /run that both can access; not in /tmp.

## References
- https://man7.org/linux/man-pages/man7/unix.7.html
- https://www.freedesktop.org/software/systemd/man/systemd.exec.html#PrivateTmp=
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.elsewhere import awaited, is_of_its_service
from why502.model.file_kind import FileKind
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.remedy import Remedy
from why502.model.snapshot import Event, Listener
from why502.model.target import Transport
from why502.remedies.changes import doubt, reload, set_peer_addresses
from why502.remedies.drop_ins import restart, unit_named, write_drop_in

_PRIVATE = lazy(r"/(?:var/)?tmp/systemd-private-[^/]+/tmp/")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None or not case.target.is_unix:
        return
    path = case.socket_path
    if (moved := awaited(case)) and case.seen(Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING):
        message = f"systemd listens for {moved[0].name} on {moved[1]}; nothing listens on {case.target.path}"
        yield supports(message, "systemctl show, ss -lx", 2 * PROOF)
    if path and path.kind in (FileKind.MISSING, FileKind.FILE, FileKind.DIRECTORY):
        message = "does not exist for the proxy" if path.kind is FileKind.MISSING else f"is a {path.kind}, not a socket"
        yield supports(f"{case.target.path} {message}", f"stat {case.target.path}", STRONG)
        if path.kind is FileKind.MISSING and (orphan := _orphan(case)):
            name = f"{orphan.name} (pid {orphan.pid}{f', {orphan.unit}' if orphan.unit else ''})"
            yield supports(f"{name} still listens on that socket: its file was removed while it ran", "ss -lx", 2 * PROOF)
            if other := _owner(case, orphan):
                yield supports(other, "systemd", WEAK)
        elif path.kind is FileKind.MISSING and case.listeners == () and not case.has_stray and not path.seen_elsewhere:
            yield refutes("no application listens on another path: it may not be running at all", "ss -lx", LIKELY)
        for elsewhere in path.seen_elsewhere:
            reason = ": its service has its own /tmp (PrivateTmp=yes)" if _private((elsewhere,)) else ""
            if elsewhere == path.path:
                reason = ": its workers have another root directory (chroot)"
            message = f"a socket of that name exists at {elsewhere}, but the proxy does not see it under that path{reason}"
            yield supports(message, elsewhere, STRONG)
    elif path and path.kind is FileKind.SOCKET and case.born and case.first_failure and case.born > case.first_failure:
        message = (
            f"the proxy has seen the socket since {case.born:%H:%M:%S}, when its application started: it was not running before"
        )
        yield refutes(message, f"stat {case.target.path}", LIKELY)
    elif path and path.kind is FileKind.SOCKET and case.tally(Symptom.SOCKET_PATH_MISSING):
        yield supports("the socket exists now: it was missing while the requests failed", f"stat {case.target.path}", WEAK)
    name = case.target.path.rsplit("/", 1)[-1]
    if case.is_answering and not (path and path.kind is FileKind.MISSING):  # our probe has another root
        yield refutes("a probe of that path is answered now", "probe", LIKELY)
    elif case.seen(Symptom.SOCKET_PATH_MISSING):
        for listener in _meant(case)[:1]:
            alike = listener.target.path.rsplit("/", 1)[-1] == name
            is_own = is_of_its_service(listener, case)
            who = "the service that should listen there" if is_own else "an application"
            weight = LIKELY if is_own else STRONG if alike else WEAK
            yield supports(f"{who} listens on {listener.target.path}, which no route names", "ss -lx", weight)


def _orphan(case: Case) -> Process | None:
    """Return the process that listens on a socket whose file is gone; None if there is none, or if the file is elsewhere."""
    if case.socket_path is not None and case.socket_path.seen_elsewhere:
        return None
    processes = case.joins.processes
    return next((processes[pid] for listener in case.orphans for pid in listener.pids if pid in processes), None)


def _owner(case: Case, orphan: Process) -> str:
    """Return the other unit that has the socket's directory as its RuntimeDirectory: systemd removes the directory when that
    unit stops (systemd.exec(5)).
    """
    directory = posixpath.dirname(case.target.path) if case.target else ""
    units = [s for s in case.here.services or () if directory in _made(s.settings.get("RuntimeDirectory", ""))]
    if not any(service.name == orphan.unit for service in units):
        return ""
    others = [service for service in units if service.name != orphan.unit]
    stopped = {event.unit: event for event in case.here.events or () if event.symptom is Symptom.PROCESS_STOPPED}
    last = max(others, key=lambda service: _when(stopped.get(service.name)), default=None)
    if last is None:
        return ""
    event = stopped.get(last.name)
    when = f", which stopped at {event.ended_at:%H:%M:%S}" if event and event.ended_at else ""
    return (
        f"{directory} is also the RuntimeDirectory of {last.name}{when}: systemd removes it with everything in it when one of "
        "them stops"
    )


def _when(event: Event | None) -> float:
    return event.ended_at.timestamp() if event and event.ended_at else 0.0


def _made(names: str) -> list[str]:
    return [f"/run/{name.split(':')[0]}" for name in names.split()]


def _private(elsewhere: Sequence[str]) -> str:
    """Return the path of a socket inside the private /tmp of a systemd unit (systemd.exec(5), PrivateTmp=);
    "" if there is none.
    """
    return next((path for path in elsewhere if _PRIVATE.match(path)), "")


def _meant(case: Case) -> tuple[Listener, ...]:
    """Return the sockets that no route names and that may be the missing one at another path."""
    possible = (listener for listener in case.unclaimed_listeners if not case.was_beside(listener))
    return tuple(sorted(possible, key=lambda listener: not is_of_its_service(listener, case)))


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    path = case.socket_path
    if moved := awaited(case):
        rest = "; the old file is left over" if path is not None and path.kind is FileKind.SOCKET else ""
        return f"the socket of {moved[0].name} is {moved[1]} now, and the proxy connects to {case.target}{rest}"
    if path is None or path.kind is not FileKind.MISSING:
        return ""
    elsewhere = next(iter(path.seen_elsewhere), "") or next((listener.target.path for listener in _meant(case)[:1]), "")
    if orphan := _orphan(case):
        owner = _owner(case, orphan)
        return f"{path.path} was removed while {orphan.unit or orphan.name} still listens on it{f': {owner}' if owner else ''}"
    if private := _private(path.seen_elsewhere):
        return (
            f"{path.path} does not exist for the proxy: the application has its own /tmp (PrivateTmp), and its socket is "
            f"{private}"
        )
    if elsewhere == path.path:
        return f"{path.path} exists, but not for the proxy's workers, which have another root directory (chroot)"
    if own := next((listener for listener in _meant(case) if is_of_its_service(listener, case)), None):
        return f"{path.path} does not exist: the service that should listen there listens on {own.target.path}"
    return f"{path.path} does not exist for the proxy" + (f"; the intended socket may be {elsewhere}" if elsewhere else "")


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: the path on which the application listens, or no private /tmp for a unit whose socket is in it."""
    if orphan := _orphan(case):
        unit = orphan.unit
        is_of_system = unit.endswith(".service") and "/user@" not in orphan.cgroup
        message = (
            f"restart {unit or orphan.name}, which makes its socket again; give each unit a RuntimeDirectory of its own, or set"
        )
        yield Remedy(
            message=f"{message} RuntimeDirectoryPreserve=yes", steps=(restart(unit_named(unit)),) if is_of_system else ()
        )
        return
    for listener in _meant(case)[:1]:
        changes = set_peer_addresses(case, listener.target)
        yield Remedy(
            message=f"let the proxy connect to {listener.target}, if that is its application{doubt(case, listener.target)}",
            steps=(*changes, *reload(case.proxy)) if changes else (),
        )
    elsewhere = case.socket_path.seen_elsewhere if case.socket_path else ()
    for service in case.services if elsewhere else ():
        if service.settings.get("PrivateTmp") == "yes" and (steps := write_drop_in(service, "tmp", "PrivateTmp=no")):
            message = (
                f"let {service.name} use the same /tmp as the proxy (PrivateTmp=no); a socket below /run would not need this"
            )
            yield Remedy(message=message, steps=(*steps, restart(service)))


CAUSE = Cause(
    id="unix-socket-missing",
    layer=Layer.PROXY,
    transport=Transport.UNIX,
    message="the unix socket path does not exist, or is not visible to the proxy (another path, PrivateTmp, a container)",
    symptoms={Symptom.SOCKET_PATH_MISSING: LIKELY},
    explains=frozenset({"connection-reset"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
