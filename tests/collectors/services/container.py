"""A real systemd as pid 1 of a container: systemd-nspawn on an overlay of this machine's own root, without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from asked import until

import why502

HIERARCHIES = ("memory", "cpu", "systemd", "unified")


def why_not() -> str:
    """Return the reason why no container can be booted here; "" if one can."""
    if os.geteuid():
        return "needs root"
    missing = [name for name in ("systemd-nspawn", "nsenter", "systemctl", "journalctl") if not shutil.which(name)]
    missing += [] if os.path.exists("/lib/systemd/systemd") else ["systemd"]
    return f"needs {', '.join(missing)}" if missing else ""


@contextmanager
def booted(directory: Path, files: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield the command prefix that runs a command inside, once basic.target is reached. `files`: path inside to content."""
    name = f"w502{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        root = _overlay(directory, stack)
        for path, content in files.items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        groups = [Path("/sys/fs/cgroup", each, name) for each in HIERARCHIES if Path("/sys/fs/cgroup", each).is_dir()]
        for group in groups:
            group.mkdir()
            stack.callback(_remove, group)

        def enter() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        console = stack.enter_context((directory / "console.log").open("wb"))
        argv = [
            "systemd-nspawn",
            "--register=no",
            "--keep-unit",
            "--private-network",
            f"--machine={name}",
            "-D",
            str(root),
            *(f"--bind-ro={path}" for path in _covered()),
            "-b",
            "--",
        ]
        process = subprocess.Popen(
            [*argv, "--unit=basic.target"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=enter,  # noqa: PLW1509 (no threads are about)
        )
        stack.callback(_end, process)
        first: list[str] = []

        def is_up() -> bool:
            assert process.poll() is None, (directory / "console.log").read_text(errors="replace")[-500:]
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if not children:
                return False
            first[:] = ["nsenter", "-t", children[0], "-a"]
            state = subprocess.run([*first, "systemctl", "is-system-running"], capture_output=True, text=True, check=False).stdout
            return state.strip() in ("running", "degraded")

        until(is_up)
        subprocess.run([*first, "ip", "link", "set", "lo", "up"], check=True)
        yield tuple(first)
        subprocess.run([*first, "systemctl", "poweroff"], capture_output=True, check=False)
        process.wait(20)


def _overlay(directory: Path, stack: ExitStack) -> Path:
    upper, work, root = (directory / each for each in ("upper", "work", "root"))
    for each in (upper, work, root):
        each.mkdir()
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True, capture_output=True)
    stack.callback(subprocess.run, ["umount", "-l", str(root)], check=False)
    return root


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
        for child in children:  # its pid 1, whose end kills all others; it does not end with systemd-nspawn
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.wait(20)


def _covered() -> list[str]:
    """Return the directories of this program and its Python that an empty /tmp or /run would hide."""
    own = {str(Path(why502.__file__).parents[1]), sys.prefix, sys.base_prefix}
    return sorted(path for path in own if path.startswith(("/tmp/", "/run/")))


def _remove(group: Path) -> None:
    def is_gone() -> bool:
        with suppress(OSError):  # EBUSY while a process of it ends
            for directory, _, _ in os.walk(group, topdown=False):
                os.rmdir(directory)
        return not group.exists()

    until(is_gone)
