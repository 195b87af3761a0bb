"""Listening sockets: recorded /proc/net, real sockets of every kind compared with ss, and deceptive names."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.collectors import listeners
from why502.collectors.base import CollectOptions
from why502.host.base import SocketTable
from why502.host.local import LocalHost
from why502.machine.proc_net import hex_address, parse_tcp, parse_unix
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC))

TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 777 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 778 1 0000000000000000 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 779 1 0000000000000000 100 0 0 10 0
"""
UNIX = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 900 /run/app.sock
0000000000000000: 00000002 00000000 00010000 0005 01 901 /run/udev/control
0000000000000000: 00000003 00000000 00000000 0001 03 902 /run/app.sock
0000000000000000: 00000002 00000000 00010000 0001 01 903 @abstract
0000000000000000: 00000002 00000000 00010000 0001 01 904 /run/a b.sock
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="recorded on a little-endian machine")
def test_proc_net() -> None:
    assert parse_tcp(TCP6) == (
        [
            Listener(target=Target(host="::1", port=9000), inode=777, queued=3, uid=1000),
            Listener(target=Target(host="127.0.0.1", port=8080), inode=778, queued=0, uid=0),
        ],
        0,
    )
    found, misfits = parse_unix(UNIX)
    assert [(x.target.path, x.inode, x.queued) for x in found] == [("/run/app.sock", 900, None), ("/run/a b.sock", 904, None)]
    assert misfits == 0
    assert hex_address("0100007F") == "127.0.0.1"


def test_a_damaged_row_is_lost_alone() -> None:
    first, second = TCP6.split(b"\n")[1:3]
    found, misfits = parse_tcp(b"head\n" + first + b"\n" + second[:40] + b"\n   9: zz:0 x\n")
    assert [x.inode for x in found] == [777]
    assert misfits == 2
    assert parse_unix(b"head\n" + UNIX.split(b"\n")[1] + b"\n1: 2 3 zz 5 6 7 /a\n") == (parse_unix(UNIX)[0][:1], 1)


def test_rows_with_the_same_inode_are_both_dropped() -> None:
    forged = UNIX + b"0000000000000000: 00000002 00000000 00010000 0001 01 904 /run/app.sock\n"
    found, misfits = parse_unix(forged)
    assert [x.inode for x in found] == [900]
    assert misfits == 2


@given(st.binary(max_size=200))
def test_any_rows_are_read(content: bytes) -> None:
    parse_tcp(b"head\n" + content)
    parse_unix(b"head\n" + content)


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[dict[str, socket.socket]]:
    made = {
        "v4": socket.create_server(("127.0.0.1", 0), backlog=7),
        "v6": socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=8),
        "both": socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True),
        "only6": socket.create_server(("::", 0), family=socket.AF_INET6),
    }
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(f"{tmp_path}/a b.sock")
    unix.listen(3)
    yield made | {"unix": unix}
    for one in (*made.values(), unix):
        one.close()


class WithoutNetlink(LocalHost):
    """A machine whose kernel answers no sock_diag."""

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        raise HostError("sock_diag: Protocol not supported")


@pytest.mark.real
@pytest.mark.parametrize("kind", [LocalHost, WithoutNetlink])
def test_real_sockets(sockets: dict[str, socket.socket], tmp_path: Path, kind: type[LocalHost]) -> None:
    waiting = [socket.create_connection(sockets["v4"].getsockname()) for _ in range(2)]
    found = listeners.collect(kind(), NOW, CollectOptions())
    own = {x.inode: x for x in found.value or () if not x.network}
    seen = {name: own[os.fstat(one.fileno()).st_ino] for name, one in sockets.items()}
    assert all(os.getpid() in listener.pids for listener in seen.values())
    assert seen["v4"].target.host == "127.0.0.1"
    assert seen["v4"].queued == 2
    assert seen["v6"].target.host == "::1"
    assert seen["both"].target.host == seen["only6"].target.host == "::"
    assert seen["unix"].target.path == f"{tmp_path}/a b.sock"
    assert all(listener.uid == os.getuid() for name, listener in seen.items() if name != "unix" or kind is LocalHost)
    if kind is LocalHost:
        file = os.stat(f"{tmp_path}/a b.sock")
        assert (seen["unix"].device, seen["unix"].file_inode, seen["unix"].is_at_path) == (file.st_dev, file.st_ino, True)
        assert (seen["v4"].backlog, seen["v6"].backlog, seen["unix"].backlog) == (7, 8, 3)
        assert (seen["both"].only_v6, seen["only6"].only_v6) == (False, True)
    else:
        assert seen["v4"].backlog is None
        assert any("sock_diag" in gap.hint for gap in found.gaps)
    for connection in waiting:
        connection.close()


@pytest.mark.real
def test_the_kernels_answer_matches_ss(sockets: dict[str, socket.socket], tmp_path: Path) -> None:
    waiting = [socket.create_connection(sockets["v4"].getsockname()) for _ in range(2)]
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{tmp_path}/a b.sock")
    own = {x.inode: x for x in listeners.collect(LocalHost(), NOW, CollectOptions()).value or ()}
    lines = subprocess.run(["ss", "-Hlntxpe"], capture_output=True, text=True, check=True).stdout.splitlines()
    for name, one in sockets.items():
        inode = os.fstat(one.fileno()).st_ino
        ours = own[inode]
        pattern = rf"u_str .* {inode} +\* 0 " if name == "unix" else rf"tcp .*\bino:{inode} "
        line = next(line for line in lines if re.match(pattern, line))
        words = line.split()
        assert (str(ours.queued), str(ours.backlog)) == (words[2], words[3])
        assert {int(pid) for pid in re.findall(r"pid=(\d+)", line)} == set(ours.pids)
        if name == "unix":
            assert f" {ours.target.path} {inode}" in line
            continue
        assert words[4] in {str(ours.target), f"*:{ours.target.port}"}
        only_v6 = re.search(r"v6only:(\d)", line)
        assert ours.only_v6 is (only_v6[1] == "1" if only_v6 else None)
    for connection in (*waiting, client):
        connection.close()


