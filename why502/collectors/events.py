"""Events in the time window from the services behind the targets, the kernel and the security modules.

From the journal, the kernel's log, the audit log, and the log files that the services' managers name or their processes hold
open.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from time import monotonic

import msgspec

from why502.collectors import owners, user_journals
from why502.collectors.base import CollectOptions, Found
from why502.collectors.event_order import joined, only_loops
from why502.collectors.framework_logs import framework_logs
from why502.collectors.kernel_log import kernel_lines
from why502.gateways.behaviour import application_servers, programs
from why502.host.base import Host
from why502.host.trust import NOBODY
from why502.logs import plain_errors, stamps
from why502.logs.detect import parse_any
from why502.logs.formats import audit, formats, kernel, of_applications
from why502.logs.phrases import signal_number
from why502.logs.zone import aware, zone
from why502.machine.attempt import attempt
from why502.machine.suppliers import of_process
from why502.machine.tail import Tail, tail
from why502.model.container import Container
from why502.model.errors import Expired, HostError, Missing
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Event, Gap, Snapshot
from why502.model.target import Target
from why502.model.times import whole_number
from why502.redaction import redact
from why502.supervisors.docker import engine
from why502.supervisors.docker import history as container_events
from why502.supervisors.systemd import journal
from why502.supervisors.systemd import logs as systemd_format

SECTION = "events"
NEEDS = ("services",)
WINDOW = timedelta(minutes=15)
BEFORE = timedelta(minutes=5)
PATIENCE_S = 2.2
LIMIT_S = PATIENCE_S + 0.4
AUDIT_LOG = "/var/log/audit/audit.log"
FILES = 24
FILE_BYTES = 4 << 20
UNTIMED_BYTES = 4096  # of a log without timestamps: this much may be recent
LINES = 3000  # maximum lines of one log that are fully parsed
EVENTS = 400
PLAIN = 60  # of them, errors of one source that are known by their words alone: they may all be different
MANAGERS = frozenset({"systemd", "systemd-coredump", "systemd-oomd"})
DESCRIPTORS = 256
_LOG_NAME = lazy(r"/[^\0]*\.(?:log|err|out)$|/nohup\.out$")
_DELETED = " (deleted)"  # proc_pid_fd(5)
_FRAME = lazy(r"\[0x[0-9a-f]{1,16}\] (\S{1,255}\(\) /\S{1,1000}:\d{1,9})$")
_ACCESS_LOG = lazy(r"/access[^/]*\.log$")
Look = Callable[[], list[Event]]


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Event, ...]]:
    """Return what happened from 5 minutes before the window to its end, in order of time. Events without a time come first."""
    until = known.until or known.taken_at
    since = (known.since or until - WINDOW) - BEFORE
    window = Window(host, known, since, until)
    looks: dict[str, Look] = {
        "kernel log": window.kernel,
        "audit log": window.audit,
        "journal of the services": window.journals,
        "logs of the services": window.files,
    }
    deadline = monotonic() + PATIENCE_S
    answers: dict[str, SimpleQueue[list[Event] | HostError]] = {}
    for name, look in looks.items():
        answers[name] = SimpleQueue()
        threading.Thread(target=_answer, args=(look, answers[name]), name=name, daemon=True).start()
    found: list[Event] = []
    gaps: list[Gap] = []
    for name, answer in answers.items():
        try:
            result = answer.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            gaps.append(Gap(source=name, reason=f"did not answer within {PATIENCE_S:g} s", section=SECTION))
            continue
        if isinstance(result, HostError):
            late = SECTION if isinstance(result, Expired) else ""
            gaps.append(Gap(source=name, reason=result.reason, hint=result.hint, section=late))
        else:
            found += result
    if len(gaps) == len(looks):
        return Found(None, (*gaps, *window.gaps))
    return Found(only_loops(joined(found))[-EVENTS:], (*gaps, *window.gaps))


def _record_of_entry(entry: journal.Entry) -> LogRecord | None:
    """Return the record of a line in the journal of a service: its manager's, or its own."""
    if entry.identifier not in MANAGERS:
        return _record_of_line(entry.message)
    return systemd_format.parse(f"systemd[1]: {entry.message}" if entry.identifier == "systemd" else entry.message)


def _record_of_line(line: str) -> LogRecord | None:
    """Return the record of a line that a service itself wrote: in a known format, or an error by its own words."""
    return parse_any(line) or plain_errors.parse(line)


def _is_of(service: Service, container: Container) -> bool:
    return (service.manager, service.name, service.owner_uid) == (container.engine, container.name, container.owner_uid)


