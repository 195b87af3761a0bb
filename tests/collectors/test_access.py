"""File permissions: the kernel itself is the oracle, through modes and ACLs of real files."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from why502.host.base import Stat
from why502.host.files import parse_acl
from why502.host.local import LocalHost
from why502.machine.access import READ, SEARCH, WRITE, Identity, identity, permits
from why502.model.file_kind import FileKind

WHO = Identity(uid=33, gid=33, groups=(33, 44))


def stat(mode: int, uid: int = 0, gid: int = 0) -> Stat:
    return Stat(kind=FileKind.FILE, mode=mode, uid=uid, gid=gid, size_bytes=0, modified_s=0.0)


@pytest.mark.parametrize(
    ("of", "acl", "wanted", "expected"),
    [
        (stat(0o600, 33), (), WRITE, True),
        (stat(0o060, 33, 33), (), WRITE, False),  # only the owner's bits count, even if the group may
        (stat(0o060, 0, 44), (), WRITE, True),
        (stat(0o606, 0, 44), (), WRITE, False),
        (stat(0o602, 0, 0), (), WRITE, True),
        (stat(0o604, 0, 0), (), WRITE, False),
        (stat(0o755), (), SEARCH, True),
        (stat(0o700), (), SEARCH, False),
        (stat(0o660), ("user::rw-", "user:33:rw-", "group::---", "mask::rw-", "other::---"), WRITE, True),
        (stat(0o640), ("user::rw-", "user:33:rw-", "group::---", "mask::r--", "other::---"), WRITE, False),
        (stat(0o660), ("user::rw-", "group::---", "group:44:rw-", "mask::rw-", "other::---"), READ | WRITE, True),
        (stat(0o666), ("user::rw-", "group::---", "group:44:r--", "mask::rw-", "other::rw-"), WRITE, False),
    ],
)
def test_rules(of: Stat, acl: tuple[str, ...], wanted: int, expected: bool) -> None:
    assert permits(of, acl, WHO, wanted) is expected


def test_root_may_do_everything_unless_it_lacks_the_capability() -> None:
    fields = {"Uid": "0\t0\t0\t0", "Gid": "0 0 0 0", "Groups": "0 5", "CapEff": "000001ffffffffff"}
    root = identity(fields)
    assert root == Identity(0, 0, (0, 5), overrides=True)
    bare = identity(fields | {"CapEff": "0000000000000000"})
    assert root and permits(stat(0, 7, 7), (), root, WRITE)
    assert bare and not permits(stat(0, 7, 7), (), bare, WRITE)
    assert identity({}) is None


def test_the_attribute() -> None:
    value = bytes.fromhex("0200000001000600ffffffff020006002100000004000000ffffffff10000600ffffffff20000000ffffffff")
    assert parse_acl(value) == ("user::rw-", "user:33:rw-", "group::---", "mask::rw-", "other::---")
    assert parse_acl(b"") == parse_acl(b"\x02\0\0\0\x01") == ()


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_the_kernel_agrees(open_directory: Path) -> None:
    host = LocalHost()
    cases = list(itertools.product((0o600, 0o060, 0o006, 0o064, 0o640, 0o660), (0, 33), (0, 33, 44)))
    for number, (mode, uid, gid) in enumerate(cases):
        path = open_directory / str(number)
        path.touch()
        os.chown(path, uid, gid)
        path.chmod(mode)
        if shutil.which("setfacl") and number % 3 == 1:
            subprocess.run(["setfacl", "-m", "u:33:r", str(path)], check=True)
        if shutil.which("setfacl") and number % 3 == 2:
            subprocess.run(["setfacl", "-m", "g:44:rw", str(path)], check=True)
    script = f'for i in $(seq 0 {len(cases) - 1}); do test -w "{open_directory}/$i" && echo $i; done; true'
    told = subprocess.run(
        ["setpriv", "--reuid=33", "--regid=33", "--groups=33,44", "sh", "-c", script], capture_output=True, text=True, check=True
    )
    kernel = {int(word) for word in told.stdout.split()}
    ours = {
        n for n in range(len(cases)) if permits(host.stat(f"{open_directory}/{n}"), host.acl(f"{open_directory}/{n}"), WHO, WRITE)
    }
    assert ours == kernel
    assert kernel
