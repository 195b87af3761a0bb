"""Files that root writes where a stranger may write too: links, pipes, files that are there already,
directories that are swapped.
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

import pytest
from stranger import STRANGER, attacking, directory, given, needs_root, refused, why502, why502_as

from why502.host import output
from why502.model.errors import Why502Error

pytestmark = [pytest.mark.real, needs_root]

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def shared() -> Path:
    """A directory where everybody may write, as /tmp."""
    return directory(0o1777)


@pytest.fixture
def precious() -> Path:
    """A file of root's."""
    path = directory() / "precious"
    path.write_text("as it was")
    return path


@pytest.fixture
def collect() -> list[str]:
    """`why502 collect -q` of nothing but a configuration, without the file."""
    config = directory() / "nginx.conf"
    config.write_text("events {}\n")
    return ["collect", "-q", "--no-probe", "--config", str(config), "-o"]


def test_a_planted_link_is_not_followed(collect: list[str], shared: Path, precious: Path) -> None:
    (shared / "web1.why502").symlink_to(precious)
    given(shared / "web1.why502")
    assert f"is a link of user {STRANGER}" in refused(why502(*collect, str(shared / "web1.why502")))
    assert precious.read_text() == "as it was"
    assert os.listdir(shared) == ["web1.why502"]


def test_a_planted_pipe_neither_hangs_nor_receives_the_output(collect: list[str], shared: Path) -> None:
    os.mkfifo(shared / "web1.why502")
    given(shared / "web1.why502")
    assert f"is a pipe of user {STRANGER}" in refused(why502(*collect, str(shared / "web1.why502"), timeout=30))


def test_the_file_of_another_user_is_not_written(collect: list[str], shared: Path) -> None:
    (shared / "web1.why502").touch()
    given(shared / "web1.why502")
    assert f"is a file of user {STRANGER}" in refused(why502(*collect, str(shared / "web1.why502")))
    assert (shared / "web1.why502").read_bytes() == b""


def test_a_planted_link_in_the_middle_is_not_followed(collect: list[str], shared: Path, precious: Path) -> None:
    (shared / "out").symlink_to(precious.parent)
    given(shared / "out")
    assert "a link that other users may have created" in refused(why502(*collect, str(shared / "out/web1.why502")))
    assert os.listdir(precious.parent) == ["precious"]


def test_a_directory_of_another_user_gets_a_file_that_only_root_can_read(collect: list[str]) -> None:
    his = directory(0o755, STRANGER)
    assert why502(*collect, str(his / "web1.why502")).returncode == 0
    seen = (his / "web1.why502").lstat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode), seen.st_nlink) == (0, 0, 0o600, 1)
    assert os.listdir(his) == ["web1.why502"]


def test_a_directory_swapped_during_the_write_leads_nowhere(precious: Path) -> None:
    his = directory(0o755, STRANGER)
    for name in ("out", "his"):
        (his / name).mkdir()
        given(his / name)
    (his / "link").symlink_to(precious.parent)
    given(his / "link")
    names = (os.fsencode(his / "out"), os.fsencode(his / "link"))
    outcomes = {"written": 0, "refused": 0}

    def swap() -> None:
        _libc.renameat2(-100, names[0], -100, names[1], 2)  # RENAME_EXCHANGE: "out" is alternately the directory and the link

    with attacking(swap):
        for number in range(400):
            try:
                output.write(str(his / f"out/{number}"), b"evidence")
                outcomes["written"] += 1
            except Why502Error:
                outcomes["refused"] += 1
    assert os.listdir(precious.parent) == ["precious"]
    assert all(outcomes.values()), outcomes  # otherwise nothing was swapped


def test_other_hard_links_of_our_own_file_keep_their_content(shared: Path, precious: Path) -> None:
    os.link(precious, precious.with_name("other"))
    output.write(str(precious), b"new")
    assert precious.read_bytes() == b"new"
    assert precious.with_name("other").read_text() == "as it was"


