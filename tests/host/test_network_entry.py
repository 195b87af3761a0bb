"""Connections inside another network namespace: where they lead, what they need, and for whom they are made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from why502.host.local import LocalHost
from why502.host.nowhere import NowhereHost
from why502.host.offline import OfflineHost
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.network import Network
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request

USER, OTHER = 61234, 61235
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0,
    reason="makes network namespaces",
)

# Becomes another user, in a user and network namespace of that user, if it is told to. Sets its loopback up, then answers on
# one TCP and one UDP port until its standard input is closed.
INSIDE = """
import ctypes, fcntl, os, selectors, socket, struct, sys
if sys.argv[1:]:
    os.setresuid(*3 * [int(sys.argv[1])])
    assert ctypes.CDLL(None).unshare(0x50000000) == 0  # CLONE_NEWUSER | CLONE_NEWNET
lo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    fcntl.ioctl(lo, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
except PermissionError:
    pass  # root did it before
stream = socket.create_server(("127.0.0.1", 0))
port = stream.getsockname()[1]
lo.bind(("127.0.0.1", port))
print(port, flush=True)
ready = selectors.DefaultSelector()
for file in (stream, lo, sys.stdin):
    ready.register(file, selectors.EVENT_READ)
kept = []
while True:
    for key, _ in ready.select():
        if key.fileobj is stream:
            kept.append(stream.accept()[0])
            kept[-1].sendall(b"inside")
        elif key.fileobj is lo:
            data, sender = lo.recvfrom(100)
            lo.sendto(data.upper(), sender)
        else:
            sys.exit()
"""
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
THERE_AS_USER = ("unshare", "-n", "sh", "-c", f'ip link set lo up; exec {" ".join(AS_USER)} "$@"', "sh")
Start = Callable[..., tuple[Network, Target, "subprocess.Popen[str]"]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*words: str, user: int = 0) -> tuple[Network, Target, subprocess.Popen[str]]:
            argv = [*(words or ("unshare", "-n")), sys.executable, "-c", INSIDE, *([str(user)] if user else [])]
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout
            port = int(process.stdout.readline())
            inode = os.stat(f"/proc/{process.pid}/ns/net").st_ino
            return Network(pid=process.pid, inode=str(inode)), Target(host="127.0.0.1", port=port), process

        yield started


def answer(host: object, target: Target, network: Network) -> bytes:
    connection = host.connect(target, timeout_s=2, network_of=network)  # type: ignore[attr-defined]
    try:
        return bytes(connection.receive())
    finally:
        connection.close()


def networks_of_threads() -> set[int]:
    found = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # it has ended
            found.add(os.stat(f"/proc/self/task/{task}/ns/net").st_ino)
    return found


def test_a_connection_is_made_inside(start: Start) -> None:
    network, target, _ = start()
    with pytest.raises(HostError, match="Connection refused"):
        LocalHost().connect(target)
    assert answer(LocalHost(), target, network) == b"inside"
    asked = LocalHost().connect(target, network_of=network, datagrams=True)
    asked.send(b"question")
    assert asked.receive() == b"QUESTION"
    asked.close()
    own = os.stat("/proc/self/ns/net").st_ino
    end = time.monotonic() + 10
    while networks_of_threads() != {own}:  # the kernel may still be ending the thread that entered
        assert time.monotonic() < end
        time.sleep(0.001)


def test_nothing_stays_open(start: Start) -> None:
    network, target, _ = start()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        answer(LocalHost(), target, network)
        with pytest.raises(HostError):
            LocalHost().connect(target, network_of=Network(pid=network.pid, inode="1"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_namespace_that_changed_is_not_entered(start: Start) -> None:
    network, target, process = start()
    with pytest.raises(HostError, match="has changed to another one since"):
        LocalHost().connect(target, network_of=Network(pid=network.pid, inode="4026531840"))
    process.kill()
    process.wait()
    with pytest.raises(HostError, match="the process has ended"):
        LocalHost().connect(target, network_of=network)


def test_names_are_never_resolved_from_here(start: Start) -> None:
    network, _, _ = start()
    with pytest.raises(HostError, match="cannot be resolved from here"):
        LocalHost().connect(Target(host="localhost", port=1), network_of=network)


@pytest.mark.parametrize("host", [NowhereHost(), OfflineHost(LocalHost())])
def test_a_host_without_a_network_refuses(host: NowhereHost | OfflineHost) -> None:
    with pytest.raises(HostError, match="not checked"):
        host.connect(Target(host="127.0.0.1", port=1), network_of=Network(pid=1, inode="1"))


def test_that_it_cannot_be_entered_says_nothing_about_the_target(start: Start) -> None:
    network, target, process = start()
    process.kill()
    process.wait()
    with pytest.raises(HostError) as met:
        probe(LocalHost(), Request(target=target, network_of=network))
    assert not isinstance(met.value, Denied | Expired | Missing) and met.value.errno is None


CHECK = """
import sys
import time
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.network import Network
from why502.model.target import Target
try:
    LocalHost().connect(Target(host="127.0.0.1", port=1), network_of=Network(pid=int(sys.argv[1]), inode=sys.argv[2]))
except HostError as error:
    print(error.reason, error.hint, error.errno, type(error).__name__, sep="|")
"""


def test_without_the_capability_it_is_named(start: Start) -> None:
    network, _, _ = start()
    argv = ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", CHECK, str(network.pid), network.inode]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout
    assert said == (
        f"network namespace of process {network.pid}: entering it needs CAP_SYS_ADMIN and CAP_SYS_PTRACE"
        f"|run as root, or check from inside: nsenter --net=/proc/{network.pid}/ns/net|None|HostError\n"
    )


def test_a_user_leads_us_only_where_the_user_could_go(start: Start) -> None:
    of_root, target, _ = start()
    user, other = LocalHost().acting_as(USER), LocalHost().acting_as(OTHER)
    with pytest.raises(HostError, match=f"user {USER}, whose configuration leads there, may not enter it"):
        user.connect(target, network_of=of_root)
    runs_there, target, _ = start("unshare", "-n", "sh", "-c", f'ip link set lo up; exec {" ".join(AS_USER)} "$@"', "sh")
    assert answer(user, target, runs_there) == b"inside"
    with pytest.raises(HostError, match="may not enter it"):
        other.connect(target, network_of=runs_there)
    own, target, _ = start("env", user=USER)
    assert answer(user, target, own) == b"inside"
    with pytest.raises(HostError, match="may not enter it"):
        other.connect(target, network_of=own)
    assert answer(LocalHost(), target, own) == b"inside"


def test_firewalls_inside_see_the_user(start: Start) -> None:
    network, target, _ = start("unshare", "-n", "sh", "-c", f'ip link set lo up; exec {" ".join(AS_USER)} "$@"', "sh")
    connection = LocalHost().acting_as(USER).connect(target, network_of=network)
    rows = [line.split() for line in Path(f"/proc/{network.pid}/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if row[2].endswith(f":{target.port:04X}")]
    connection.close()
    assert [row[7] for row in ours] == [str(USER)]
