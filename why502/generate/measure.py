"""Measures a running application: where it listens, what it speaks, when it closes idle connections, how large its headers are.

Every value that is derived names its source. Only harmless requests are sent: a GET of `/`, as any client may send it.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from why502.collectors import collect
from why502.collectors.base import Ask
from why502.gateways.behaviour import programs
from why502.generate.options import refuse
from why502.host.base import Connection, Host
from why502.logs.scan.cause_rows import Meaning
from why502.logs.scan.engine import alone
from why502.logs.scan.job import Job
from why502.logs.scan.run import run
from why502.logs.scan.work import Ask as Asked
from why502.machine import cgroups
from why502.model.config import LogKind
from why502.model.errors import Expired, HostError, Why502Error
from why502.model.patterns import lazy
from why502.model.snapshot import Listener, NetworkSpace, Process, Snapshot
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request
from why502.session import log_formats

Measured = dict[str, tuple[tuple[str, ...], str]]  # by option: its values, and their source


_OTHERS = frozenset(
    {
        "sshd",
        "systemd",
        "systemd-resolve",
        "cupsd",
        "master",
        "postgres",
        "mysqld",
        "mariadbd",
        "redis-server",
        "chronyd",
        "dnsmasq",
    }
)
_SPEECHES = {"http": "http", "tls": "https", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "h2": "grpc"}
_KEEP_ALIVE = lazy(rb"\r\nkeep-alive:[^\r\n]*?\btimeout=(\d{1,5})", re.IGNORECASE)
_LENGTH = lazy(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_FILE = lazy(r"[\w./][\w./-]{0,200}", re.ASCII)
_PSS = lazy(rb"^Pss:\s+(\d{1,15}) kB", re.MULTILINE)
_RSS = lazy(rb"^VmRSS:\s+(\d{1,15}) kB", re.MULTILINE)
_PRIVILEGED = 1024
_PATIENCE_S = 75.0  # after which the exact idle time no longer matters
_ANSWER_S = 5.0
_HEADER_BYTES = 4096  # what nginx takes without being told
_MOST_BYTES = 1 << 20
_SLOW = 3  # times p99: an answer that takes longer is not expected any more
_LEAST_REQUESTS = 100  # in the logs, for a percentile that means something
_LOGS = 4
_MOST_LOG_BYTES = 256 << 20  # a larger log takes too long to read for one number


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener that may be the application: its address as `--app` takes it, and what it is in words.

    `reached`: what the address is, where it is not simply that of the listener.
    """

    address: str
    words: str
    listener: Listener
    process: Process | None
    reached: str = ""


def snapshot_of(host: Host, now: datetime) -> Snapshot:
    """Return what runs on this machine; no request is sent."""
    return collect(host, now, now - timedelta(minutes=15), now, Ask(probes=False))


def candidates(host: Host, now: datetime) -> list[Candidate]:
    """Return the listeners that may be an application, the likeliest first."""
    return of_snapshot(snapshot_of(host, now))


def of_snapshot(snapshot: Snapshot) -> list[Candidate]:
    """Return the listeners of a snapshot that may be an application, the likeliest first: not those of proxies and databases."""
    found = [
        candidate
        for candidate in _all(snapshot)
        if not (candidate.process and candidate.process.name in programs() | _OTHERS)
        and (candidate.listener.target.path.endswith(".sock") or candidate.listener.target.port >= _PRIVILEGED)
    ]
    return sorted(found, key=lambda one: (one.listener.target.is_unix, one.process is None, one.listener.target.port))


def _all(snapshot: Snapshot) -> list[Candidate]:
    """Return every listener of this machine's own network, each address once."""
    processes = {process.pid: process for process in snapshot.processes or ()}
    found: dict[str, Candidate] = {}
    for listener in snapshot.listeners or ():
        target = listener.target
        if listener.network or (target.is_unix and not target.path.startswith("/")):
            continue
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        found.setdefault(address_of(listener), Candidate(address_of(listener), _words(process), listener, process))
    return list(found.values())


