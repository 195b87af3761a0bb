"""Containers of a Docker or podman engine, read over its socket (Docker Engine API, v1.24 on; podman's is the same).

Exit code 137 alone does not show who killed it. State.OOMKilled does, but not in every setup.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from why502.host.base import Host
from why502.logs import stamps
from why502.logs.phrases import signal_name
from why502.machine.attempt import attempt, each
from why502.machine.last_words import last_words
from why502.model import foreign_json
from why502.model.errors import Denied, HostError, Missing
from why502.model.patterns import lazy
from why502.model.snapshot import Process, Service
from why502.model.target import Target
from why502.supervisors import http
from why502.supervisors.base import LISTENS, Described, Look, is_of_container, link, merge

SOCKETS = {"/var/run/docker.sock": "docker", "/run/podman/podman.sock": "podman"}
TIMEOUT_S = 1.5
CONTAINERS = 24  # maximum examined in detail
STOPPING = (2, 9, 15)  # signals by which an engine stops a container: SIGTERM (or its STOPSIGNAL), then SIGKILL
STOP_S = 120.0  # how long a container may take to stop
_ID = lazy(r"[0-9a-f]{12,64}")
_FAILED_TO_RUN = {125: "the engine could not start it", 126: "its command is not executable", 127: "its command was not found"}


def services(host: Host, look: Look) -> tuple[Service, ...]:
    """Return the containers that serve a target. Raises HostError."""
    found: list[Service] = []
    for path, name in SOCKETS.items():
        try:
            host.stat(path)
            listed = _get(host, path, "/containers/json?all=1")
        except Missing:
            continue
        except Denied:
            look.gap(name, f"permission denied on {path}", f"run as root, or as a member of the group {name}")
            continue
        except HostError as error:
            look.gap(name, error.reason, error.hint)
            continue
        found += _of_engine(host, look, path, name, listed if isinstance(listed, list) else [])
    return tuple(found)


def _get(host: Host, path: str, what: str) -> Any:
    answer = http.ask(host, Target(path=path), what, timeout_s=TIMEOUT_S)
    try:
        return foreign_json.decode(answer)
    except ValueError as error:
        raise HostError(f"{path}: its answer cannot be read") from error


def _of_engine(host: Host, look: Look, path: str, name: str, listed: list[Any]) -> Iterator[Service]:
    containers = [one for one in listed if isinstance(one, dict) and _ID.fullmatch(str(one.get("Id")))]
    mine = {process.container for process in look.processes.values() if process.container}
    # stopped containers have no ports in the list, so they are examined in detail, the newest first
    containers.sort(key=lambda one: (one.get("State") == "running" and one["Id"] not in mine, -_int(one.get("Created"))))

    def missed(one: dict[str, Any], reason: str, hint: str) -> None:
        look.gap(f"{name} container {one['Id'][:12]}", reason, hint)

    yield from each(containers[:CONTAINERS], partial(_container, host, look, path, name), missed)


def _container(host: Host, look: Look, path: str, name: str, one: dict[str, Any]) -> Iterator[Service]:
    """Yield a container of the list if it serves a target."""
    inside = attempt(partial(_get, host, path, f"/containers/{one['Id']}/json"))
    if not isinstance(inside, dict):
        return
    service = _service(name, inside)
    if service.signal in STOPPING and not service.oom_killed and _was_stopped(host, path, one["Id"], service, look.until):
        message = f"{128 + (service.signal or 0)}: stopped by a command to {name}"
        service = msgspec.structs.replace(service, signal=None, exit_code=None, exit_message=message)
    targets = list(_targets(host, look, one["Id"], inside))
    for target, how in targets:
        service = merge(service, target, how)
    if targets:
        if service.is_running is False or service.restarts:
            lines = (text for _, text in output(host, path, one["Id"], look.since))
            service = msgspec.structs.replace(service, reason=last_words(lines) or service.reason)
        yield service


def _is_in(process: Process, identity: str) -> bool:
    """Return whether a process runs in a container of root's engine. Below their own manager, users may choose any cgroup
    names.
    """
    return process.container == identity and "/user@" not in process.cgroup


def _was_stopped(host: Host, path: str, identity: str, service: Service, until: datetime) -> bool:
    """Return whether the engine was asked to stop or kill a container when it ended: then it did not crash.

    Its events show it (Docker Engine API, SystemEvents): `kill` and `stop` are orders, a crash or a kill by the kernel is only
    a `die`.
    """
    if service.stopped_at is None:
        return False
    chosen = quote(json.dumps({"container": [identity], "type": ["container"]}))
    since = service.stopped_at.timestamp() - STOP_S
    what = f"/events?since={since:.0f}&until={min(until.timestamp(), service.stopped_at.timestamp() + 5):.0f}&filters={chosen}"
    answer = attempt(partial(http.ask, host, Target(path=path), what, timeout_s=TIMEOUT_S)) or b""
    for line in answer.splitlines():
        try:
            event = _dict(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError):
            continue
        if str(event.get("Action") or event.get("status")) in ("stop", "kill"):
            return True
    return False


def _targets(host: Host, look: Look, identity: str, inside: dict[str, Any]) -> Iterator[tuple[Target, str]]:
    """Yield the targets that a container serves, or would if it ran, and the evidence."""
    networks = _dict(_dict(inside.get("NetworkSettings")).get("Networks"))
    addresses = {str(_dict(network).get("IPAddress")) for network in networks.values()} - {"", "None"}
    published = {port.partition("->")[0].rpartition(":")[2] for port in _published(inside)}
    config = _dict(inside.get("Config"))
    exposed = {port.partition("/")[0] for port in _dict(config.get("ExposedPorts"))}
    for target, owners in look.owners.items():
        if any((process := look.processes.get(pid)) and _is_in(process, identity) for pid in owners):
            yield target, LISTENS
        elif target.port and str(target.port) in published and not is_of_container(target):
            yield target, f"it publishes port {target.port}"
        elif target.host in addresses:
            yield target, f"its address is {target.host}"
        elif not owners and _network_mode(inside) == "host":
            how = f"it exposes port {target.port}" if str(target.port) in exposed else link(host, target, _described(config))
            if how:
                yield target, how


def _network_mode(inside: dict[str, Any]) -> str:
    return str(_dict(inside.get("HostConfig")).get("NetworkMode") or "")


def _described(config: dict[str, Any]) -> Described:
    pairs = (str(pair).partition("=") for pair in config.get("Env") or () if isinstance(pair, str))
    return Described(argv=_argv(config), environment={name: value for name, found, value in pairs if found})


def _argv(config: dict[str, Any]) -> tuple[str, ...]:
    parts = (config.get("Entrypoint") or [], config.get("Cmd") or [])
    return tuple(str(word) for part in parts for word in (part if isinstance(part, list) else [part]))


def _published(inside: dict[str, Any]) -> tuple[str, ...]:
    """Return `address:port` of every published port, as bound, or as it would be bound if the container ran."""
    bindings = _dict(_dict(inside.get("NetworkSettings")).get("Ports")) or _dict(
        _dict(inside.get("HostConfig")).get("PortBindings")
    )
    return tuple(
        f"{binding.get('HostIp') or '0.0.0.0'}:{binding['HostPort']}->{inner}"
        for inner, outer in bindings.items()
        for binding in (outer if isinstance(outer, list) else ())
        if isinstance(binding, dict) and binding.get("HostPort")
    )


def _service(manager: str, inside: dict[str, Any]) -> Service:
    state, policy = _dict(inside.get("State")), _dict(_dict(inside.get("HostConfig")).get("RestartPolicy"))
    status = str(state.get("Status") or "")
    code = _int(state.get("ExitCode"))
    ended = status in ("exited", "dead", "restarting", "created", "stopped")
    started, stopped = _time(state.get("StartedAt")), _time(state.get("FinishedAt"))
    name = str(inside.get("Name") or "").lstrip("/")
    health = _dict(state.get("Health")).get("Status")
    memory = _int(_dict(inside.get("HostConfig")).get("Memory"))
    settings = {
        "Restart": str(policy.get("Name") or "no"),
        "Network": _network_mode(inside),
        "Image": str(_dict(inside.get("Config")).get("Image") or ""),
    }
    settings |= ({"MemoryMax": str(memory)} if memory else {}) | ({"Health": str(health)} if health else {})
    return Service(
        manager=manager,
        name=name,
        state=status,
        is_running=True if status == "running" else False if ended else None,
        result=str(state.get("Error") or "")[:300],
        exit_code=code if ended and not 128 < code < 160 else None,
        signal=code - 128 if ended and 128 < code < 160 else None,
        exit_message=_exit_text(code, str(state.get("Error") or "")) if ended else "",
        restarts=_int(inside.get("RestartCount")),
        main_pid=_int(state.get("Pid")) or None,
        changed_at=max((at for at in (started, stopped) if at), default=None),
        started_at=started,
        stopped_at=stopped if ended else None,
        argv=_argv(_dict(inside.get("Config"))),
        settings={key: value for key, value in settings.items() if value},
        oom_killed=state.get("OOMKilled") is True,
        start_argv=(manager, "start", name),
        reason=(str(state["Error"])[:300],) if state.get("Error") else (),
    )


def _exit_text(code: int, error: str) -> str:
    if 128 < code < 160:
        return f"{code}: killed by {signal_name(str(code - 128))}"
    message = f"{code}: {_FAILED_TO_RUN[code]}" if code in _FAILED_TO_RUN else f"exited with status {code}" if code else ""
    return "; ".join(part for part in (message, error[:200]) if part)


def output(host: Host, path: str, identity: str, since: datetime) -> Iterator[tuple[datetime | None, str]]:
    """Yield the lines that a container wrote since then, at most 500, each with its time. Nothing if they cannot be read.

    Without a terminal the stream has frames: 1 byte stdout or stderr, 3 zero bytes, 4 bytes length.
    """
    what = f"/containers/{identity}/logs?stdout=1&stderr=1&timestamps=1&tail=500&since={since.timestamp() - 120:.0f}"
    data = attempt(partial(http.ask, host, Target(path=path), what, timeout_s=TIMEOUT_S)) or b""
    for line in unframed(data).decode("utf-8", "replace").splitlines():
        stamp, _, rest = line.partition(" ")
        at = stamps.find(stamp)
        yield (at, rest) if at else (None, line)


def unframed(data: bytes) -> bytes:
    """Return the text of a stream of frames; a terminal's stream, which has no frames, unchanged."""
    text, at = bytearray(), 0
    while len(data) - at >= 8 and data[at] in (0, 1, 2) and data[at + 1 : at + 4] == b"\0\0\0":
        (size,) = struct.unpack_from(">I", data, at + 4)
        text += data[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(text) or data[at:]


def _time(text: object) -> datetime | None:
    """Return a time of RFC 3339; None for Go's zero time."""
    at = stamps.find(str(text or ""))
    return at.astimezone(UTC) if at is not None and at.tzinfo is not None and at.year > 1970 else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _int(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
