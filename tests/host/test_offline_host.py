"""OfflineHost: the given files, everything beside and below them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.host.local import LocalHost
from why502.host.offline import OfflineHost
from why502.model.errors import HostError
from why502.model.target import Target


def test_only_the_given_files_and_their_directories(tmp_path: Path) -> None:
    (tmp_path / "nginx/conf.d").mkdir(parents=True)
    (tmp_path / "nginx/nginx.conf").write_bytes(b"main")
    (tmp_path / "nginx/conf.d/a.conf").write_bytes(b"a")
    (tmp_path / "other").write_bytes(b"no")
    host = OfflineHost(LocalHost(), (f"{tmp_path}/nginx/nginx.conf",))
    assert host.read(f"{tmp_path}/nginx/nginx.conf") == b"main"
    assert host.list(f"{tmp_path}/nginx/conf.d") == ["a.conf"]
    assert host.list(f"{tmp_path}/nginx") == ["conf.d", "nginx.conf"]
    assert host.stat(f"{tmp_path}/nginx/conf.d/a.conf").size_bytes == 1
    for path in (f"{tmp_path}/other", f"{tmp_path}/nginx/../other", f"{tmp_path}/nginxx", "/etc/passwd"):
        with pytest.raises(HostError) as raised:
            host.read(path)
        assert "--offline" in raised.value.reason


def test_nothing_of_the_machine() -> None:
    host = OfflineHost(LocalHost())
    for look in (
        lambda: host.run("true"),
        lambda: host.connect(Target(host="127.0.0.1", port=1)),
        lambda: host.space("/"),
        lambda: host.read("/proc/self/stat"),
        lambda: host.list("/proc"),
        lambda: host.inside("/proc/1/root"),
    ):
        with pytest.raises(HostError):
            look()
