"""Runs the commands of a fix with a time limit and without a shell. After a reload it waits until only new workers serve."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

from why502.fix import guard
from why502.host import trust
from why502.model.base import Value
from why502.model.errors import HostError, Why502Error
from why502.model.remedy import Run
from why502.model.times import whole_number

COMMAND_S = 60.0
WORKERS_S = 20.0
DROP_IN = "why502-"  # how the names of our drop-ins begin
LOOPS = 3  # restarts after which starting the service would only continue its restart loop
_PATH = guard.PATH
# Pairs of files up to "--": the new content over the old file, for this one command only.
_BIND = 'set -e; while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'
_UNBOUND = ("mount:", "unshare:")  # how complaints about those two start


class Master(Value, frozen=True, kw_only=True):
    """The master process of an nginx: its pid file, and the pid in it when it was read."""

    pid_file: str = ""
    pid: int = 0

    def find(self) -> int:
        """Return the master's current pid; 0 if it is not running."""
        for pid in (self.written(), self.pid):
            if pid and b"master process" in _title(pid):
                return pid
        return 0

    def written(self) -> int:
        """Return the pid in the pid file; 0 if there is none."""
        try:
            return int(Path(self.pid_file).read_text(errors="replace")) if self.pid_file else 0
        except (OSError, ValueError):
            return 0

    def workers(self) -> frozenset[int]:
        """Return the pids of the workers that accept new connections. A worker that exits has "is shutting down" in its title."""
        master = self.find()
        if not master:
            return frozenset()
        found = set()
        for name in os.listdir("/proc"):
            if name.isdigit() and _parent(name) == master:
                title = _title(int(name))
                if b"worker process" in title and b"shutting down" not in title:
                    found.add(int(name))
        return frozenset(found)


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: str) -> int:
    """Return the pid of the parent (proc(5), stat). The process name before it may contain any character."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def finish(argv: tuple[str, ...], shown: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return it. `shown` is its name in error messages.

    Raises Why502Error if it cannot be run, does not end in time, or if others could change the program or the files it names.
    """
    guard.command(shown or argv)
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{_PATH}:{os.environ.get('PATH', '')}".rstrip(":")}
    environment.pop("NGINX", None)  # names inherited sockets to an nginx that we start
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=COMMAND_S,
            check=False, env=environment, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Why502Error(
            f"{shlex.join(shown or argv)} did not finish within {COMMAND_S:g} s", "Run it manually to see the reason."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Why502Error(f"{argv[0]}: {reason.lower()}", "Run it manually to see the reason.") from error


def execute(argv: tuple[str, ...], master: Master, since: datetime | None = None) -> None:
    """Run one command; after a reload of nginx, wait until only new workers serve. Raises Why502Error if it fails.

    A process that is signalled must be the one that had this pid at `since`.
    """
    if argv[0] == "kill" and len(argv) == 3:
        guard.send(argv, since)
        return
    is_signal = "-s" in argv[1:-1]  # an nginx command, which reads the process to signal from its pid file
    if is_signal and "nsenter" not in argv[0]:
        _may_signal(master)
    is_reload = argv[-2:] == ("-s", "reload")
    old = master.workers() if is_reload else frozenset()
    with guard.pinned(argv) as exact:
        done = finish(exact, argv)
    if argv[:2] == ("systemd-analyze", "verify"):
        if complaint := _about(os.path.basename(argv[-1]), done):
            raise Why502Error(f"{shlex.join(argv)} complains: {complaint}", "The new configuration was not loaded.")
    elif done.returncode != 0:
        raise Why502Error(
            f"{shlex.join(argv)} exited with status {done.returncode}: {last(done)}", "Run it manually to see the reason."
        )
    if old:
        _await_new_workers(master, old)


def _may_signal(master: Master) -> None:
    """Raise Why502Error unless the pid file names a process of a trusted user and program,
    and nobody else can change the file.
    """
    try:
        if master.pid_file and (reason := trust.stranger(master.pid_file)):
            raise Why502Error(reason, "No signal was sent.")
        pid = master.written()
        if pid and os.path.exists(f"/proc/{pid}") and b"master process" not in _title(pid):
            raise Why502Error(f"{master.pid_file} names process {pid}, which is not nginx", "No signal was sent to it.")
        if pid := master.find():
            with trust.process(pid):
                return
    except HostError as error:
        raise Why502Error(error.reason, error.hint or "No signal was sent.") from error


def _about(unit: str, done: subprocess.CompletedProcess[str]) -> str:
    """Return the complaint of `systemd-analyze verify` about our drop-in, or about its unit if systemd rejects that; else "".

    It exits with 0 even if a key is unknown. It also reports unrelated errors; those that existed before the change are ignored.
    """
    lines = [line.strip() for line in done.stderr.splitlines()]
    own = [line for line in lines if f"/{unit}.d/{DROP_IN}" in line]
    refused = [line for line in lines if unit in line and not line.endswith("ignoring.")] if done.returncode else []
    return next(iter([*own, *refused]), "")


def _await_new_workers(master: Master, old: frozenset[int]) -> None:
    ends = time.monotonic() + WORKERS_S
    while time.monotonic() < ends:
        now = master.workers()
        if now and not now & old:
            return
        time.sleep(0.02)  # poll: the workers are not our child processes
    raise Why502Error(
        f"the old workers still serve {WORKERS_S:g} s after the reload: the proxy rejected the new configuration",
        "Its error log gives the reason.",
    )


def check(test: tuple[str, ...], pairs: tuple[str, ...]) -> str | None:
    """Run the proxy's own configuration test as if files had other content. Pairs of (content, file) are bind-mounted in a mount
    namespace that ends with the test. Return "" if it passes, its complaint if not, or None if this is impossible (it
    needs root).
    """
    if not test or os.geteuid() != 0 or shutil.which("unshare", path=_PATH) is None:
        return None
    argv = ("unshare", "-m", "--propagation", "private", "sh", "-c", _BIND, "sh", *pairs, "--", *test) if pairs else test
    done = finish(argv, test)
    if done.returncode == 0:
        return ""
    return None if pairs and done.stderr.lstrip().startswith(_UNBOUND) else last(done)


def may_run(run: Run, runs: tuple[Run, ...] = ()) -> None:
    """Raise Why502Error if the program of a command is missing, since half of a plan may do harm, or if a service to be started
    is in a restart loop, since starting it would only continue the loop.

    A service in a loop may be started if the same fix resets its restart counter: then it is known to run for some time.
    """
    if shutil.which(run.argv[0], path=f"{_PATH}:{os.environ.get('PATH', '')}") is None and run.argv[0] != "kill":
        raise Why502Error(f"{run.argv[0]}: no such program", "Nothing was changed. Install it, or name its directory in PATH.")
    if run.argv[:2] not in (("systemctl", "start"), ("systemctl", "restart")) or len(run.argv) < 3:
        return
    unit = run.argv[-1]
    if any(other.argv == ("systemctl", "reset-failed", unit) for other in runs):
        return
    restarts = finish(("systemctl", "show", "-p", "NRestarts", "--value", "--", unit)).stdout.strip()
    if (whole_number(restarts) or 0) >= LOOPS:
        raise Why502Error(
            f"{unit} was already started {restarts} times and died each time: starting it again would not help",
            f"See its last messages: journalctl -u {unit} -n 50",
        )


def last(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of a command's output that contains the error."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    marked = (line for line in lines if any(mark in line for mark in ("[emerg]", "[ALERT]", "ERROR")))
    return next(marked, lines[-1] if lines else "no message")
