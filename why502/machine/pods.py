"""Pods of a Kubernetes node, by the directories that its kubelet writes: no API and no runtime is asked.

The output of a container's last runs is in `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log`, where N is how often it was started
again (kubelet, pkg/kubelet/kuberuntime/helpers.go). `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` is a link to it with the
id of the run (legacy.go). The control group of a process names the UID of its pod, in the spelling of its driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.patterns import lazy

OUTPUTS = "/var/log/pods"
LINKS = "/var/log/containers"
PAUSE = "pause"  # the program that holds the namespaces of a pod
PODS = 1024  # maximum read: a kubelet runs 110 unless it is told otherwise
CONTAINERS = 32  # maximum read of a pod
_UID = lazy(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")
_IN_CGROUP = lazy(r"pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice|[/:]|$)")
_LABEL = lazy(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123, as namespaces and containers are named
_POD_NAME = lazy(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_LOG = lazy(r"(\d{1,6})\.log")
_LINK = lazy(r"([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_([a-z0-9-]{1,63})-([0-9a-f]{64})\.log")
_RUNTIME = lazy(r"k8s_([a-z0-9-]{1,63})_([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_[0-9a-f-]{32,36}_\d{1,6}")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that its kubelet has a directory of."""

    namespace: str
    name: str
    uid: str

    @property
    def directory(self) -> str:
        """The directory with the output of its containers."""
        return f"{OUTPUTS}/{self.namespace}_{self.name}_{self.uid}"


@dataclass(frozen=True, slots=True)
class Output:
    """What a container of a pod wrote. `restarts`: how often it was started again; `logs`: of its last two runs, oldest first."""

    pod: Pod
    container: str
    restarts: int
    logs: tuple[str, ...]

    @property
    def name(self) -> str:
        """NAMESPACE/POD/CONTAINER."""
        return f"{self.pod.namespace}/{self.pod.name}/{self.container}"


def uid_of(cgroup: str) -> str:
    """Return the UID of the pod that a control group belongs to; "" if it is of none.

    With the systemd driver the UID has underscores: `kubepods-burstable-pod0f5f_….slice`; otherwise it is `burstable/pod0f5f-…`.
    A pod of a manifest on the node has a checksum instead.
    """
    match = _IN_CGROUP.search(cgroup) if "kubepods" in cgroup else None
    return match[1].replace("_", "-") if match else ""


def every(host: Host) -> tuple[Pod, ...]:
    """Return the pods of this node; none if it is not a node, or its directories cannot be read."""
    found = (_pod(name) for name in (attempt(partial(host.list, OUTPUTS)) or ())[:PODS])
    return tuple(pod for pod in found if pod is not None)


def _pod(name: str) -> Pod | None:
    words = name.split("_")
    if len(words) != 3 or not (_LABEL.fullmatch(words[0]) and _POD_NAME.fullmatch(words[1]) and _UID.fullmatch(words[2])):
        return None
    return Pod(*words)


def outputs(host: Host, pod: Pod) -> Iterator[Output]:
    """Yield the containers of a pod that have written a log, init containers too."""
    for container in (attempt(partial(host.list, pod.directory)) or ())[:CONTAINERS]:
        if not _LABEL.fullmatch(container):
            continue
        directory = f"{pod.directory}/{container}"
        runs = sorted(int(match[1]) for name in attempt(partial(host.list, directory)) or () if (match := _LOG.fullmatch(name)))
        if runs:
            yield Output(pod, container, runs[-1], tuple(f"{directory}/{run}.log" for run in runs[-2:]))


def names(host: Host) -> dict[str, str]:
    """Return NAMESPACE/POD/CONTAINER by the id of each container's last run."""
    matches = (_LINK.fullmatch(name) for name in (attempt(partial(host.list, LINKS)) or ())[: PODS * 4])
    return {match[4]: f"{match[2]}/{match[1]}/{match[3]}" for match in matches if match}


def runtime_name(name: str) -> str:
    """Return NAMESPACE/POD/CONTAINER from the name that CRI-O and cri-dockerd give a container; "" if it is another name.

    They call it `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`, and the container that holds the pod's namespaces `POD`.
    """
    match = _RUNTIME.fullmatch(name)
    return f"{match[3]}/{match[2]}/{match[1]}" if match else ""
