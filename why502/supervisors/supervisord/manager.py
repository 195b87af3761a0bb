"""supervisord's programs: its configuration files, its XML-RPC interface, and its log for exits and restarts.

supervisord.org/configuration.html, /api.html. The interface does not report signals; the log does ("terminated by SIGSEGV").
"""

from __future__ import annotations

import base64
import configparser
import fnmatch
import posixpath
import re
import xmlrpc.client  # it parses data from root's own supervisord; expat limits entity expansion
from collections.abc import Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Any

import msgspec

from why502.host.base import Host
from why502.logs.detect import parse_any
from why502.logs.phrases import signal_number
from why502.logs.zone import aware, zone
from why502.machine import http
from why502.machine.attempt import attempt, each
from why502.machine.last_words import last_words
from why502.machine.process_table import ProcessTable, unit_of
from why502.machine.suppliers import supplier_of
from why502.machine.tail import NOTHING, tail
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.service import Service
from why502.model.target import Target
from why502.model.times import whole_number
from why502.supervisors.base import CONFIG_BYTES, LISTENS, Described, Look, link, merge, moment, named, roots_first, words
from why502.supervisors.supervisord import logs as log_format
from why502.supervisors.systemd import journal

NAME = "supervisord"
TIMEOUT_S = 3.0
DEFAULTS = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")
FILES = 100
KEPT = (
    "autostart autorestart startsecs startretries stopwaitsecs stopsignal exitcodes user numprocs killasgroup stopasgroup".split()
)
_RUNS = frozenset({"RUNNING", "STOPPING"})
_ENDED = frozenset({"STOPPED", "EXITED", "FATAL", "BACKOFF"})


def services(host: Host, look: Look) -> tuple[Service, ...]:
    """Return the programs that serve a target. Raises HostError."""
    return list(parts(host, look))[-1]


def parts(host: Host, look: Look) -> Iterator[tuple[Service, ...]]:
    """Yield the programs of root's daemons, then again with those of each other user. Raises HostError."""
    daemons = roots_first(host, (pid for pid, name in look.names.items() if name.startswith("supervisord")))
    found: list[Service] = []
    for uid, pid in daemons:
        if uid:
            yield tuple(found)
        found += _of_daemon(host, look, uid, pid)
    if not daemons:
        for path in DEFAULTS:
            acting = host.acting_as(supplier_of(host, path))
            config, files = _config(acting, path)
            if files:
                found += _stopped(acting, look, config, path)
                break
    yield tuple(found)


def _of_daemon(host: Host, look: Look, uid: int, pid: int) -> Iterator[Service]:
    """Yield the programs of one running supervisord that serve a target."""
    argv = (attempt(partial(host.read, f"/proc/{pid}/cmdline", limit_bytes=8192)) or b"").decode("utf-8", "replace").split("\0")
    cwd = attempt(partial(host.link, f"/proc/{pid}/cwd")) or "/"
    path = _config_path(host.acting_as(uid), argv, cwd)
    uid = uid or supplier_of(host, path)
    acting = host.acting_as(uid)
    config, _ = _config(acting, path)
    try:
        programs = _call(acting, config, posixpath.dirname(path))
    except HostError as error:
        look.gap("supervisord", error.reason, error.hint or "run as root")
        return
    log, network = _log(acting, look, pid, config, cwd), ProcessTable(host).network(pid)

    def one(program: dict[str, Any]) -> Iterator[Service]:
        section = _section(config, program)
        what = _described(section)
        name = program["name"] if program["group"] == program["name"] else f"{program['group']}:{program['name']}"
        targets = [(target, LISTENS) for target in look.served_by([int(program["pid"] or 0)], uid)]
        targets += named(acting, look, what, listens=bool(targets) or program["statename"] == "STOPPED", network=network)
        targets = targets or list(_former_targets(acting, look, program, network))
        if targets:
            service = msgspec.structs.replace(
                _service(program, section, what, name, argv, path), owner_uid=uid, manager_unit=unit_of(host, pid)
            )
            yield _with_log(acting, look, service, targets, program["name"], log)

    yield from each(programs, one, lambda program, reason, hint: look.gap(f"supervisord program {program['name']}", reason, hint))


def _config_path(host: Host, argv: list[str], cwd: str) -> str:
    for i, word in enumerate(argv):
        if word in ("-c", "--configuration") and i + 1 < len(argv):
            return posixpath.join(cwd, argv[i + 1])
        if word.startswith("--configuration="):
            return posixpath.join(cwd, word.partition("=")[2])
    near = (posixpath.join(cwd, name) for name in ("supervisord.conf", "etc/supervisord.conf"))
    return next((path for path in (*near, "/etc/supervisord.conf") if attempt(partial(host.stat, path))), DEFAULTS[0])