def _answer(look: Look, answer: SimpleQueue[list[Event] | HostError]) -> None:
    try:
        answer.put(look())
    except HostError as error:
        answer.put(error)
    except Exception as error:  # a bug in one reader does not affect the others
        answer.put(HostError(f"internal error: {type(error).__name__}: {error}", "report it: this is a bug in why502"))


class Window:
    """Reads the events of one machine within one time window."""

    def __init__(self, host: Host, known: Snapshot, since: datetime, until: datetime) -> None:
        self._host = host
        self._known = known
        self._since = since
        self._until = until
        self._deadline = monotonic() + PATIENCE_S / 2
        self.gaps: list[Gap] = []
        self._hosted: dict[str, str] = {}  # formats of the error logs of an httpd that is not a gateway here: of its applications
        self._targets: dict[str, Target] = {}  # by the log of the framework that serves them
        self._pools: dict[str, list[PhpPool]] = {}  # by the log of their scripts
        for pool in known.php_pools or ():
            self._pools.setdefault(_script_log(pool), []).append(pool)

    def kernel(self) -> list[Event]:
        """Return the kernel's events. Raises HostError."""
        source, lines = kernel_lines(self._host, self._since, self._until)
        events = (self._event(kernel.parse(text) or audit.parse(text), source, at) for at, text in lines)
        return [event for event in events if event]

    def audit(self) -> list[Event]:
        """Return the denials of security modules. Raises HostError."""
        try:
            lines = tail(self._host, AUDIT_LOG).lines
        except Missing:
            return []
        return [event for line in lines if (event := self._event(audit.parse(line), AUDIT_LOG, None)) and event.at]

    def journals(self) -> list[Event]:
        """Return the events from the journals of the units behind the targets, and from the journal's audit messages.

        Raises HostError.
        """
        if attempt(partial(self._host.stat, "/run/systemd/system")) is None:
            return []
        units = self._units()
        found: list[Event] = []
        if units:
            plain: deque[Event] = deque(maxlen=PLAIN)
            for entry in journal.of_units(self._host, units, self._since, self._until, lines=2000):
                record = _record_of_entry(entry)
                (plain if record and record.format == plain_errors.NAME else found).extend(self._of_entry(entry, record))
            found += plain
        found += self._of_users()
        for entry in attempt(partial(journal.read, self._host, "_TRANSPORT=audit", since=self._since, until=self._until)) or ():
            if event := self._event(audit.parse(entry.message), "journalctl _TRANSPORT=audit", entry.at):
                found.append(event)
        return found

    def _of_users(self) -> list[Event]:
        """Return the events of the units that users' own managers run."""
        found: list[Event] = []
        plain: deque[Event] = deque(maxlen=PLAIN)
        try:
            entries = tuple(user_journals.entries(self._host, self._known, self._since, self._until))
        except HostError as error:
            self.gaps.append(Gap(source="journal of users' units", reason=error.reason, hint=error.hint))
            return []
        for entry, target in entries:
            own = replace(entry, unit=entry.user_unit)
            record = _record_of_entry(own)
            kept = plain if record and record.format == plain_errors.NAME else found
            kept.extend(msgspec.structs.replace(event, target=event.target or target) for event in self._of_entry(own, record))
        return [*found, *plain]

    def _units(self) -> tuple[str, ...]:
        units = [service.name for service in self._known.services or () if service.manager == "systemd"]
        listening = {pid for pids in owners.owners(self._known).values() for pid in pids}
        units += [process.unit for process in self._known.processes or () if process.unit and process.pid in listening]
        units += [pool.unit for pool in self._known.php_pools or () if pool.unit]
        return tuple(dict.fromkeys(unit for unit in units if unit.endswith(".service")))[:FILES]

    def _of_entry(self, entry: journal.Entry, record: LogRecord | None) -> Iterator[Event]:
        manages = entry.identifier in MANAGERS
        event = self._event(record, f"journalctl {'--user ' if entry.user_unit else ''}-u {entry.unit}", entry.at)
        if event:
            pid = event.pid or (None if manages else entry.pid)
            yield msgspec.structs.replace(
                event, unit=entry.unit or event.unit, pid=pid, cgroup=event.cgroup or ("" if manages else entry.cgroup)
            )

    def files(self) -> list[Event]:
        """Return the events from the log files of the services and of PHP-FPM. Raises HostError."""
        found: list[Event] = []
        local = attempt(partial(zone, self._host, self._host)) or UTC
        for path, service, pid, uid in self._logs():
            if monotonic() > self._deadline:
                self.gaps.append(Gap(source=path, reason="not read for lack of time"))
                continue
            try:
                content = tail(self._host.acting_as(uid), path, FILE_BYTES)
            except Missing:
                continue
            except HostError as error:
                self.gaps.append(Gap(source=path, reason=error.reason, hint=error.hint))
                continue
            if content.written_at is None or content.written_at < self._since:
                continue
            own = (attempt(partial(zone, self._host, self._host, pid)) if pid else None) or local
            plain: deque[Event] = deque(maxlen=PLAIN)
            for at, record in self._dated(content, own, _marks(self._hosted.get(path, ""))):
                is_manager = record.format in ("supervisord", "pm2")
                owner = self._managed(record) if is_manager else service
                if is_manager and owner is None:
                    continue  # a program behind no target
                if event := self._event(record, path, at):
                    of_target = msgspec.structs.replace(event, target=event.target or self._targets.get(path))
                    kept = plain if record.format == plain_errors.NAME else found
                    kept.append(_of_pool(_of_service(of_target, owner), self._pools.get(path, ())))
            found += plain
        for container in self._known.containers or ():
            if service := next((x for x in self._known.services or () if _is_of(x, container)), None):
                found += self._of_container(service, container)
        return found

    def _managed(self, record: LogRecord) -> Service | None:
        """Return the service named in a line of supervisord's or pm2's own log: by its name, command, script or logs."""
        for service in self._known.services or ():
            if service.manager != record.format:
                continue
            if record.process in (service.name, service.name.rpartition(":")[2]):
                return service
            if not record.process and any(
                word.startswith("/") and (word == record.file or f"'{word}'" in record.detail)
                for word in (*service.argv, *service.logs)
            ):
                return service
        return None

    def _of_container(self, service: Service, container: Container) -> Iterator[Event]:
        yield from container_events.of_history(container)
        if not container.socket:  # its service has the paths of its logs
            return
        of = engine.Engine(container.engine, container.socket, container.owner_uid)
        for at, text in engine.output(self._host, of, container.id, self._since):
            if event := self._event(_record_of_line(text), f"{service.manager} logs {service.name}", at):
                yield _of_service(event, service)

    def _logs(self) -> list[tuple[str, Service | None, int | None, int]]:
        """Return the log files, each once, with the service it is known to belong to, and the user who named it."""
        found: dict[str, tuple[Service | None, int | None, int]] = {}
        for service in self._known.services or ():
            for path in service.logs:
                found.setdefault(path, (service, service.main_pid, service.owner_uid))
        by_pid = {service.main_pid: service for service in self._known.services or () if service.main_pid}
        listening = {pid for pids in owners.owners(self._known).values() for pid in pids}
        names = {process.pid: process.name for process in self._known.processes or ()}
        gateways = {pid for proxy in self._known.proxies or () for pid in (proxy.pid, *(one.pid for one in proxy.workers))}
        for pid in sorted(listening):
            uid = attempt(partial(of_process, self._host, pid))
            for path, deleted in _open_logs(self._host, pid):
                found.setdefault(path, (by_pid.get(pid), pid, NOBODY if uid is None else uid))
                kind = application_servers().get(names.get(pid, ""))
                if kind and pid not in gateways and "access" not in path:
                    self._hosted[path] = kind
                if deleted:
                    self.gaps.append(_gap_of_deleted(deleted, pid))
        for pool in self._known.php_pools or ():
            for path in (pool.log, pool.slowlog, _script_log(pool)):
                if path.startswith("/"):
                    found.setdefault(path, (None, pool.master_pid, pool.owner_uid))
        for path, target, uid in framework_logs(self._host, self._known, owners.owners(self._known)):
            if path not in found:
                found[path] = (None, None, uid)
                self._targets[path] = target
        configured = {log.path for proxy in self._known.proxies or () for log in proxy.logs}
        kept = [
            (path, *rest)
            for path, rest in found.items()
            if path not in configured and (path in self._hosted or not _is_of_a_gateway(path))
        ]
        return kept[:FILES]

    def _dated(self, content: Tail, local: tzinfo, marks: tuple[bytes, ...]) -> Iterator[tuple[datetime | None, LogRecord]]:
        """Yield the records with their times. A line without a time has the time of the line before; the last line has the
        file's.

        A log without timestamps shows only its last events; they are dated by the file. It may be written to while this machine
        is being looked at: these lines are of now.
        """
        written_at = content.written_at
        if written_at is not None and self._until >= self._known.taken_at:
            written_at = min(written_at, self._until)
        since, until = self._since.timestamp(), self._until.timestamp()
        end = len(content.data) - UNTIMED_BYTES
        for start in content.marked(marks)[-LINES:]:
            line = content.line(start)
            record = _record_of_line(line)
            if record is None or record.symptom is None:
                continue
            if record.symptom is Symptom.PHP_SLOW and (frame := _frame(content.after(start))):
                record = msgspec.structs.replace(record, detail=frame)
            at = next((at for text in (line, *content.before(start)) if (at := stamps.find(text))), None)
            if at is not None:
                yield aware(at, local, since, until), record
            elif start >= end:
                yield written_at, record

    def _event(self, record: LogRecord | None, source: str, at: datetime | None) -> Event | None:
        """Return the event for a record with a symptom and a time in the window."""
        if record is None or record.symptom is None:
            return None
        when = at or (record.at if record.at is None or record.at.tzinfo else record.at.replace(tzinfo=UTC))
        if when is not None and not self._since <= when <= self._until + timedelta(seconds=1):
            return None
        return Event(
            at=when,
            symptom=record.symptom,
            message=message(record),
            source=source,
            pid=record.process_pid,
            process=record.process,
            unit=record.unit or _unit_of(record.cgroup),
            cgroup=record.cgroup,
            target=record.target,
            path=record.file,
            detail=redact(record.detail)[:300],
            code=signal_number(record.code) if (code := whole_number(record.code)) is None else code,
        )


