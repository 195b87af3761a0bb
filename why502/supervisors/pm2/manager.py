"""pm2's applications, read from the running daemon over its own socket, so that no daemon is ever started.

The command `pm2` starts a daemon if none runs. The socket uses AMP frames with JSON (pm2: lib/Daemon.js, modules/pm2-axon,
amp, amp-message). Without a daemon, the saved list (dump.pm2) shows what would run. Environments are examined but never
stored.
"""

from __future__ import annotations

import posixpath
import struct
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from why502.host.base import Connection, Host
from why502.logs.coded import epoch
from why502.machine.attempt import attempt, each
from why502.machine.last_words import last_words
from why502.machine.process_table import ProcessTable, unit_of
from why502.machine.suppliers import supplier_of
from why502.machine.tail import NOTHING, tail
from why502.model import foreign_json
from why502.model.errors import Expired, HostError
from why502.model.patterns import lazy
from why502.model.service import Service
from why502.model.target import Target
from why502.supervisors.base import LISTENS, Described, Look, merge, named, roots_first, words
from why502.supervisors.pm2.variables import is_daemon

NAME = "pm2"
TIMEOUT_S = 3.0
LIMIT_BYTES = 8 << 20
HOMES = 64
KEPT = (
    "autorestart max_restarts min_uptime max_memory_restart kill_timeout exec_mode instances username wait_ready "
    "unstable_restarts"
).split()
_TITLE = lazy(r"PM2 v?[\d.]+: God Daemon \((/[^)]*)\)")
_IN_VAIN = frozenset({"errored", "waiting restart"})  # which it has tried to start, and may serve what nothing listens on
_ENDED = _IN_VAIN | {"stopped"}
_STARTED = frozenset({"online", "launching"})
AGAIN, YOUNG = 3, timedelta(seconds=30)  # restarts, and the age of the last one, of an application that ends again and again


def services(host: Host, look: Look) -> tuple[Service, ...]:
    """Return the applications that serve a target. Raises HostError."""
    return list(parts(host, look))[-1]


def parts(host: Host, look: Look) -> Iterator[tuple[Service, ...]]:
    """Yield the services of root's daemons, then again with those of each other user. Raises HostError."""
    daemons = roots_first(host, (pid for pid, name in look.names.items() if is_daemon(name)))
    found: list[Service] = []
    running: set[tuple[int, str]] = set()  # a daemon is asked only about its own user's homes
    for uid, pid in daemons:
        if uid:
            yield tuple(found)
        home = _home(host, pid)
        if not home or (uid, home) in running:
            continue
        running.add((uid, home))
        acting = host.acting_as(uid)
        try:
            rows = monitored(acting, posixpath.join(home, "rpc.sock"))
        except HostError as error:
            look.gap(f"pm2 in {home}", error.reason, error.hint or "run as root, or as its user")
            continue
        network = ProcessTable(host).network(pid)
        services = _services(acting, look, rows, home, is_alive=True, network=network, uid=uid, daemon=pid)
        found += _owned(uid, services, unit_of(host, pid))
    for home in _homes(host):
        path = posixpath.join(home, "dump.pm2")
        uid = supplier_of(host, path)
        if (uid, home) not in running and look.silent:
            if uid:
                yield tuple(found)
            acting = host.acting_as(uid)
            content = attempt(partial(acting.read, path, limit_bytes=LIMIT_BYTES))
            rows = [{"name": row.get("name"), "pm2_env": row} for row in _rows(content or b"[]")]
            found += _owned(uid, _services(acting, look, rows, home, is_alive=False, uid=uid))
    yield tuple(found)


def _owned(uid: int, services: Iterable[Service], unit: str = "") -> Iterator[Service]:
    """Yield the services as those of a user's daemon that runs in a unit."""
    return (msgspec.structs.replace(service, owner_uid=uid, manager_unit=unit) for service in services)


