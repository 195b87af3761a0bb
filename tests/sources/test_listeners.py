"""Listening sockets: recorded output of ss and /proc/net, and real sockets of every kind."""

from __future__ import annotations

import os
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

from why502.host.local import LocalHost
from why502.model.errors import Missing
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target
from why502.sources import listeners
from why502.sources.base import Ask
from why502.sources.listeners import parse_ss
from why502.sources.proc_net import hex_address, parse_tcp, parse_unix

NOW = Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC))

SS = """\
tcp   LISTEN 0      511          0.0.0.0:80         0.0.0.0:*    users:(("nginx",pid=71,fd=6),("nginx",pid=70,fd=6)) ino:501 sk:1 cgroup:/system.slice/nginx.service <->
tcp   LISTEN 3      2          127.0.0.1:3000       0.0.0.0:*    users:(("node",pid=90,fd=18)) uid:33 ino:502 sk:2 <->
tcp   LISTEN 0      4096   127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=5,fd=14)) uid:101 ino:503 sk:3 <->
tcp   LISTEN 0      511             [::]:80            [::]:*    users:(("nginx",pid=71,fd=7)) ino:504 sk:4 v6only:1 <->
tcp   LISTEN 0      128                *:8080             *:*    users:(("java",pid=91,fd=9)) ino:505 sk:5 v6only:0 <->
tcp   LISTEN 0      128            [::1]:9000          [::]:*    ino:506 sk:6 v6only:1 <->
tcp   LISTEN 0      50  [::ffff:127.0.0.1]:8081           *:*    users:(("java",pid=91,fd=11)) ino:507 sk:7 v6only:0 <->
u_str LISTEN 2      128   /run/app/shop.sock 2001            * 0 users:(("gunicorn",pid=95,fd=5)) <->
u_str LISTEN 0      128   /run/a b.sock 2002            * 0 users:(("x",pid=96,fd=5)) <->
u_str LISTEN 0      4096  @/tmp/.X11-unix/X0 2003            * 0 <->
u_seq LISTEN 0      4096  /run/udev/control 2004            * 0 <->
u_str ESTAB  0      0     /run/app/shop.sock 2005            * 2006 <->
"""


def by_target(found: tuple[Listener, ...]) -> dict[str, Listener]:
    return {str(listener.target): listener for listener in found}


def test_ss() -> None:
    found = by_target(parse_ss(SS))
    assert set(found) == {"0.0.0.0:80", "127.0.0.1:3000", "127.0.0.53:53", "[::]:80", "[::]:8080", "[::1]:9000", "127.0.0.1:8081", "unix:/run/app/shop.sock", "unix:/run/a b.sock"}  # fmt: skip
    assert found["0.0.0.0:80"] == Listener(
        target=Target(host="0.0.0.0", port=80), pids=(71, 70), inode=501, queued=0, backlog=511
    )
    assert (found["127.0.0.1:3000"].queued, found["127.0.0.1:3000"].backlog) == (3, 2)
    assert found["[::]:80"].only_v6 is True
    assert found["[::]:8080"].only_v6 is False
    assert found["[::1]:9000"].pids == ()
    assert found["unix:/run/app/shop.sock"] == Listener(
        target=Target(path="/run/app/shop.sock"), pids=(95,), inode=2001, queued=2, backlog=128
    )


def test_a_process_cannot_name_itself_into_another() -> None:
    line = 'tcp LISTEN 0 1 127.0.0.1:1 0.0.0.0:* users:(("",pid=1,fd=1)",pid=200,fd=3),("b c)",pid=201,fd=4)) ino:1 sk:1\n'
    assert parse_ss(line)[0].pids == (200, 201)


def test_limits_that_ss_did_not_get_are_unknown() -> None:
    assert parse_ss("tcp LISTEN 0 0 127.0.0.1:1 0.0.0.0:* ino:1\n")[0].backlog is None


@given(st.text(max_size=120))
def test_any_text_is_read(text: str) -> None:
    for start in ("", "tcp LISTEN 0 1 ", "u_str LISTEN 0 1 "):
        parse_ss(start + text)


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
    assert list(parse_tcp(TCP6)) == [
        Listener(target=Target(host="::1", port=9000), inode=777, queued=3),
        Listener(target=Target(host="127.0.0.1", port=8080), inode=778, queued=0),
    ]
    assert [(x.target.path, x.inode, x.queued) for x in parse_unix(UNIX)] == [
        ("/run/app.sock", 900, None),
        ("/run/a b.sock", 904, None),
    ]
    assert hex_address("0100007F") == "127.0.0.1"


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


class WithoutPrograms(LocalHost):
    """A machine without ss."""

    def run(self, *argv: str, timeout_s: float = 5.0) -> object:  # type: ignore[override]
        raise Missing(f"{argv[0]}: No such file or directory")


@pytest.mark.real
@pytest.mark.parametrize("kind", [LocalHost, WithoutPrograms])
def test_real_sockets(sockets: dict[str, socket.socket], tmp_path: Path, kind: type[LocalHost]) -> None:
    waiting = [socket.create_connection(sockets["v4"].getsockname()) for _ in range(2)]
    found = listeners.collect(kind(), NOW, Ask())
    own = {x.inode: x for x in found.value or () if not x.network}
    seen = {name: own[os.fstat(one.fileno()).st_ino] for name, one in sockets.items()}
    assert all(os.getpid() in listener.pids for listener in seen.values())
    assert seen["v4"].target.host == "127.0.0.1"
    assert seen["v4"].queued == 2
    assert seen["v6"].target.host == "::1"
    assert seen["both"].target.host == seen["only6"].target.host == "::"
    assert seen["unix"].target.path == f"{tmp_path}/a b.sock"
    if kind is LocalHost and shutil.which("ss"):
        assert (seen["v4"].backlog, seen["v6"].backlog, seen["unix"].backlog) == (7, 8, 3)
        assert (seen["both"].only_v6, seen["only6"].only_v6) == (False, True)
    else:
        assert seen["v4"].backlog is None
        assert any("ss" in gap.allow for gap in found.gaps)
    for connection in waiting:
        connection.close()


@pytest.mark.real
def test_a_relative_path_counts_from_its_owners_folder(tmp_path: Path) -> None:
    code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind('rel.sock'); s.listen(); print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        found = listeners.collect(LocalHost(), NOW, Ask()).value or ()
        assert f"unix:{tmp_path}/rel.sock" in {str(x.target) for x in found if process.pid in x.pids}
    finally:
        process.kill()
        process.communicate()


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
@pytest.mark.parametrize("kind", [LocalHost, WithoutPrograms])
def test_another_network_namespace(tmp_path: Path, kind: type[LocalHost]) -> None:
    code = "import socket,sys; s=socket.create_server(('0.0.0.0', 3456), backlog=5); print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen(["unshare", "-n", sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        found = [x for x in listeners.collect(kind(), NOW, Ask()).value or () if process.pid in x.pids]
        assert [str(x.target) for x in found] == ["0.0.0.0:3456"]
        assert found[0].network == str(os.stat(f"/proc/{process.pid}/ns/net").st_ino)
        assert found[0].backlog == (5 if kind is LocalHost else None)
    finally:
        process.kill()
        process.communicate()
