"""A Kubernetes node without an API: pods with the control groups, namespaces and files of a kubelet and of containerd.

A pod is a network namespace on a bridge, held by `pause`. Each of its containers has a root file system of its own, made of the
scenes' image, and a runner that stands for the kubelet and the shim: it starts the program, writes its output to
/var/log/pods in the form of CRI, and starts it again when it ends. `run` is what the runner does.

Usage: python -m why502.lab.containers.node JSON
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from why502.lab import groups
from why502.lab.containers.machine import sh
from why502.lab.stage import LabError

IMAGE = Path("/run/image")
PODS = Path("/var/log/pods")
LINKS = Path("/var/log/containers")
STATUS = Path("/var/lib/containerd/io.containerd.grpc.v1.cri/containers")
CONTROLLERS = ("memory", "cpu", "pids", "systemd")
BRIDGE, GATEWAY = "cni0", "10.244.0.1"
PAUSES_S = (0.1, 0.2, 0.4)  # before each start again; a kubelet waits 10 s and longer
READY_S = 15.0
KILLED = 137
JOIN = 'for one in $0; do echo $$ >"$one/cgroup.procs"; done; exec "$@"'  # a control group in each hierarchy, then a program


@dataclass(frozen=True, slots=True)
class Program:
    """A container of a pod: its program, and what the runner needs to start it."""

    namespace: str
    pod: str
    uid: str
    container: str
    argv: tuple[str, ...]
    network_of: int  # the process that holds the pod's namespace
    root: str
    is_systemd: bool
    memory_bytes: int = 0

    @property
    def output(self) -> Path:
        """The directory with the logs of its runs."""
        return PODS / f"{self.namespace}_{self.pod}_{self.uid}" / self.container


def cgroup(uid: str, identity: str, is_systemd: bool) -> str:
    """Return the control group of a container, as the kubelet's driver spells it."""
    if not is_systemd:
        return f"kubepods/burstable/pod{uid}/{identity}"
    pod = f"kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    return f"kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{identity}.scope"