def _home(host: Host, pid: int) -> str:
    """Return the PM2_HOME of a daemon, from its title, or from its environment if the title is cut; "" for any other process."""
    title = (attempt(partial(host.read, f"/proc/{pid}/cmdline", limit_bytes=4096)) or b"").decode("utf-8", "replace")
    if match := _TITLE.match(title):
        return match[1]
    environment = attempt(partial(host.read, f"/proc/{pid}/environ", limit_bytes=1 << 18)) or b""
    given = dict(pair.split("=", 1) for pair in environment.decode("utf-8", "replace").split("\0") if "=" in pair)
    return given.get("PM2_HOME") or (posixpath.join(given["HOME"], ".pm2") if given.get("HOME") else "")


def _homes(host: Host) -> Iterator[str]:
    """Yield the existing .pm2 directories of the users in /etc/passwd."""
    content = (attempt(partial(host.read, "/etc/passwd", limit_bytes=1 << 20)) or b"").decode("utf-8", "replace")
    homes = dict.fromkeys(
        fields[5] for line in content.splitlines() if len(fields := line.split(":")) > 5 and fields[5] not in ("", "/")
    )
    for home in list(homes)[:HOMES]:
        if attempt(partial(host.stat, posixpath.join(home, ".pm2/dump.pm2"))):
            yield posixpath.join(home, ".pm2")


