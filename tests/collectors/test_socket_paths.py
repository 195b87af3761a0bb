"""The path to a unix socket, for the worker of a real nginx; connect() by that user is the oracle."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from nginx_real import PROGRAM, Nginx, needs_nginx, needs_root, until

from why502.collectors import proxies, socket_paths
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import Peer, Route
from why502.model.file_kind import FileKind
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot, SocketPath
from why502.model.target import Target


def now(**sections: object) -> Snapshot:
    return msgspec.structs.replace(Snapshot(taken_at=datetime.now(UTC)), **sections)


def proxy_to(path: str, user: str = "www-data") -> Proxy:
    return Proxy(user=user, routes=(Route(peers=(Peer(name=f"unix:{path}", target=Target(path=path)),)),))


def look(known: Snapshot) -> SocketPath:
    found = socket_paths.collect(LocalHost(), known, CollectOptions())
    assert found.gaps == ()
    (one,) = found.value or ()
    return one


def test_a_socket_in_the_log_of_one_gateway_is_not_anothers(tmp_path: Path) -> None:
    app = Target(path=str(tmp_path / "app.sock"))
    tally = Tally(symptom=Symptom.APPLICATION_ERROR, proxy="apache", target=app, count=1)
    gateways = (Proxy(kind="apache", user="www-data"), Proxy(kind="varnish", user="nobody"))
    known = now(proxies=gateways, logs=LogSummary(tallies=(tally,)))
    assert look(known).user == "www-data"


def may_connect(path: Path) -> bool:
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    argv = ["setpriv", "--reuid=33", "--regid=33", "--init-groups", sys.executable, "-c", code]
    return subprocess.run(argv, capture_output=True, check=False, cwd="/").returncode == 0


@pytest.fixture
def listening(open_directory: Path) -> Iterator[Path]:
    (open_directory / "app").mkdir(mode=0o755)
    path = open_directory / "app/shop.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o666)
        yield path


@pytest.mark.real
@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize(
    ("socket_mode", "directory_mode", "acl", "blocked"),
    [
        (0o666, 0o755, None, None),
        (0o660, 0o755, None, "socket"),
        (0o666, 0o750, None, "directory"),
        (0o600, 0o700, None, "directory"),
        (0o444, 0o755, None, "socket"),
        (0o660, 0o755, "u:www-data:rw", None),
        (0o666, 0o755, "u:www-data:r", "socket"),
        (0o666, 0o711, None, None),
        (0o666, 0o744, None, "directory"),
    ],
)
def test_modes_and_acls(listening: Path, socket_mode: int, directory_mode: int, acl: str | None, blocked: str | None) -> None:
    listening.chmod(socket_mode)
    listening.parent.chmod(directory_mode)
    if acl:
        if not shutil.which("setfacl"):
            pytest.skip("setfacl is not installed")
        subprocess.run(["setfacl", "-m", acl, str(listening)], check=True)
    path = look(now(proxies=(proxy_to(str(listening)),)))
    assert path.is_reachable is (blocked is None) is may_connect(listening)
    assert path.blocked_at == {None: "", "socket": str(listening), "directory": str(listening.parent)}[blocked]
    assert (path.kind, path.user) == ("socket", "www-data")
    assert [step.path for step in path.steps][-3:] == [str(listening.parents[1]), str(listening.parent), str(listening)]
    assert (path.steps[-1].owner, path.steps[-1].group) == ("root", "root")


@pytest.mark.real
@needs_root
def test_a_group_of_the_user_counts(listening: Path) -> None:
    os.chown(listening, 0, 33)
    listening.chmod(0o660)
    assert look(now(proxies=(proxy_to(str(listening)),))).is_reachable is True
    assert look(now(proxies=(proxy_to(str(listening), user="root"),))).is_reachable is True
    assert look(now(proxies=(proxy_to(str(listening), user="nobody"),))).is_reachable is False
    assert look(now(proxies=(proxy_to(str(listening), user="nosuchuser"),))).is_reachable is None


def test_missing_paths_and_other_files(open_directory: Path) -> None:
    (open_directory / "file").touch()
    (open_directory / "directory").mkdir()
    (open_directory / "dangling").symlink_to("nowhere")
    for name, kind in (
        ("none", "missing"),
        ("no/such/thing", "missing"),
        ("file", "file"),
        ("directory", "directory"),
        ("dangling", "missing"),
        ("file/x", "missing"),
    ):
        path = look(now(proxies=(proxy_to(f"{open_directory}/{name}"),)))
        assert path.kind == kind, name
        assert kind != "missing" or path.is_reachable is not True


def test_links_are_steps(listening: Path, open_directory: Path) -> None:
    (open_directory / "current").symlink_to("app")
    path = look(now(proxies=(proxy_to(f"{open_directory}/current/shop.sock"),)))
    assert path.kind == "socket"
    assert [(Path(step.path).name, step.kind) for step in path.steps][-3:] == [
        ("current", "link"),
        ("app", "directory"),
        ("shop.sock", "socket"),
    ]


def test_a_link_loop_is_a_gap(open_directory: Path) -> None:
    (open_directory / "a").symlink_to("a")
    found = socket_paths.collect(LocalHost(), now(proxies=(proxy_to(f"{open_directory}/a"),)), CollectOptions())
    assert found.value and found.value[0].is_reachable is None and found.value[0].kind == ""
    assert "symbolic links" in found.gaps[0].reason


def test_the_same_name_elsewhere(open_directory: Path) -> None:
    listeners = (
        Listener(target=Target(path="/run/other/shop.sock"), pids=(1,)),
        Listener(target=Target(path="/tmp/shop.sock"), pids=(2,)),
        Listener(target=Target(path="/srv/shop.sock"), pids=(3,)),
        Listener(target=Target(path="/run/else.sock"), pids=(1,)),
    )
    processes = (Process(pid=1), Process(pid=2, mounts="5", private_tmp="/tmp/systemd-private-x/tmp"), Process(pid=3, mounts="6"))
    path = look(now(proxies=(proxy_to(f"{open_directory}/shop.sock"),), listeners=listeners, processes=processes))
    assert path.seen_elsewhere == ("/run/other/shop.sock", "/tmp/systemd-private-x/tmp/shop.sock", "/proc/3/root/srv/shop.sock")


@pytest.mark.parametrize("is_there", [True, False], ids=["in another root", "its file was removed"])
def test_the_very_path_that_only_the_proxy_does_not_see(open_directory: Path, is_there: bool) -> None:
    (open_directory / "run").mkdir()
    path, root = f"{open_directory}/run/shop.sock", open_directory / "jail"
    root.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        if not is_there:
            os.unlink(path)
        proxy = replace(proxy_to(path), root=str(root))
        found = look(
            now(proxies=(proxy,), listeners=(Listener(target=Target(path=path), pids=(1,)),), processes=(Process(pid=1),))
        )
    assert found.kind is FileKind.MISSING
    assert found.seen_elsewhere == ((path,) if is_there else ())


@pytest.mark.real
@needs_nginx
@needs_root
def test_a_private_tmp_hides_the_socket(listening: Path, open_directory: Path) -> None:
    """nginx with a private /tmp, as with systemd's PrivateTmp=, does not see the application's socket."""
    nginx = Nginx(open_directory / "nginx", passes=f"http://unix:{listening}:")
    script = f"mount -t tmpfs none {listening.parent} && exec {PROGRAM} -e stderr -c {nginx.config}"
    try:
        subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, timeout=20)
        until(nginx.workers, "nginx has workers")
        running = tuple(x for x in proxies.collect(LocalHost(), now(), CollectOptions()).value or () if x.pid == nginx.pid)
        path = look(now(proxies=running, listeners=(Listener(target=Target(path=str(listening)), pids=(os.getpid(),)),)))
        assert path.kind == "missing"
        assert listening.exists()
    finally:
        nginx.stop()
