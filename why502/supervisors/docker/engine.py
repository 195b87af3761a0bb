"""Container engines of this machine: their sockets, and their answers to GET requests, each bounded in time and size."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from why502.host.base import Host
from why502.logs import stamps
from why502.machine import http
from why502.machine.attempt import attempt
from why502.machine.last_words import last_words
from why502.machine.proc_net import parse_tcp
from why502.machine.process_table import ProcessTable
from why502.model import foreign_json
from why502.model.container import Container, ContainerEvent
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.patterns import lazy
from why502.model.snapshot import Gap
from why502.model.target import Target
from why502.supervisors.base import Described, link
from why502.supervisors.docker import describe

TIMEOUT_S = 1.5  # for one answer
ENGINE_S = 2.5  # for all answers of one engine
CONTAINERS = 512  # maximum listed
WHOLE = 40  # maximum examined in detail
USERS = 16  # maximum users whose engines are asked
USERS_DIRECTORY = "/run/user"
PLACES = (("docker", "/var/run/docker.sock"), ("docker", "/run/docker.sock"), ("podman", "/run/podman/podman.sock"))
OF_USER = (("docker", "docker.sock"), ("podman", "podman/podman.sock"))
TABLE_BYTES = 1 << 20
LISTENERS = 64  # maximum kept of one container
NAME_SERVER = "127.0.0.11"  # Docker's own, in every container of a network that a user made
STOPS = ("stop", "kill")
STOP_S = 120.0  # how long a container may take to stop after the order
LIST = "/containers/json?all=1"
_ID = lazy(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine: its name, its socket, and the user whose it is."""

    name: str
    socket: str
    uid: int = 0


@dataclass(slots=True)
class Asking:
    """Questions to one engine, with the rights of its owner. Every method raises HostError."""

    host: Host
    engine: Engine
    until_s: float  # of time.monotonic()

    def get(self, what: str) -> bytes:
        """Return the body of the answer."""
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise Expired(f"{self.engine.socket}: its answers took longer than {ENGINE_S:g} s in all")
        acting = self.host.acting_as(self.engine.uid)
        return http.ask(acting, Target(path=self.engine.socket), what, timeout_s=min(TIMEOUT_S, left_s))

    def json(self, what: str) -> Any:
        """Return the decoded body of the answer."""
        try:
            return foreign_json.decode(self.get(what))
        except ValueError as error:
            raise HostError(f"{self.engine.socket}: its answer cannot be read") from error


def engines(host: Host, environment: str = "") -> Iterator[Engine]:
    """Yield the engines whose sockets exist: root's first, then each user's. `environment`: the value of DOCKER_HOST."""
    seen: set[tuple[int, int]] = set()
    own = environment.removeprefix("unix://") if environment.startswith("unix:///") else ""
    places = [*PLACES, *((("docker", own),) if own else ())]
    for name, path in places:
        yield from _at(host, Engine(name, path), seen)
    uids = sorted(int(entry) for entry in attempt(partial(host.list, USERS_DIRECTORY)) or () if entry.isdecimal())
    for uid in uids[:USERS]:
        for name, path in OF_USER:
            yield from _at(host, Engine(name, f"{USERS_DIRECTORY}/{uid}/{path}", uid), seen)


def _at(host: Host, engine: Engine, seen: set[tuple[int, int]]) -> Iterator[Engine]:
    """Yield an engine if its socket exists, once for all its paths. A socket is its owner's engine, wherever it lies."""
    try:
        found = host.acting_as(engine.uid).stat(engine.socket)
    except Denied:
        yield engine
        return
    except HostError:
        return
    if (found.device, found.inode) not in seen:
        seen.add((found.device, found.inode))
        yield Engine(engine.name, engine.socket, engine.uid or found.uid)


@dataclass(frozen=True, slots=True)
class Look:
    """What is asked of every engine: the time window, which containers matter most (lowest), and the targets to be served."""

    since: datetime
    until: datetime
    rank: Callable[[Container], tuple[int, ...]]
    targets: tuple[Target, ...] = ()


def containers(host: Host, engine: Engine, look: Look, gaps: list[Gap]) -> tuple[Container, ...]:
    """Return the containers of an engine, those of the lowest ranks in detail. Raises HostError."""
    asking = Asking(host, engine, time.monotonic() + ENGINE_S)
    answer = asking.json(LIST)
    found = [
        describe.listed(engine.name, engine.socket, engine.uid, one)
        for one in describe.rows(answer)
        if isinstance(one, dict) and _ID.fullmatch(str(one.get("Id"))[:65])
    ]
    found.sort(key=look.rank)
    if len(found) > CONTAINERS:
        gaps.append(Gap(source=engine.name, reason=f"only {CONTAINERS} of {len(found)} containers were listed"))
    table = ProcessTable(host)
    kept: list[Container] = []
    for place, one in enumerate(found[:CONTAINERS]):
        try:
            kept.append(_whole(asking, table, one, look) if place < WHOLE else one)
        except Expired as error:
            gaps.append(Gap(source=f"{engine.name} container {one.id[:12]}", reason=error.reason, hint=error.hint))
            kept += found[place:CONTAINERS]
            break
        except HostError as error:
            gaps.append(Gap(source=f"{engine.name} container {one.id[:12]}", reason=error.reason, hint=error.hint))
            kept.append(one)
    history = _history(asking, look)  # last: the state of each matters more, where an engine is slow
    return tuple(_with_history(one, history.get(one.name, ())) if one.is_whole else one for one in kept)