def test_an_older_file_stays_complete_if_the_disk_is_full(collect: list[str]) -> None:
    here = directory()
    script = f"mount -t tmpfs -o size=16k t {here} && echo old > {here}/a && head -c 9000 /dev/zero > {here}/b && "
    script += '"$@"; echo status $?; cat '
    done = why502(*collect, f"{here}/a", before=("unshare", "-m", "sh", "-c", f"{script} {here}/a; ls -A {here}", "sh"))
    assert done.stdout == "status 2\nold\na\nb\n"
    assert "no space left" in done.stderr


@pytest.mark.parametrize("how", ["read-only", "not searchable", "not writable", "missing", "a file", "no name"])
def test_a_failed_write_is_reported(collect: list[str], how: str) -> None:
    here = directory(0o755, STRANGER)
    inner = here / "inner"
    inner.mkdir()
    (here / "file").touch()
    target = str(inner / "web1.why502")
    if how == "read-only":
        script = f'mount -t tmpfs t {inner} && mount -o remount,ro {inner} && exec "$@"'
        refused(why502(*collect, target, before=("unshare", "-m", "sh", "-c", script, "sh")))
        return
    if how == "not searchable":
        inner.chmod(0o000)
    target = {"missing": f"{here}/no/such", "a file": f"{here}/file/x", "no name": f"{here}/."}.get(how, target)
    refused(why502_as(STRANGER, *collect, target))
    assert sorted(os.listdir(here)) == ["file", "inner"]


def test_devices(collect: list[str]) -> None:
    here = directory()
    os.mknod(here / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 255))
    assert "is a block device" in refused(why502(*collect, str(here / "disk")))
    for name in ("/dev/stdout", "-", "/dev/fd/1", "/proc/self/fd/1"):
        done = why502(*collect, name, text=False)
        assert (done.returncode, done.stdout[:2], done.stderr) == (0, b"\x1f\x8b", b""), name
    assert why502(*collect, "/dev/null").returncode == 0
    assert "bad file descriptor" in refused(why502(*collect, "/dev/fd/777"))


def test_a_pipe_of_our_own_is_written_to(collect: list[str]) -> None:
    pipe = directory() / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert why502(*collect, str(pipe)).returncode == 0
    assert os.read(reader, 2) == b"\x1f\x8b"
    os.close(reader)


def test_a_baseline_follows_no_planted_link(shared: Path, precious: Path) -> None:
    (shared / "nginx.conf").write_text("events {}\n")
    (shared / "baseline").symlink_to(precious)
    given(shared / "baseline")
    refused(why502("lint", str(shared / "nginx.conf"), "--write-baseline", str(shared / "baseline")))
    assert precious.read_text() == "as it was"


def test_a_repair_of_a_configuration_that_others_can_change_is_not_made() -> None:
    his = directory(0o755, STRANGER)
    config = his / "nginx.conf"
    wrong = "events {}\nhttp { server { listen 8080; location / { proxy_pass http://192.0.2.1; proxy_busy_buffer_size 8k; } } }\n"
    config.write_text(wrong)
    given(config)
    assert "not repaired: " in why502("lint", "--fix", str(config)).stderr
    assert (config.read_text(), config.stat().st_uid) == (wrong, STRANGER)
    given(his, 0)
    given(config, 0)
    assert "repaired in 1 place" in why502("lint", "--fix", str(config)).stderr
    assert config.read_text() == wrong.replace("buffer_size", "buffers_size")


def test_records_are_not_written_where_others_can_put_links(shared: Path) -> None:
    (shared / "access.log").write_text('192.0.2.1 - - [21/Nov/2026:01:10:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n')
    (shared / "records").mkdir()
    given(shared / "records")
    done = why502("logs", str(shared / "access.log"), "--parquet", str(shared / "records"))
    assert "could be changed by users other than root" in refused(done)
    assert os.listdir(shared / "records") == []
