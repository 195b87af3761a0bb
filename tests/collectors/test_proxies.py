"""Finding nginx: real masters started in the ways that packages, containers and people start them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
from nginx_real import PROGRAM, Nginx, needs_nginx, needs_root, until

from why502.collectors import proxies
from why502.collectors.base import CollectOptions
from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.model.errors import Denied
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

pytestmark = [pytest.mark.real, needs_nginx]
Make = Callable[..., Nginx]


def now() -> Snapshot:
    return Snapshot(taken_at=datetime.now(UTC))


def look(pid: int) -> tuple[Proxy, tuple[Gap, ...]]:
    """Return the proxy of one master; other nginx servers may run on the machine."""
    found = proxies.collect(LocalHost(), now(), CollectOptions())
    gaps = tuple(gap for gap in found.gaps if not re.search(rf"nginx process (?!{pid}\b)", gap.reason))
    return next(proxy for proxy in found.value or () if proxy.pid == pid), gaps


@pytest.fixture
def make(open_directory: Path) -> Iterator[Make]:
    made: list[Nginx] = []

    def one(name: str = "a", **parts: object) -> Nginx:
        made.append(Nginx(open_directory / name, **parts))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for nginx in made:
        nginx.stop()


def test_a_plain_one(make: Make) -> None:
    nginx = make(passes="http://127.0.0.1:3001", workers=2)
    before = datetime.now(UTC)
    proxy, gaps = look(nginx.start())
    assert gaps == ()
    assert proxy.exe == os.path.realpath(PROGRAM)
    assert proxy.version and proxy.build
    assert proxy.config == str(nginx.config)
    assert [str(peer.target) for route in proxy.routes for peer in route.peers] == ["127.0.0.1:3001"]
    assert sorted(worker.pid for worker in proxy.workers) == sorted(nginx.workers())
    assert proxy.loaded_at and proxy.changed_at
    assert proxy.changed_at <= proxy.loaded_at  # it was written before it was loaded, by milliseconds
    assert (proxy.loaded_at - before).total_seconds() > -0.1
    assert (proxy.root, proxy.network) == ("", "")
    assert proxy.worker_connections == 64
    assert {log.path for log in proxy.logs} == {f"{nginx.directory}/error.log", f"{nginx.directory}/access.log"}
    worker = proxy.workers[0]
    assert worker.limits and worker.limits.files_limit and worker.limits.files_open
    if os.geteuid() == 0:
        assert (proxy.user, worker.user, worker.uid, worker.groups) == ("www-data", "www-data", 33, (33,))


def test_several_at_once(make: Make) -> None:
    pids = [make(name).start() for name in ("a", "b", "c")]
    found = {proxy.pid: proxy for proxy in proxies.collect(LocalHost(), now(), CollectOptions()).value or ()}
    assert {Path(found[pid].config).parent.name for pid in pids} == {"a", "b", "c"}


def test_a_prefix_and_a_relative_configuration(make: Make) -> None:
    nginx = make()
    proxy, _ = look(nginx.start("-p", f"{nginx.directory}/", "-c", "nginx.conf"))
    assert (proxy.config, proxy.prefix) == (str(nginx.config), str(nginx.directory))


def test_a_relative_prefix_counts_from_its_directory(make: Make) -> None:
    nginx = make()
    proxy, _ = look(nginx.start("-p", ".", "-c", "nginx.conf", before=("env", "-C", str(nginx.directory))))
    assert (proxy.config, proxy.prefix) == (str(nginx.config), str(nginx.directory))


def test_directives_of_the_command_line(make: Make) -> None:
    nginx = make()
    proxy, _ = look(nginx.start("-g", "daemon on; worker_rlimit_nofile 512;", "-c", str(nginx.config)))
    assert proxy.config == str(nginx.config)
    assert proxy.options[proxy.options.index("-g") + 1] == "daemon on; worker_rlimit_nofile 512;"


@pytest.mark.parametrize("directives", ["daemon off;", "daemon off; master_process off;"])
def test_in_the_foreground(make: Make, directives: str) -> None:
    nginx = make()
    process = subprocess.Popen([PROGRAM, "-e", "stderr", "-g", directives, "-c", str(nginx.config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: nginx.pid == process.pid and ("off; m" in directives or nginx.workers()), "nginx runs")
        proxy, _ = look(process.pid)
        assert proxy.config == str(nginx.config)
        assert len(proxy.workers) == 1
        assert (proxy.workers[0].pid == process.pid) is ("master_process" in directives)
    finally:
        process.terminate()
        process.wait(10)


def test_another_name(make: Make, open_directory: Path) -> None:
    program = open_directory / "nginx-debug"
    shutil.copy(PROGRAM, program)
    proxy, _ = look(make().start(program=str(program)))
    assert proxy.exe == str(program)


def test_the_version_of_a_replaced_binary_is_known(make: Make, open_directory: Path) -> None:
    program = open_directory / "nginx"
    shutil.copy(PROGRAM, program)
    nginx = make()
    pid = nginx.start(program=str(program))
    program.unlink()
    proxy, gaps = look(pid)
    assert gaps == ()
    assert proxy.exe == str(program)
    assert proxy.version


def test_a_reload_is_detected_and_so_is_a_missing_one(make: Make) -> None:
    nginx = make()
    pid = nginx.start()
    first, _ = look(pid)
    until(lambda: first.loaded_at and (datetime.now(UTC) - first.loaded_at).total_seconds() > 0.05, "some clock ticks passed")
    nginx.write(passes="http://127.0.0.1:3002")
    changed, _ = look(pid)
    assert near(changed.loaded_at, first.loaded_at)
    assert changed.changed_at and changed.loaded_at and changed.changed_at > changed.loaded_at
    old = nginx.workers()
    os.kill(pid, signal.SIGHUP)
    until(lambda: nginx.workers() and not set(old) & set(nginx.workers()), "nginx reloads")
    loaded, _ = look(pid)
    assert loaded.loaded_at and loaded.loaded_at >= changed.changed_at


@pytest.mark.parametrize("old_one", ["leaves", "hangs"])
def test_workers_of_an_earlier_load_do_not_count(make: Make, old_one: str) -> None:
    nginx = make()
    pid = nginx.start()
    old = nginx.workers()[0]
    host, port = nginx.listen.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET / HT")  # keeps the old worker alive
        before, _ = look(pid)
        until(
            lambda: before.loaded_at and (datetime.now(UTC) - before.loaded_at).total_seconds() > 0.3, "some clock ticks passed"
        )
        if old_one == "hangs":
            os.kill(old, signal.SIGSTOP)
        os.kill(pid, signal.SIGHUP)
        try:
            until(
                lambda: len(nginx.workers()) == 2 and all(map(is_at_work, nginx.workers())), "the new worker waits for requests"
            )
            if old_one == "leaves":
                until(lambda: b"shutting down" in Path(f"/proc/{old}/cmdline").read_bytes(), "the old one leaves")
            after, _ = look(pid)
            assert {worker.pid for worker in after.workers} == set(nginx.workers())
            assert after.loaded_at and before.loaded_at and (after.loaded_at - before.loaded_at).total_seconds() > 0.2
        finally:
            os.kill(old, signal.SIGCONT)


def is_at_work(worker: int) -> bool:
    """Whether a worker has its own title, which it lacks just after the fork, and waits: for requests, or to be continued."""
    state = Path(f"/proc/{worker}/stat").read_text().rpartition(") ")[2][0]
    return b"worker process" in Path(f"/proc/{worker}/cmdline").read_bytes() and state in "ST"


def near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two readings of one moment agree: each is accurate to a clock tick of 0.01 s."""
    return one is not None and other is not None and abs((one - other).total_seconds()) < 0.05


