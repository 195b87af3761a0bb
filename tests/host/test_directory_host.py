"""DirectoryHost: no path leads out of the directory, whatever links it contains."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.model.errors import HostError, Missing
from why502.model.target import Target


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"outside")
    root = tmp_path / "root"
    (root / "etc/app").mkdir(parents=True)
    (root / "etc/app/main.conf").write_bytes(b"inside")
    return root


def test_paths_count_from_the_directory(root: Path) -> None:
    host = DirectoryHost(str(root))
    assert host.read("/etc/app/main.conf") == b"inside"
    assert host.list("/etc") == ["app"]
    assert host.list("/") == ["etc"]
    assert host.stat("/etc/app/main.conf").size_bytes == 6
    assert host.space("/etc").total_bytes > 0
    assert host.acl("/etc") == ()
    with host.open("/etc/app/main.conf") as file:
        assert file.seek(0, os.SEEK_END) == 6


@pytest.mark.parametrize(
    ("link", "aim"),
    [
        ("absolute", "/etc/app/main.conf"),
        ("relative", "etc/app/main.conf"),
        ("chain", "absolute"),
        ("up", "../../../etc/app/main.conf"),
    ],
)
def test_links_are_followed_inside(root: Path, link: str, aim: str) -> None:
    (root / "absolute").symlink_to("/etc/app/main.conf")
    if link != "absolute":
        (root / link).symlink_to(aim)
    host = DirectoryHost(str(root))
    assert host.read(f"/{link}") == b"inside"
    assert host.link(f"/{link}") == aim
    assert host.stat(f"/{link}", follow=False).kind == "link"


def test_links_to_directories_are_followed_on_the_way(root: Path) -> None:
    (root / "conf").symlink_to("/etc/app")
    assert DirectoryHost(str(root)).read("/conf/../app/main.conf") == b"inside"


@pytest.mark.parametrize("path", ["/../secret", "/../../secret", "/out", "/deep/secret", "/etc/../../secret"])
def test_nothing_leads_out(root: Path, path: str) -> None:
    (root / "out").symlink_to("../secret")
    (root / "deep").symlink_to(str(root.parent))
    with pytest.raises(Missing):
        DirectoryHost(str(root)).read(path)


def test_loops_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "self").symlink_to("self/x")
    host = DirectoryHost(str(root))
    for path in ("/a", "/self"):
        with pytest.raises(HostError):
            host.read(path)


def test_pipes_and_other_files_that_would_hang(root: Path) -> None:
    os.mkfifo(root / "pipe")
    host = DirectoryHost(str(root))
    for path in ("/pipe", "/etc", "/etc/app/main.conf/below", "/no"):
        with pytest.raises(HostError):
            host.read(path)
    with pytest.raises(HostError):
        host.list("/etc/app/main.conf")
    with pytest.raises(HostError):
        host.read("/a\0b")
    with pytest.raises(HostError):
        DirectoryHost(f"{root}/missing").list("/")


def test_nothing_runs_and_nothing_is_connected(root: Path) -> None:
    host = DirectoryHost(str(root))
    with pytest.raises(HostError):
        host.run("true")
    with pytest.raises(HostError):
        host.connect(Target(host="127.0.0.1", port=1))


def test_the_root_of_a_process_is_such_a_directory(root: Path) -> None:
    host = DirectoryHost("/").inside(f"/proc/{os.getpid()}/root")
    assert host.read(f"{root}/etc/app/main.conf") == b"inside"


def test_no_descriptor_stays_open(root: Path) -> None:
    host = DirectoryHost(str(root))
    host.read("/etc/app/main.conf")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        host.read("/etc/app/main.conf")
        with pytest.raises(HostError):
            host.read("/etc/no")
    assert len(os.listdir("/proc/self/fd")) == before
