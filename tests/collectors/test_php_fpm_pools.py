"""PHP-FPM pools: texts, directories as other distributions lay them out, and real masters under every process manager."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from free_ports import free_port

from why502.backends.php_fpm import files as php_fpm_files
from why502.backends.php_fpm import status as php_fpm_status
from why502.collectors import php_fpm
from why502.collectors.base import CollectOptions
from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.machine import memory
from why502.machine.suppliers import Rights
from why502.model.errors import Expired, HostError
from why502.model.service import PhpPool
from why502.model.snapshot import Snapshot
from why502.model.target import Target

FPM = next((str(path) for path in sorted(Path("/usr/sbin").glob("php-fpm*"))), None) or shutil.which("php-fpm")
needs_fpm = pytest.mark.skipif(not FPM, reason="php-fpm is not installed")

ROLLUP = b"""\
5576b5c00000-7ffd1ad9e000 ---p 00000000 00:00 0                          [rollup]
Rss:               24680 kB
Pss:                9012 kB
Pss_Dirty:          3000 kB
"""
STATUS = b"""\
pool:                 www
process manager:      static
start time:           21/Nov/2026:00:30:00 +0000
accepted conn:        7
listen queue:         0
max children reached: 0
"""


def nothing_known() -> Snapshot:
    return Snapshot(taken_at=datetime.now(UTC))


def test_texts():
    assert memory.parse_memory(ROLLUP) == (24680 * 1024, 9012 * 1024)
    assert memory.parse_memory(b"") == (None, None)
    assert php_fpm.parse_environment(b"A=b=c\0PHP_VERSION=8.1.2\0x\0") == {"A": "b=c", "PHP_VERSION": "8.1.2"}
    assert php_fpm_status.parse(STATUS)["listen queue"] == "0"
    assert php_fpm_status.parse(STATUS)["start time"] == "21/Nov/2026:00:30:00 +0000"


@pytest.mark.parametrize(
    ("config", "exe", "prefix"),
    [
        ("/etc/php/8.2/fpm/php-fpm.conf", "/usr/sbin/php-fpm8.2", "/usr"),
        ("/etc/php-fpm.conf", "", "/usr"),
        ("/usr/local/etc/php-fpm.conf", "", "/usr/local"),
        ("/opt/remi/php82/root/etc/php-fpm.conf", "", "/opt/remi/php82/root/usr"),
        ("/x.conf", "/usr/local/sbin/php-fpm", "/usr/local"),
    ],
)
def test_prefixes(config, exe, prefix):
    assert php_fpm_files.default_prefix(config, exe) == prefix


def test_configurations_that_nothing_runs(tmp_path):
    """Two Debian versions and a container image's layout, whose second file re-opens the pool;
    a broken include is passed over.
    """
    texts = {
        "etc/php/7.4/fpm/php-fpm.conf": "[global]\nerror_log = /var/log/php7.4-fpm.log\ninclude=/etc/php/7.4/fpm/pool.d/*.conf\n",
        "etc/php/7.4/fpm/pool.d/www.conf": "[www]\nuser = www-data\nlisten = /run/php/php7.4-fpm.sock\n",
        "etc/php/7.4/fpm/pool.d/.hidden.conf": "[hidden]\nlisten = 1\n",
        "etc/php/8.2/fpm/php-fpm.conf": "include=/etc/php/8.2/fpm/pool.d/*.conf\ninclude=/nowhere/*.conf\n",
        "etc/php/8.2/fpm/pool.d/b.conf": "[b]\nlisten = 127.0.0.1:9002\n",
        "etc/php/8.2/fpm/pool.d/a.conf": "[a]\nlisten = 9001\ninclude = /etc/php/8.2/fpm/common\n",
        "etc/php/8.2/fpm/common": "pm = ondemand\n",
        "usr/local/etc/php-fpm.conf": "include=etc/php-fpm.d/*.conf\n",
        "usr/local/etc/php-fpm.d/www.conf": "[www]\nlisten = 127.0.0.1:9000\npm = dynamic\n",
        "usr/local/etc/php-fpm.d/zz-docker.conf": "[global]\ndaemonize = no\n[www]\nlisten = 9000\n",
        "proc/empty": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = php_fpm.collect(DirectoryHost(str(tmp_path)), nothing_known(), CollectOptions())
    assert [(pool.name, str(pool.target), pool.pm) for pool in found.value] == [
        ("www", "unix:/run/php/php7.4-fpm.sock", ""),
        ("a", "[::]:9001", "ondemand"),
        ("b", "127.0.0.1:9002", ""),
        ("www", "[::]:9000", "dynamic"),
    ]
    assert found.value[0].log == "/var/log/php7.4-fpm.log"
    assert {pool.master_pid for pool in found.value} == {None}
    assert found.value[0].children is None


TREE = {
    "fpm.conf": "[global]\nerror_log = DIR/log\ninclude = DIR/pools/*.conf\nlisten.backlog = 77\n",
    "pools/1.conf": '[a]\nuser = "nobody"\nlisten = 127.0.0.1:9001 ; why not\npm = static\npm.max_children = ${CHILDREN}\n'
    "include = DIR/common\nrequest_terminate_timeout = 5s\n",
    "pools/2.conf": "pm.max_requests=5\n;pm.max_requests=6\n",
    "common": "slowlog = DIR/$pool.slow\n[b]\nprefix = DIR\nuser=nobody\nlisten=run/$pool.sock\nlisten.mode = '0600'\n"
    "pm=ondemand\npm.max_children=1\npm.max_children=2\nping.path=/a;b\n",
}


@pytest.mark.real
@needs_fpm
def test_files_mean_the_same_as_to_fpm_itself(tmp_path):
    """Includes continue the open section, the last value holds, comments, quotes and variables: as `php-fpm -tt` says."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace("DIR", str(tmp_path)))
    argv = [FPM, "-n", "-tt", "-y", tmp_path / "fpm.conf"]
    environment = os.environ | {"CHILDREN": "7"}
    subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=30)
    said: dict[str, dict[str, str]] = {}
    for line in (tmp_path / "log").read_text().splitlines():
        text = line.partition("NOTICE: ")[2].strip()
        if text.startswith("["):
            section = said.setdefault(text.strip("[]"), {})
        elif " = " in text:
            name, _, value = text.partition(" = ")
            section[name] = value
    entries, _ = php_fpm_files.read(Rights(LocalHost(), 0), str(tmp_path / "fpm.conf"), "/usr")
    for pool in php_fpm.pools(entries, "/usr", environment):
        theirs = said.pop(pool.name)
        assert {theirs["listen"], f"unix:{theirs['listen']}"} & {str(pool.target)}
        assert (pool.slowlog or "undefined") == theirs["slowlog"]
        own = {name: value.removesuffix("s") for name, value in pool.settings.items() if name not in ("listen", "slowlog")}
        assert own == {name: theirs[name].removesuffix("s") for name in own}
    assert set(said) == {"global"}


