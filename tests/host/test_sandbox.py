"""A root program run in the sandbox changes nothing, whatever its configuration names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.host.base import Sandbox
from why502.host.local import LocalHost
from why502.model.errors import Denied, HostError

USER = 61234
pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="makes mount namespaces, needs root")]


@pytest.fixture
def place() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def tried(
    script: str, *directories: Path, files: tuple[Path, ...] = (), contents: dict[str, str] | None = None
) -> tuple[int, str, str]:
    sandbox = Sandbox(
        program="/bin/sh", directories=tuple(map(str, directories)), files=tuple(map(str, files)), contents=contents or {}
    )
    done = LocalHost().try_out(sandbox, "sh", "-c", script)
    return done.status, done.stdout, done.stderr


def test_its_writes_vanish_and_everything_else_is_read_only(place: Path) -> None:
    (place / "logs").mkdir()
    (place / "logs/error.log").write_text("long" * 1000)
    script = (
        f"echo more >> {place}/logs/error.log && wc -c < {place}/logs/error.log; echo new > {place}/logs/new && cat "
        f"{place}/logs/new; touch {place}/else /etc/else /root/else"
    )
    status, out, error = tried(script, place / "logs", files=(place / "logs/error.log",))
    assert (status, out.split()) == (1, ["5", "new"])
    assert error.count("Read-only file system") == 3
    assert (place / "logs/error.log").read_text() == "long" * 1000
    assert not (place / "logs/new").exists()
    assert "why502" not in Path("/proc/self/mounts").read_text()


def test_a_file_has_another_content_only_inside(place: Path) -> None:
    (place / "etc/below").mkdir(parents=True)
    file, link = place / "etc/below/app.conf", place / "etc/link.conf"
    file.write_text("old")
    link.symlink_to("below/app.conf")
    status, out, _ = tried(f"cat {file} {link}", place / "etc", contents={str(file): "n\xe9w", str(link): "linked"})
    assert (status, out) == (0, "n\ufffdwlinked")
    assert (file.read_text(), link.is_symlink()) == ("old", True)


def test_a_content_outside_of_the_overlays_is_refused(place: Path) -> None:
    file = place / "app.conf"
    file.write_text("old")
    with pytest.raises(HostError, match="overlay"):
        tried("true", contents={str(file): "new"})
    assert file.read_text() == "old"


def test_a_link_of_a_user_gets_no_overlay(place: Path) -> None:
    mine = place / "mine"
    mine.mkdir()
    os.chown(mine, USER, USER)
    (mine / "logs").symlink_to("/etc")
    os.lchown(mine / "logs", USER, USER)
    status, _, error = tried(f"touch {mine}/logs/why502-was-here", mine / "logs")
    assert status == 1
    assert "Read-only file system" in error
    assert not Path("/etc/why502-was-here").exists()


def test_a_program_that_others_can_change_is_not_run(place: Path) -> None:
    program = place / "program"
    program.write_text("#!/bin/sh\nid -u\n")
    program.chmod(0o755)
    assert LocalHost().try_out(Sandbox(program=str(program)), "program").stdout == "0\n"
    for change in (lambda: os.chown(program, USER, USER), lambda: (os.chown(program, 0, 0), program.chmod(0o777))):
        change()
        with pytest.raises(Denied, match="changed by users other than root"):
            LocalHost().try_out(Sandbox(program=str(program)), "program")
    program.chmod(0o755)
    os.chown(place, USER, USER)
    with pytest.raises(Denied):
        LocalHost().try_out(Sandbox(program=str(program)), "program")
    with pytest.raises(Denied):
        LocalHost().run(str(program))


def test_another_users_process_is_not_run(place: Path) -> None:

    words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "sleep", "60"]
    process = subprocess.Popen(words)
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep"):
            assert process.poll() is None
        with pytest.raises(HostError):
            LocalHost().try_out(Sandbox(pid=process.pid), "sleep", "0")
    finally:
        process.kill()
        process.wait()


HIDDEN = """
import os, subprocess, sys
sys.path.insert(0, {root!r})
place = {place!r}
os.makedirs(f"{{place}}/run/inner")
subprocess.run(["mount", "-t", "tmpfs", "none", f"{{place}}/run/inner"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", f"{{place}}/run"], check=True)
from why502.host.base import Sandbox
from why502.host.local import LocalHost
done = LocalHost().try_out(Sandbox(program="/bin/sh", directories=(f"{{place}}/run",)), "sh", "-c",
    f"echo x > {{place}}/run/pid && cat {{place}}/run/pid")
print(done.status, done.stdout, done.stderr, os.listdir(f"{{place}}/run"))
"""


def test_a_mount_that_another_one_hides_is_no_obstacle(place: Path) -> None:
    """`ip netns` mounts /run/netns; a container or a later mount of /run hides it."""
    code = HIDDEN.format(root=str(Path(__file__).parents[2]), place=str(place))
    done = subprocess.run(["unshare", "--mount", sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 x\n  []\n", done.stdout + done.stderr