def _config(host: Host, path: str) -> tuple[configparser.RawConfigParser, tuple[str, ...]]:
    """Return the configuration with its includes, and the files it was read from."""
    config = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(" ;", "\t;"))
    read = [path] if _read(host, config, path) else []
    directory = posixpath.dirname(path)
    for pattern in config.get("include", "files", fallback="").replace("%(here)s", directory).split():
        place, name = posixpath.split(posixpath.join(directory, pattern))
        for entry in attempt(partial(host.list, place)) or ():
            if fnmatch.fnmatch(entry, name) and len(read) < FILES and _read(host, config, posixpath.join(place, entry)):
                read.append(posixpath.join(place, entry))
    return config, tuple(read)


def _read(host: Host, config: configparser.RawConfigParser, path: str) -> bool:
    content = attempt(partial(host.read, path, limit_bytes=CONFIG_BYTES))
    if content is None:
        return False
    try:
        config.read_string(content.decode("utf-8", "replace"), path)
    except configparser.Error:
        return False
    return True


def _call(host: Host, config: configparser.RawConfigParser, here: str) -> list[dict[str, Any]]:
    """Return the state of all programs from its interface. Raises HostError."""
    for section in ("unix_http_server", "inet_http_server"):
        place = config.get(section, "file" if section.startswith("unix") else "port", fallback="").replace("%(here)s", here)
        if not place:
            continue
        if section.startswith("unix"):
            target = Target(path=posixpath.join(here, place))
        else:
            port = place.rpartition(":")[2]
            target = Target(host="127.0.0.1", port=given if (given := whole_number(port, 5) or 0) < 65536 and given else 9001)
        headers = {"Content-Type": "text/xml"}
        if user := config.get(section, "username", fallback=""):
            password = config.get(section, "password", fallback="")
            headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        body = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo").encode()
        return _programs(http.ask(host, target, "/RPC2", body=body, headers=headers, timeout_s=TIMEOUT_S))
    raise HostError("its configuration enables no interface", "add [unix_http_server] to its configuration")


def _programs(answer: bytes) -> list[dict[str, Any]]:
    try:
        (rows,), _ = xmlrpc.client.loads(answer)
    except Exception as error:  # a Fault, or any exception of expat and the unmarshaller
        raise HostError(f"its interface returned an unreadable response: {type(error).__name__}") from error
    wanted = {"name": str, "group": str, "statename": str, "pid": int, "exitstatus": int}
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and all(isinstance(row.get(key), kind) for key, kind in wanted.items())]


def _section(config: configparser.RawConfigParser, program: dict[str, Any]) -> dict[str, str]:
    """Return the section of a program; a numbered process of `numprocs` uses its group's."""
    for name in (program["name"], program["group"], re.sub(r"[_-]?[0-9]{1,9}$", "", program["name"])):
        for kind in ("program", "fcgi-program"):
            if config.has_section(f"{kind}:{name}"):
                return dict(config.items(f"{kind}:{name}"))
    return {}


def _described(section: dict[str, str]) -> Described:
    environment = dict(re.findall(r"(?<!\w)(\w++)=\"?([^\",]*)\"?", section.get("environment", "")))
    socket = section.get("socket", "")
    command = (*words(section.get("command", "")), *((f"--socket={socket}",) if socket else ()))
    return Described(argv=command, environment=environment, cwd=section.get("directory", ""))


def _service(program: dict[str, Any], section: dict[str, str], what: Described, name: str, argv: list[str], path: str) -> Service:
    state = program["statename"]
    ended = state in _ENDED
    control = ("supervisorctl", *(("-c", path) if "-c" in argv or path not in DEFAULTS else ()), "start", name)
    started, stopped = moment(program.get("start")), moment(program.get("stop"))
    return Service(
        manager=NAME,
        name=name,
        state=state,
        is_running=True if state in _RUNS else False if ended else None,
        result=str(program.get("spawnerr") or "")[:200],
        exit_code=program["exitstatus"] if state == "EXITED" and program["exitstatus"] >= 0 else None,
        main_pid=program["pid"] or None,
        changed_at=max((at for at in (started, stopped) if at), default=None),
        started_at=started,
        stopped_at=stopped if ended else None,
        argv=what.argv,
        unit_file=path,
        settings={key: section[key] for key in KEPT if key in section},
        start_argv=control,
        logs=_logs(program),
    )


