"""Which files belong to a log, and which can be read to an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from why502.host.local import LocalHost
from why502.logs.files import regular, rotated, unlinked
from why502.model.errors import HostError, Missing


def touch(path: Path, modified_s: float) -> None:
    path.write_bytes(b"x\n")
    os.utime(path, (modified_s, modified_s))


def test_rotated_siblings_newest_first(tmp_path: Path) -> None:
    names = [
        "access.log",
        "access.log.1",
        "access.log.2.gz",
        "access.log.10.gz",
        "access.log-20261120",
        "access.log-20261119.xz",
        "access.log.2026-11-18",
        "access-20261117.log.zst",
        "access.log-20261116-1763251200.bz2",
    ]
    for age, name in enumerate(names):
        touch(tmp_path / name, 1_000_000 - age)
    for other in (
        "access.log.gz",
        "access.log.swp",
        "access.log.1~",
        "other-access.log.1",
        "xaccess.log.1",
        "access.logs.1",
        "access.log.bak",
    ):
        touch(tmp_path / other, 1_000_000)
    found = [Path(part.opens).name for part in rotated(LocalHost(), str(tmp_path / "access.log"), 0)]
    assert found == names[1:]
    recent = [Path(part.opens).name for part in rotated(LocalHost(), str(tmp_path / "access.log"), 1_000_000 - 3)]
    assert recent == names[1:4]


def test_a_file_being_compressed_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "error.log.1", 10)
    touch(tmp_path / "error.log.1.gz", 10)
    assert [Path(part.opens).name for part in rotated(LocalHost(), str(tmp_path / "error.log"), 0)] == ["error.log.1"]


def test_a_directory_that_is_not_there_has_none() -> None:
    assert list(rotated(LocalHost(), "/nonexistent/a.log", 0)) == []


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostError, match="not a regular file"):
        regular(LocalHost(), str(tmp_path / "pipe"))
    with pytest.raises(HostError, match="directory"):
        regular(LocalHost(), str(tmp_path))
    with pytest.raises(HostError, match="not a regular file"):
        regular(LocalHost(), "/dev/null")
    with pytest.raises(Missing):
        regular(LocalHost(), str(tmp_path / "missing"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(HostError):
        regular(LocalHost(), str(tmp_path / "loop"))


def test_a_deleted_file_that_a_process_still_has(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    with path.open("ab") as file, path.open("rb"):
        file.write(b"hello\n")
        file.flush()
        path.unlink()
        (tmp_path / "error.log").write_bytes(b"new\n")
        try:
            parts = list(unlinked(LocalHost(), str(path), os.getpid()))
        except HostError:
            pytest.skip("following /proc/PID/fd is not allowed here")
        assert len(parts) == 1 and parts[0].is_deleted and parts[0].status.size_bytes == 6
        with LocalHost().open(parts[0].opens) as stream:
            assert stream.read() == b"hello\n"
    assert list(unlinked(LocalHost(), str(path), os.getpid())) == []