def monitored(host: Host, path: str) -> list[dict[str, Any]]:
    """Return the data of `pm2 jlist` from the daemon behind this socket. Raises HostError."""
    call = b'j:{"type":"call","method":"getMonitorData","args":[{}]}'
    frame = b"\x12" + b"".join(struct.pack(">I", len(part)) + part for part in (call, b"s:why502:0"))  # version 1, 2 arguments
    connection = host.connect(Target(path=path), timeout_s=TIMEOUT_S)
    try:
        connection.send(frame)
        answer = _argument(connection, time.monotonic() + TIMEOUT_S)
    finally:
        connection.close()
    try:
        given = foreign_json.decode(answer.removeprefix(b"j:"))
        rows = given["args"][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise HostError(f"{path}: the daemon's answer cannot be read") from error
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _argument(connection: Connection, deadline: float) -> bytes:
    """Return the first argument of the next frame."""
    data = bytearray()
    while True:
        if len(data) >= 5:
            (size,) = struct.unpack(">I", data[1:5])
            if size > LIMIT_BYTES:
                raise HostError("pm2's answer is too long")
            if len(data) >= 5 + size:
                return bytes(data[5 : 5 + size])
        left = deadline - time.monotonic()
        if left <= 0:
            raise Expired(f"pm2 did not answer within {TIMEOUT_S:g} s")
        part = connection.receive(timeout_s=left)
        if not part:
            raise HostError("pm2 closed the connection")
        data += part


def _rows(content: bytes) -> list[dict[str, Any]]:
    try:
        rows = foreign_json.decode(content)
    except ValueError:
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _services(
    host: Host,
    look: Look,
    rows: list[dict[str, Any]],
    home: str,
    *,
    is_alive: bool,
    network: str = "",
    uid: int = 0,
    daemon: int = 0,
) -> Iterator[Service]:
    shared = _shared(look, rows, daemon)

    def application(row: dict[str, Any]) -> Iterator[Service]:
        env = row.get("pm2_env")
        if not isinstance(env, dict) or not isinstance(row.get("name"), str):
            return
        number = row.get("pid")
        pid = number if isinstance(number, int) else 0
        what = _described(env)
        targets = [(target, LISTENS) for target in look.served_by([pid], uid)] if pid and is_alive else []
        targets += [(target, LISTENS) for target in (shared if _is_in_cluster(env) else ())]
        targets += named(host, look, what, listens=bool(targets) or env.get("status") == "stopped", network=network)
        if not targets and not (is_alive and (env.get("status") in _IN_VAIN or _ends_again(env, pid, look))):
            return
        service = _service(row["name"], pid, env, what, home) if is_alive else _without_daemon(row["name"], what, home)
        for target, how in targets:
            service = merge(service, target, how)
        if service.is_running is False or service.restarts or service.link != LISTENS:
            tails = (attempt(partial(tail, host, path)) or NOTHING for path in service.logs[:2])
            lines = [line for log in tails for line in (log.newest(look.since) if service.is_running else log.lines[-60:])]
            service = msgspec.structs.replace(service, reason=last_words(lines))
        yield service

    yield from each(rows, application, lambda row, reason, hint: look.gap(f"pm2 application {row.get('name')}", reason, hint))


def _shared(look: Look, rows: list[dict[str, Any]], daemon: int) -> tuple[Target, ...]:
    """Return the targets that the daemon itself listens on, for its applications in cluster mode; () if there are several
    applications of that kind, as nothing shows which of them has which.
    """
    found = (row.get("name") for row in rows if isinstance(env := row.get("pm2_env"), dict) and _is_in_cluster(env))
    if not daemon or len(set(map(str, found))) != 1:
        return ()
    return tuple(target for target, owners in look.owners.items() if daemon in owners)


def _ends_again(env: dict[str, Any], pid: int, look: Look) -> bool:
    """Return whether an application was just started again after an error and listens nowhere: it ends again and again, and was
    met between two ends. A restart by order also counts as one, but ends the last run without an error.
    """
    restarts, started = env.get("restart_time"), epoch(env.get("pm_uptime"))
    is_young = started is not None and look.until - started < YOUNG
    is_again = isinstance(restarts, int) and restarts >= AGAIN and bool(env.get("exit_code"))
    return env.get("status") in _STARTED and is_again and is_young and pid not in look.unrelated


def _is_in_cluster(env: dict[str, Any]) -> bool:
    return env.get("exec_mode") == "cluster_mode" and env.get("status") == "online"


def _described(env: dict[str, Any]) -> Described:
    inner = env.get("env")
    given = {**(inner if isinstance(inner, dict) else {}), **{key: value for key, value in env.items() if key.isupper()}}
    args = env.get("args")
    script = str(env.get("pm_exec_path") or "")
    return Described(
        argv=(
            str(env.get("exec_interpreter") or "node"),
            script,
            *(words(args) if isinstance(args, str) else [str(word) for word in args] if isinstance(args, list) else ()),
        ),
        environment={key: str(value) for key, value in given.items() if isinstance(value, str | int)},
        cwd=str(env.get("pm_cwd") or ""),
    )


def _service(name: str, pid: int, env: dict[str, Any], what: Described, home: str) -> Service:
    state = str(env.get("status") or "")
    ended = state in _ENDED
    code = env.get("exit_code")
    changed = epoch(env.get("pm_uptime"))
    return Service(
        manager=NAME,
        name=name,
        state=state,
        is_running=True if state == "online" else False if ended else None,
        exit_code=code if isinstance(code, int) and ended else None,
        exit_message=f"exited with status {code}" if ended and code else "",
        restarts=env.get("restart_time") if isinstance(env.get("restart_time"), int) else None,
        main_pid=pid or None,
        changed_at=changed,
        started_at=changed,
        argv=what.argv,
        unit_file=posixpath.join(home, "dump.pm2"),
        settings={key: str(env[key]) for key in KEPT if env.get(key) not in (None, "", {})},
        start_argv=("pm2", "restart", name),
        logs=(*_logs(env), posixpath.join(home, "pm2.log")),
    )


def _logs(env: dict[str, Any]) -> tuple[str, ...]:
    paths = (str(env.get(key) or "") for key in ("pm_err_log_path", "pm_out_log_path"))
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/") and not path.startswith("/dev/")))


def _without_daemon(name: str, what: Described, home: str) -> Service:
    """Return an application of a saved list whose daemon is not running."""
    return Service(
        manager=NAME,
        name=name,
        state="pm2 is not running",
        is_running=False,
        argv=what.argv,
        unit_file=posixpath.join(home, "dump.pm2"),
        start_argv=("pm2", "resurrect"),
        logs=(posixpath.join(home, "pm2.log"),),
    )
