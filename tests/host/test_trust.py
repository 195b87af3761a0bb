"""Who could replace the file a path leads to: owners, groups, access lists, links, sticky directories, mounts, processes."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from why502.host import trust
from why502.model.errors import Denied, HostError, Missing

STRANGER = 61234
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def directory() -> Path:
    """A directory that only we can change, including its parents, and that others may enter."""
    made = Path(tempfile.mkdtemp(prefix="trust-"))
    made.chmod(0o755)
    (made / "bin").mkdir(mode=0o755)
    (made / "bin/nginx").write_bytes(b"program")
    (made / "bin/nginx").chmod(0o755)
    assert not trust.stranger(str(made / "bin/nginx"))
    return made


def _own(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def _grant(path: Path, kind: int, right: int, *, mask: int) -> None:
    """Give the user or group STRANGER a right by an access list (linux/posix_acl_xattr.h)."""
    everybody = 0xFFFFFFFF
    rows = ((0x01, 7, everybody), (kind, right, STRANGER), (0x04, 5, everybody), (0x10, mask, everybody), (0x20, 5, everybody))
    entries = b"".join(struct.pack("<HHI", *row) for row in sorted(rows))
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + entries)


def _swap_for_link(directory: Path) -> None:
    (directory / "his").mkdir()
    (directory / "bin").rename(directory / "his/bin")
    (directory / "bin").symlink_to("his/bin")
    _own(directory / "his")


def _go_through(directory: Path) -> None:
    (directory / "his").mkdir()
    _own(directory / "his")
    (directory / "bin").rename(directory / "real")
    (directory / "bin").symlink_to("his/../real")  # the user can replace `his` by a link


def _sticky_link(directory: Path) -> None:
    (directory / "bin").rename(directory / "real")
    (directory / "bin").symlink_to("real")
    os.lchown(directory / "bin", STRANGER, STRANGER)
    directory.chmod(0o1777)


CHANGES: dict[str, Callable[[Path], object]] = {
    "the file is his": lambda at: _own(at / "bin/nginx"),
    "the directory is his": lambda at: _own(at / "bin"),
    "a directory above is his": _own,
    "everybody may write to the file": lambda at: (at / "bin/nginx").chmod(0o757),
    "everybody may write to the directory": lambda at: (at / "bin").chmod(0o777),
    "a group may write to the directory": lambda at: (os.chown(at / "bin", 0, STRANGER), (at / "bin").chmod(0o775)),
    "a link leads through his directory": _swap_for_link,
    "a link leads through his directory and back": _go_through,
    "the link is his, in a sticky directory": _sticky_link,
    "an access list names him": lambda at: _grant(at / "bin/nginx", 0x02, 6, mask=6),
    "an access list names a group": lambda at: _grant(at / "bin", 0x08, 7, mask=7),
}


@needs_root
@pytest.mark.parametrize("change", CHANGES)
def test_users_who_can_change_a_file_are_found(directory: Path, change: str) -> None:
    path = str(directory / "bin/nginx")
    CHANGES[change](directory)
    assert trust.writers(path) & {STRANGER, trust.SOMEBODY}
    assert "could be changed by users other than root" in trust.stranger(path)
    with pytest.raises(Denied), trust.held(path):
        raise AssertionError("it was held")


@needs_root
def test_a_user_may_change_files_he_trusts_himself(directory: Path) -> None:
    _own(directory / "bin/nginx")
    _own(directory / "bin")
    assert not trust.stranger(str(directory / "bin/nginx"), {STRANGER})
    assert trust.stranger(str(directory / "bin/nginx"), {STRANGER + 1})


@needs_root
def test_harmless_permissions(directory: Path) -> None:
    path = str(directory / "bin/nginx")
    directory.chmod(0o1777)  # sticky, as /tmp: root's entries are safe
    _grant(directory / "bin/nginx", 0x02, 4, mask=6)
    assert not trust.writers(path)
    _grant(directory / "bin/nginx", 0x02, 6, mask=4)  # the mask removes the right
    assert not trust.writers(path)
    os.chown(directory / "bin", 0, 0)
    (directory / "bin").chmod(0o775)  # group 0
    assert not trust.writers(path)


@needs_root
def test_a_file_that_does_not_exist_yet(directory: Path) -> None:
    path = str(directory / "conf.d/new.conf")
    with pytest.raises(Missing):
        trust.stranger(path)
    assert not trust.stranger(path, missing=True)
    directory.chmod(0o1777)
    assert "everybody may write to" in trust.stranger(path, missing=True)
    with trust.walked(path, missing=True) as held:
        assert (held.real, held.descriptor) == (path, -1)


def test_the_held_file_is_the_checked_file(directory: Path) -> None:
    program = directory / "bin/nginx"
    shutil.copy("/bin/echo", program)
    (directory / "link").symlink_to(program)
    with trust.held(str(directory / "link")) as held:
        assert held.real == str(program)
        program.rename(directory / "old")
        shutil.copy("/bin/false", program)
        done = subprocess.run(["nginx", "the first"], executable=held.program, capture_output=True, text=True, check=True)
        assert done.stdout == "the first\n"


def test_paths_that_cannot_be_followed(directory: Path) -> None:
    (directory / "round").symlink_to("round")
    for path in (
        f"{directory}/round",
        f"{directory}/bin/nginx/deeper",
        f"{directory}/{'a/' * 300}",
        "/a\0b",
        f"{directory}/bin/none",
    ):
        with pytest.raises(HostError):
            trust.writers(path)
    assert not trust.stranger(f"{directory}/bin/../bin/./nginx")


def test_no_descriptor_is_left(directory: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (f"{directory}/bin/nginx", f"{directory}/bin/none", "/a\0b"):
        for _ in range(3):
            try:
                trust.writers(path)
            except HostError:
                pass
    assert len(os.listdir("/proc/self/fd")) == before


@contextmanager
def _sleeping(program: str, *, uid: int = 0) -> Iterator[int]:
    process = subprocess.Popen([program, "60"], user=uid, group=uid, extra_groups=[])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@needs_root
def test_a_process_of_root_is_signalled(directory: Path) -> None:
    shutil.copy("/bin/sleep", directory / "bin/nginx")
    with _sleeping(f"{directory}/bin/nginx") as pid, trust.process(pid) as handle:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


@needs_root
def test_no_process_of_another_is_signalled(directory: Path) -> None:
    shutil.copy("/bin/sleep", directory / "bin/nginx")
    with _sleeping(f"{directory}/bin/nginx", uid=STRANGER) as pid:
        with pytest.raises(Denied, match=str(STRANGER)), trust.process(pid):
            raise AssertionError
        with trust.process(pid, {STRANGER}) as handle:
            assert handle >= 0
    _own(directory / "bin/nginx")
    with _sleeping(f"{directory}/bin/nginx") as pid, pytest.raises(Denied, match="owns"), trust.process(pid):
        raise AssertionError


@needs_root
def test_a_program_that_was_upgraded_is_still_known(directory: Path) -> None:
    shutil.copy("/bin/sleep", directory / "bin/nginx")
    with _sleeping(f"{directory}/bin/nginx") as pid:
        (directory / "bin/nginx").unlink()
        with pytest.raises(Missing), trust.process(pid):
            raise AssertionError
        shutil.copy("/bin/sleep", directory / "bin/nginx")
        with trust.process(pid) as handle:
            assert handle >= 0


FUSE = """
    # A file system whose root directory claims to be root's: FUSE_INIT and FUSE_GETATTR are answered (linux/fuse.h).
    import ctypes, os, struct, sys, threading
    from why502.host import trust
    libc = ctypes.CDLL(None, use_errno=True)
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=61234,group_id=61234,allow_other".encode()
    assert libc.mount(b"fuse", sys.argv[1].encode(), b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
    def serve():
        while True:
            head = os.read(fuse, 1 << 20)
            size, code, unique = struct.unpack_from("<IIQ", head)
            body, error = b"", -38
            if code == 26:
                body, error = struct.pack("<IIIIHHIII", 7, 31, 0, 0, 0, 0, 4096, 0, 0) + bytes(28), 0
            elif code == 3:
                attributes = (1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 0, 0)
                body, error = struct.pack("<QII", 60, 0, 0) + struct.pack("<QQQQQQIIIIIIIIII", *attributes), 0
            if code not in (2, 42):
                os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
    threading.Thread(target=serve, daemon=True).start()
    assert os.stat(sys.argv[1]).st_uid == 0
    print(trust.stranger(sys.argv[1]))
    os._exit(0)
"""


@needs_root
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")
def test_the_owner_claimed_by_a_users_file_system_is_not_trusted(directory: Path) -> None:
    argv = ["unshare", "-m", sys.executable, "-c", textwrap.dedent(FUSE), directory]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert f"user {STRANGER} mounted the file system of {directory}" in done.stdout, done.stderr
