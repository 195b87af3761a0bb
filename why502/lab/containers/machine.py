"""A machine with a real container engine: namespaces and control groups of its own, so that its rules, bridges and containers
are never this machine's.

`main` puts itself into its own control groups and becomes the first process of the namespaces, where `scene` runs. When that
ends, however it ends, the kernel ends every container with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from why502.lab import groups
from why502.lab.containers import image
from why502.lab.stage import BACKENDS, LabError

NAMESPACES = ("--net", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
EMPTY = (
    "/dev/shm",  # podman's locks
    "/var/log",
    "/var/tmp",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/etc/docker",
    "/etc/containers/networks",
    "/etc/cni/net.d",
)
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "blkio", "memory", "devices", "freezer", "pids", "systemd")
ROOTLESS = "rootless"  # podman, run by another user than root
KUBELET = "kubelet"  # none: pods by their control groups and files, see `node`
ENGINES = ("docker", "podman", ROOTLESS, KUBELET)
USER, GROUP = 5, 60  # of Debian's base-passwd: games; any user without a login would do
NEEDS = {
    "docker": ("dockerd", "docker", "containerd", "runc", "iptables"),
    "podman": ("podman", "conmon", "runc", "iptables"),
    ROOTLESS: ("podman", "conmon", "runc", "slirp4netns", "newuidmap", "setpriv"),
    KUBELET: ("nsenter", "nft", "tar"),
}
SOCKETS = {
    "docker": "/run/docker.sock",
    "podman": "/run/podman/podman.sock",
    ROOTLESS: f"/run/user/{USER}/podman/podman.sock",
    KUBELET: "",
}
READY_S = 30.0
IMAGE = "lab"
SERVER = str(BACKENDS / "server.py")
SETTINGS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
"""


def missing(engine: str) -> str:
    """Return why no scene of an engine can run here, as one sentence; "" where it can."""
    if os.geteuid() != 0:
        return "needs root"
    tools = [tool for tool in ("unshare", "ip", *NEEDS[engine]) if not _program(tool)]
    if tools:
        return f"needs {', '.join(tools)}"
    if not (groups.ROOT / "memory").is_dir():
        return "needs control groups of version 1"
    return image.missing()


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def enter(name: str) -> None:
    """Put this process into control groups of its own, in every hierarchy of version 1."""
    for controller in CONTROLLERS:
        hierarchy = groups.ROOT / controller
        if hierarchy.is_dir():
            own = hierarchy / name
            own.mkdir(exist_ok=True)
            if controller == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (own / file).write_text((hierarchy / file).read_text())
            (own / "cgroup.procs").write_text(str(os.getpid()))