def _apart(snapshot: Snapshot) -> list[tuple[NetworkSpace, Candidate]]:
    """Return the listeners in other network namespaces that can be reached from here, each with its namespace.

    A published port is preferred: a container gets another address when it is made anew.
    """
    processes = {process.pid: process for process in snapshot.processes or ()}
    spaces = {space.inode: space for space in snapshot.networks or ()}
    found = []
    for listener in snapshot.listeners or ():
        space = spaces.get(listener.network)
        if space is None or listener.target.is_unix or listener.target.is_loopback:
            continue
        outer = [one.outer for one in space.published if one.inner.port == listener.target.port]
        own = next((address for address in space.addresses if not Target(host=address, port=1).is_loopback), "")
        if outer:
            address = f"127.0.0.1:{outer[0].port}" if outer[0].is_wildcard else str(outer[0])
        elif own:
            address = str(Target(host=own, port=listener.target.port))
        else:
            continue
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        reached = "at the port published for it" if outer else "at an address of another network, which changes with a container"
        words = f"{_words(process)} in {space.name}" if space.container else _words(process)
        found.append((space, Candidate(address, words, listener, process, reached)))
    return found


def address_of(listener: Listener) -> str:
    """Return the address to connect to: a listener on every address is reached on the loopback one."""
    target = listener.target
    return f"127.0.0.1:{target.port}" if target.is_wildcard else str(target)


def _words(process: Process | None) -> str:
    if process is None:
        return "an unknown process"
    unit = f", {process.unit}" if process.unit else ""
    script = next((posixpath.basename(word) for word in process.argv[1:3] if _FILE.fullmatch(word)), "")
    return f"{process.name}{f' {script}' if script else ''} (pid {process.pid}{unit})"


def named(snapshot: Snapshot, what: str) -> Candidate:
    """Return the listener that a pid, `:PORT`, unit or container means. Raises Why502Error."""
    every = _all(snapshot)
    if what.startswith(":") and what[1:].isdigit():
        found = [one for one in every if one.listener.target.port == int(what[1:])]
    elif what.isdigit():
        family = _family(snapshot, int(what))
        found = [one for one in (*every, *(one for _, one in _apart(snapshot))) if family & set(one.listener.pids)]
    else:
        unit = what if "." in what else f"{what}.service"
        container = what if len(what) >= 12 else "-"
        found = [
            one
            for one in every
            if one.process
            and (one.process.unit == unit or (one.process.container and one.process.container.startswith(container)))
        ]
        found += [one for space, one in _apart(snapshot) if _is_called(space, what)]
    if not found:
        known = ", ".join(f"{one.address} {one.words}" for one in of_snapshot(snapshot)[:5]) or "none was found"
        raise refuse("--from-process", what, "listens nowhere that can be seen from here", f"Applications that listen: {known}.")
    return min(found, key=lambda one: (one.listener.target.is_unix, one.listener.target.port))


def _is_called(space: NetworkSpace, what: str) -> bool:
    """Return whether a container has this name, or an id that begins with at least twelve such digits."""
    return bool(space.container) and (
        what == space.name.partition(" (")[0] or (len(what) >= 12 and space.container.startswith(what))
    )


def _family(snapshot: Snapshot, pid: int) -> set[int]:
    """Return a process and its direct children: workers hold the socket of their master."""
    if pid == 1:  # every orphan is its child
        return {pid}
    return {pid} | {process.pid for process in snapshot.processes or () if process.ppid == pid}