@lru_cache(4)
def _marks(other: str = "") -> tuple[bytes, ...]:
    """Return the marks of the formats of applications, of errors that they print in a format of their own, and of another one."""
    wanted = (of_applications() | {other}) - {systemd_format.NAME}  # whose messages are in the journal
    known = {mark for form in formats() if form.NAME in wanted for mark in form.MARKS}
    return tuple(known.union(plain_errors.MARKS))


def _gap_of_deleted(path: str, pid: int) -> Gap:
    reason = f"it was deleted or rotated, and process {pid} still writes to the deleted file, which only its descriptor reaches"
    return Gap(
        source=path, reason=reason, hint="make the application reopen its log after each rotation (postrotate, copytruncate)"
    )


def _is_of_a_gateway(path: str) -> bool:
    """Return whether a log is an access log, or in a directory with the name of a gateway's program."""
    return bool(_ACCESS_LOG.search(path)) or not programs().isdisjoint(path.split("/")[1:-1])


def _open_logs(host: Host, pid: int) -> Iterator[tuple[str, str]]:
    """Yield the logs that a process has open for writing (proc_pid_fdinfo(5): flags, octal), and the former path of a deleted
    one.

    A deleted log is read through the descriptor.
    """
    for name in (attempt(partial(host.list, f"/proc/{pid}/fd")) or [])[:DESCRIPTORS]:
        path = attempt(partial(host.link, f"/proc/{pid}/fd/{name}")) or ""
        former = path.removesuffix(_DELETED)
        if not _LOG_NAME.match(former):
            continue
        info = attempt(partial(host.read, f"/proc/{pid}/fdinfo/{name}", limit_bytes=4096)) or b""
        flags = re.search(rb"^flags:\s+([0-7]+)", info, re.MULTILINE)
        if flags and int(flags[1], 8) & 3:
            yield (f"/proc/{pid}/fd/{name}", former) if former != path else (path, "")