def isolate() -> None:
    """Lay empty directories over those that an engine writes to, and show only our own control groups."""
    sh("mount", "--make-rprivate", "/")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", "/run")
    for path in ("/etc", "/var/lib"):  # what is written there, directories too, is gone with the namespace
        layers = Path("/run/layers", path.lstrip("/"))
        for part in ("up", "work"):
            (layers / part).mkdir(parents=True)
        told = f"lowerdir={path},upperdir={layers}/up,workdir={layers}/work"
        sh("mount", "-t", "overlay", "-o", told, "why502-lab", path)
    for path in EMPTY:
        Path(path).mkdir(parents=True, exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", path)
    os.chmod("/dev/shm", 0o1777)
    Path("/run/lock").mkdir()
    sh("ip", "link", "set", "lo", "up")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", str(groups.ROOT))
    for controller in CONTROLLERS:
        place = groups.ROOT / controller
        place.mkdir()
        told = "none,name=systemd" if controller == "systemd" else controller
        sh("mount", "-t", "cgroup", "-o", told, controller, str(place))


class Engine:
    """A running engine: `call` runs its command line client."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.program = "podman" if name == ROOTLESS else name
        self.as_user: tuple[str, ...] = ()
        self.socket = SOCKETS[name]
        self.service: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Raises LabError with its last words."""
        if self.name == KUBELET:
            return
        settings = Path("/run/containers.conf")
        settings.write_text(SETTINGS)
        os.environ |= {"CONTAINERS_CONF": str(settings), "DOCKER_HOST": f"unix://{SOCKETS['docker']}"}
        Path(self.socket).parent.mkdir(parents=True, exist_ok=True)
        if self.name == ROOTLESS:
            self.as_user = _user()
        argv: tuple[str, ...] = ("podman", "system", "service", "--time", "0", f"unix://{self.socket}")
        argv = (*self.as_user, *argv)
        if self.name == "docker":
            argv = ("dockerd", "--exec-opt", "native.cgroupdriver=cgroupfs", "--oom-score-adjust", "0")
            argv += ("--default-ulimit", "nofile=20000:20000", "--default-ulimit", "nproc=20000:20000")
        with open("/run/engine.log", "wb") as log:
            self.service = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + READY_S
        while not self._answers():
            if self.service.poll() is not None or time.monotonic() > end:
                raise LabError(f"{self.name} did not start: {Path('/run/engine.log').read_text(errors='replace')[-1500:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        if self.program == "podman":
            return os.path.exists(self.socket)
        return subprocess.run(("docker", "version"), capture_output=True, check=False).returncode == 0

    def take(self, archive: Path) -> None:
        """Make the image of the scenes from a tar archive."""
        if self.name == KUBELET:
            return
        seen = Path("/run/image.tar")
        seen.touch()
        sh("mount", "--bind", str(archive), str(seen))  # its directory may be closed to another user
        seen.chmod(0o644)
        self.call("import", str(seen), IMAGE)

    def call(self, *words: str, is_checked: bool = True, timeout_s: float = 60.0) -> str:
        """Run `docker …` or `podman …` and return its output. Raises LabError with its last words where it fails."""
        try:
            done = subprocess.run(
                (*self.as_user, self.program, *words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name} {' '.join(words)[:300]}: not done within {timeout_s:g} s") from error
        if is_checked and done.returncode:
            raise LabError(f"{self.name} {' '.join(words)[:300]} failed ({done.returncode})", done.stderr[-1500:])
        return done.stdout.strip()

    def stop(self) -> None:
        """End the engine; the kernel ends its containers with the namespaces, those that are paused too."""
        groups.thaw(groups.ROOT / "freezer")
        if self.service is not None:
            self.service.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.service.wait(5.0)


def _user() -> tuple[str, ...]:
    """Give the user what podman needs of one: directories, subordinate ids and the device of its network; return the command
    that becomes this user.
    """
    sh("mount", "--make-rshared", "/")
    home, runtime = Path("/run/home"), Path(f"/run/user/{USER}")
    for path in (home, runtime, runtime / "podman"):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, USER, GROUP)
    for name in ("subuid", "subgid"):
        Path("/run", name).write_text(f"{USER}:200000:65536\n")
        sh("mount", "--bind", f"/run/{name}", f"/etc/{name}")
    sh("mknod", "-m", "666", "/run/tun", "c", "10", "200")
    sh("mount", "--bind", "/run/tun", "/dev/net/tun")
    storage = Path("/run/storage.conf")
    storage.write_text('[storage]\ndriver = "overlay"\n')
    os.chmod("/var/tmp", 0o1777)
    variables = (f"HOME={home}", f"XDG_RUNTIME_DIR={runtime}", f"CONTAINERS_STORAGE_CONF={storage}")
    become = ("setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--inh-caps=-all")
    return ("env", "-C", "/", *variables, *become)


def sh(*argv: str) -> str:
    """Run a command as root and return its output. Raises LabError with its last words where it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)[:300]} failed ({done.returncode})", done.stderr[-1500:])
    return done.stdout


def play(argv: Sequence[str], archive: Path, timeout_s: float) -> tuple[str, str]:
    """Run a module of ours with these arguments on such a machine; return its output and error output.

    `archive` is the image's; it is made where it is not there yet.
    """
    name = f"why502-containers-{os.getpid()}-{time.monotonic_ns() % 10**9}"
    image.write(archive)
    command = (sys.executable, "-m", __name__, name, str(archive), *argv)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        return process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return "", f"not done within {timeout_s:g} s"
    finally:
        process.kill()
        process.wait()
        groups.remove(name)


def main() -> None:
    """Become the first process of the namespaces. Usage: machine.py NAME ARCHIVE MODULE ARGUMENT…"""
    name, archive, module, *rest = sys.argv[1:]
    enter(name)
    os.execvp("unshare", ("unshare", *NAMESPACES, sys.executable, "-m", module, archive, *rest))


if __name__ == "__main__":
    main()
