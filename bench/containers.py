"""The cost of `why502 diagnose` beside many containers, as far as the kernel is concerned: a network and a mount namespace, an
address on a bridge, a cgroup with the name that Docker gives it, and a listening process each. nginx on the host proxies to all.

    python bench/containers.py [CONTAINERS] [TIMES]

Prints the best and the worst wall time and the least processor time, with the containers and, as the peer, without them, and the
load of the machine. Run it as root, on a machine with cgroup v1 and nginx. Everything is in namespaces of its own; only the
cgroups are the machine's, and they are removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT_S = 3.0
SPACE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
GROUPS = Path("/sys/fs/cgroup/systemd/docker")
STATE = Path("/var/lib/docker/containers")
NEW_SPACES = 0x40000000 | 0x00020000  # CLONE_NEWNET | CLONE_NEWNS


def main() -> int:
    """Return 1 if the best run beside the containers takes LIMIT_S or longer."""
    count, times = [*sys.argv[1:], *("100", "3")[len(sys.argv) - 1 :]][:2]
    with tempfile.TemporaryDirectory() as place:
        return subprocess.run([*SPACE, sys.executable, __file__, place, count, times], check=False).returncode


def inside(place: Path, count: int, times: int) -> int:
    """Measure, as the first process of the namespaces."""
    overlay(place)
    for line in ("link set lo up", "link add br0 type bridge", "address add 172.30.0.1/16 dev br0", "link set br0 up"):
        ip(line)
    with nginx(place, "server { listen 80; return 200; }"):
        alone = [measured() for _ in range(times)]
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(container(number)) for number in range(count)]
        routes = "".join(f"location /{i} {{ proxy_pass http://{each}:3000; }} " for i, each in enumerate(addresses))
        with nginx(place, f"server {{ listen 80; server_name shop.example; {routes} }}"):
            beside = [measured() for _ in range(times)]
    for what, runs in (("without containers", alone), (f"beside {count} containers", beside)):
        walls, processor = [wall for wall, _ in runs], min(used for _, used in runs)
        print(f"{what}: {min(walls):.2f} to {max(walls):.2f} s, {processor:.2f} s of a processor")
    print(f"load average: {Path('/proc/loadavg').read_text().strip()}")
    return 1 if min(wall for wall, _ in beside) >= LIMIT_S else 0


def overlay(place: Path) -> None:
    """Make /var/lib writable for this mount namespace alone."""
    options = f"lowerdir=/var/lib,upperdir={place}/up,workdir={place}/work"
    subprocess.run(["mount", "-t", "tmpfs", "t", str(place)], check=True)
    for part in ("up", "work"):
        (place / part).mkdir()
    subprocess.run(["mount", "-t", "overlay", "o", "-o", options, "/var/lib"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "t", "/run"], check=True)


def ip(line: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *line.split()], check=True)


@contextlib.contextmanager
def container(number: int) -> Iterator[str]:
    """Yield the address of a container that listens on port 3000."""
    identity = hashlib.sha256(f"{number} {os.getpid()}".encode()).hexdigest()
    address = f"172.30.{1 + number // 250}.{1 + number % 250}"
    group = GROUPS / identity
    group.mkdir(parents=True)
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        if ctypes.CDLL(None).unshare(NEW_SPACES):
            os._exit(1)
        listener = socket.create_server(("0.0.0.0", 3000))
        os.write(told, b"1")
        while True:
            with listener.accept()[0] as stream:
                stream.recv(1000)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    try:
        os.read(ready, 1)
        os.close(ready)
        os.close(told)
        ip(f"link add v{number} master br0 up type veth peer name eth0 netns {pid}")
        inner = f"address add {address}/16 dev eth0\nlink set eth0 up\nlink set lo up\n"
        within = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"]
        subprocess.run(within, input=inner, text=True, check=True)
        described = {
            "Name": f"/app-{number}",
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": address}}, "Ports": {}},
        }
        (STATE / identity).mkdir(parents=True)
        (STATE / identity / "config.v2.json").write_text(json.dumps(described))
        yield address
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        group.rmdir()
        with contextlib.suppress(OSError):
            GROUPS.rmdir()


@contextlib.contextmanager
def nginx(place: Path, servers: str) -> Iterator[None]:
    """Run nginx on the host."""
    config = place / "nginx.conf"
    logs = f"error_log {place}/error.log; pid {place}/pid;"
    config.write_text(f"user root; {logs} events {{}} http {{ access_log {place}/access.log; {servers} }}")
    process = subprocess.Popen(["nginx", "-c", str(config), "-g", "daemon off;"])
    try:
        while not (place / "pid").exists():
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


def measured() -> tuple[float, float]:
    """Return the wall time and the processor time of one `why502 diagnose`, in seconds."""
    began, used = time.monotonic(), processor_s()
    line = [sys.executable, "-m", "why502", "diagnose", "--format", "json"]
    installed = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # pip compiles
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=installed)
    took = time.monotonic() - began
    assert done.returncode in (0, 1), done.stderr
    return took, processor_s() - used


def processor_s() -> float:
    """Return the processor time that the ended children of this process took, and theirs, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) == 4 else main())
