"""The containers of the pods on this node, without an API: by the kubelet's directories, and by the control groups of processes.

The kubelet's directories name each container and tell how often it was started again (see `machine.pods`). A container runs if a
process is in its control group. How its last run ended, its runtime knows: containerd's CRI plugin keeps
`…/io.containerd.grpc.v1.cri/containers/ID/status` (internal/cri/store/container/status.go), CRI-O
`…/overlay-containers/ID/userdata/state.json` (internal/oci/container.go, ContainerState). The addresses are those of the pod's
network namespace, which `pause` holds while no other container of the pod runs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from why502.host.base import Host
from why502.logs import split_lines, stamps, wrappers
from why502.machine import pods
from why502.machine.attempt import attempt
from why502.machine.containers import container_of
from why502.machine.last_words import last_words
from why502.machine.pods import Output, Pod
from why502.machine.process_table import ProcessTable, parse_cgroup, without_crowds
from why502.machine.tail import Tail, tail
from why502.model import foreign_json
from why502.model.container import KUBERNETES, Attachment, Container, ContainerEvent
from why502.model.snapshot import NetworkSpace
from why502.model.times import of_epoch
from why502.supervisors.docker import describe, engine

NETWORK = "pods"  # what all pods of a cluster share
ENDED = 16  # maximum containers of which the ends of their last runs are examined
TAIL_BYTES = 64 << 10
STATUS_BYTES = 64 << 10
_CONTAINERD = "io.containerd.grpc.v1.cri/containers"
_ROOTS = (
    "/var/lib/containerd",
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/snap/microk8s/common/var/lib/containerd",
    "/var/lib/k0s/containerd",
)
_CRIO = "/var/lib/containers/storage/overlay-containers"
_MONITORS = frozenset({"conmon", "containerd-shim"})  # may be in the control groups of what they watch


@dataclass(slots=True)
class _Sandbox:
    """The processes of a pod: the first one of each of its containers by id, and one in its network namespace."""

    first: dict[str, int] = field(default_factory=dict)
    cgroups: dict[str, str] = field(default_factory=dict)
    network: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class _End:
    """How a container ended, as far as its runtime knows."""

    code: int | None = None
    oom_killed: bool = False
    error: str = ""
    at: datetime | None = None


def containers(host: Host, spaces: tuple[NetworkSpace, ...]) -> tuple[Container, ...]:
    """Return the containers of this node's pods, without those that have done their work (init containers). Raises HostError."""
    found = pods.every(host)
    if not found:
        return ()
    table = ProcessTable(host)
    sandboxes = _sandboxes(host, table)
    names = pods.names(host)
    addresses = {space.inode: space.addresses for space in spaces}
    made = [one for pod in found for one in _of_pod(host, table, pod, sandboxes.get(pod.uid, _Sandbox()), names, addresses)]
    ended = [one.name for one in made if one.restarts or not one.is_running][:ENDED]
    return tuple(_with_ends(host, one, names) if one.name in ended else one for one in made)


def _sandboxes(host: Host, table: ProcessTable) -> dict[str, _Sandbox]:
    """Return the pods that have processes, by UID."""
    found: dict[str, _Sandbox] = {}
    stats = table.stats()
    pids = [pid for pid in without_crowds(stats) if not stats[pid].name.startswith(tuple(_MONITORS))]
    contents = host.read_all([f"/proc/{pid}/cgroup" for pid in pids], limit_bytes=1 << 14)
    for pid, content in zip(pids, contents, strict=True):
        text = (content or b"").decode("utf-8", "replace")
        if "kubepods" not in text:
            continue
        path, _, identity = parse_cgroup(text)
        uid = pods.uid_of(path)
        if uid and identity and "/user@" not in path:
            sandbox = found.setdefault(uid, _Sandbox())
            sandbox.first.setdefault(identity, pid)
            sandbox.cgroups.setdefault(identity, path)
    for sandbox in found.values():
        sandbox.pid = min(sandbox.first.values())
        sandbox.network = attempt(partial(table.network, sandbox.pid)) or ""
    return found


def _of_pod(
    host: Host,
    table: ProcessTable,
    pod: Pod,
    sandbox: _Sandbox,
    names: Mapping[str, str],
    addresses: Mapping[str, tuple[str, ...]],
) -> Iterator[Container]:
    """Yield the containers of a pod that run, and those that should."""
    running = {_name(host, table, pid, identity, sandbox, names): (identity, pid) for identity, pid in sandbox.first.items()}
    written = list(pods.outputs(host, pod))
    began = {one.name: _began(host, table, one, running.get(one.name)) for one in written}
    heard = engine.listens(host, sandbox.pid) if sandbox.network else None
    place = _place(addresses.get(sandbox.network, ()))
    for one in written:
        identity, pid = running.get(one.name, ("", 0))
        stopped_at = None if pid else _written_at(host, one)
        if stopped_at and any((other := began[name]) and other > stopped_at for name in began if name != one.name):
            continue  # it ended before another one began: an init container
        stat = table.stats().get(pid) if pid else None
        yield Container(
            engine=KUBERNETES,
            id=identity,
            name=one.name,
            state="running" if pid else "exited",
            is_whole=True,
            pid=pid or None,
            network=sandbox.network,
            network_mode="" if sandbox.network or not sandbox.pid else "host",
            attachments=(place,) if place is not None and sandbox.network else (),
            argv=describe.command({"Cmd": list(attempt(partial(table.argv, pid)) or ())}) if pid else (),
            restarts=one.restarts,
            restart_policy="always",  # of a pod that serves: one that may end is a job
            started_at=table.started_at(stat) if stat else None,
            stopped_at=stopped_at,
            listens=heard,
            logs=one.logs,
        )


