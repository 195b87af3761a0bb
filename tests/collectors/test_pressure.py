"""Pressure of the machine and of cgroups: recorded text of both cgroup versions, and real throttling under version 1."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors import pressure
from why502.collectors.base import CollectOptions
from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.machine import cgroups
from why502.model.config import Peer, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

PSI = b"some avg10=21.87 avg60=4.98 avg300=2.09 total=24479216\nfull avg10=3.33 avg60=4.11 avg300=1.88 total=23319830\n"
STAT = (
    b"cpu  2395 0 2036 146796 3031 0 147 13552 0 0\ncpu0 1 0 0 0 0 0 0 0\ncpu1 1 0 0 0 0 0 0 0\nprocs_running 2\nprocs_blo"
    b"cked 1\n"
)
MEMINFO = (
    b"MemTotal:       24689372 kB\nMemFree:        20000000 kB\nMemAvailable:   23000000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n"
)
DISKSTATS = b"""\
   7       0 loop0 0 0 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0
 254       0 vda 67282 15443 3861346 66125 15753 19918 1195864 40532 0 44444 113209 5483 87 202360 6272 2096 279
 254       1 vda1 67282 15443 3861346 66125 15753 19918 1195864 40532 0 44444 113209 5483 87 202360 6272 2096 279
 259       0 nvme0n1 1 0 2 3 4 0 5 6 0 7 8
 259       1 nvme0n1p1 1 0 2 3 4 0 5 6 0 7 8
"""
V2_MOUNT = b"30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = b"""\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V1_PATHS = b"9:name=systemd:/init.scope\n4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc/app\n0::/u\n"


def test_machine_texts():
    assert pressure.parse_psi(PSI) == 0.2187
    assert pressure.parse_psi(b"some avg10=1.00 avg60=2.00 avg300=0.00 total=1\n") == 0.02
    assert pressure.parse_psi(b"") is None
    assert pressure.parse_psi_total(PSI) == 24479216
    assert pressure.parse_psi_total(b"some avg10=1.00\nfull avg10=0.00 total=7\n") is None
    assert pressure.parse_stat(STAT) == (167957, 149827, 13552)
    assert pressure.parse_stat(b"cpu x") is None
    assert pressure.parse_diskstats(DISKSTATS) == {"vda": 44444, "nvme0n1": 7}
    assert pressure.parse_meminfo(MEMINFO)["MemAvailable"] == 23000000 * 1024


def test_cgroup_directories_of_version_1():
    mounts, paths = cgroups.parse_mounts(V1_MOUNTS), cgroups.parse_paths(V1_PATHS)
    assert cgroups.directories("memory", paths, mounts) == (
        "/sys/fs/cgroup/mem ory/docker/abc",
        "/sys/fs/cgroup/mem ory/docker",
        "/sys/fs/cgroup/mem ory",
    )
    assert cgroups.directories("cpu", paths, mounts) == ("/sys/fs/cgroup/cpu,cpuacct/app", "/sys/fs/cgroup/cpu,cpuacct")
    assert cgroups.directories("", paths, mounts)[0] == "/sys/fs/cgroup/unified/u"


def test_a_cgroup_outside_of_what_is_mounted_is_not_seen():
    paths = cgroups.parse_paths(b"0::/../other\n")
    assert cgroups.directories("memory", paths, cgroups.parse_mounts(V2_MOUNT)) == ()
    assert cgroups.directories("memory", {}, cgroups.parse_mounts(V2_MOUNT)) == ()
    assert cgroups.read(LocalHost(), {}, ()) == cgroups.Group()


@pytest.mark.parametrize(
    ("text", "quota"), [(b"50000 100000\n", 0.5), (b"max 100000\n", None), (b"-1 100000", None), (b" ", None)]
)
def test_quota(text, quota):
    assert cgroups.parse_quota(text) == quota


def machine(root: Path, files: dict[str, bytes]) -> DirectoryHost:
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return DirectoryHost(str(root))


def known(*pids: int, port: int = 3001, **more) -> Snapshot:
    target = Target(host="127.0.0.1", port=port)
    proxy = Proxy(routes=(Route(peers=(Peer(name=str(target), target=target),)),))
    return Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,), listeners=(Listener(target=target, pids=pids),), **more)