def _of_service(event: Event, service: Service | None) -> Event:
    """Return the event attributed to the service that owns the log. Which of its processes wrote it is unknown."""
    return msgspec.structs.replace(event, unit=event.unit or service.name) if service else event


def _frame(lines: Iterable[str]) -> str:
    """Return the innermost function and its position in a trace of PHP-FPM's slow log, "sleep() /srv/index.php:12"; "" if
    none.
    """
    for line in lines:
        if match := _FRAME.match(line):
            return match[1]
        if not line.startswith(("script_filename", "script_name")):
            return ""
    return ""


def _script_log(pool: PhpPool) -> str:
    """Return the log for errors of a pool's scripts; "" if its file names none."""
    return pool.settings.get("php_admin_value[error_log]", "") or pool.settings.get("php_value[error_log]", "")


def _of_pool(event: Event, pools: Sequence[PhpPool]) -> Event:
    """Return the event attributed to the pool, if only that pool's scripts write to the log."""
    if len(pools) != 1 or event.target is not None:
        return event
    return msgspec.structs.replace(event, target=pools[0].target, unit=event.unit or pools[0].unit)


def _unit_of(cgroup: str) -> str:
    """Return the service in a cgroup path; "" if it is not a systemd service."""
    return next((part for part in reversed(cgroup.split("/")) if part.endswith(".service")), "")


def message(record: LogRecord) -> str:
    """Return one sentence for a line: the program, and the line's own message."""
    who = record.unit or (
        f"{record.process} (pid {record.process_pid})" if record.process and record.process_pid else record.process
    )
    where = f" ({record.target})" if record.target and str(record.target) not in record.detail else ""
    what = redact(record.detail or record.message)[:240]
    return f"{who}: {what}{where}" if who and who not in what else f"{what}{where}"