def measure(host: Host, what: str, now: datetime, *, waits: bool = False) -> Measured:
    """Return the options that describe a running application, each with its source.

    `waits`: keep a connection open until the application closes it, up to 75 s. Raises Why502Error.
    """
    snapshot = snapshot_of(host, now)
    candidate = named(snapshot, what)
    target = Target.parse(candidate.address)
    if target is None:
        raise Why502Error(f"--from-process {what}: it listens on {candidate.address}, which cannot be reached", "Give --app.")
    who = candidate.words
    found: Measured = {"--app": ((candidate.address,), ", ".join(filter(None, (f"the listener of {who}", candidate.reached))))}
    speech = _speech(host, target)
    if speech != "http":
        found["--protocol"] = ((speech,), f"what {who} answered")
    if speech == "http":
        found |= _over_http(host, target, who, waits=waits)
    found |= _pool(host, snapshot, candidate) if speech == "fastcgi" else _memory(host, candidate)
    found |= _program(candidate)
    found |= _from_logs(host, snapshot, target)
    return found


def _speech(host: Host, target: Target) -> str:
    """Return the protocol of an application. Raises Why502Error if it does not answer."""
    try:
        found = probe(host, Request(target=target, host="localhost", http_version="1.1"))
    except HostError as error:
        raise Why502Error(f"--from-process: {target} cannot be asked: {error.reason}", error.hint or "Is it up?") from error
    if found.status:
        return "http"
    if found.speaks in _SPEECHES:
        return _SPEECHES[found.speaks]
    raise Why502Error(
        f"--from-process: {target} does not answer a request ({found.detail or found.symptom})",
        "Give --app and --protocol instead.",
    )


