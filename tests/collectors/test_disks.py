"""File systems of the directories that a proxy writes to."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors import disks
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import LogKind, LogTarget
from why502.model.proxy import ConfigFile, Proxy
from why502.model.snapshot import Snapshot


def look(proxy: Proxy) -> dict[str, tuple[int, int, bool]]:
    found = disks.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,)), CollectOptions())
    assert found.gaps == ()
    return {disk.path: (disk.free_bytes, disk.total_bytes, disk.is_read_only) for disk in found.value or ()}


def test_logs_and_temporary_directories(tmp_path: Path) -> None:
    file = ConfigFile(path="nginx.conf", text="proxy_temp_path cache/tmp 1 2;")
    log = LogTarget(kind=LogKind.ACCESS, path=f"{tmp_path}/logs/access.log")
    proxy = Proxy(prefix=str(tmp_path), build=("--http-scgi-temp-path=/var/lib/nginx/scgi",), logs=(log,), files=(file,))
    found = look(proxy)
    assert {f"{tmp_path}/logs", f"{tmp_path}/cache/tmp", "/var/lib/nginx/scgi", f"{tmp_path}/fastcgi_temp"} <= set(found)
    assert all(total > 0 for _, total, _ in found.values())


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_full_and_a_read_only_one_in_another_root(tmp_path: Path) -> None:
    code = "print('up', flush=True); import sys; sys.stdin.read()"
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path}; mkdir {tmp_path}/full {tmp_path}/ro; mount -t tmpfs -o ro none "
        f"{tmp_path}/ro;"
        f'head -c 1M /dev/zero > {tmp_path}/full/x; exec {sys.executable} -c "{code}"'
    )
    argv = ["unshare", "-m", "sh", "-c", script]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout and process.stdout.readline() == b"up\n"
        logs = tuple(LogTarget(kind=LogKind.ERROR, path=f"{tmp_path}/{name}/error.log") for name in ("full", "ro"))
        found = look(Proxy(root=f"/proc/{process.pid}/root", logs=logs, prefix=f"{tmp_path}/full"))
        assert found[f"{tmp_path}/full"][0] == 0
        assert found[f"{tmp_path}/full"][1] == 64 << 10
        assert found[f"{tmp_path}/ro"][2] is True
    finally:
        process.kill()
        process.communicate()


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_file_system_without_space(tmp_path: Path) -> None:
    """An application or its database may write there; one with space is not worth a word."""
    look_there = (
        "from datetime import UTC, datetime; from why502.collectors import disks; "
        "from why502.collectors.base import CollectOptions; from why502.host.local import LocalHost; "
        "from why502.model.snapshot import Snapshot; "
        "found = disks.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC)), CollectOptions()).value or (); "
        "print(*(f'{disk.path} {disk.free_bytes} {disk.is_of_proxy} {disk.owner_uid}' for disk in found), sep='\\n')"
    )
    script = (
        f"mkdir {tmp_path}/shm {tmp_path}/free; mount -t tmpfs -o size=64k,uid=1234 none {tmp_path}/shm; "
        f"mount -t tmpfs -o size=64k none {tmp_path}/free; head -c 1M /dev/zero > {tmp_path}/shm/x; "
        f'exec {sys.executable} -c "{look_there}"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert f"{tmp_path}/shm 0 False 1234" in lines
    assert not any(line.startswith(f"{tmp_path}/free ") for line in lines)