def _name(host: Host, table: ProcessTable, pid: int, identity: str, sandbox: _Sandbox, names: Mapping[str, str]) -> str:
    """Return NAMESPACE/POD/CONTAINER of a container that runs."""
    return names.get(identity) or container_of(host, table, pid, identity, sandbox.cgroups[identity]).name


def _place(addresses: tuple[str, ...]) -> Attachment | None:
    """Return the pod's place in the network of pods; None if it has no address of its own."""
    own = [one for one in addresses if not (found := ipaddress.ip_address(one)).is_loopback and not found.is_link_local]
    v4 = next((one for one in own if ":" not in one), "")
    v6 = next((one for one in own if ":" in one), "")
    return Attachment(network=NETWORK, address=v4, address_v6=v6) if v4 or v6 else None


def _began(host: Host, table: ProcessTable, one: Output, running: tuple[str, int] | None) -> datetime | None:
    """Return when the run of a container began: its process, or the first line that it wrote."""
    if running is not None and (stat := table.stats().get(running[1])) is not None:
        return table.started_at(stat)
    first = attempt(partial(host.read, one.logs[0], limit_bytes=256)) or b""
    return stamps.find(first.decode("utf-8", "replace").partition(" ")[0])


def _written_at(host: Host, one: Output) -> datetime | None:
    stat = attempt(partial(host.stat, one.logs[-1]))
    return of_epoch(stat.modified_s) if stat else None


def _runs(host: Host, name: str, logs: tuple[str, ...], names: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of a container's last runs by their logs, as far as there are links to these."""
    namespace, pod, container = name.split("/")
    ids = [identity for identity, one in names.items() if one == name]
    aims = host.link_all([f"{pods.LINKS}/{pod}_{namespace}_{container}-{identity}.log" for identity in ids])
    return {aim: identity for identity, aim in zip(ids, aims, strict=True) if aim in logs}


def _with_ends(host: Host, one: Container, names: Mapping[str, str]) -> Container:
    """Return a container with what is known of the ends of its last runs."""
    runs = _runs(host, one.name, one.logs, names)
    ends = [(identity, _end(host, identity)) for log in one.logs if (identity := runs.get(log))]
    events = [
        ContainerEvent(at=end.at, action=action, code=end.code if action == "die" else None, id=identity[:12])
        for identity, end in ends
        for action in ("oom", "die")
        if end.at is not None and (action == "die" or end.oom_killed)
    ]
    found = msgspec.structs.replace(one, history=tuple(events), last_words=_words(host, one))
    if one.is_running:
        return found
    last = ends[-1][1] if ends and one.logs[-1] in runs else _End()
    return msgspec.structs.replace(
        found,
        id=runs.get(one.logs[-1], ""),
        exit_code=last.code,
        oom_killed=last.oom_killed,
        error=last.error,
        stopped_at=last.at or one.stopped_at,
    )


def _end(host: Host, identity: str) -> _End:
    """Return how a run ended; empty if its runtime keeps no such file, or keeps it as a database."""
    for path in (*(f"{root}/{_CONTAINERD}/{identity}/status" for root in _ROOTS), f"{_CRIO}/{identity}/userdata/state.json"):
        found = _json(host, path)
        if not found:
            continue
        if finished := describe.number(found.get("FinishedAt")):
            reason = describe.text(found.get("Reason"))
            message = describe.text(found.get("Message"), describe.TEXT_BYTES)
            is_oom = reason == "OOMKilled"
            error = message if reason not in ("Error", "Completed") and not is_oom else ""
            return _End(describe.number(found.get("ExitCode")) or 0, is_oom, error, of_epoch(finished / 1e9))
        if (finished_at := describe.moment(found.get("finished"))) is not None:
            error = describe.text(found.get("error"), describe.TEXT_BYTES)
            return _End(describe.number(found.get("exitCode")), found.get("oomKilled") is True, error, finished_at)
    return _End()


def _json(host: Host, path: str) -> dict[str, Any]:
    content = attempt(partial(host.read, path, limit_bytes=STATUS_BYTES))
    try:
        return describe.mapping(foreign_json.decode(content)) if content else {}
    except ValueError:
        return {}


def _words(host: Host, one: Container) -> tuple[str, ...]:
    """Return the last lines of the run that ended last: of the one before, if it runs again."""
    path = one.logs[0] if one.is_running else one.logs[-1]
    content: Tail | None = attempt(partial(tail, host, path, TAIL_BYTES))
    lines = list(content.lines) if content else []
    wrapper = next((name for name in wrappers.likely(lines) if name in wrappers.PARTIAL), "")
    if wrapper:
        lines = wrappers.removed(wrapper, split_lines.joined(wrapper, lines))
    return last_words(lines)
