"""Containers described by the files of their engine: no daemon is asked, so one that hangs or refuses does not matter.

A process is in the container that its cgroup names (see `process_table.parse_cgroup`). Docker keeps a description in
`/var/lib/docker/containers/ID`; podman and CRI-O in `…/overlay-containers/ID/userdata`, which the arguments of conmon(8) name;
containerd in `/run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID`, with the annotations of its CRI plugin. Users choose
the contents of their own engines' files, so those are read with the user's rights.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from why502.host.base import Host
from why502.machine import suppliers
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable
from why502.model import foreign_json
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.snapshot import PublishedPort
from why502.model.target import Target
from why502.model.times import whole_number

DOCKER = "/var/lib/docker/containers"
CONTAINERD = "/run/containerd/io.containerd.runtime.v2.task"
PODS = "/var/log/pods"
ANCESTORS = 8  # generations in which a conmon is looked for
FILE_BYTES = 1 << 20
NAMES_MOST = 16  # namespaces of containerd, and log files of a container
_ID = lazy(r"[0-9a-f]{64}")
_NAME = lazy(r"[\w][\w.-]{0,252}")
_POD = lazy(r"pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})")
_USER = lazy(r"/user@(\d{1,10})\.service/")
_ENGINES = (("docker", "docker"), ("libpod", "podman"), ("cri-containerd", "containerd"), ("crio", "cri-o"))
_CUT = 12  # digits of an id that engines show


@dataclass(frozen=True, slots=True)
class Container:
    """A container. `name` is as its engine shows it, in Kubernetes NAMESPACE/POD/CONTAINER; "" if that is unknown.

    `log_driver` is the engine's: json-file, k8s-file, journald, local, none…; `logs` are its files, oldest first, read with the
    rights of `owner_uid`.
    """

    id: str
    engine: str = ""
    name: str = ""
    published: tuple[PublishedPort, ...] = ()
    log_driver: str = ""
    logs: tuple[str, ...] = ()
    owner_uid: int = 0

    @property
    def words(self) -> str:
        """Return its name with the first digits of its id, as part of a sentence."""
        short = self.id[:_CUT] if _ID.fullmatch(self.id) else self.id
        return f"{self.name} ({short})" if self.name and self.name != short else short


def container_of(host: Host, table: ProcessTable, pid: int, identity: str, cgroup: str) -> Container:
    """Return the container `identity` that a process is in, with everything that files tell about it. Never raises."""
    owner_uid = owner(cgroup)
    acting = host.acting_as(owner_uid)
    bare = Container(identity, _engine(cgroup, identity), _pod(cgroup), owner_uid=owner_uid)
    if not _ID.fullmatch(identity):  # LXC, systemd-nspawn: the cgroup has the name
        return Container(identity, bare.engine, identity, owner_uid=owner_uid)
    for look in (_of_docker, partial(_of_conmon, table=table, pid=pid), _of_containerd):
        try:
            if found := look(acting, bare):
                return found
        except HostError:
            continue
    return bare


def owner(cgroup: str) -> int:
    """Return the user below whose own manager a cgroup is, who may choose its name; 0 if only root may."""
    match = _USER.search(cgroup)
    return int(match[1]) if match else 0


def _pod(cgroup: str) -> str:
    """Return what a container is called if only its cgroup is known: that of a Kubernetes pod names the pod's UID."""
    match = _POD.search(cgroup) if "kubepods" in cgroup else None
    return f"pod {match[1].replace('_', '-')}" if match else ""


def _engine(cgroup: str, identity: str) -> str:
    last = next((part for part in reversed(cgroup.split("/")) if identity in part), "")
    named = next((engine for prefix, engine in _ENGINES if last.startswith(f"{prefix}-")), "")
    parents = next((engine for prefix, engine in _ENGINES if f"/{prefix}/{identity}" in cgroup), "")
    if found := named or parents:
        return found
    return "lxc" if "/lxc" in cgroup else "systemd-nspawn" if not _ID.fullmatch(identity) else ""


def _of_docker(host: Host, bare: Container) -> Container | None:
    """Return what Docker's files tell (config.v2.json, hostconfig.json)."""
    directory = f"{DOCKER}/{bare.id}"
    found = _json(host, f"{directory}/config.v2.json")
    if found is None:
        return None
    driver = _text(_dict((_json(host, f"{directory}/hostconfig.json") or {}).get("LogConfig")).get("Type")) or "json-file"
    labels = _dict(_dict(found.get("Config")).get("Labels"))
    return Container(
        bare.id,
        "docker",
        _name(_text(found.get("Name")).lstrip("/")) or _of_labels(labels),
        published=tuple(_published(found)),
        log_driver=driver,
        logs=_present(host, f"{directory}/{bare.id}-json.log") if driver == "json-file" else (),
    )


def _published(found: dict[str, Any]) -> Iterator[PublishedPort]:
    """Yield the published TCP ports of a running container of Docker, for each of its addresses."""
    settings = _dict(found.get("NetworkSettings"))
    networks = _dict(settings.get("Networks")).values()
    addresses = [address for one in networks if (address := _text(_dict(one).get("IPAddress")))]
    for name, bindings in _dict(settings.get("Ports")).items():
        inner, _, protocol = name.partition("/")
        for binding in bindings if isinstance(bindings, list) and protocol == "tcp" else ():
            outer = Target.parse(f"{_host(_text(_dict(binding).get('HostIp')))}:{_text(_dict(binding).get('HostPort'))}")
            if outer and outer.port and (port := whole_number(inner, 5)):
                for address in addresses:
                    yield PublishedPort(outer=outer, inner=Target(host=address, port=port), source="docker inspect")


