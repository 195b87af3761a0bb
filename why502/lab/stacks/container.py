"""The machine of a scene: a systemd booted over the image of the stacks, on a wire to a small outside world.

The process that boots it lives in mount, process and network namespaces of its own (`NAMESPACES`), so when that ends, however it
ends, the kernel ends the machine too. Outside (where the users and other hosts are) is 203.0.113.1, the machine is 203.0.113.10.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from why502.lab import groups
from why502.lab.stage import LabError

NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
ADDRESS = "203.0.113.10"
USERS = tuple(f"203.0.113.{number}" for number in range(20, 60))
LIMIT_BYTES = 4 << 30
BOOT_S = 60.0
RUN = Path("/run")


class Machine:
    """A booted machine: `run` is a root shell on it, `write` puts a file there."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self.leader = leader

    def run(self, script: str, *, timeout_s: float = 180.0, is_checked: bool = True) -> str:
        """Run a shell script as root and return its standard output. Raises LabError with its last words where it fails."""
        argv = [
            "nsenter",
            f"--target={self.leader}",
            "--all",
            "--wdns=/root",
            *ENVIRONMENT,
            "bash",
            "-e",
            "-o",
            "pipefail",
            "-c",
            script,
        ]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"not done within {timeout_s:g} s: {script[:200]}") from error
        if is_checked and done.returncode:
            raise LabError(f"failed ({done.returncode}): {script[:300]}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file, with its directories; executable where it starts with `#!`. It passes through the machine's own eyes."""
        argv = ["nsenter", f"--target={self.leader}", "--all", "tee", path]
        subprocess.run([*argv[:3], "mkdir", "-p", str(Path(path).parent)], check=True)
        subprocess.run(argv, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
        if text.startswith("#!"):
            subprocess.run([*argv[:3], "chmod", "755", path], check=True)


ENVIRONMENT = (
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=dumb",
)


@contextmanager
def boot(image: Path, name: str, shown: dict[Path, str]) -> Iterator[Machine]:
    """Boot a machine over the image with these directories shown read-only in it, and end it afterwards."""
    place = RUN / name
    place.mkdir(mode=0o700)
    _sh("mount", "--make-rprivate", "/")
    _sh("mount", "-t", "tmpfs", "-o", "mode=755,size=4G", "why502-stack", str(place))
    process = None
    try:
        process = _start(place, image, name, shown)
        machine = Machine(place / "root", _leader(process, place))
        _wire(machine, name)
        yield machine
    finally:
        if process is not None:
            process.kill()
            process.wait()
        _sh("umount", "--lazy", str(place))
        place.rmdir()


def _start(place: Path, image: Path, name: str, shown: dict[Path, str]) -> subprocess.Popen[bytes]:
    for part in ("up", "work", "root"):
        (place / part).mkdir()
    layers = f"lowerdir={image},upperdir={place}/up,workdir={place}/work"
    _sh("mount", "-t", "overlay", "-o", layers, "why502-stack", f"{place}/root")
    groups.enter(name, memory=LIMIT_BYTES)
    argv = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--network-veth", "--capability=all"]
    argv += [f"--machine={name[-10:]}", "--hostname=web1", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
    argv += [f"--bind-ro={path}:{inside}" for path, inside in shown.items()]
    with (place / "console.log").open("wb") as console:
        return subprocess.Popen(
            [*argv, "--directory", f"{place}/root", "--boot"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def _leader(process: subprocess.Popen[bytes], place: Path) -> int:
    """Return the process id of its systemd, once that is up. Raises LabError with the console's last words."""
    end = time.monotonic() + BOOT_S
    while process.poll() is None and time.monotonic() < end:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            ask = ("nsenter", f"--target={child}", "--all", "systemctl", "is-system-running")
            state = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
            if state in ("running", "degraded"):
                return int(child)
        time.sleep(0.05)
    raise LabError(f"the machine did not boot: {(place / 'console.log').read_text(errors='replace')[-800:]}")


def _wire(machine: Machine, name: str) -> None:
    """Give both ends of the wire their addresses."""
    machine.run(f"ip addr add {ADDRESS}/24 dev host0; ip link set host0 up; ip route add default via 203.0.113.1")
    _sh("ip", "link", "set", "lo", "up")
    _sh("ip", "addr", "add", "203.0.113.1/24", "dev", f"ve-{name[-10:]}")
    _sh("ip", "link", "set", f"ve-{name[-10:]}", "up")
    for user in USERS:
        _sh("ip", "addr", "add", f"{user}/24", "dev", f"ve-{name[-10:]}")


def _sh(*argv: str) -> None:
    subprocess.run(argv, check=True)