def test_an_include_that_names_itself_ends(tmp_path):
    (tmp_path / "a.conf").write_text("include = /*.conf\n[a]\nlisten = 1\n" * 3)
    entries, gaps = php_fpm_files.read(Rights(DirectoryHost(str(tmp_path)), 0), "/a.conf", "/usr")
    assert entries
    assert "too many includes to follow" in gaps[0].reason


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request", b"\x15\x03\x01\x00\x02\x02\x46\x00"])
def test_no_fastcgi(data):
    with pytest.raises(HostError):
        php_fpm_status.decode(data)


def test_an_answer_in_pieces():
    record = bytes((1, 6, 0, 1, 0, 3, 5, 0)) + b"abc" + bytes(5)
    end = bytes((1, 3, 0, 1, 0, 8, 0, 0)) + bytes(8)
    assert php_fpm_status.decode(record + end) == (b"abc", True)
    assert php_fpm_status.decode(record + end[:-1]) == (b"abc", False)
    assert php_fpm_status.decode(record[:4]) == (b"", False)


class Fpm:
    """A real master with its own configuration in a directory of its own."""

    def __init__(self, directory, text: str) -> None:
        self.directory = directory
        (directory / "sleep.php").write_text("<?php fgets(fopen(__DIR__ . '/gate', 'r')); echo 'ok';")
        os.mkfifo(directory / "gate")
        directory.chmod(0o755)
        head = f"[global]\nerror_log = {directory}/log\ndaemonize = no\n"
        (directory / "fpm.conf").write_text(head + text.replace("DIR", str(directory)))
        argv = [FPM, "-n", "-F", "-R", "-y", str(directory / "fpm.conf")]
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.clients = ExitStack()
        self.wait(lambda: "ready to handle connections" in (directory / "log").read_text())

    def wait(self, condition) -> None:
        until = time.monotonic() + 20
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            assert time.monotonic() < until, (self.directory / "log").read_text()
            time.sleep(0.01)

    def settle(self, **children: int) -> None:
        """Wait until these pools have the expected number of children, with their titles."""
        self.wait(
            lambda: children.items() <= {n: pool.children for n, pool in self.pools(CollectOptions(probes=False)).items()}.items()
        )

    def request(self, address) -> None:
        """Send a request that lasts until the end of the test."""
        client = self.clients.enter_context(socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX))
        client.connect(address)
        client.sendall(php_fpm_status.encode(str(self.directory / "sleep.php")))

    def pools(self, ask=None) -> dict[str, PhpPool]:
        found = php_fpm.collect(LocalHost(), nothing_known(), ask or CollectOptions())
        self.gaps = found.gaps
        return {pool.name: pool for pool in found.value if pool.master_pid == self.process.pid}

    def stop(self) -> None:
        """Stop the master, which stops and reaps its children; if it hangs, kill all of them."""
        self.clients.close()
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in (self.process.pid, *children):
                os.kill(pid, 9)
            self.process.wait()


@pytest.fixture
def start(tmp_path_factory):
    with ExitStack() as stack:

        def start(text: str) -> Fpm:
            fpm = Fpm(tmp_path_factory.mktemp("fpm"), text)
            stack.callback(fpm.stop)
            return fpm

        yield start


POOL = "user = nobody\n" if not os.geteuid() else ""


