"""LocalHost with real files, programs and sockets, including those that would hang or flood."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from why502.host.bounded import bounded
from why502.host.local import OUTPUT_LIMIT, LocalHost
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.target import Target


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


def test_reads_files_and_proc(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert host.read(f"{tmp_path}/f") == b"abc" * 100_000
    assert host.read(f"{tmp_path}/f", limit_bytes=4) == b"abca"
    assert host.read("/proc/self/status").startswith(b"Name:")
    with host.open(f"{tmp_path}/f") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"abc"


def test_lists_stats_and_reads_links(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "a").symlink_to("b")
    assert host.list(str(tmp_path)) == ["a", "b"]
    assert host.link(f"{tmp_path}/a") == "b"
    assert host.stat(f"{tmp_path}/a").kind == "file"
    assert host.stat(f"{tmp_path}/a").size_bytes == 2
    assert host.stat(f"{tmp_path}/a", follow=False).kind == "link"
    assert host.stat(str(tmp_path)).kind == "directory"
    assert host.space(str(tmp_path)).total_bytes > 0
    assert host.acl(f"{tmp_path}/b") == ()


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/proc/self/status/below", "/proc/99999999/stat"])
def test_missing(host: LocalHost, path: str) -> None:
    with pytest.raises(Missing):
        host.read(path)


def test_a_path_with_a_null_byte_raises_host_error(host: LocalHost) -> None:
    with pytest.raises(HostError):
        host.read("/tmp/a\0b")
    with pytest.raises(HostError):
        host.run("true", "a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_denied(host: LocalHost) -> None:
    with pytest.raises(Denied) as raised:
        host.read("/etc/shadow")
    assert raised.value.hint


def test_pipes_devices_and_directories_are_refused(host: LocalHost, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    started = time.monotonic()
    for path in (f"{tmp_path}/pipe", "/dev/zero", str(tmp_path), f"{tmp_path}/socket"):
        with pytest.raises(HostError):
            host.read(path)
        with pytest.raises(HostError):
            host.open(path)
    assert time.monotonic() - started < 5
    listening.close()


def test_a_hanging_read_ends_and_its_directory_is_skipped(tmp_path: Path) -> None:
    host = LocalHost(patience_s=0.05)
    stuck = threading.Event()
    (tmp_path / "file").touch()
    with pytest.raises(Expired) as raised:
        host._look(str(tmp_path / "file"), lambda at: stuck.wait(), lambda other: False)
    assert "file system" in raised.value.hint
    with pytest.raises(Expired):
        host.read(str(tmp_path / "other"))
    assert host.read("/proc/self/stat")
    stuck.set()


def test_bounded_passes_values_and_errors() -> None:
    assert bounded(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        bounded(5, divmod, 7, 0)


def test_no_thread_outlives_its_caller() -> None:
    before = threading.active_count()
    callers = [threading.Thread(target=bounded, args=(5, int)) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    end = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_runs_a_program(host: LocalHost) -> None:
    done = host.run("sh", "-c", 'echo "out $LC_ALL"; echo err >&2; cat; exit 3')
    assert (done.status, done.stdout, done.stderr) == (3, "out C\n", "err\n")


def test_a_missing_program(host: LocalHost) -> None:
    with pytest.raises(Missing):
        host.run("no-such-program-anywhere")


def test_output_is_bounded_and_decoded(host: LocalHost) -> None:
    code = f"import os,sys\nfor _ in range(6): os.write(1, b'x' * {1 << 20})\nos.write(2, bytes([255]))"
    done = host.run(sys.executable, "-c", code, timeout_s=20)
    assert done.status == 0
    assert len(done.stdout) == OUTPUT_LIMIT
    assert done.stderr == "\ufffd"


def test_the_whole_group_ends_at_the_time_limit(host: LocalHost, tmp_path: Path) -> None:
    with pytest.raises(Expired):
        host.run("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout_s=1)
    child = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 5
    while _lives(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_child_left_behind_does_not_block_the_caller(host: LocalHost) -> None:
    started = time.monotonic()
    done = host.run("sh", "-c", "sleep 60 & echo done", timeout_s=30)
    assert done.stdout == "done\n"
    assert time.monotonic() - started < 10


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_connects_and_talks(host: LocalHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        connection = host.connect(target)
        other, _ = server.accept()
        with pytest.raises(Expired):
            connection.receive(timeout_s=0.02)
        other.sendall(b"hello")
        assert connection.receive() == b"hello"
        connection.send(b"you")
        assert other.recv(9) == b"you"
        other.close()
        assert connection.receive() == b""
        connection.close()


def test_connect_reports_errno(host: LocalHost, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(HostError) as refused:
        host.connect(Target(host="127.0.0.1", port=port))
    assert refused.value.errno == errno.ECONNREFUSED
    with pytest.raises(Missing) as missing:
        host.connect(Target(path=f"{tmp_path}/none"))
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(HostError):
        host.connect(Target(host="no.such.name.invalid", port=80))
    with pytest.raises(HostError):
        host.connect(Target(path="/" + "x" * 200))


def test_a_full_queue_of_a_unix_socket_is_eagain(host: LocalHost, tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        first = host.connect(Target(path=path))
        with pytest.raises(HostError) as full:
            host.connect(Target(path=path), timeout_s=1)
        assert full.value.errno == errno.EAGAIN
        first.close()


def test_an_address_that_does_not_answer_expires(host: LocalHost) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        held = []
        with pytest.raises(Expired):
            for _ in range(8):
                held.append(host.connect(target, timeout_s=0.2))  # noqa: PERF401
        for connection in held:
            connection.close()
