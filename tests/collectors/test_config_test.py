"""The proxy's own configuration test: its results, and that it changes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from nginx_real import PROGRAM, Nginx, needs_nginx, needs_root, until

from why502.collectors import config_test, proxies
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import Server
from why502.model.proxy import ConfigFile, Proxy
from why502.model.snapshot import Gap, Snapshot


def now() -> Snapshot:
    return Snapshot(taken_at=datetime.now(UTC))


def examined(nginx: Nginx) -> tuple[Proxy, tuple[Gap, ...]]:
    found = proxies.collect(LocalHost(), now(), CollectOptions(configs=(str(nginx.config),)))
    told = config_test.collect(LocalHost(), msgspec.structs.replace(now(), proxies=found.value), CollectOptions())
    assert told.value is not None
    return told.value[0], told.gaps


def everything(directory: Path) -> dict[str, tuple[int, ...]]:
    """Return owner, mode, size and times of all files in a directory."""
    paths = [directory, *sorted(directory.rglob("*"))]
    return {str(path): (s.st_uid, s.st_gid, s.st_mode, s.st_size, s.st_mtime_ns) for path in paths for s in (path.lstat(),)}


@pytest.fixture
def nginx(open_directory: Path) -> Iterator[Nginx]:
    nginx = Nginx(open_directory / "a")
    yield nginx
    nginx.stop()


@pytest.mark.real
@needs_nginx
def test_a_valid_running_configuration(nginx: Nginx) -> None:
    nginx.start()
    before = everything(nginx.directory)
    proxy, gaps = examined(nginx)
    assert (proxy.test, proxy.problems, gaps) == ("ok", (), ())
    assert everything(nginx.directory) == before


@pytest.mark.real
@needs_nginx
def test_a_bad_edit(nginx: Nginx) -> None:
    nginx.start()
    nginx.config.write_text(nginx.config.read_text().replace("proxy_pass", "proxy_push"))
    proxy, gaps = examined(nginx)
    line = next(n for n, text in enumerate(nginx.config.read_text().splitlines(), 1) if "proxy_push" in text)
    assert proxy.test == "failed"
    assert proxy.problems[0].message == 'unknown directive "proxy_push"'
    assert proxy.problems[0].at and (proxy.problems[0].at.file, proxy.problems[0].at.line) == (str(nginx.config), line)
    assert gaps == ()


@pytest.mark.real
@needs_nginx
@needs_root
def test_the_test_neither_creates_nor_repairs_anything(nginx: Nginx) -> None:
    """A bare `nginx -t` creates the missing log and gives the directory back to the workers: the faults would be gone."""
    nginx.start()
    os.chown(nginx.directory / "temp/proxy", 0, 0)
    os.chmod(nginx.directory / "temp/proxy", 0o500)
    (nginx.directory / "access.log").unlink()
    (nginx.directory / "temp/scgi").rmdir()
    before = everything(nginx.directory)
    proxy, gaps = examined(nginx)
    assert (proxy.test, gaps) == ("ok", ())
    assert everything(nginx.directory) == before
    assert "why502" not in Path("/proc/self/mounts").read_text()


@pytest.mark.real
@needs_nginx
@needs_root
@pytest.mark.parametrize("broken", [False, True])
def test_a_stopped_proxy_is_tested(nginx: Nginx, broken: bool) -> None:
    if broken:
        nginx.config.write_text(
            nginx.config.read_text().replace(str(nginx.directory / "error.log"), str(nginx.directory / "no/error.log"))
        )
    before = everything(nginx.directory)
    proxy, _ = examined(nginx)
    assert proxy.pid is None
    assert proxy.test == ("failed" if broken else "ok")
    assert not broken or "error.log" in proxy.problems[0].message
    assert everything(nginx.directory) == before


@pytest.mark.real
@needs_nginx
@needs_root
@pytest.mark.parametrize("directory", ["/usr/lib", "theirs"])
def test_a_missing_module(nginx: Nginx, directory: str) -> None:
    """Nothing that could be loaded: the test names it.

    In a directory of somebody else's it may be there by the time of the test.
    """
    if directory == "theirs":
        theirs = nginx.directory / "theirs"
        theirs.mkdir()
        os.chown(theirs, 1000, 1000)
        directory = str(theirs)
    nginx.config.write_text(f"load_module {directory}/no_such_module.so;\n{nginx.config.read_text()}")
    proxy, gaps = examined(nginx)
    if directory == "/usr/lib":
        assert proxy.test == "failed" and "no_such_module.so" in proxy.problems[0].message
    else:
        assert proxy.test == "unknown" and any("users other than root" in gap.reason for gap in gaps)


@pytest.mark.real
@needs_nginx
@needs_root
def test_mounts_below_a_written_directory_stay_visible(nginx: Nginx) -> None:
    """As with secrets of a container that are mounted below /run."""
    secrets = nginx.directory / "secrets"
    secrets.mkdir()
    script = (
        f"mount -t tmpfs none {secrets} && echo 'user www-data;' > {secrets}/part.conf && exec {PROGRAM} -e stderr -c "
        f"{nginx.config}"
    )
    text = nginx.config.read_text().replace("user www-data;", f"include {secrets}/part.conf;")
    nginx.config.write_text(text)
    subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, timeout=20)
    until(nginx.workers, "nginx has workers")
    found = [proxy for proxy in proxies.collect(LocalHost(), now(), CollectOptions()).value or () if proxy.pid == nginx.pid]
    told = config_test.collect(LocalHost(), msgspec.structs.replace(now(), proxies=tuple(found)), CollectOptions())
    assert [proxy.test for proxy in told.value or ()] == ["ok"], told.gaps


@pytest.mark.real
@needs_nginx
@needs_root
def test_the_program_of_another_root_is_not_run(nginx: Nginx, open_directory: Path) -> None:
    """Anybody can choose the program in a container; root must not run it here."""
    root = open_directory / "root"
    script = f"""
    mkdir -p {root} && mount -t tmpfs none {root} && cd {root}
    for d in usr lib lib64 bin sbin etc dev proc var tmp run; do
      [ -e /$d ] && mkdir -p $d && mount --rbind /$d $d
    done
    exec chroot {root} {PROGRAM} -e stderr -c {nginx.config}
    """
    subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, timeout=20)
    until(nginx.workers, "nginx has workers")
    found = [proxy for proxy in proxies.collect(LocalHost(), now(), CollectOptions()).value or () if proxy.pid == nginx.pid]
    assert found and found[0].routes
    told = config_test.collect(LocalHost(), msgspec.structs.replace(now(), proxies=tuple(found)), CollectOptions())
    assert [proxy.test for proxy in told.value or ()] == ["unknown"]
    assert any("container" in gap.reason for gap in told.gaps)


@pytest.mark.real
@needs_nginx
@needs_root
def test_a_users_program_runs_as_that_user(open_directory: Path) -> None:
    """Anybody can name a process nginx: it may only be run with that user's rights."""
    nginx = Nginx(open_directory / "a", user="")
    program = open_directory / "nginx"
    program.write_bytes(Path(PROGRAM).read_bytes())
    program.chmod(0o755)
    subprocess.run(["chown", "-R", "nobody", str(nginx.directory), str(program)], check=True)
    try:
        nginx.start(
            "-c", str(nginx.config), before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), program=str(program)
        )
        proxy, gaps = examined(nginx)
        assert (proxy.test, gaps) == ("ok", ())
        stopped = msgspec.structs.replace(proxy, pid=None, owner_uid=65534)
        told = config_test.collect(LocalHost(), msgspec.structs.replace(now(), proxies=(stopped,)), CollectOptions())
        assert [gap.reason for gap in told.gaps] == [
            f"{nginx.config}: its configuration belongs to user 65534, and no process runs it"
        ]
    finally:
        nginx.stop()


@pytest.mark.parametrize(("count", "is_changed", "is_left_out"), [(5001, False, True), (5001, True, False), (20, False, False)])
def test_a_huge_unchanged_configuration_is_not_tested(count: int, is_changed: bool, is_left_out: bool) -> None:
    """nginx itself needs seconds for twenty thousand servers, and the running process has loaded exactly these files."""
    loaded = datetime(2026, 11, 21, 1, tzinfo=UTC)
    changed = loaded.replace(hour=2 if is_changed else 0)
    server = Server(names=("a.example",))
    proxy = Proxy(
        pid=1, servers=(server,) * count, loaded_at=loaded, changed_at=changed, exe="/no/nginx", files=(ConfigFile(path="/a"),)
    )
    found = config_test.collect(LocalHost(), msgspec.structs.replace(now(), proxies=(proxy,)), CollectOptions())
    assert any("has not changed since it was loaded" in gap.reason for gap in found.gaps) is is_left_out