class Node:
    """The pods of this machine."""

    def __init__(self, archive: Path, *, is_systemd: bool = True) -> None:
        """Lay out the image, and make the bridge of the pods."""
        self.is_systemd = is_systemd
        self.pods: dict[str, tuple[str, int, str]] = {}  # by name: UID, pause, address
        IMAGE.mkdir()
        sh("tar", "-xf", str(archive), "-C", str(IMAGE))
        shutil.copy("/usr/bin/sleep", "/run/pause")
        sh("ip", "link", "add", BRIDGE, "type", "bridge")
        sh("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        sh("ip", "link", "set", BRIDGE, "up")
        for path in (PODS, LINKS, STATUS):
            path.mkdir(parents=True, exist_ok=True)

    def pod(self, name: str) -> str:
        """Make a pod without a container; return its address."""
        number = len(self.pods) + 2
        digest = hashlib.sha256(name.encode()).hexdigest()
        uid = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
        place = _directories(cgroup(uid, digest, self.is_systemd), 0)
        holds = _joined(place, "unshare", "--net", "/run/pause", "infinity")
        pause = subprocess.Popen(holds, stdin=subprocess.DEVNULL)
        inside = ("nsenter", f"--net=/proc/{pause.pid}/ns/net")
        _until(lambda: Path(f"/proc/{pause.pid}/comm").read_text() == "pause\n", f"{name} has its namespace")
        address = f"10.244.0.{number}"
        sh("ip", "link", "add", f"veth{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pause.pid))
        sh("ip", "link", "set", f"veth{number}", "master", BRIDGE, "up")
        sh(*inside, "ip", "link", "set", "lo", "up")
        sh(*inside, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
        sh(*inside, "ip", "link", "set", "eth0", "up")
        sh(*inside, "ip", "route", "add", "default", "via", GATEWAY)
        self.pods[name] = (uid, pause.pid, address)
        return address

    def inside(self, name: str) -> tuple[str, ...]:
        """Return the words before a command that is run in a pod's network namespace."""
        return ("nsenter", f"--net=/proc/{self.pods[name][1]}/ns/net")

    def run(self, name: str, container: str, *argv: str, files: dict[str, str] | None = None, memory_bytes: int = 0) -> None:
        """Start a container in a pod, with these files in its root file system."""
        uid, pause, _ = self.pods[name]
        root = Path("/run/roots", f"{name}-{container}")
        for part in ("up", "work", "merged"):
            (root / part).mkdir(parents=True)
        layers = f"lowerdir={IMAGE},upperdir={root}/up,workdir={root}/work"
        sh("mount", "-t", "overlay", "-o", layers, "why502-lab", str(root / "merged"))
        for path in ("/proc", "/dev"):
            sh("mount", "--bind", path, f"{root}/merged{path}")
        for path, text in (files or {}).items():
            (root / "merged" / path.lstrip("/")).write_text(text)
        program = Program("shop", name, uid, container, argv, pause, str(root / "merged"), self.is_systemd, memory_bytes)
        order = json.dumps(asdict(program))
        subprocess.Popen((sys.executable, "-m", __name__, order), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _until(lambda: any(program.output.glob("*.log")), f"{container} of {name} is started")

    def listens(self, name: str, port: int) -> bool:
        """Return whether something in a pod listens on a port."""
        return f":{port} " in sh(*self.inside(name), "ss", "-Hltn")

    def restarts(self, name: str, container: str) -> int:
        """Return how often a container was started again."""
        uid, _, _ = self.pods[name]
        runs = [int(path.stem) for path in (PODS / f"shop_{name}_{uid}" / container).glob("*.log")]
        return max(runs, default=0)


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + READY_S
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"never came true: {what}")
        time.sleep(0.02)


def _directories(path: str, memory_bytes: int) -> tuple[Path, ...]:
    """Make a control group in every hierarchy; return its directories."""
    found = tuple(groups.ROOT / controller / path for controller in CONTROLLERS)
    for one in found:
        one.mkdir(parents=True, exist_ok=True)
    if memory_bytes:
        (found[0] / "memory.limit_in_bytes").write_text(str(memory_bytes))
    return found


def _joined(directories: tuple[Path, ...], *argv: str) -> tuple[str, ...]:
    """Return a command line in these control groups."""
    return ("sh", "-c", JOIN, " ".join(map(str, directories)), *argv)


def run(program: Program) -> None:
    """Run a container for ever: start its program, write down what it says and how it ends, and start it again."""
    enter = ("nsenter", f"--net=/proc/{program.network_of}/ns/net", "unshare", "--mount", "chroot", program.root)
    for count in range(1000):
        identity = hashlib.sha256(f"{program.uid}{program.container}{count}".encode()).hexdigest()
        place = _directories(cgroup(program.uid, identity, program.is_systemd), program.memory_bytes)
        kills = _kills(place[0])
        program.output.mkdir(parents=True, exist_ok=True)
        log = program.output / f"{count}.log"
        with log.open("w") as stream:
            link = LINKS / f"{program.pod}_{program.namespace}_{program.container}-{identity}.log"
            link.symlink_to(log)
            process = subprocess.Popen(
                _joined(place, *enter, *program.argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            sources = ((process.stdout, "stdout"), (process.stderr, "stderr"))
            copies = [threading.Thread(target=_copy, args=(source, kind, stream)) for source, kind in sources]
            for copy in copies:
                copy.start()
            for copy in copies:
                copy.join()
            status = process.wait()
        code = 128 - status if status < 0 else status
        reason = "OOMKilled" if code == KILLED and _kills(place[0]) > kills else "Error" if code else "Completed"
        ended = {"Version": "v1", "Pid": 0, "FinishedAt": time.time_ns(), "ExitCode": code, "Reason": reason, "Message": ""}
        (STATUS / identity).mkdir(exist_ok=True)
        (STATUS / identity / "status").write_text(json.dumps(ended))
        time.sleep(PAUSES_S[min(count, len(PAUSES_S) - 1)])


def _kills(memory: Path) -> int:
    """Return how often the kernel killed for lack of memory in a control group of version 1."""
    lines = (memory / "memory.oom_control").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _copy(source: IO[bytes], kind: str, log: IO[str]) -> None:
    """Write the lines of a stream to a log in the form of CRI (kubelet, pkg/kubelet/kuberuntime/logs)."""
    for line in source:
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "000Z")
        log.write(f"{stamp} {kind} F {line.decode('utf-8', 'replace').rstrip()}\n")
        log.flush()


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    run(Program(**{**order, "argv": tuple(order["argv"])}))