def test_a_service_under_version_2(tmp_path):
    """The slice has the tighter limit, the quota is the service's own."""
    app, above = "/sys/fs/cgroup/web.slice/app.service", "/sys/fs/cgroup/web.slice"
    host = machine(
        tmp_path,
        {
            "/proc/self/mountinfo": V2_MOUNT,
            "/proc/77/cgroup": b"0::/web.slice/app.service\n",
            "/proc/stat": STAT,
            "/proc/meminfo": MEMINFO,
            "/proc/loadavg": b"3.92 0.25 0.11 2/96 13564\n",
            "/proc/pressure/io": PSI,
            f"{app}/memory.max": b"max\n",
            f"{app}/memory.current": b"1\n",
            f"{app}/memory.events": b"low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n",
            f"{app}/cpu.max": b"20000 100000\n",
            f"{app}/cpu.stat": b"usage_usec 9\nnr_periods 40\nnr_throttled 30\nthrottled_usec 12\n",
            f"{app}/cpu.pressure": PSI,
            f"{app}/cgroup.events": b"populated 1\nfrozen 0\n",
            f"{above}/memory.max": b"67108864\n",
            f"{above}/memory.current": b"67100000\n",
            f"{above}/memory.stat": b"anon 5\ninactive_file 100000\n",
            f"{above}/cpu.max": b"max 100000\n",
        },
    )
    processes = (Process(pid=1, state="D"), Process(pid=2, state="D"))
    whole, app_group = pressure.collect(host, known(77, processes=processes), CollectOptions()).value
    assert (whole.scope, whole.cpus, whole.running) == ("machine", 2, 2)
    assert (whole.io_some, whole.io_now, whole.cpu_some, whole.steal) == (0.2187, 0.0, None, 0.0)
    assert (app_group.scope, app_group.cpu_quota, app_group.throttled, app_group.throttled_now) == (
        "/web.slice/app.service",
        0.2,
        0.75,
        0.0,
    )
    assert (app_group.memory_limit_bytes, app_group.memory_available_bytes) == (67108864, 67108864 - 67000000)
    assert (app_group.memory_limit_hits, app_group.cpu_some) == (31, 0.2187)


def test_no_access_to_anything(tmp_path):
    found = pressure.collect(machine(tmp_path, {}), known(77), CollectOptions())
    assert found.value is None
    assert [gap.source for gap in found.gaps] == ["/proc/stat", "/proc/self/mountinfo"]


BUSY = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
threading.Thread(target=lambda: sys.stdin.read(), daemon=False).start()
while threading.active_count() > 1:
    pass
"""


@pytest.fixture
def group():
    """A cgroup of version 1 for CPU and memory, removed with all its processes."""
    name = f"why502-test-{os.getpid()}"
    directories = [Path("/sys/fs/cgroup", kind, name) for kind in ("cpu", "memory")]
    if os.geteuid() or not all((directory.parent / "cgroup.procs").exists() for directory in directories):
        pytest.skip("needs root and cgroups of version 1")
    for directory in directories:
        directory.mkdir()
    try:
        yield directories
    finally:
        for directory in directories:
            directory.rmdir()


@pytest.mark.real
def test_real_throttling_under_version_1(group):
    """A backend that wants a whole processor and gets a tenth of one."""
    cpu, memory = group
    (cpu / "cpu.cfs_quota_us").write_text("10000")
    (memory / "memory.limit_in_bytes").write_text(str(64 << 20))
    code = f"for g in {cpu} {memory}; do echo $$ > $g/cgroup.procs; done; exec {sys.executable} -c '{BUSY}'"
    busy = subprocess.Popen(["sh", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(busy.stdout.readline())
        until = time.monotonic() + 20
        while "nr_throttled 0\n" in (cpu / "cpu.stat").read_text() and time.monotonic() < until:
            time.sleep(0.01)
        whole, own = pressure.collect(LocalHost(), known(busy.pid, port=port), CollectOptions()).value
    finally:
        busy.communicate("")
    assert whole.cpu_busy is not None
    assert whole.memory_available_bytes > 0
    assert own.scope == f"/{memory.name}"
    assert own.cpu_quota == 0.1
    assert own.throttled > 0.2
    assert own.memory_limit_bytes == 64 << 20
    assert 0 < own.memory_available_bytes < 64 << 20