FORGER = r"""
import ctypes, os, socket, sys
path = sys.argv[1]
os.setgid(65534); os.setuid(65534)
sockets = []
for text in (
    "\n0000000000000000: 00000002 00000000 00010000 0001 01 %d " + path,
    "\ntcp   LISTEN 0      511    127.0.0.1:59  0.0.0.0:* users:((\"nginx\",pid=1,fd=6)) ino:%d sk:1 <->",
    "\nu_str LISTEN 0      4096   " + path + " %d * 0",
):
    held = socket.socket()  # an inode of its own, which no unix socket has
    number = os.fstat(held.fileno()).st_ino
    one = socket.socket(socket.AF_UNIX)
    one.bind("\0" + (text % number)[:106])
    one.listen()
    sockets += [held, one]
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("kind", [LocalHost, WithoutNetlink])
@pytest.mark.parametrize("has_file", [True, False])
def test_the_name_of_a_socket_cannot_forge_a_listener(kind: type[LocalHost], *, has_file: bool) -> None:
    path = f"/run/w{os.getpid()}.sock"
    if has_file:  # left behind by an application that died
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
    process = subprocess.Popen([sys.executable, "-c", FORGER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        assert f" {path}\n".encode() in Path("/proc/net/unix").read_bytes(), "the rows are not there: the test shows nothing"
        found = listeners.collect(kind(), NOW, CollectOptions())
        assert not [x for x in found.value or () if x.target.path == path or x.target.port == 59 or process.pid in x.pids]
        assert (kind is LocalHost) or any("forged" in gap.reason for gap in found.gaps)
    finally:
        process.kill()
        process.communicate()
        Path(path).unlink(missing_ok=True)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_a_path_of_another_mount_namespace_leads_elsewhere() -> None:
    """Whoever may make a user namespace may mount over /run in it, and bind any path there."""
    path = f"/run/w{os.getpid()}.sock"
    code = (
        f"import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen(); print('up', flush=True); "
        f"sys.stdin.read()"
    )
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh", sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
            assert process.stdout and process.stdout.readline() == b"up\n"
            found = [x for x in listeners.collect(LocalHost(), NOW, CollectOptions()).value or () if process.pid in x.pids]
            assert [x.is_at_path for x in found] == [False]
            there = Proxy(pid=process.pid, root=f"/proc/{process.pid}/root")
            known = Snapshot(taken_at=NOW.taken_at, proxies=(there,))
            found = [x for x in listeners.collect(LocalHost(), known, CollectOptions()).value or () if process.pid in x.pids]
            assert [x.is_at_path for x in found] == [True]
    finally:
        process.kill()
        process.communicate()
        Path(path).unlink(missing_ok=True)


OVERLAY = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/lower" "$1/upper" "$1/work" "$1/top"
mount -t tmpfs none "$1/lower"
mount -t overlay none -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/top"
ln -s . "$1/top/link"
exec "$2" -c "$3" "$1"
"""
ON_OVERLAY = """
import os, socket, sys
from why502.host.local import LocalHost
from why502.model.snapshot import Snapshot
from why502.collectors import listeners
from why502.collectors.base import CollectOptions
from datetime import UTC, datetime
def bound(path):
    one = socket.socket(socket.AF_UNIX); one.bind(path); one.listen(); return one
top = sys.argv[1] + "/top/"
kept = [bound(top + "there.sock"), bound(top + "link/linked.sock"), bound(top + "gone.sock")]
os.unlink(top + "gone.sock")
assert os.stat(top + "there.sock").st_dev != os.stat(top).st_dev, "the layers are one file system: this shows nothing"
found = listeners.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC)), CollectOptions()).value or ()
for x in found:
    if x.target.path.startswith(top):
        print(x.target.path.rpartition("/")[2], x.is_at_path)
"""


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_a_socket_on_an_overlay_is_at_its_path(tmp_path: Path) -> None:
    """stat(2) reports the device of a layer, the kernel that of the whole."""
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", OVERLAY, "sh", str(tmp_path), sys.executable, ON_OVERLAY],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert sorted(ran.stdout.splitlines()) == ["gone.sock False", "linked.sock True", "there.sock True"], ran.stderr


@pytest.mark.real
def test_a_relative_path_counts_from_its_owners_directory(tmp_path: Path) -> None:
    code = (
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind('rel.sock'); s.listen(); print('up', flush=True); "
        "sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        found = listeners.collect(LocalHost(), NOW, CollectOptions()).value or ()
        assert f"unix:{tmp_path}/rel.sock" in {str(x.target) for x in found if process.pid in x.pids}
    finally:
        process.kill()
        process.communicate()


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
@pytest.mark.parametrize("kind", [LocalHost, WithoutNetlink])
def test_another_network_namespace(tmp_path: Path, kind: type[LocalHost]) -> None:
    code = "import socket,sys; s=socket.create_server(('0.0.0.0', 3456), backlog=5); print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen(["unshare", "-n", sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        found = [x for x in listeners.collect(kind(), NOW, CollectOptions()).value or () if process.pid in x.pids]
        assert [str(x.target) for x in found] == ["0.0.0.0:3456"]
        assert found[0].network == str(os.stat(f"/proc/{process.pid}/ns/net").st_ino)
        assert found[0].backlog == (5 if kind is LocalHost else None)
    finally:
        process.kill()
        process.communicate()