def _whole(asking: Asking, table: ProcessTable, one: Container, look: Look) -> Container:
    inside = asking.json(f"/containers/{one.id}/json")
    if not isinstance(inside, dict):
        return one
    found = describe.inspected(one, inside)
    network = (attempt(partial(table.network, found.pid)) if found.pid else None) or ""
    heard = listens(asking.host, found.pid) if found.pid and network else None
    found = msgspec.structs.replace(found, network=network, listens=heard)
    if found.network_mode == "host" or found.shares_network_of:
        found = msgspec.structs.replace(found, links=_links(asking, look.targets, describe.mapping(inside.get("Config"))))
    if found.is_running and not found.restarts:
        return found
    lines = (line for _, line in output(asking.host, asking.engine, one.id, look.since))
    return msgspec.structs.replace(found, last_words=last_words(lines))


def _with_history(one: Container, history: tuple[ContainerEvent, ...]) -> Container:
    found = msgspec.structs.replace(one, history=history)
    return msgspec.structs.replace(found, was_told_to_stop=_was_told(found))


def listens(host: Host, pid: int) -> tuple[Target, ...] | None:
    """Return the TCP addresses on which anything but the engine's own name server listens; None if that cannot be read."""
    found: dict[Target, None] = {}
    for table in ("tcp", "tcp6"):
        content = attempt(partial(host.read, f"/proc/{pid}/net/{table}", limit_bytes=TABLE_BYTES))
        if content is None and table == "tcp":
            return None
        heard, _ = parse_tcp(content or b"")
        found |= {one.target: None for one in heard[:LISTENERS] if one.target.host != NAME_SERVER}
    return tuple(found)


def _links(asking: Asking, targets: tuple[Target, ...], config: dict[str, Any]) -> dict[str, str]:
    """Return the targets that a container's command or variables name, each with the evidence. No value is kept."""
    pairs = (pair.partition("=") for pair in describe.rows(config.get("Env")) if isinstance(pair, str))
    described = Described(argv=describe.command(config), environment={name: value for name, found, value in pairs if found})
    found = {str(target): link(asking.host, target, described) for target in targets}
    return {target: how for target, how in found.items() if how}


def _was_told(container: Container) -> bool:
    """Return whether the engine was asked to stop or kill a container when it ended: then it did not crash.

    Its events show it (Docker Engine API, SystemEvents): `kill` and `stop` are orders, a crash or a kill by the kernel is only
    a `die`.
    """
    ended = container.stopped_at
    return ended is not None and any(
        event.action in STOPS and container.id.startswith(event.id) and -5 <= (ended - event.at).total_seconds() <= STOP_S
        for event in container.history
    )


def _history(asking: Asking, look: Look) -> dict[str, tuple[ContainerEvent, ...]]:
    """Return the engine's events by the name of the container; without any if they cannot be read."""
    since, until = look.since.timestamp() - STOP_S, min(look.until.timestamp(), time.time())
    answer = b""
    for kinds, end in ((("container", "network"), until), (("container",), until), (("container",), time.time() + 1)):
        # podman before 5 does not know the type network, and with its file of events tells nothing before the end has come
        what = f"/events?since={since:.0f}&until={end:.0f}&filters={quote(describe.chosen(kinds))}"
        answer = attempt(partial(asking.get, what)) or b""
        if answer or asking.engine.name != "podman":
            break
    return describe.by_name(describe.events(answer))


def every(host: Host, look: Look) -> Iterator[tuple[int, tuple[Container, ...], tuple[Gap, ...]]]:
    """Yield the owner, the containers and the gaps of each engine, root's first."""
    for engine in engines(host, _environment(host)):
        gaps: list[Gap] = []
        found: tuple[Container, ...] = ()
        try:
            found = containers(host, engine, look, gaps)
        except Missing:
            continue
        except Denied:
            hint = f"run as root, or as a member of the group {engine.name}"
            gaps.append(Gap(source=engine.name, reason=f"permission denied on {engine.socket}", hint=hint))
        except HostError as error:
            gaps.append(Gap(source=engine.name, reason=error.reason, hint=error.hint))
        yield engine.uid, found, tuple(gaps)


def _environment(host: Host) -> str:
    """Return the value of DOCKER_HOST in our own environment; "" if it is not set."""
    found = (attempt(partial(host.read, "/proc/self/environ")) or b"").split(b"\0")
    return next((pair[12:].decode("utf-8", "replace") for pair in found if pair.startswith(b"DOCKER_HOST=")), "")


def output(host: Host, engine: Engine, identity: str, since: datetime) -> Iterator[tuple[datetime | None, str]]:
    """Yield the lines that a container wrote since then, at most 500, each with its time. Nothing if they cannot be read."""
    what = f"/containers/{identity}/logs?stdout=1&stderr=1&timestamps=1&tail=500&since={since.timestamp() - STOP_S:.0f}"
    asking = Asking(host, engine, time.monotonic() + TIMEOUT_S)
    data = attempt(partial(asking.get, what)) or b""
    for line in unframed(data).decode("utf-8", "replace").splitlines():
        stamp, _, rest = line.partition(" ")
        at = stamps.find(stamp)
        yield (at, rest) if at else (None, line)


def unframed(data: bytes) -> bytes:
    """Return the text of a stream of frames; a terminal's stream, which has no frames, unchanged.

    A frame is 1 byte for stdout or stderr, 3 zero bytes, 4 bytes length, and the text.
    """
    text, at = bytearray(), 0
    while len(data) - at >= 8 and data[at] in (0, 1, 2) and data[at + 1 : at + 4] == b"\0\0\0":
        (size,) = struct.unpack_from(">I", data, at + 4)
        text += data[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(text) or data[at:]