def _over_http(host: Host, target: Target, who: str, *, waits: bool) -> Measured:
    """Return the idle time and the size of the response header, from one request on a connection of our own."""
    found: Measured = {}
    try:
        connection = host.connect(target, timeout_s=_ANSWER_S)
    except HostError:
        return found
    try:
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: why502\r\nAccept: */*\r\n\r\n")
        head, rest = b"", b""
        ends = time.monotonic() + _ANSWER_S
        while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES and time.monotonic() < ends:
            part = connection.receive(timeout_s=_ANSWER_S)
            if not part:
                return found
            head += part
        head, _, rest = head.partition(b"\r\n\r\n")
        size = len(head) + 4
        if size > _HEADER_BYTES:
            found["--response-header"] = ((str(size),), f"{who} answered GET / with a header of {size} bytes")
        if match := _KEEP_ALIVE.search(head + b"\r\n"):
            idle = int(match[1])
            if idle >= 2:
                found["--app-idle"] = ((f"{idle}s",), f"{who} says Keep-Alive: timeout={idle}")
        elif waits and (seconds := _until_closed(connection, head, rest)) is not None:
            if seconds < 2:
                found["--app-idle"] = (("off",), f"{who} closes a connection after {seconds:.1f} s")
            else:
                found["--app-idle"] = ((f"{int(seconds)}s",), f"{who} closed an idle connection after {seconds:.1f} s")
    except HostError:
        return found
    finally:
        connection.close()
    return found


def _until_closed(connection: Connection, head: bytes, rest: bytes) -> float | None:
    """Return after how many seconds the application closes the idle connection; None if it is still open after our patience."""
    length = _LENGTH.search(head + b"\r\n")
    left = int(length[1]) - len(rest) if length else 0
    began = time.monotonic()
    while (waited := time.monotonic() - began) < _PATIENCE_S:
        try:
            part = connection.receive(timeout_s=_PATIENCE_S - waited)
        except Expired:
            return None
        except HostError:
            part = b""
        if not part:
            return time.monotonic() - began
        left -= len(part)
        began = time.monotonic()  # the rest of the body: it is idle only after that
    return None


def _memory(host: Host, candidate: Candidate) -> Measured:
    """Return the limit of memory that the application has, if its cgroup has one."""
    if candidate.process is None:
        return {}
    pid = candidate.process.pid
    try:
        mounts = cgroups.parse_mounts(host.read(f"/proc/{pid}/mountinfo"))
        group = cgroups.read(host, cgroups.parse_paths(host.read(f"/proc/{pid}/cgroup")), mounts)
    except HostError:
        return {}
    if not group.memory_limit:
        return {}
    return {"--memory": ((str(group.memory_limit),), f"the limit of the cgroup of {candidate.words}")}


def _pool(host: Host, snapshot: Snapshot, candidate: Candidate) -> Measured:
    """Return what a PHP-FPM pool needs: the memory of its largest child, its user, and its share of the cgroup's limit."""
    found: Measured = {}
    master = candidate.process
    children = [process for process in snapshot.processes or () if master and process.ppid == master.pid]
    sizes = {process.pid: size for process in children if (size := _resident(host, process.pid))}
    if sizes:
        pid, size = max(sizes.items(), key=lambda pair: pair[1])
        found["--child"] = ((str(size),), f"the largest of {len(sizes)} children now, pid {pid}; measure under load")
        owner = next(process.user for process in children if process.pid == pid)
        found["--user"] = ((owner,), f"the user of pid {pid}")
    if limit := _memory(host, candidate).get("--memory"):
        found["--memory"] = ((str(int(limit[0][0]) * 6 // 10),), f"60 % of {limit[1]}")
    if candidate.listener.target.is_unix:
        found["--socket"] = ((candidate.listener.target.path,), f"the listener of {candidate.words}")
    return found


def _resident(host: Host, pid: int) -> int:
    """Return the memory of a process in bytes: with its share of shared pages (proc_pid_smaps(5)), else all of it; or 0."""
    for path, pattern in ((f"/proc/{pid}/smaps_rollup", _PSS), (f"/proc/{pid}/status", _RSS)):
        try:
            match = pattern.search(host.read(path, limit_bytes=1 << 16))
        except HostError:
            continue
        if match:
            return int(match[1]) << 10
    return 0


def _program(candidate: Candidate) -> Measured:
    """Return what a unit needs: the command, its user and directory, as the process shows them."""
    process = candidate.process
    if process is None or not process.argv or any(not word.isprintable() for word in process.argv):
        return {}
    if len(process.argv) == 1 and " " in process.argv[0]:  # a title that the process wrote over its command line (nginx, Ruby)
        return {}
    # A virtual environment is known by the name of its interpreter, which the real path of the program hides.
    program = process.argv[0] if process.argv[0].startswith("/") else process.exe
    if not program.startswith("/"):
        return {}
    source = f"the command line of {candidate.words}"
    found: Measured = {"--exec": ((shlex.join((program, *process.argv[1:])),), source)}
    if process.user and process.user != "root" and not process.user.isdigit():
        found["--user"] = ((process.user,), f"the user of {candidate.words}")
    if process.cwd not in ("", "/"):
        found["--directory"] = ((process.cwd,), f"the directory of {candidate.words}")
    return found


def _from_logs(host: Host, snapshot: Snapshot, target: Target) -> Measured:
    """Return the read timeout from the slowest answers that the present proxy's logs know of."""
    proxies = [proxy for proxy in snapshot.proxies or () if not proxy.root]
    named = [log.path for proxy in proxies for log in proxy.logs if log.kind is LogKind.ACCESS and log.path]
    paths = tuple(path for path in dict.fromkeys(named) if 0 < _size(host, path) <= _MOST_LOG_BYTES)[:_LOGS]
    if not paths:
        return {}
    near = log_formats.near(paths)
    forms = {path: form for proxy in proxies for path, form in log_formats.of_targets(proxy.logs, proxy.config).items()}
    job = Job(paths=paths, ask=Asked(), formats=msgspec.structs.replace(near, forms={**near.forms, **forms}))
    try:
        report = run(job, engine=alone, jobs=1, means=lambda _symptom, _cause: Meaning())
    except Why502Error:
        return {}
    for row in report.targets:
        times = row.response
        if row.target == str(target) and times is not None and times.count >= _LEAST_REQUESTS:
            needed = int(times.p99_s * _SLOW) + 1
            if needed > 30:
                source = f"p99 of {times.count} requests in {', '.join(paths)} is {times.p99_s:.1f} s; three times that"
                return {"--read-timeout": ((f"{needed}s",), source)}
    return {}


def _size(host: Host, path: str) -> int:
    try:
        return host.stat(path).size_bytes
    except HostError:
        return 0
