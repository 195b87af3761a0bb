"""Measures a running application: where it listens, what it speaks and is made with, when it closes idle connections, how
large its headers are, what memory it takes and may take, and how fast it answers.

Every value that is derived names its source. Only harmless requests are sent: a GET of `/`, as any client may send it.
"""

from __future__ import annotations

import math
import shlex
from datetime import datetime

from why502.backends.php_fpm import config as php_fpm
from why502.deployment.applications import limit_of
from why502.generate.measure.candidates import Candidate, named, snapshot_of
from why502.generate.measure.conversation import head_and_idle, speech
from why502.generate.measure.framework import SOCKET_IO, framework
from why502.generate.measure.measured import Measured
from why502.generate.measure.resources import MIB, family, limits, memory, workers
from why502.generate.measure.times import LEAST_REQUESTS, answers
from why502.generate.options import written_size
from why502.host.base import Host
from why502.machine.cgroups import Group
from why502.model.errors import Why502Error
from why502.model.service import Service
from why502.model.snapshot import Snapshot
from why502.model.target import Target

_HEADER_BYTES = 4096  # what nginx takes without being told
_USUAL_READ_S = 30
_MARGIN_S = 5  # that the proxy waits longer than the application works
_TYPES = ("notify", "forking")


def measure(host: Host, what: str, now: datetime, *, waits: bool = False, limit_s: int = 0) -> Measured:
    """Return what describes a running application, each value with its source.

    `waits`: keep a connection open until the application closes it, up to 75 s. `limit_s`: the application's own limit for a
    request, if that is known already. Raises Why502Error.
    """
    snapshot = snapshot_of(host, now)
    candidate = named(snapshot, what)
    target = Target.parse(candidate.address)
    if target is None:
        raise Why502Error(f"--from-process {what}: it listens on {candidate.address}, which cannot be reached", "Give --app.")
    found = Measured()
    try:
        protocol = speech(host, target)
    except Why502Error as error:
        raise Why502Error(f"--from-process: {error.message}", error.hint) from error
    listener = ", ".join(filter(None, (f"the listener of {candidate.words}", candidate.reached)))
    found.add("--app", candidate.address, listener)
    if protocol == "http":
        found.add_fact(f"protocol: HTTP; {candidate.words} answered GET /")
    else:
        found.add("--protocol", protocol, f"what {candidate.words} answered")
    head = _over_http(host, target, candidate, found, waits=waits) if protocol == "http" else b""
    _framework(host, candidate, head, found)
    _resources(host, snapshot, candidate, found, is_pool=protocol == "fastcgi")
    _program(snapshot, candidate, found)
    _times(host, snapshot, candidate, target, found, limit_s)
    return found


def _over_http(host: Host, target: Target, candidate: Candidate, found: Measured, *, waits: bool) -> bytes:
    """Add the idle time and the size of the response header; return the header."""
    who = candidate.words
    head, idle = head_and_idle(host, target, who, waits=waits)
    if len(head) > _HEADER_BYTES:
        found.add("--response-header", str(len(head)), f"{who} answered GET / with a header of {len(head)} bytes")
    elif head:
        found.add_fact(f"response header: {len(head)} bytes of GET /, less than the usual 4 kB")
    if idle.value:
        found.add("--app-idle", idle.value, idle.source)
    else:
        more = "" if waits else "; --measure waits up to 75 s until it closes a connection"
        found.add_fact(f"idle time: unknown, because {who} does not state it{more}")
    return head


def _framework(host: Host, candidate: Candidate, head: bytes, found: Measured) -> None:
    """Add the framework, and the path that a library of it uses for WebSockets."""
    made_with = framework(host, candidate.process, head)
    found.add_fact(f"framework: {made_with.words or f'not recognized; it is {candidate.words}'}")
    if SOCKET_IO in made_with.packages:
        source = f"{made_with.package_file} depends on socket.io; this is its default path"
        found.add("--websocket", "/socket.io/", source)