def test_a_given_configuration_finds_its_master(make: Make) -> None:
    nginx, other = make("a"), make("b")
    pid = nginx.start()
    other.start()
    link = nginx.directory / "link.conf"
    link.symlink_to(nginx.config)
    for config in (nginx.config, link):
        found = proxies.collect(LocalHost(), now(), CollectOptions(configs=(str(config),)))
        assert [proxy.pid for proxy in found.value or ()] == [pid]


def test_a_given_configuration_that_nothing_runs(make: Make) -> None:
    nginx = make()
    (nginx.directory / "error.log").write_text(
        "2026/01/01 00:00:00 [emerg] 1#1: bind() to 0.0.0.0:80 failed (98: Address already in use)\n"
    )
    found = proxies.collect(LocalHost(), now(), CollectOptions(configs=(str(nginx.config),)))
    (proxy,) = found.value or ()
    assert proxy.pid is None
    assert proxy.routes
    assert "bind() to 0.0.0.0:80 failed" in proxy.why_stopped


def test_a_configuration_test_is_not_a_proxy(make: Make) -> None:
    nginx = make()
    nginx.config.write_text(nginx.config.read_text() + "\ninclude pipe;\n")
    os.mkfifo(nginx.directory / "pipe")
    process = subprocess.Popen([PROGRAM, "-t", "-c", str(nginx.config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(PROGRAM.encode()), "it runs")
        assert process.pid not in {proxy.pid for proxy in proxies.collect(LocalHost(), now(), CollectOptions()).value or ()}
    finally:
        process.kill()
        process.wait(10)


@needs_root
def test_another_mount_namespace(make: Make, open_directory: Path) -> None:
    """As in a container: its configuration is at a path that does not exist in our own root."""
    nginx = make()
    hidden = open_directory / "hidden"
    hidden.mkdir()
    script = (
        f"mount -t tmpfs none {hidden} && cp {nginx.config} {hidden}/nginx.conf && exec {PROGRAM} -e stderr -c "
        f"{hidden}/nginx.conf"
    )
    subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, timeout=20)
    until(nginx.workers, "nginx has workers")
    assert not (hidden / "nginx.conf").exists()
    proxy, gaps = look(nginx.pid)
    assert gaps == ()
    assert proxy.root == f"/proc/{nginx.pid}/root"
    assert proxy.config == f"{hidden}/nginx.conf"
    assert proxy.routes and proxy.changed_at and proxy.version
    assert proxy.workers[0].mounts


@needs_root
def test_another_network_namespace(make: Make) -> None:
    nginx = make()
    script = f"ip link set lo up && exec {PROGRAM} -e stderr -c {nginx.config}"
    subprocess.run(["unshare", "-n", "sh", "-c", script], check=True, timeout=20)
    until(nginx.workers, "nginx has workers")
    proxy, _ = look(nginx.pid)
    assert proxy.network == str(os.stat(f"/proc/{nginx.pid}/ns/net").st_ino)
    assert proxy.root == ""


@needs_root
def test_a_proxy_of_a_user_is_read_with_that_users_rights(make: Make) -> None:
    nginx = make(user="")
    secret = nginx.directory / "secret.conf"
    secret.write_text("http { server { listen 9; location / { proxy_pass http://192.0.2.1; } } }")
    subprocess.run(["chown", "-R", "nobody", str(nginx.directory)], check=True)
    pid = nginx.start("-c", str(nginx.config), before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    nginx.config.write_text(nginx.config.read_text() + f"\ninclude {secret};\n")
    os.chown(secret, 0, 0)
    secret.chmod(0o600)
    proxy, gaps = look(pid)
    assert proxy.user == "nobody"
    assert "192.0.2.1" not in str(proxy.routes)
    assert any(f"{secret}: permission denied for user 65534" in gap.reason for gap in gaps)


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_missing_rights_are_reported(make: Make, tmp_path: Path) -> None:
    pid = make().start()
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from datetime import UTC, datetime
from why502.host.local import LocalHost
from why502.model.base import encode
from why502.collectors import collect
from why502.collectors.base import CollectOptions
sys.stdout.buffer.write(encode(collect(LocalHost(), datetime.now(UTC), None, None, CollectOptions(probes=False))))
"""
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code]
    told = subprocess.run(argv, capture_output=True, check=False, timeout=60, cwd="/")
    if b"Permission denied" in told.stderr or b"ModuleNotFoundError" in told.stderr:
        pytest.skip("another user may not read this checkout")
    from why502.model.base import decode

    snapshot = decode(told.stdout, Snapshot)
    proxy = next(proxy for proxy in snapshot.proxies or () if proxy.pid == pid)
    assert proxy.routes
    assert proxy.test == "unknown"
    assert any(gap.source == "config test" for gap in snapshot.gaps)
    assert not any("internal error" in gap.reason for gap in snapshot.gaps), snapshot.gaps


@needs_root
def test_without_a_look_at_the_binary_its_path_is_taken_from_the_title(make: Make) -> None:
    class Unprivileged(LocalHost):
        def link(self, path: str) -> str:
            return self._deny(path) if path.endswith(("/exe", "/cwd")) else super().link(path)

        def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
            return self._deny(path) if path.endswith("/exe") else super().read(path, limit_bytes=limit_bytes)

        def _deny(self, path: str) -> NoReturn:
            raise Denied(f"{path}: Permission denied", "run as root")

    nginx, relative = make("a"), make("b")
    pid = nginx.start()
    other = relative.start("-p", ".", "-c", "nginx.conf", before=("env", "-C", str(relative.directory)))
    found = proxies.collect(Unprivileged(), now(), CollectOptions())
    proxy = next(proxy for proxy in found.value or () if proxy.pid == pid)
    assert proxy.exe == PROGRAM
    assert proxy.version and proxy.build and proxy.routes
    assert other not in {proxy.pid for proxy in found.value or ()}
    assert any(f"process {other}: its working directory" in gap.reason for gap in found.gaps)


def test_a_master_that_lost_its_workers(make: Make) -> None:
    nginx = make()
    pid = nginx.start()
    os.kill(pid, signal.SIGSTOP)  # so that it starts no new worker
    os.kill(nginx.workers()[0], signal.SIGKILL)
    until(lambda: "State:\tZ" in Path(f"/proc/{nginx.workers()[0]}/status").read_text(), "the worker ends")
    proxy, _ = look(pid)
    assert proxy.workers == ()
    assert proxy.user


def test_no_nginx_at_all(open_directory: Path) -> None:
    from why502.gateways.nginx.installed import all_stopped

    gaps: list[Gap] = []
    assert all_stopped(DirectoryHost(str(open_directory)), gaps) == ()
    (open_directory / "etc/nginx").mkdir(parents=True)
    (open_directory / "etc/nginx/nginx.conf").write_text(
        "events {} http { server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } } }"
    )
    (open_directory / "opt/shop/nginx/conf").mkdir(parents=True)
    (open_directory / "opt/shop/nginx/conf/nginx.conf").write_text("events {}")
    found = all_stopped(DirectoryHost(str(open_directory)), gaps)
    assert [proxy.config for proxy in found] == ["/etc/nginx/nginx.conf", "/opt/shop/nginx/conf/nginx.conf"]
    assert found[0].routes and found[0].pid is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("LoadState=not-found\nActiveState=inactive\n", ""),
        (
            (
                "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1"
                "\nInactiveEnterTimestamp=\n"
            ),
            "failed (failed), result exit-code, exit status 1",
        ),
        (
            (
                "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nExecMainCode=1\nExecMainStatus=0\n"
                "InactiveEnterTimestamp=Sat 2026-11-21 00:22:00 UTC\n"
            ),
            "inactive (dead), since Sat 2026-11-21 00:22:00 UTC",
        ),
        ("LoadState=masked\nActiveState=inactive\nSubState=dead\n", "inactive (dead), unit is masked"),
        (
            "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=signal\nExecMainCode=2\nExecMainStatus=9\n",
            "failed (failed), result signal, signal 9",
        ),
        ("", ""),
    ],
)
def test_states_of_a_unit(shown: str, expected: str) -> None:
    from why502.gateways.nginx.installed import parse_show

    assert parse_show(shown) == expected
