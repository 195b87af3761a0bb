"""A host of given files has these and nothing of this machine."""

from __future__ import annotations

import pytest

from why502.host.given import GivenHost
from why502.model.errors import HostError, Missing
from why502.model.file_kind import FileKind
from why502.model.target import Target

HOST = GivenHost({"/given/nginx.conf": b"events {}", "/given/conf.d/a.conf": b"server {}"})


def test_it_has_the_files_and_their_directories() -> None:
    assert HOST.read("/given/nginx.conf") == b"events {}"
    assert HOST.read("/given/nginx.conf", limit_bytes=3) == b"eve"
    assert HOST.open("/given/conf.d/a.conf").read() == b"server {}"
    assert HOST.list("/given") == ["conf.d", "nginx.conf"]
    assert HOST.stat("/given/conf.d").kind is FileKind.DIRECTORY
    assert HOST.stat("/given/nginx.conf").size_bytes == 9
    inodes = {HOST.stat(path).inode for path in ("/", "/given", "/given/conf.d", "/given/nginx.conf", "/given/conf.d/a.conf")}
    assert len(inodes) == 5


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/given/../etc/passwd", "/proc/self/environ", "nginx.conf", "/given/nginx.conf/x"]
)
def test_it_has_nothing_of_this_machine(path: str) -> None:
    for look in (HOST.read, HOST.open, HOST.list, HOST.stat):
        with pytest.raises(Missing):
            look(path)


def test_it_runs_nothing_and_connects_to_nothing() -> None:
    with pytest.raises(HostError):
        HOST.run("nginx", "-v")
    with pytest.raises(HostError):
        HOST.connect(Target(host="127.0.0.1", port=80))
    assert HOST.acting_as(33).read("/given/nginx.conf") == b"events {}"