def forwarded(argv: tuple[str, ...]) -> PublishedPort | None:
    """Return the port that a process of docker-proxy(1) forwards, by its arguments; None if it is not one, or not of TCP."""
    if not argv or posixpath.basename(argv[0]) != "docker-proxy":
        return None
    given = {option.lstrip("-"): value for option, value in pairwise(argv[1:]) if option.startswith("-")}
    outer = Target.parse(f"{_host(given.get('host-ip', ''))}:{given.get('host-port', '')}")
    inner = Target.parse(f"{_host(given.get('container-ip', ''))}:{given.get('container-port', '')}")
    if given.get("proto") != "tcp" or outer is None or inner is None or not (outer.port and inner.port):
        return None
    return PublishedPort(outer=outer, inner=inner, source="the arguments of docker-proxy")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address or "0.0.0.0"


def _of_conmon(host: Host, bare: Container, *, table: ProcessTable, pid: int) -> Container | None:
    """Return what the command line of its monitor tells: conmon(8) of podman and CRI-O."""
    argv = _conmon(host, table, pid, bare.id, bare.owner_uid)
    if not argv:
        return None
    given = {option: value for option, value in pairwise(argv) if option in ("-n", "--name", "-b", "--bundle")}
    logs = [value for option, value in pairwise(argv) if option in ("-l", "--log-path")]
    bundle = given.get("-b") or given.get("--bundle") or ""
    notes = _dict((_json(host, f"{bundle}/config.json") or {}).get("annotations")) if bundle.startswith("/") else {}
    drivers = [log.partition(":")[0] if not log.startswith("/") else "k8s-file" for log in logs]
    paths = [log.partition(":")[2] or log for log in logs if log.partition(":")[2] or log.startswith("/")]
    return Container(
        bare.id,
        "cri-o" if bare.engine == "cri-o" else "podman",
        _of_labels(notes) or _name(given.get("-n") or given.get("--name") or ""),
        log_driver=next((driver for driver in drivers if driver in ("k8s-file", "json-file", "journald")), "".join(drivers[:1])),
        logs=tuple(path for log in paths if log.startswith("/") for path in _present(host, posixpath.normpath(log))),
        owner_uid=bare.owner_uid,
    )


def _conmon(host: Host, table: ProcessTable, pid: int, identity: str, uid: int) -> tuple[str, ...]:
    """Return the command line of the process's conmon, which the container's owner runs; () if it has none."""
    stats = table.stats()
    for _ in range(ANCESTORS):
        stat = stats.get(pid)
        if stat is None or stat.ppid <= 1:
            return ()
        pid = stat.ppid
        if pid in stats and stats[pid].name == "conmon":
            argv = attempt(partial(table.argv, pid)) or ()
            return argv if identity in argv and attempt(partial(suppliers.of_process, host, pid)) == uid else ()
    return ()


def _of_containerd(host: Host, bare: Container) -> Container | None:
    """Return what the OCI bundle of containerd tells: its CRI plugin's and nerdctl's annotations."""
    for space in host.list(CONTAINERD)[:NAMES_MOST]:
        found = _json(host, f"{CONTAINERD}/{space}/{bare.id}/config.json")
        if found is None:
            continue
        notes = _dict(found.get("annotations"))
        name = _of_labels(notes) or _name(_text(notes.get("nerdctl/name")))
        logs = tuple(_of_pod(host, notes))
        return Container(bare.id, "containerd", name, log_driver="k8s-file" if logs else "", logs=logs, owner_uid=bare.owner_uid)
    return None


def _of_labels(notes: dict[str, Any]) -> str:
    """Return NAMESPACE/POD/CONTAINER from a container's labels or annotations; "" if it is in no pod."""
    keys = (
        ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name"),
        ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"),
    )
    for space, sandbox, container in keys:
        words = [_name(_text(notes.get(key))) for key in (space, sandbox, container)]
        if words[0] and words[1]:
            return "/".join(word for word in words if word)
    return ""


def _of_pod(host: Host, notes: dict[str, Any]) -> Iterator[str]:
    """Yield the log files of a container in a pod: /var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log (kubelet)."""
    keys = ("sandbox-namespace", "sandbox-name", "sandbox-uid", "container-name")
    space, sandbox, uid, container = (_name(_text(notes.get(f"io.kubernetes.cri.{key}"))) for key in keys)
    if not (space and sandbox and uid and container):
        return
    directory = f"{PODS}/{space}_{sandbox}_{uid}/{container}"
    names = [name for name in attempt(partial(host.list, directory)) or () if re.fullmatch(r"\d{1,6}\.log", name)]
    yield from (f"{directory}/{name}" for name in sorted(names, key=lambda name: int(name[:-4]))[-2:])


def _present(host: Host, path: str) -> tuple[str, ...]:
    """Return the path if there is such a file. The reader of logs finds rotated ones beside it."""
    return (path,) if attempt(partial(host.stat, path)) is not None else ()


def _json(host: Host, path: str) -> dict[str, Any] | None:
    """Return the object in a file; None if it does not exist or is not one."""
    content = attempt(partial(host.read, path, limit_bytes=FILE_BYTES))
    if content is None:
        return None
    try:
        found = foreign_json.decode(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _name(text: str) -> str:
    """Return a name of a container, pod or namespace; "" if it is not one."""
    return text if _NAME.fullmatch(text) else ""


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