def _exit_text(code: int | None, spawn_error: str) -> str:
    how = {126: ": not executable", 127: ": command not found"}.get(code or 0, "")
    return "; ".join(part for part in (f"exited with status {code}{how}" if code else "", spawn_error) if part)


def _logs(program: dict[str, Any]) -> tuple[str, ...]:
    paths = (str(program.get(key) or "") for key in ("stderr_logfile", "stdout_logfile"))
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/") and not path.startswith("/dev/")))


def _former_targets(host: Host, look: Look, program: dict[str, Any], network: str) -> Iterator[tuple[Target, str]]:
    """Yield the targets without a listener that a program listened on according to its own log: its command now names another
    address.
    """
    silent = [target for target in look.silent if network in look.networks and not target.is_wildcard]
    lines = [line for path in _logs(program) for line in (attempt(partial(tail, host, path)) or NOTHING).lines] if silent else []
    records = [record for line in lines if "isten" in line and (record := parse_any(line))]
    logged = {record.target for record in records if record.symptom is Symptom.LISTENS_ON}
    yield from ((target, f"its log reports that it listened on {target}") for target in silent if target in logged)


def _log(host: Host, look: Look, pid: int, config: configparser.RawConfigParser, cwd: str) -> tuple[str, tuple[str, ...]]:
    """Return the path of supervisord's own log, and its lines in the window."""
    path = posixpath.join(cwd, config.get("supervisord", "logfile", fallback="supervisord.log")).replace("%(here)s", cwd)
    local = attempt(partial(zone, host, host, pid))
    since = (look.since - timedelta(minutes=2)).timestamp()
    kept = []
    for line in (attempt(partial(tail, host, path)) or NOTHING).lines:
        record = log_format.parse(line)
        if record is None or record.at is None:
            continue
        if local is None or aware(record.at, local, since, look.until.timestamp()).timestamp() >= since:
            kept.append(line)
    return path, tuple(kept)


def _with_log(
    host: Host, look: Look, service: Service, targets: list[tuple[Target, str]], name: str, log: tuple[str, tuple[str, ...]]
) -> Service:
    """Return the service with the number of its exits in the window, the last signal, and its last log lines."""
    path, lines = log
    records = [record for line in lines if (record := log_format.parse(line)) and record.process == name]
    ends = [record for record in records if "not expected" in record.detail]
    signal = ends[-1].code if ends and ends[-1].code.startswith("SIG") and service.is_running is not True else ""
    killed_by = signal_number(signal) if signal else None
    code = whole_number(ends[-1].code, 9) if ends and service.is_running is not True else None
    code = service.exit_code if code is None else code
    for target, how in targets:
        service = merge(service, target, how)
    words_of = [
        line for log_path in service.logs for line in (attempt(partial(tail, host, log_path)) or NOTHING).newest(look.since)
    ]
    own = [record.message for record in records if record.symptom]
    return msgspec.structs.replace(
        service,
        restarts=max(0, len(ends) - (service.is_running is False)),
        signal=killed_by,
        exit_code=None if killed_by else code,
        exit_message=f"killed by {signal}" if signal else _exit_text(code, service.result) if service.is_running is False else "",
        logs=(*service.logs, path),
        reason=last_words([*own, *words_of]) if service.is_running is not True or ends or service.link != LISTENS else (),
    )


UNITS = ("supervisor.service", "supervisord.service")


def _start_errors(host: Host, look: Look) -> tuple[str, ...]:
    """Return the last lines of supervisord's own unit about its start, "Error: Invalid user name web in section 'program:web'";
    () if none.
    """
    entries = attempt(partial(journal.of_units, host, UNITS, look.since - timedelta(minutes=2), look.until, lines=200)) or ()
    errors = [
        entry.message for entry in entries if entry.identifier != "systemd" and entry.message.startswith(("Error:", "error:"))
    ]
    return tuple(errors[-1:])


def _stopped(host: Host, look: Look, config: configparser.RawConfigParser, path: str) -> Iterator[Service]:
    """Yield the programs of a stopped supervisord that name a target without a listener."""
    start_errors = cache(lambda: _start_errors(host, look))
    for section in config.sections():
        kind, found, name = section.partition(":")
        if not found or kind not in ("program", "fcgi-program"):
            continue
        what = _described(dict(config.items(section)))
        for target in look.silent:
            if how := link(host, target, what):
                yield Service(
                    manager=NAME,
                    name=name,
                    state="supervisord is not running",
                    is_running=False,
                    result="exit-code" if start_errors() else "",
                    reason=start_errors(),
                    argv=what.argv,
                    unit_file=path,
                    start_argv=("supervisord", "-c", path),
                    targets=(target,),
                    link=how,
                )
