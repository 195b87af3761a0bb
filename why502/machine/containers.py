"""Containers described by the files of their engine: no daemon is asked, so one that hangs or refuses does not matter.

A process is in the container that its cgroup names (see `process_table.parse_cgroup`). Docker keeps a description in
`/var/lib/docker/containers/ID`; podman and CRI-O in `…/overlay-containers/ID/userdata`, which the arguments of conmon(8) name;
containerd in `/run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID`, with the annotations of its CRI plugin; a kubelet has
directories for its pods (see `pods`). Users choose the contents of their own engines' files, so those are read with the user's
rights.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from why502.host.base import Host
from why502.machine import pods, suppliers
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable
from why502.model import foreign_json
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.snapshot import PublishedPort
from why502.model.target import Target
from why502.model.times import whole_number

DOCKER = "/var/lib/docker/containers"
# The state of containerd: Debian's and most others', then those that k3s, MicroK8s and k0s bring along.
CONTAINERDS = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd", "/run/k0s/containerd")
TASKS = "io.containerd.runtime.v2.task"
ANCESTORS = 8  # generations in which a conmon is looked for
FILE_BYTES = 1 << 20
NAMES_MOST = 16  # namespaces of containerd, and log files of a container
_ID = lazy(r"[0-9a-f]{64}")
_NAME = lazy(r"[\w][\w.-]{0,252}")
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


_Look = Callable[[Host, Container], Container | None]


def container_of(host: Host, table: ProcessTable, pid: int, identity: str, cgroup: str) -> Container:
    """Return the container `identity` that a process is in, with everything that files tell about it. Never raises."""
    owner_uid = owner(cgroup)
    acting = host.acting_as(owner_uid)
    bare = Container(identity, _engine(cgroup, identity), _pod(cgroup), owner_uid=owner_uid)
    if not _ID.fullmatch(identity):  # LXC, systemd-nspawn: the cgroup has the name
        return Container(identity, bare.engine, identity, owner_uid=owner_uid)
    of_kubelet = partial(_of_kubelet, table=table, pid=pid, uid=pods.uid_of(cgroup))
    looks: tuple[_Look, ...] = (_of_docker, partial(_of_conmon, table=table, pid=pid), _of_containerd, of_kubelet)
    for look in looks:
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
    uid = pods.uid_of(cgroup)
    return f"pod {uid}" if uid else ""


def _engine(cgroup: str, identity: str) -> str:
    marks = "-/:"  # `docker-ID.scope`, `docker/ID`, and `SLICE:cri-containerd:ID` where kubelet and containerd differ
    for prefix, engine in _ENGINES:
        if any(f"{prefix}{mark}{identity}" in cgroup for mark in marks):
            return engine
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
        _of_labels(labels) or _name(_text(found.get("Name")).lstrip("/")),
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
    bundle, name = given.get("-b") or given.get("--bundle") or "", given.get("-n") or given.get("--name") or ""
    notes = _dict((_json(host, f"{bundle}/config.json") or {}).get("annotations")) if bundle.startswith("/") else {}
    drivers = [log.partition(":")[0] if not log.startswith("/") else "k8s-file" for log in logs]
    paths = [log.partition(":")[2] or log for log in logs if log.partition(":")[2] or log.startswith("/")]
    return Container(
        bare.id,
        "cri-o" if bare.engine == "cri-o" else "podman",
        _of_labels(notes) or pods.runtime_name(name) or _name(name),
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
    for tasks in (f"{state}/{TASKS}" for state in CONTAINERDS):
        for space in (attempt(partial(host.list, tasks)) or ())[:NAMES_MOST]:
            found = _json(host, f"{tasks}/{space}/{bare.id}/config.json")
            if found is not None:
                return _of_bundle(host, bare, _dict(found.get("annotations")))
    return None


def _of_bundle(host: Host, bare: Container, notes: dict[str, Any]) -> Container:
    name = _of_labels(notes) or _name(_text(notes.get("nerdctl/name")))
    logs = _of_pod(host, notes)
    return Container(bare.id, "containerd", name, log_driver="k8s-file" if logs else "", logs=logs, owner_uid=bare.owner_uid)


def _of_kubelet(host: Host, bare: Container, *, table: ProcessTable, pid: int, uid: str) -> Container | None:
    """Return what the kubelet's directories tell about a container of a pod; the pod alone if they do not name the container.

    One that the kubelet has no link to is the only one of its pod, or `pause`, which holds the namespaces of the pod.
    """
    pod = next((pod for pod in pods.every(host) if pod.uid == uid), None) if uid else None
    if pod is None:
        return None
    written = list(pods.outputs(host, pod))
    name = pods.names(host).get(bare.id, "")
    stat = table.stats().get(pid)
    if not name and len(written) == 1 and not (stat and stat.name == pods.PAUSE):
        name = written[0].name
    own = next((one for one in written if one.name == name), None)
    logs = own.logs if own else ()
    shown = name or f"{pod.namespace}/{pod.name}"
    return Container(bare.id, bare.engine, shown, log_driver="k8s-file" if logs else "", logs=logs, owner_uid=bare.owner_uid)


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


def _of_pod(host: Host, notes: dict[str, Any]) -> tuple[str, ...]:
    """Return the log files of a container in a pod, by the annotations that containerd's CRI plugin gives it."""
    keys = ("sandbox-namespace", "sandbox-name", "sandbox-uid", "container-name")
    space, sandbox, uid, container = (_name(_text(notes.get(f"io.kubernetes.cri.{key}"))) for key in keys)
    if not (space and sandbox and uid and container):
        return ()
    return next((one.logs for one in pods.outputs(host, pods.Pod(space, sandbox, uid)) if one.container == container), ())


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
