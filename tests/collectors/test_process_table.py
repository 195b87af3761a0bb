"""Processes from /proc: recorded text, and this test process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.host.local import LocalHost
from why502.machine.process_table import (
    ProcessTable,
    Stat,
    boot_time,
    parse_cgroup,
    parse_file_limit,
    parse_groups,
    parse_passwd,
    parse_stat,
    private_tmp,
    shared,
    split_argv,
    without_crowds,
)
from why502.model.errors import HostError, Missing

ID = "3f2b9c0d" * 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/nginx.service\n", ("/system.slice/nginx.service", "nginx.service", "")),
        ("0::/\n", ("/", "", "")),
        ("", ("", "", "")),
        (f"0::/system.slice/docker-{ID}.scope\n", (f"/system.slice/docker-{ID}.scope", "", ID)),
        (f"0::/docker/{ID}\n", (f"/docker/{ID}", "", ID)),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_3.slice/cri-containerd-{ID}.scope\n",
            (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_3.slice/cri-containerd-{ID}.scope", "", ID),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n",
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", "", ""),
        ),
        (
            "0::/user.slice/user-0.slice/session-3.scope\n",
            ("/user.slice/user-0.slice/session-3.scope", "session-3.scope", ""),
        ),
        ("0::/system.slice/app.service/payload\n", ("/system.slice/app.service/payload", "app.service", "")),
        (
            "12:pids:/system.slice/php8.2-fpm.service\n1:name=systemd:/system.slice/php8.2-fpm.service\n0::/\n",
            ("/system.slice/php8.2-fpm.service", "php8.2-fpm.service", ""),
        ),
        ("5:memory:/limited\n3:cpu,cpuacct:/\n1:name=systemd:/system.slice/a.service\n0::/\n", ("/limited", "a.service", "")),
        (
            "0::/lxc.payload.web1/system.slice/nginx.service\n",
            ("/lxc.payload.web1/system.slice/nginx.service", "nginx.service", "web1"),
        ),
        (
            "0::/system.slice/system-app\\x2dshop.slice/app-shop@1.service\n",
            ("/system.slice/system-app\\x2dshop.slice/app-shop@1.service", "app-shop@1.service", ""),
        ),
    ],
)
def test_cgroups(text: str, expected: tuple[str, str, str]) -> None:
    assert parse_cgroup(text) == expected


def test_a_name_may_hold_anything() -> None:
    fields = "S 7 1 1 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 3 0 12345 1000 200"
    stat = parse_stat(f"42 (a) S (b c) {fields}")
    assert (stat.name, stat.state, stat.ppid, stat.started_s) == ("a) S (b c", "S", 7, 123.45)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_stat(text)
    except HostError:
        pass
    parse_cgroup(text)
    parse_file_limit(text)
    private_tmp(text, text)
    list(parse_passwd(text.encode()))
    list(parse_groups(text.encode()))


def test_command_lines() -> None:
    assert split_argv(b"node\0server.js\0--port\x003000\0") == ("node", "server.js", "--port", "3000")
    assert split_argv(b"nginx: worker process\0\0\0\0\0") == ("nginx: worker process",)
    assert split_argv(b"php-fpm: pool www                      ") == ("php-fpm: pool www",)
    assert split_argv(b"app\0\0x\0") == ("app", "", "x")
    assert split_argv(b"") == ()


def test_limits() -> None:
    table = (
        "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024        "
        "         524288               files\n"
    )
    assert parse_file_limit(table) == 1024
    assert parse_file_limit("Max open files            unlimited            unlimited            files\n") is None


OURS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw
31 22 0:26 / /run rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "90 80 0:25 /systemd-private-abc-app.service-x1/tmp /tmp rw - tmpfs tmpfs rw",
            "/tmp/systemd-private-abc-app.service-x1/tmp",
        ),
        (
            "90 80 254:0 /tmp/systemd-private-abc-app.service-x1/tmp /tmp rw - ext4 /dev/vda rw",
            "/tmp/systemd-private-abc-app.service-x1/tmp",
        ),
        ("90 80 0:25 / /tmp rw - tmpfs tmpfs rw", ""),
        ("90 80 0:99 / /tmp rw - tmpfs tmpfs rw", ""),
        ("90 80 0:26 /a\\040b /tmp rw - tmpfs tmpfs rw", "/run/a b"),
        ("90 80 254:0 / / rw - ext4 /dev/vda rw", ""),
    ],
)
def test_private_tmp(row: str, expected: str) -> None:
    assert private_tmp(f"80 1 254:0 / / rw - ext4 /dev/vda rw\n{row}\n", OURS) == expected


def test_this_process() -> None:
    table = ProcessTable(LocalHost())
    me = table.process(os.getpid())
    assert (me.pid, me.ppid, me.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert me.state in "RS"
    assert me.network == me.mounts == me.root == me.private_tmp == ""
    assert me.cwd == os.getcwd()
    assert me.limits and me.limits.files_open and me.limits.files_limit
    assert me.started_at and (datetime.now(UTC) - me.started_at).total_seconds() < 3600
    assert os.getpid() in table.stats()
    with pytest.raises(Missing):
        table.process(2**22 + 1)


def test_user_names_fall_back_to_the_number() -> None:
    table = ProcessTable(LocalHost())
    assert table.user_name(0) == "root"
    assert table.user_name(3_999_999_999) == "3999999999"


def test_boot_is_before_now() -> None:
    booted = boot_time(LocalHost())
    assert booted is not None
    assert booted < datetime.now(UTC)


class Counting(LocalHost):
    """A host that counts reads of single files, and files read in bulk."""

    def __init__(self) -> None:
        super().__init__()
        self.single: list[str] = []
        self.many: list[str] = []

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        self.single.append(path)
        return super().read(path, limit_bytes=limit_bytes)

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        self.many += paths
        return super().read_all(paths, limit_bytes=limit_bytes)


def test_tables_of_one_collection_read_each_process_once() -> None:
    host = Counting()
    with shared(host):
        first = ProcessTable(host).stats()
        begun = subprocess.Popen(["sleep", "60"])
        try:
            cmdline = Path(f"/proc/{begun.pid}/cmdline")
            while not cmdline.read_bytes():  # execve(2) has closed its pipe, and sets the arguments a moment later
                assert begun.poll() is None
            again = ProcessTable(host).stats()
            assert begun.pid in again.keys() - first.keys()
            assert len(host.many) == len(set(host.many))
            assert ProcessTable(host).titles()[begun.pid] == ("sleep", "60")
        finally:
            begun.kill()
            begun.wait()
        assert begun.pid not in ProcessTable(host).stats()
        assert not [path for path in host.single if path.endswith("/stat") and path != "/proc/stat"]
    read = len(host.many)
    ProcessTable(host).stats()
    assert len(host.many) > read


def test_of_a_crowd_of_children_only_some_are_examined() -> None:
    stats = {pid: Stat("x", "S", 1 if pid < 200 else 7, 0.0) for pid in range(1, 5000)}
    found = without_crowds(stats)
    assert found[:199] == list(range(1, 200))
    assert found[199:] == list(range(200, 264))
