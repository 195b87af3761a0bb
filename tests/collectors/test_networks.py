"""The network namespaces of the machine: their addresses, names, and who could have made them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from why502.collectors import networks
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.host.trust import NOBODY
from why502.model.snapshot import Snapshot

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t00001EAC\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\tnonsense
"""
USER = 61234
# As root in a network namespace, or as a user in a user and a network namespace of that user.
INSIDE = """
import ctypes, os, sys
user = int(sys.argv[1])
os.setresuid(user, user, user)
assert ctypes.CDLL(None).unshare(0x50000000 if user else 0x40000000) == 0  # CLONE_NEWUSER | CLONE_NEWNET
print("ready", flush=True)
sys.stdin.read()
"""
SET_UP = (
    "link add a0 type veth peer name b0",
    "link set a0 up",
    "link set b0 up",
    "link set lo up",
    "address add 172.30.0.3/24 dev a0",
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.skipif(sys.byteorder != "little", reason="the text was written by a little-endian machine")
def test_routes_without_a_gateway_are_the_networks() -> None:
    assert networks.parse_routes(ROUTES) == ("172.17.0.0/16",)
    assert networks.parse_routes("") == ()


@contextmanager
def space(user: int) -> Iterator[str]:
    """Yield the inode of a namespace with an address."""
    process = subprocess.Popen(
        [sys.executable, "-c", INSIDE, str(user)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin and process.stdout and process.stdout.readline() == "ready\n"
        for line in SET_UP:
            subprocess.run(["nsenter", f"--net=/proc/{process.pid}/ns/net", "ip", *line.split()], check=True)
        yield str(os.stat(f"/proc/{process.pid}/ns/net").st_ino)
        process.stdin.close()


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0, reason="makes network namespaces"
)
def test_a_namespace_of_root_and_one_of_a_user() -> None:
    """A user can make one with any address, so it says whose it is."""
    with space(0) as of_root:
        found = {one.inode: one for one in networks.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions()).value or ()}
        one = found[of_root]
        assert (one.owner_uid, one.subnets, one.container) == (0, {"172.30.0.3": "172.30.0.0/24"}, "")
        assert {"127.0.0.1", "172.30.0.3"} <= {*one.addresses}
        assert one.name.endswith(f"(pid {one.pid})")


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0, reason="makes network namespaces"
)
def test_a_user_owns_what_the_user_made() -> None:
    with space(USER) as of_user:
        found = {one.inode: one for one in networks.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions()).value or ()}
        assert (found[of_user].owner_uid, "172.30.0.3" in found[of_user].addresses) == (NOBODY, True)


def test_nothing_is_read_offline() -> None:
    assert networks.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions(offline=True)).value is None
