"""systemd's units: `systemctl show` for all at once, unit files that are not loaded, and the journal for a failed unit's
messages.

org.freedesktop.systemd1(5) has the properties. Times are computed from the monotonic ones, because the text forms are in local
time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import islice

import msgspec

from why502.host.base import Host
from why502.logs.detect import parse_any
from why502.machine.attempt import attempt, each
from why502.machine.last_words import last_words
from why502.machine.process_table import boot_time
from why502.model.errors import HostError, Missing
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.service import ENDED, Service
from why502.model.target import Target
from why502.model.times import of_epoch, whole_number
from why502.supervisors.base import ADDRESS_TAKEN, LISTENS, UNLINKED, Described, Look, link, merge, named, names_of, words
from why502.supervisors.systemd import journal
from why502.supervisors.systemd.exit_status import exit_message

NAME = "systemd"
RUNNING = "/run/systemd/system"  # sd_booted(3)
TIMEOUT_S = 3.0
DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
UNIT_FILES = 400
OWN_DIRECTORIES, OWN_FILES = 8, 64  # below /etc, of a unit that is not running
FAILING = 4  # maximum number of failing units without a target: the journal of each is read
DOUBTFUL = 12  # maximum number of stopped units that might serve a target without a listener: their journals are read
KEPT = (
    "Type Restart RestartUSec StartLimitBurst StartLimitIntervalUSec OOMPolicy MemoryMax MemoryLimit PrivateTmp TimeoutStartUSec"
    " TimeoutStopUSec KillMode KillSignal WatchdogUSec TasksMax User Group WorkingDirectory DropInPaths UnitFileState LoadState"
    " NeedDaemonReload ProtectSystem PrivateNetwork RestrictAddressFamilies IPAddressAllow IPAddressDeny LimitNOFILE"
    " RuntimeDirectory"
).split()
ASKED = (
    "Id ActiveState SubState Result MainPID ExecMainCode ExecMainStatus NRestarts FragmentPath Environment EnvironmentFiles "
    "ExecStart"
    " RootDirectory StandardOutput StandardError Triggers TriggeredBy Listen StateChangeTimestampMonotonic"
    " ExecMainStartTimestampMonotonic ExecMainExitTimestampMonotonic ActiveEnterTimestampMonotonic "
    "InactiveEnterTimestampMonotonic"
).split()
_ARGV = lazy(r"argv\[\]=(.{0,2000}?) ; ignore_errors=")
_ENV_FILE = lazy(r"^(-?)(/.*?) \(ignore_errors=(yes|no)\)$")
_BY_SOCKET = " listens for it"
LISTEN = "Listen"  # the setting of a service that systemd starts on a connection
_BY_DIRECTORY = "its RuntimeDirectory"
Unit = dict[str, str]


def services(host: Host, look: Look) -> tuple[Service, ...]:
    """Return the units that serve a target: found by their processes, else by the addresses in their files. Raises HostError."""
    try:
        host.stat(RUNNING)
    except Missing:
        return ()
    units = _show(host, "*.service", "*.socket")
    masked = [name for name in _masked(host) if name not in units][:UNIT_FILES]
    if masked and (shown := attempt(partial(_show, host, *masked))):
        units |= shown
    if idle := _idle_sockets(host, look, units):
        more = attempt(partial(_show, host, *idle)) or {}
        triggered = [name for unit in more.values() for name in unit.get("Triggers", "").split() if name not in units]
        units |= more | ((attempt(partial(_show, host, *triggered)) or {}) if triggered else {})

    def missed(unit: Unit, reason: str, hint: str) -> None:
        look.gap(f"unit {unit.get('Id', '')}", reason, hint)

    units = {name: _with_file(host, unit) for name, unit in units.items() if unit.get("LoadState") != "not-found"}
    boot = boot_time(host)
    found: dict[str, Service] = {}
    for target, unit, how in _linked(host, look, units):
        service = found.get(unit["Id"]) or next(each([unit], lambda one: [_service(host, one, boot)], missed), None)
        if service is None:
            continue
        service = _with_sockets(service, unit, units)
        socket = units.get(how.removesuffix(_BY_SOCKET), {})
        if socket.get("ActiveState") in ENDED:
            service = msgspec.structs.replace(service, start_argv=("systemctl", "start", socket["Id"]))
        found[unit["Id"]] = merge(service, target, how)
    _match_by_journal(host, look, units, boot, found)
    for service in _failing_without_target(host, look, units, boot, found):
        found[service.name] = service
    return tuple(_with_words(host, look, service) for service in found.values())


def _with_sockets(service: Service, unit: Unit, units: dict[str, Unit]) -> Service:
    """Return a service with the addresses on which systemd listens for it now (systemd.socket(5)), as a setting `Listen`."""
    sockets = [units[name] for name in unit.get("TriggeredBy", "").split() if name.endswith(".socket") and name in units]
    lines = [
        line for socket in sockets if socket.get("ActiveState") == "active" for line in socket.get("Listen", "").splitlines()
    ]
    places = " ".join(dict.fromkeys(line.rsplit(" (", 1)[0] for line in lines))
    return msgspec.structs.replace(service, settings={**service.settings, LISTEN: places}) if places else service


def _masked(host: Host) -> Iterator[str]:
    """Yield the names of services whose file is a link to /dev/null: systemd loads those only while they run."""
    for directory in DIRECTORIES[:2]:
        for name in (attempt(partial(host.list, directory)) or [])[:UNIT_FILES]:
            if name.endswith(".service") and attempt(partial(host.link, f"{directory}/{name}")) == "/dev/null":
                yield name


def _idle_sockets(host: Host, look: Look, units: dict[str, Unit]) -> list[str]:
    """Return the socket units not loaded by systemd whose file names a target without a listener."""
    wanted = [str(target.port) if target.port else target.path for target in look.silent]
    found: list[str] = []
    for directory in DIRECTORIES if wanted else ():
        for name in (attempt(partial(host.list, directory)) or [])[:UNIT_FILES]:
            if name.endswith(".socket") and name not in units and name not in found:
                content = attempt(partial(host.read, f"{directory}/{name}", limit_bytes=64 << 10)) or b""
                if any(text.encode() in content for text in wanted):
                    found.append(name)
    return found[:DOUBTFUL]


def _with_file(host: Host, unit: Unit) -> Unit:
    """Return a unit; if it is masked, with the content of the unit file behind the mask, if there is one."""
    if unit.get("LoadState") != "masked" or unit.get("ExecStart"):
        return unit
    for directory in DIRECTORIES:
        content = attempt(partial(host.read, f"{directory}/{unit['Id']}", limit_bytes=64 << 10))
        if content:
            text = content.decode("utf-8", "replace")
            what = parse_unit_file(text)
            argv = " ".join(what.argv)
            return unit | {
                "ExecStart": f"{{ path={what.argv[0] if what.argv else ''} ; argv[]={argv} ; ignore_errors=no }}",
                "Environment": " ".join(shlex.quote(f"{name}={value}") for name, value in what.environment.items()),
                "WorkingDirectory": what.cwd,
                "RuntimeDirectory": " ".join(path.removeprefix("/run/") for path in what.directories),
            }
    return unit


def _show(host: Host, *names: str) -> dict[str, Unit]:
    done = host.run(
        "systemctl", "show", "--all", "--no-pager", f"--property={','.join((*ASKED, *KEPT))}", "--", *names, timeout_s=TIMEOUT_S
    )
    if done.status and not done.stdout:
        raise HostError(f"systemctl: {(done.stderr.strip().splitlines() or ['failed'])[0][:200]}", "run as root")
    return {unit["Id"]: unit for unit in parse_show(done.stdout)}


def parse_show(text: str) -> Iterator[Unit]:
    """Yield the properties of each unit; repeated ones are joined by line feeds."""
    for block in text.split("\n\n"):
        unit: Unit = {}
        for line in block.splitlines():
            name, found, value = line.partition("=")
            if found:
                unit[name] = f"{unit[name]}\n{value}" if unit.get(name) else value
        if unit.get("Id"):
            yield unit


def _linked(host: Host, look: Look, units: dict[str, Unit]) -> Iterator[tuple[Target, Unit, str]]:
    """Yield the target, the unit and the evidence."""
    by_pid = {int(unit.get("MainPID") or 0): unit for unit in units.values()}
    for target, owners in look.owners.items():
        for pid in owners:
            process = look.processes.get(pid)
            unit = units.get(process.unit) if process and process.unit else None
            unit = unit or next((by_pid[above] for above in look.line(pid) if above in by_pid), None)
            if unit and unit["Id"].endswith(".service"):
                yield target, unit, LISTENS
        if 1 in owners:
            yield from _by_socket(host, units, target)
    for unit in units.values():
        if unit["Id"].endswith(".service") and (_fails(unit) or _restarts(unit, look)):
            yield from (
                (target, unit, how) for target, how in named(host, look, described(unit), listens=False) if look.owners[target]
            )
    files = cache(partial(_unloaded, host, units))
    for target in look.silent:
        yield from _named(host, look, units, target, files)


def _fails(unit: Unit) -> bool:
    return unit.get("ActiveState") == "failed" or unit.get("SubState", "").startswith("auto-restart")


def _has_ended(unit: Unit) -> bool:
    """Return whether a unit ran since boot and is stopped now, or is masked, so that its past is unknown."""
    if unit.get("ActiveState") != "inactive" or unit.get("Type") == "oneshot":
        return False
    return unit.get("LoadState") == "masked" or bool(_number(unit.get("InactiveEnterTimestampMonotonic")))


def _listens_elsewhere(unit: Unit, look: Look) -> bool:
    """Return whether a unit runs and listens, but on no target: it may have listened on one before its last start."""
    pid = _number(unit.get("MainPID")) or 0
    has_socket = ".socket" in unit.get("TriggeredBy", "") and not look.served_by([pid])
    return bool(pid) and unit.get("ActiveState") == "active" and (pid in look.unrelated or has_socket)


def _restarts(unit: Unit, look: Look) -> bool:
    """Return whether systemd restarted a running unit that listens on no target: it may still be trying to."""
    has_restarted = unit.get("ActiveState") in ("active", "activating") and unit.get("NRestarts", "0") != "0"
    return has_restarted and not look.served_by([_number(unit.get("MainPID")) or 0])


def _named(
    host: Host, look: Look, units: dict[str, Unit], target: Target, files: Callable[[], dict[str, Described]]
) -> Iterator[tuple[Target, Unit, str]]:
    """Yield the units whose files name a target without a listener, stopped ones first."""
    yield from _by_socket(host, units, target)
    names = names_of(host, target) if target.is_unix else ()
    pools = [pool for pool in look.pools if pool.target and (pool.target == target or pool.target.path in names)]
    hits: list[tuple[bool, Unit, str]] = []
    for unit in units.values():
        if not unit["Id"].endswith(".service") or not unit.get("ExecStart"):
            continue
        what = described(unit)
        if _fails(unit) or _has_ended(unit):
            what = replace(what, files=(*what.files, *_own_files(host, unit)))
        how = next((f"its PHP-FPM pool {pool.name} has it" for pool in pools if _has_pool(unit, what, pool.unit, pool.file)), "")
        if how := how or link(host, target, what):
            hits.append((unit.get("ActiveState") == "active", unit, how))
    if not hits:
        hits = [(False, unit, how) for unit, how in _of_files(host, files(), target)]
    idle = [hit for hit in hits if not hit[0]] or hits
    idle = [hit for hit in idle if not hit[2].startswith(_BY_DIRECTORY)] or idle
    for _, unit, how in idle:
        yield target, unit, how


def _own_files(host: Host, unit: Unit) -> Iterator[str]:
    """Yield the configuration files that a packaged daemon has below /etc, by its name (apache2: ports.conf, sites-enabled;
    caddy: Caddyfile).
    """
    directory = f"/etc/{unit['Id'].removesuffix('.service').partition('@')[0]}"
    inner = [name for name in attempt(partial(host.list, directory)) or () if name.endswith((".d", "-enabled"))]
    found = (
        f"{place}/{name}"
        for place in (directory, *(f"{directory}/{name}" for name in sorted(inner)[:OWN_DIRECTORIES]))
        for name in sorted(attempt(partial(host.list, place)) or ())
        if name.endswith((".conf", ".cfg", ".ini", ".xml", ".toml", ".yml", ".yaml", ".properties")) or "." not in name
    )
    return islice(found, OWN_FILES)


def _by_socket(host: Host, units: dict[str, Unit], target: Target) -> Iterator[tuple[Target, Unit, str]]:
    """Yield the units that systemd starts on a connection to the target (systemd.socket(5)), whether it listens or not."""
    names = names_of(host, target) if target.is_unix else ()
    for socket in units.values():
        if socket["Id"].endswith(".socket") and _listens(socket, target, names):
            for name in socket.get("Triggers", "").split():
                if name in units:
                    yield target, units[name], f"{socket['Id']}{_BY_SOCKET}"


def _listens(unit: Unit, target: Target, names: tuple[str, ...]) -> bool:
    for listen in unit.get("Listen", "").splitlines():
        address = listen.rsplit(" (", 1)[0]
        if address in names or (target.port and re.search(rf"(?:^|:){target.port}$", address)):
            return True
    return False


def _has_pool(unit: Unit, what: Described, name: str, file: str) -> bool:
    if name:
        return unit["Id"] == name
    if not what.argv or "php-fpm" not in what.argv[0]:
        return False
    return any(word.endswith(".conf") and file.startswith(word.rsplit("/", 1)[0] + "/") for word in what.argv)


def _unloaded(host: Host, units: dict[str, Unit]) -> dict[str, Described]:
    """Return the contents of unit files that systemd has not loaded: the units are stopped, and no other unit wants them."""
    found: dict[str, Described] = {}
    for directory in DIRECTORIES:
        for name in attempt(partial(host.list, directory)) or ():
            if name.endswith(".service") and name not in units and name not in found and len(found) < UNIT_FILES:
                content = attempt(partial(host.read, f"{directory}/{name}", limit_bytes=64 << 10)) or b""
                found[name] = parse_unit_file(content.decode("utf-8", "replace"))
    return found


def _of_files(host: Host, files: dict[str, Described], target: Target) -> Iterator[tuple[Unit, str]]:
    """Yield the units that name the target."""
    wanted = [name for name, what in files.items() if what.argv and link(host, target, what)]
    if wanted and (shown := attempt(partial(_show, host, *wanted[:DOUBTFUL]))):
        for unit in shown.values():
            if how := link(host, target, described(unit)):
                yield unit, how


def parse_unit_file(text: str) -> Described:
    """Return the program described by a unit file (systemd.exec(5))."""
    given: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, found, value = line.strip().partition("=")
        if found and not name.startswith(("#", ";")):
            given.setdefault(name.strip(), []).append(value.strip())
    return Described(
        argv=words((given.get("ExecStart") or [""])[-1].lstrip("-@:+!")),
        environment=_variables("\n".join(given.get("Environment", ()))),
        cwd=(given.get("WorkingDirectory") or [""])[-1].lstrip("-"),
        files=tuple(path.lstrip("-") for path in given.get("EnvironmentFile", ())),
        directories=_directories(" ".join(given.get("RuntimeDirectory", ()))),
    )


def described(unit: Unit) -> Described:
    """Return the program described by a loaded unit."""
    argv = _ARGV.search(unit.get("ExecStart", ""))
    return Described(
        argv=tuple(argv[1].split()) if argv else (),
        environment=_variables(unit.get("Environment", "")),
        cwd=unit.get("WorkingDirectory", "").lstrip("!-"),
        files=tuple(path for path, _ in _environment_files(unit)),
        directories=_directories(unit.get("RuntimeDirectory", "")),
    )


def _directories(text: str) -> tuple[str, ...]:
    """Return the paths of a RuntimeDirectory= (systemd.exec(5))."""
    return tuple(f"/run/{name}" for name in text.split() if name and not name.startswith("/"))


def _variables(text: str) -> dict[str, str]:
    return {name: value for word in words(text) for name, found, value in [word.partition("=")] if found}


def _environment_files(unit: Unit) -> Iterator[tuple[str, bool]]:
    """Yield the path of each EnvironmentFile, and whether it is optional."""
    for line in unit.get("EnvironmentFiles", "").splitlines():
        if match := _ENV_FILE.match(line.strip()):
            yield match[2], match[3] == "yes" or bool(match[1])


def _service(host: Host, unit: Unit, boot: datetime | None) -> Service:
    def at(name: str) -> datetime | None:
        micros = _number(unit.get(name))
        return of_epoch(boot.timestamp() + micros / 1e6) if boot and micros else None

    state, sub, result = unit.get("ActiveState", ""), unit.get("SubState", ""), unit.get("Result", "")
    code, status = _number(unit.get("ExecMainCode")) or 0, _number(unit.get("ExecMainStatus")) or 0
    pid = _number(unit.get("MainPID")) or None
    ended = state in ENDED or sub == "auto-restart" or sub.startswith("auto-restart")
    running = False if ended else True if state in ("active", "reloading") or (pid and state == "activating") else None
    settings = {name: unit[name] for name in KEPT if unit.get(name) not in (None, "", "infinity", "~", "[not set]")}
    gone = [path for path, may in _environment_files(unit) if not may and _is_missing(host, path)]
    if gone:
        settings["EnvironmentFileMissing"] = " ".join(gone)
    logs = [unit.get(name, "").partition(":")[2] for name in ("StandardOutput", "StandardError")]
    return Service(
        manager=NAME,
        name=unit["Id"],
        state=state,
        substate=sub,
        is_running=running,
        result=result if result != "success" else "",
        exit_code=status if code == 1 and not running else None,
        signal=status if code in (2, 3) and not running else None,
        exit_message="" if running else exit_message(code, status, result),
        restarts=_number(unit.get("NRestarts")),
        main_pid=pid,
        changed_at=at("StateChangeTimestampMonotonic"),
        started_at=at("ExecMainStartTimestampMonotonic") or at("ActiveEnterTimestampMonotonic"),
        stopped_at=at("ExecMainExitTimestampMonotonic") if not running else None,
        argv=described(unit).argv,
        unit_file=unit.get("FragmentPath", ""),
        settings=settings,
        oom_killed=result == "oom-kill",
        start_argv=("systemctl", "start", unit["Id"]),
        logs=tuple(dict.fromkeys(path for path in logs if path.startswith("/"))),
    )


def _is_missing(host: Host, path: str) -> bool:
    try:
        host.stat(path)
    except Missing:
        return not re.search(r"[*?\[]", path)
    except HostError:
        return False
    return False


def _number(text: str | None) -> int | None:
    return whole_number(text)


def _match_by_journal(host: Host, look: Look, units: dict[str, Unit], boot: datetime | None, found: dict[str, Service]) -> None:
    """Match targets to stopped units by their journal.

    A target without a listener belongs to a unit that logged that it listens there, or cannot. This applies if no unit file
    names the target; a failed unit also takes precedence over one that never ran. A target that another program listens on
    also belongs to a unit that failed later and logged that its address is in use.
    """
    every = [unit for unit in units.values() if unit["Id"].endswith(".service")]
    named_by = {target: [service for service in found.values() if target in service.targets] for target in look.silent}
    missing = {target for target, services in named_by.items() if not services}
    doubtful = {target for target, services in named_by.items() if services and all(service.never_ran for service in services)}
    taken = {target for target, owners in look.owners.items() if owners}
    idle = [unit for unit in every if missing and (_fails(unit) or _has_ended(unit))]
    moved = [unit for unit in every if (missing or doubtful) and _listens_elsewhere(unit, look)]
    failing = [
        unit for unit in every if (doubtful or taken) and unit["Id"] not in found and (_fails(unit) or _restarts(unit, look))
    ]
    wanted = [
        unit["Id"]
        for some in (idle, moved, failing)
        for unit in sorted(some, key=lambda unit: -(_number(unit.get("StateChangeTimestampMonotonic")) or 0))[:DOUBTFUL]
    ]
    names, rivals = list(dict.fromkeys(wanted)), {unit["Id"] for unit in failing}
    movers = {unit["Id"] for unit in moved}
    if not names:
        return
    since = look.since - timedelta(hours=24) if missing or doubtful else look.since
    for entry in attempt(partial(journal.of_units, host, names, since, look.until, lines=1000)) or ():
        if entry.unit not in names or (record := parse_any(entry.message)) is None or record.target is None:
            continue
        if record.symptom not in (Symptom.LISTENS_ON, Symptom.ADDRESS_IN_USE):
            continue
        is_rival = entry.unit in rivals
        is_beaten = is_rival and record.symptom is Symptom.ADDRESS_IN_USE and entry.at >= look.since
        how = f"{ADDRESS_TAKEN} {record.target}" if is_beaten else f"its journal reports that it listens on {record.target}"
        for target in (*missing, *(doubtful if is_rival or entry.unit in movers else ()), *(taken if is_beaten else ())):
            if record.target == target or (target.port and record.target.port == target.port):
                service = found.get(entry.unit) or _service(host, units[entry.unit], boot)
                service = _with_sockets(service, units[entry.unit], units)
                found[entry.unit] = merge(service, target, how)
                for other in named_by.get(target, ()):
                    found[other.name] = _without(found[other.name], target)


def _failing_without_target(
    host: Host, look: Look, units: dict[str, Unit], boot: datetime | None, found: Mapping[str, Service]
) -> tuple[Service, ...]:
    """Return the units that began to fail in the window and that nothing links to a target, latest first. () if every target has
    a service. The time of the failures may link one to a target.
    """
    served = {target for service in found.values() if not service.never_ran for target in service.targets}
    if not any(target not in served for target in look.silent):
        return ()
    failing = (unit for unit in units.values() if unit["Id"].endswith(".service") and unit["Id"] not in found and _fails(unit))
    services = [msgspec.structs.replace(_service(host, unit, boot), link=UNLINKED) for unit in failing]
    recent = [service for service in services if service.changed_at is not None and service.changed_at >= look.since]
    return tuple(sorted(recent, key=lambda service: service.changed_at or look.since, reverse=True)[:FAILING])


def _without(service: Service, target: Target) -> Service:
    """Return a service without a target that belongs to another one."""
    return msgspec.structs.replace(service, targets=tuple(each for each in service.targets if each != target))


def _with_words(host: Host, look: Look, service: Service) -> Service:
    """Return the service with its last log lines, if it is stopped or was restarted."""
    if service.is_running and not service.restarts:
        return service
    since = look.since
    if service.is_running is False and service.changed_at and service.changed_at < since:
        since = service.changed_at
    try:
        entries = journal.read(host, "-u", service.name, since=since - timedelta(minutes=2), until=look.until, lines=200)
    except HostError as error:
        look.gap(f"journal of {service.name}", error.reason, error.hint)
        return service
    if service.is_running and service.started_at:  # what it says since is no reason of its earlier ends
        entries = tuple(entry for entry in entries if entry.at < service.started_at)
    return msgspec.structs.replace(service, reason=last_words(_as_line(entry) for entry in _of_last_life(entries)))


def _of_last_life(entries: Iterable[journal.Entry]) -> list[journal.Entry]:
    """Return what a unit told since it was stopped last; all, where it has told nothing of its own since."""
    every = list(entries)
    stops = [i for i, entry in enumerate(every) if entry.identifier == "systemd" and entry.message.startswith("Stopped ")]
    since = every[stops[-1] + 1 :] if stops else every
    return since if any(entry.identifier != "systemd" for entry in since) else every


def _as_line(entry: journal.Entry) -> str:
    if entry.identifier == "systemd" and entry.unit and not entry.message.startswith((entry.unit, "Start", "Stop", "Failed")):
        return f"{entry.unit}: {entry.message}"
    return entry.message
