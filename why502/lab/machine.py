"""A machine for a scene: a real systemd as the first process of its own container (systemd-nspawn(1)).

Its root is this machine's own, with a layer of memory above it that takes all that is written (overlay), so every program is
there and nothing is changed. Only the journal and what the scene starts run in it. This module is the first process of a process
namespace: when it ends, however it ends, the kernel ends the container and drops its mounts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import why502
from why502.lab import groups

TARGET = "why502-lab.target"
UNIT = """\
[Unit]
Description=A scene of the lab
Requires=systemd-journald.socket systemd-journald-dev-log.socket
Wants=systemd-journald.service
AllowIsolate=yes
"""
EMPTY = (
    "/etc/nginx",
    "/etc/php",
    "/etc/supervisor",
    "/var/log",
    "/var/lib/nginx",
)  # the scene's own, however this machine is set up
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
BOOT_S = 20.0
LIMIT_BYTES = 1 << 30  # of everything in it, so that a scene that goes wrong hurts only itself


@cache
def why_not() -> str:
    """Boot one, and return why that cannot be done here; "" where it can."""
    name = f"why502-lab-{os.getpid()}-try"
    try:
        done = subprocess.run(
            [*NAMESPACES, sys.executable, "-m", __name__, name, "true"],
            capture_output=True,
            text=True,
            check=False,
            timeout=BOOT_S * 2,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no container boots here: {error}"
    finally:
        groups.remove(name)
    return f"no container boots here: {done.stderr.strip()[-300:]}" if done.returncode else ""


def main() -> int:
    """Boot, run the command of our arguments in it, and return its exit status. Usage: machine.py NAME COMMAND…"""
    name, *command = sys.argv[1:]
    directory = Path(tempfile.mkdtemp(prefix="why502-lab-", dir="/run" if os.access("/run", os.W_OK) else None))
    _sh("mount", "--make-rprivate", "/")
    _sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", str(directory))
    try:
        container = boot(directory, name)
        leader = _leader(container, directory)
        return subprocess.run(["nsenter", f"--target={leader}", "--all", *command], check=False).returncode
    except TimeoutError as error:
        sys.stderr.write(f"why502: {error}\n")
        return 2
    finally:
        _sh("umount", "--lazy", str(directory))
        directory.rmdir()


def boot(directory: Path, name: str) -> subprocess.Popen[bytes]:
    """Start the container in cgroups of its own."""
    for part in ("up/etc/systemd/system", "work", "root"):
        (directory / part).mkdir(parents=True)
    (directory / "up/etc/systemd/system" / TARGET).write_text(UNIT)
    _sh(
        "mount",
        "-t",
        "overlay",
        "-o",
        f"lowerdir=/,upperdir={directory}/up,workdir={directory}/work",
        "why502-lab",
        f"{directory}/root",
    )
    argv = ["systemd-nspawn", "--quiet", "--register=no", "--private-network", "--capability=all", f"--machine={name}"]
    argv += ["--resolv-conf=off", "--timezone=off", *(f"--tmpfs={path}:mode=755" for path in EMPTY if os.path.isdir(path))]
    if not os.path.isdir("/run/systemd/system"):  # no service manager here that could make a scope for it
        argv.append("--keep-unit")
        groups.enter(name, memory=LIMIT_BYTES)
    argv += [f"--bind-ro={path}" for path in _elsewhere()]
    with (directory / "console.log").open("wb") as console:
        return subprocess.Popen(
            [*argv, "--directory", f"{directory}/root", "--boot", f"systemd.unit={TARGET}"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def _leader(container: subprocess.Popen[bytes], directory: Path) -> int:
    """Return the process id of its systemd, once that is up. Raises TimeoutError with its last words."""
    end = time.monotonic() + BOOT_S
    while container.poll() is None and time.monotonic() < end:
        for child in Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split():
            ask = ("nsenter", f"--target={child}", "--all", "systemctl", "is-system-running")
            state = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
            if state in ("running", "degraded"):
                return int(child)
        time.sleep(0.03)
    raise TimeoutError(f"the container did not boot: {(directory / 'console.log').read_text(errors='replace')[-500:]}")


def _elsewhere() -> list[str]:
    """Return the directories of this program and its Python that the overlay does not show: of other file systems,
    below covered ones.
    """
    own = {str(Path(why502.__file__).parent.parent), sys.prefix, sys.base_prefix}
    covered = ("/tmp/", "/run/", "/dev/", *(f"{path}/" for path in EMPTY))
    return sorted(path for path in own if os.stat(path).st_dev != os.stat("/").st_dev or f"{path}/".startswith(covered))


def _sh(*argv: str) -> None:
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    sys.exit(main())