@pytest.mark.real
@needs_fpm
def test_a_saturated_static_pool(start):
    """One child, backlog 2: one request is served, three wait. Only pm.status_listen still answers."""
    fpm = start(
        f"[full]\n{POOL}listen = DIR/s\nlisten.backlog = 2\nlisten.mode = 0660\npm = static\npm.max_children = 1\n"
        f"pm.status_path = /status\nping.path = /ping\npm.status_listen = DIR/status\n"
    )
    fpm.settle(full=1)
    pool = fpm.pools()["full"]
    assert (pool.children, pool.children_busy, pool.queued, pool.answers_ping) == (1, 0, 0, True)
    assert (pool.status["pool"], pool.status["process manager"]) == ("full", "static")
    assert pool.child_rss_bytes > 1 << 20
    assert (pool.target, pool.mode, pool.pm, pool.max_children) == (Target(path=str(fpm.directory / "s")), "0660", "static", 1)

    fpm.request(str(fpm.directory / "s"))
    fpm.wait(lambda: fpm.pools(CollectOptions(probes=False))["full"].children_busy == 1)
    for _ in range(3):
        fpm.request(str(fpm.directory / "s"))
    with pytest.raises(BlockingIOError), socket.socket(socket.AF_UNIX) as one:
        one.setblocking(False)
        one.connect(str(fpm.directory / "s"))
    began = time.monotonic()
    pool = fpm.pools()["full"]
    assert time.monotonic() - began < 3
    assert (pool.children_busy, pool.queued, pool.answers_ping) == (1, 3, None)
    assert pool.status["active processes"] == "1"
    assert any("no child is free" in gap.reason for gap in fpm.gaps)


@pytest.mark.real
@needs_fpm
def test_pools_of_several_masters_and_managers(start):
    port = free_port()
    one = start(
        f"[tcp]\n{POOL}listen = {port}\npm = ondemand\npm.max_children = 3\npm.process_idle_timeout = 60\nping.path = /p\n"
        f"[dyn]\n{POOL}prefix = DIR\nlisten = $pool.sock\npm = dynamic\npm.max_children = 4\npm.start_servers = 2\n"
        "pm.min_spare_servers = 1\npm.max_spare_servers = 2\n"
    )
    two = start(f"[tcp]\n{POOL}listen = DIR/other\npm = static\npm.max_children = 2\n")
    one.settle(tcp=0, dyn=2)
    two.settle(tcp=2)
    pools = one.pools(CollectOptions(probes=False))
    assert (pools["tcp"].children, pools["tcp"].child_rss_bytes, pools["tcp"].queued) == (0, None, 0)
    assert pools["dyn"].target == Target(path=str(one.directory / "dyn.sock"))
    for number in (1, 2):
        one.request(("127.0.0.1", port))
        one.wait(lambda: one.pools(CollectOptions(probes=False))["tcp"].children_busy == number)  # noqa: B023
    one.settle(tcp=2)
    assert one.pools()["tcp"].answers_ping is True


@pytest.mark.real
@needs_fpm
def test_a_master_in_a_container(tmp_path):
    """It has its own mount and network namespaces: files, socket and port are as seen there."""
    if os.geteuid() or subprocess.run(["unshare", "-mn", "true"], check=False).returncode:
        pytest.skip("needs root and namespaces")
    inner = f"/tmp/{tmp_path.name}-inner"
    text = f"[global]\nerror_log = {inner}/log\ndaemonize = no\n" + "".join(
        f"[{name}]\n{POOL}listen = {listen}\npm = static\npm.max_children = 1\nping.path = /ping\n"
        for name, listen in (("path", f"{inner}/s"), ("port", "127.0.0.1:9000"))
    )
    script = (
        f"ip link set lo up; mount -t tmpfs t /tmp; mkdir {inner}; cat > {inner}/fpm.conf; "
        f"exec {FPM} -n -F -R -y {inner}/fpm.conf 2>/dev/null"
    )
    fpm = subprocess.Popen(["unshare", "-mn", "sh", "-ec", script], stdin=subprocess.PIPE)
    try:
        fpm.stdin.write(text.encode())
        fpm.stdin.close()
        pools: dict[str, PhpPool] = {}
        until = time.monotonic() + 20
        while not (pools and pools["path"].answers_ping and pools["port"].children):
            assert time.monotonic() < until
            found = php_fpm.collect(LocalHost(), nothing_known(), CollectOptions())
            pools = {pool.name: pool for pool in found.value if pool.master_pid == fpm.pid}
    finally:
        fpm.terminate()
        fpm.wait(10)
    assert pools["path"].root == f"/proc/{fpm.pid}/root"
    assert (pools["path"].target, pools["path"].queued) == (Target(path=f"{inner}/s"), 0)
    assert pools["port"].network
    assert pools["port"].answers_ping is None
    assert any("another network namespace" in gap.reason for gap in found.gaps)


def test_a_pool_that_does_not_answer_is_given_up_in_time(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        with pytest.raises(Expired):
            php_fpm_status.page(LocalHost(), Target(path=path), "/status", timeout_s=0.1)
