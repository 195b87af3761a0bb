"""Stage: the files, ports, processes, nginx and requests of a scene, all removed when it closes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from why502.lab import groups, traffic
from why502.lab.nginx import LOGS, Nginx
from why502.model.errors import Why502Error

BACKENDS = Path(__file__).parent / "backends"
JOURNAL = "/var/lib/why502"  # of repairs: those of a scene must not lie among the machine's own
OWN_DIRECTORIES = (
    "/etc/nginx",
    "/var/log",
    "/var/lib/nginx",
    "/run",
    "/etc/php",
    "/etc/supervisor",
    JOURNAL,
)  # empty ones of the scene's own lie over these
DISK = Path("/var/tmp")
PATIENCE_S = 30.0
FAILED = frozenset({0, 9, 499, 500, 502, 503, 504})  # statuses that clients see when a request fails; see `traffic.request`


class LabError(Why502Error):
    """A scene could not be built, or does not show the fault it should."""


@dataclass(frozen=True, slots=True)
class Round:
    """Requests that clients sent together, and the statuses that they saw."""

    times: int
    path: str
    at_once: int
    options: dict[str, object]
    statuses: frozenset[int]


class Stage:
    """The place of one scene.

    `is_isolated`: the namespaces are its own, so paths and ports are those of any server. Otherwise all files lie below
    `root`, and the kernel chooses the ports. `is_machine`: a systemd of its own runs, too. `group` names its control groups.
    """

    def __init__(self, root: Path, *, is_isolated: bool, is_machine: bool = False, group: str = "") -> None:
        self.root = root
        self.is_isolated = is_isolated
        self.is_machine = is_machine
        self.group = group
        self.nginx = Nginx(self)
        self.others: list[Nginx] = []
        self.statuses: set[int] = set()
        self.rounds: list[Round] = []
        self.failed_at_s: float | None = None  # when a client first saw a failure, in seconds since the epoch
        self.processes: list[subprocess.Popen[bytes]] = []
        self.when_started: Callable[[], None] = lambda: None  # is called when an nginx of the scene has begun to run
        self.told: dict[str, object] = {}  # what else is reported of the scene
        self._ports: dict[int, int] = {}
        self._closing = Event()
        self._threads: list[Thread] = []
        self.there: tuple[str, ...] = ()  # the command that enters the backend's own machine, where there is one
        self._slow = ""  # the device that is slowed down

    def open(self) -> None:
        """Bring up the loopback device and lay empty directories over those that a scene writes to."""
        if self.is_isolated:
            self.sh("ip", "link", "set", "lo", "up")
            if not self.is_machine:
                Path(JOURNAL).mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in filter(os.path.isdir, () if self.is_machine else OWN_DIRECTORIES):
                self.sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", directory)
            for name in ("hosts", "resolv.conf"):
                self._cover(Path(f"/etc/{name}").resolve(), self.path(f"/run/lab/{name}"))
            self.hosts({})

    def close(self) -> None:
        """End every process and thread of the scene. In namespaces of its own the kernel would do it anyway."""
        self._closing.set()
        if self._slow:
            groups.lift(self.group, self._slow)
        for nginx in (self.nginx, *self.others):
            nginx.kill()
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a session of its own: with its workers
        for process in self.processes:
            process.wait()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.until(_nothing_is_left, "the scene's processes end")

    # files

    def path(self, path: str) -> Path:
        """Return where an absolute path of the scene really lies."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, *, mode: int = 0o644) -> str:
        """Write a file of the scene, in place, with its directories; return its real path."""
        real = self.path(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        real.chmod(mode)
        return str(real)

    def read(self, path: str) -> str:
        """Return the text of a file of the scene; "" where it is not there yet."""
        real = self.path(path)
        return real.read_text(errors="replace") if real.exists() else ""

    def _cover(self, path: Path, own: Path) -> None:
        """Put an empty file of our own over one of the machine's, in this mount namespace only."""
        own.parent.mkdir(parents=True, exist_ok=True)
        own.touch()
        if not path.exists():  # its directory lies below one of ours
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self.sh("mount", "--bind", str(own), str(path))

    def resolver(self, text: str) -> None:
        """Write the scene's /etc/resolv.conf."""
        self.path("/run/lab/resolv.conf").write_text(text)

    def hosts(self, names: dict[str, str]) -> None:
        """Write the scene's /etc/hosts: localhost, and these names with their addresses."""
        lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {name}" for name, address in names.items())]
        self.path("/run/lab/hosts").write_text("\n".join(lines) + "\n")

    def logs(self) -> str:
        """Return the text of all nginx logs of the scene, at most the last 4 MiB of each."""
        texts = []
        for log in sorted(Path(f"{self.nginx.prefix}{LOGS}").rglob("*.log*")):
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - (4 << 20)))
                texts.append(stream.read().decode(errors="replace"))
        return "\n".join(texts)

    # ports, processes

    def port(self, number: int) -> int:
        """Return the port itself in a network namespace of our own, else a free one that stands for it.

        The kernel chooses the first of those; others lie as far from it as they should, where those are free.
        """
        if self.is_isolated:
            return number
        if number not in self._ports:
            first, chosen = next(iter(self._ports.items()), (number, 0))
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", chosen and chosen + number - first))
                except (OSError, OverflowError):
                    probe.bind(("127.0.0.1", 0))
                self._ports[number] = probe.getsockname()[1]
        return self._ports[number]

    def sh(self, *argv: str, stdin: str = "") -> str:
        """Run a program and return its output. Raises LabError with its words when it fails."""
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(f"{argv[0]}: {error}") from error
        if done.returncode:
            raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def spawn(self, *argv: str, log: str = "/var/log/app.log") -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C reaches only us; its output goes to `log`."""
        real = self.path(log)
        real.parent.mkdir(parents=True, exist_ok=True)
        with real.open("ab") as stream:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd="/"
            )
        self.processes.append(process)
        return process

    def backend(
        self, listen: str | int, *options: str, script: str = "server.py", wrap: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start one of the backends on a port (of 127.0.0.1), an `address:port` or a `unix:` path, and wait until it listens.

        See `backends/server.py --help` for the options. `wrap` is a command to start it with.
        """
        address = f"127.0.0.1:{self.port(listen)}" if isinstance(listen, int) else listen
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).parent.mkdir(parents=True, exist_ok=True)
        process = self.spawn(*wrap, sys.executable, "-E", "-s", str(BACKENDS / script), address, *options)
        ready = f"listening on {address}, pid {process.pid}\n"
        log = self.path("/var/log/app.log")
        self.until(lambda: ready in log.read_text(errors="replace"), f"backend on {address}", process)
        return process

    def make_group(self, *, memory: int = 0, cpu: float = 0.0, disk: tuple[str, int] = ("", 0)) -> list[Path]:
        """Return the directories of a control group with these limits: bytes, processors, bytes/s of a device."""
        if self.is_machine and not groups.is_v2():  # a container sees the hierarchies of version 1 read-only
            for controller in ("memory", "cpu", "blkio"):
                self.sh("mount", "-o", "remount,bind,rw", f"{groups.ROOT}/{controller}")
        self._slow = disk[0]
        return groups.make(self.group, memory=memory, cpu=cpu, disk=disk)

    def scratch(self) -> Path:
        """Return a new directory on a real disk, which goes with the scene; all else of an isolated scene lies in memory."""
        directory = DISK / self.group
        directory.mkdir(mode=0o755, exist_ok=True)
        return directory

    def limit(self, *, memory: int = 0, cpu: float = 0.0, disk: tuple[str, int] = ("", 0)) -> tuple[str, ...]:
        """Return a command to start a program with, in such a control group."""
        join = "; ".join(
            f"echo $$ > {directory}/cgroup.procs" for directory in self.make_group(memory=memory, cpu=cpu, disk=disk)
        )
        return ("sh", "-c", f'{join}; exec "$@"', "sh")

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
        """End a process, and wait until it is gone."""
        process.send_signal(how)
        process.wait(PATIENCE_S)

    def until(
        self,
        condition: Callable[[], object],
        message: str,
        process: subprocess.Popen[bytes] | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Wait until a condition holds. Raises LabError after `patience_s`, or at once where `process` ended before."""
        end = time.monotonic() + patience_s
        while not condition():
            if process and process.poll() is not None:
                raise LabError(f"{message}: ended with status {process.returncode}", self.path("/var/log/app.log").read_text())
            if time.monotonic() > end:
                raise LabError(f"{message}: not within {patience_s:g} s", self.logs()[-2000:])
            time.sleep(0.01)

    def until_logged(self, pattern: str) -> None:
        """Wait until a line of some nginx log matches the regular expression."""
        self.until(lambda: re.search(pattern, self.logs()), f"no log line matches {pattern!r}")

    # requests

    def send(self, path: str = "/", **options: object) -> int:
        """Send one request to nginx and return the status that the client saw. Options: those of `traffic.request`."""
        return self.send_many(1, path, **options)[0]  # type: ignore[arg-type]

    def send_many(self, times: int, path: str = "/", *, at_once: int = 1, **options: object) -> list[int]:
        """Send requests, `at_once` of them at the same time; return their statuses in no order."""
        answers = traffic.spread(lambda: self._send(path, options), times, at_once)
        self.rounds.append(Round(times, path, at_once, options, frozenset(answers)))
        return answers

    def repeat(self, done: Round) -> list[int]:
        """Send the same requests again, and return their statuses."""
        return traffic.spread(lambda: self._send(done.path, done.options), done.times, done.at_once)

    def ask_again(self, done: Round) -> int:
        """Send one of these requests again, and return its status."""
        return self._send(done.path, done.options)

    def _send(self, path: str, options: dict[str, object]) -> int:
        others = dict(options)
        port = others.pop("port", 80)
        assert isinstance(port, int)
        status = traffic.request(("127.0.0.1", self.port(port)), path, **others)  # type: ignore[arg-type]
        self.statuses.add(status)
        if status in FAILED and self.failed_at_s is None:
            self.failed_at_s = time.time()
        return status

    def keep_sending(self, path: str = "/", *, clients: int = 4, **options: object) -> None:
        """Have clients that send one request after the other until the scene closes."""

        self.rounds.append(Round(2, path, 1, options, frozenset()))

        def client() -> None:
            while not self._closing.is_set():
                self._send(path, options)
                self._closing.wait(0.05)

        for _ in range(clients):
            thread = Thread(target=client, daemon=True)
            thread.start()
            self._threads.append(thread)


def _nothing_is_left() -> bool:
    """End and reap our children; return whether none is left (waitpid(2)). Orphans of the scene are ours: see `inside.adopt`.

    A child belongs to the thread that started it (proc(5), /proc/PID/task/TID/children).
    """
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True


def remove(directory: Path) -> None:
    """Remove a directory with all that it holds."""
    shutil.rmtree(directory, ignore_errors=True)