def _resources(host: Host, snapshot: Snapshot, candidate: Candidate, found: Measured, *, is_pool: bool) -> None:
    """Add memory and limits. A pool gets the size of one child; a unit the most that all its processes may use."""
    process = candidate.process
    if process is None:
        found.add_fact("memory: unknown, because the process is not visible; try as root")
        return
    every = family(snapshot, process)
    of_all = memory(host, every)
    if of_all:
        found.add_fact(f"memory: {of_all.words}")
    group = limits(host, process.pid)
    _limits(group, candidate.words, found)
    children = memory(host, workers(every)) if is_pool else None
    if children:
        pid, size = children.largest
        found.add(
            "--child", written_size(size), f"the largest of {len(children.sizes)} children now, pid {pid}; measure under load"
        )
        found.add("--user", next(one.user for one in every if one.pid == pid), f"the user of pid {pid}")
    if is_pool and candidate.listener.target.is_unix:
        found.add("--socket", candidate.listener.target.path, f"the listener of {candidate.words}")
    if group.memory_limit:
        source = f"the limit of the cgroup of {candidate.words}"
        size, source = (group.memory_limit * 6 // 10, f"60 % of {source}") if is_pool else (group.memory_limit, source)
        found.add("--memory", written_size(size >> 10 << 10), source)
    elif of_all and not is_pool:
        many = f"its {len(of_all.sizes)} processes" if len(of_all.sizes) > 1 else "its process"
        source = f"twice the {of_all.peak // MIB} MiB that {many} took at most so far, and not below 256 MiB; measure under load"
        found.add("--memory", written_size(of_all.limit), source)


def _limits(group: Group, who: str, found: Measured) -> None:
    words = [f"{group.memory_limit // MIB} MiB of memory"] if group.memory_limit else []
    if group.quota:
        words.append(f"{group.quota:g} processors")
        found.add("--processors", str(max(1, math.ceil(group.quota))), f"the quota of the cgroup of {who}")
    found.add_fact(f"cgroup: {who} may use {' and '.join(words)}" if words else f"cgroup: no limit for {who}")


def _program(snapshot: Snapshot, candidate: Candidate, found: Measured) -> None:
    """Add what a unit needs: the command, its user and directory, as the process shows them, and the type of its present unit."""
    process = candidate.process
    service = _service(snapshot, candidate)
    if service and (type_ := service.settings.get("Type", "")) in _TYPES:
        found.add("--type", type_, f"the Type of {service.name}")
    if process is None or not process.argv or any(not word.isprintable() for word in process.argv):
        return
    if len(process.argv) == 1 and " " in process.argv[0]:  # a title that the process wrote over its command line (nginx, Ruby)
        return
    # A virtual environment is known by the name of its interpreter, which the real path of the program hides.
    program = process.argv[0] if process.argv[0].startswith("/") else process.exe
    if not program.startswith("/"):
        return
    found.add("--exec", shlex.join((program, *process.argv[1:])), f"the command line of {candidate.words}")
    if process.user and process.user != "root" and not process.user.isdigit() and "--user" not in found.options:
        found.add("--user", process.user, f"the user of {candidate.words}")
    if process.cwd not in ("", "/"):
        found.add("--directory", process.cwd, f"the directory of {candidate.words}")


def _service(snapshot: Snapshot, candidate: Candidate) -> Service | None:
    """Return the systemd service of an application; None if it has none that is known."""
    unit = candidate.process.unit if candidate.process else ""
    known = (one for one in snapshot.services or () if one.manager == "systemd")
    return next((one for one in known if unit and one.name == unit), None)


def _times(host: Host, snapshot: Snapshot, candidate: Candidate, target: Target, found: Measured, limit_s: int) -> None:
    """Add the read timeout: three times p99 of the logs, or five seconds more than the application's own limit, if longer."""
    seen = answers(host, snapshot, target)
    wanted: list[tuple[int, str]] = []
    if seen is None:
        found.add_fact(f"times: no access log of a proxy on this machine shows how long {target} takes")
    elif not seen.is_enough:
        found.add_fact(f"times: {seen.words}; fewer than {LEAST_REQUESTS} are too few to decide a timeout")
    else:
        found.add_fact(f"times: {seen.words}")
        wanted.append((seen.needed_s, f"three times p99: {seen.words}"))
    own, source = (float(limit_s), "as given") if limit_s else _own_limit(snapshot, candidate, target)
    if own:
        found.add_fact(f"own limit: {candidate.words} ends a request after {own:g} s ({source})")
        wanted.append((math.ceil(own) + _MARGIN_S, f"the application's own limit is {own:g} s ({source}); it must end first"))
    longest = max(wanted, default=(0, ""))
    if longest[0] > _USUAL_READ_S:
        found.add("--read-timeout", f"{longest[0]}s", longest[1])


def _own_limit(snapshot: Snapshot, candidate: Candidate, target: Target) -> tuple[float | None, str]:
    """Return the seconds after which the application ends a request itself, and how that is known."""
    for pool in snapshot.php_pools or ():
        if pool.target == target and (limit := php_fpm.seconds(pool.settings.get("request_terminate_timeout", "0"))):
            return limit, f"request_terminate_timeout in {pool.file}"
    process, service = candidate.process, _service(snapshot, candidate)
    commands = [(process.argv, "its command")] if process else []
    commands += [(service.argv, service.name)] if service else []
    for argv, source in commands:
        limit_s, is_set = limit_of(argv)
        if limit_s:
            return limit_s, source if is_set else f"{source}; the default"
    return None, ""
