"""This machine as one of its users may see it; the kernel enforces it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.host.directory import PublicHost
from why502.host.local import LocalHost
from why502.host.owner import FAILURES_MOST, OwnerHost
from why502.host.trust import NOBODY
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.target import Target

USER = 61234
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, needs root")


@pytest.fixture
def host() -> Iterator[OwnerHost]:
    found = LocalHost().acting_as(USER)
    assert isinstance(found, OwnerHost)
    yield found
    if found._helper is not None:
        found._helper.end()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:

    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_it_sees_what_the_user_sees(host: OwnerHost, place: Path) -> None:
    (place / "open").write_text("for all")
    (place / "closed").write_text("for root")
    (place / "closed").chmod(0o600)
    assert host.read(f"{place}/open") == b"for all"
    assert host.read(f"{place}/open", limit_bytes=3) == b"for"
    assert host.open(f"{place}/open").read() == b"for all"
    assert host.list(str(place)) == ["closed", "open"]
    assert (host.stat(f"{place}/closed").kind, host.stat(f"{place}/closed").mode) == ("file", 0o600)
    assert host.acl(f"{place}/open") == ()
    assert host.space(str(place)).total_bytes == LocalHost().space(str(place)).total_bytes
    for look in (host.read, host.open):
        with pytest.raises(Denied, match=f"permission denied for user {USER}"):
            look(f"{place}/closed")
    with pytest.raises(Missing):
        host.read(f"{place}/none")


def test_nothing_of_root_is_passed_on(host: OwnerHost) -> None:
    done = host.run("sh", "-c", "id -u; id -G; grep -E '^(NoNewPrivs|CapEff|CapInh)' /proc/self/status; env; ls /proc/self/fd")
    lines = done.stdout.split("\n")
    assert lines[:2] == [str(USER), str(NOBODY)]
    assert {line.replace("\t", "") for line in lines[2:5]} == {
        "NoNewPrivs:1",
        "CapEff:0000000000000000",
        "CapInh:0000000000000000",
    }
    assert "HOME" not in done.stdout
    assert lines[-5:-1] == ["0", "1", "2", "3"]  # the last one belongs to ls itself


def test_a_program_that_does_not_end_is_ended(host: OwnerHost) -> None:
    with pytest.raises(Expired):
        host.run("sleep", "60", timeout_s=0.2)
    assert host.run("echo", "on").stdout == "on\n"


def test_it_connects_only_where_the_user_may(host: OwnerHost, place: Path) -> None:
    for name, mode in (("open", 0o666), ("closed", 0o600)):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{place}/{name}")
        os.chmod(f"{place}/{name}", mode)
        listening.listen()
        if name == "closed":
            with pytest.raises(HostError) as raised:
                host.connect(Target(path=f"{place}/{name}"))
            assert raised.value.errno == 13
            continue
        line = host.connect(Target(path=f"{place}/{name}"))
        line.send(b"hello")
        assert listening.accept()[0].recv(9) == b"hello"
        line.close()
    with socket.create_server(("127.0.0.1", 0)) as server:
        host.connect(Target(host="127.0.0.1", port=server.getsockname()[1])).close()
        port = server.getsockname()[1]
    with pytest.raises(HostError) as raised:
        host.connect(Target(host="127.0.0.1", port=port))
    assert raised.value.errno == 111


def test_a_user_who_kills_it_is_skipped(host: OwnerHost) -> None:
    for _ in range(FAILURES_MOST):
        assert host.read("/etc/passwd")
        assert host._helper is not None
        as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
        subprocess.run([*as_user, "kill", "-KILL", str(host._helper._process.pid)], check=True)
        with pytest.raises(HostError):
            host.read("/etc/passwd")
    with pytest.raises(HostError, match="too often"):
        host.read("/etc/passwd")


@pytest.mark.thorough
def test_a_user_who_stops_it_does_not_stop_us(host: OwnerHost) -> None:
    assert host.read("/etc/passwd")
    assert host._helper is not None
    os.kill(host._helper._process.pid, signal.SIGSTOP)
    with pytest.raises(Expired):
        host.read("/etc/passwd")
    assert host.read("/etc/passwd")


def test_one_that_is_stopped_ends_with_the_program() -> None:
    program = (
        "import atexit, os, signal\nfrom why502.host.local import LocalHost\n"
        f"host = LocalHost().acting_as({USER})\nhost.read('/etc/passwd')\n"
        "os.kill(host._helper._process.pid, signal.SIGSTOP)\nprint(host._helper._process.pid, flush=True)\n"
        "atexit._run_exitfuncs()\nos._exit(0)"  # so ends the command line
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not Path("/proc", done.stdout.strip()).exists()


def test_the_user_cannot_trace_it(host: OwnerHost) -> None:
    assert host.read("/etc/passwd")
    assert host._helper is not None
    as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    looked = subprocess.run([*as_user, "cat", f"/proc/{host._helper._process.pid}/environ"], capture_output=True, check=False)
    assert looked.returncode != 0
    assert looked.stdout == b""


def test_below_another_root_no_link_leads_out(host: OwnerHost, place: Path) -> None:
    (place / "etc").mkdir()
    (place / "etc/name").write_text("inside")
    (place / "link").symlink_to("/etc/name")
    (place / "out").symlink_to("../../../../etc/hostname")
    inside = host.inside(str(place))
    assert inside.read("/link") == b"inside"
    with pytest.raises(Missing):
        inside.read("/out")
    with pytest.raises(HostError):
        inside.run("id")


def test_files_of_the_kernel_are_read_by_the_user_alone(host: OwnerHost) -> None:
    assert host.read("/proc/self/status")
    with pytest.raises(Denied):
        host.open("/proc/self/status")


def test_files_created_by_a_user_are_read_as_that_user(place: Path) -> None:
    mine = place / "mine"
    mine.mkdir()
    os.chown(mine, USER, USER)
    (place / "secret").write_text("for root")
    (place / "secret").chmod(0o600)
    (mine / "link").symlink_to(place / "secret")
    os.lchown(mine / "link", USER, USER)
    host = LocalHost()
    with pytest.raises(Denied):
        host.read(f"{mine}/link")
    with pytest.raises(Denied):
        host.open(f"{mine}/link")
    os.link(place / "secret", mine / "second")
    with pytest.raises(Denied):
        host.read(f"{mine}/second")
    assert host.read(f"{place}/secret") == b"for root"  # it now has a second name, in no directory on root's path
    assert (host.supplier(f"{mine}/link"), host.supplier(f"{place}/secret")) == (USER, 0)


def test_an_ordinary_user_reads_for_others_what_everybody_may(place: Path) -> None:
    (place / "open").write_text("for all")
    (place / "closed").write_text("for root")
    (place / "closed").chmod(0o600)
    (place / "shut").mkdir(0o700)
    (place / "shut/file").write_text("behind")
    host = PublicHost("here")
    assert host.read(f"{place}/open") == b"for all"
    for name in ("closed", "shut/file"):
        with pytest.raises(Denied):
            host.read(f"{place}/{name}")


def _is_gone(pid: int) -> bool:
    """Return whether a process has ended; the kernel may keep its entry until its new parent has waited for it."""
    try:
        return b") Z " in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True


def _await_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while not _is_gone(pid):
        assert time.monotonic() < until, f"process {pid} stays"
        time.sleep(0.01)


def test_one_that_is_stopped_ends_with_a_program_that_is_killed() -> None:
    program = (
        "import os, signal\nfrom why502.host.local import LocalHost\n"
        f"host = LocalHost().acting_as({USER})\nhost.read('/etc/passwd')\n"
        "os.kill(host._helper._process.pid, signal.SIGSTOP)\nprint(host._helper._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    _await_gone(int(done.stdout))


def test_a_program_of_one_that_is_stopped_ends_with_it(host: OwnerHost, place: Path) -> None:
    """The user stops both, the program and the process that runs it."""
    place.chmod(0o777)
    script = "echo $$ > pid; kill -STOP $PPID; kill -STOP $$"
    with pytest.raises(HostError):
        host.run("sh", "-c", f"cd {place}; {script}", timeout_s=0.2)
    _await_gone(int((place / "pid").read_text()))


def test_one_that_a_thread_started_outlives_the_thread(host: OwnerHost) -> None:
    thread = threading.Thread(target=host.read, args=("/etc/passwd",))
    thread.start()
    thread.join()
    assert host._helper is not None
    first = host._helper._process.pid
    assert host.read("/etc/passwd")
    assert host._helper._process.pid == first
