"""A stranger's nginx on a machine where root repairs: his program, his configuration, his command line, his journal,
his pid file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from free_ports import free_port
from shop import Shop, shop
from stranger import STRANGER, directory, given, needs_root, refused, why502, why502_as

from why502.fix import commands, guard, journal
from why502.fix.commands import Master
from why502.fix.repair import NotApplied, repair
from why502.fix.reversal import Progress
from why502.host.local import LocalHost
from why502.model.errors import Why502Error
from why502.model.remedy import Run

pytestmark = [pytest.mark.real, needs_root, pytest.mark.timeout(180)]

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") or ""


@pytest.fixture
def root_shop() -> Iterator[Shop]:
    """Root's own nginx with a route that needs repair."""
    with shop() as found:
        yield found


class His:
    """An attacker's nginx that fails: its second route leads to a port without a listener. Programs it runs leave a mark."""

    def __init__(self) -> None:
        self.home = directory(0o755, STRANGER)
        self.config, self.mark = self.home / "nginx.conf", self.home / "mark"
        self.port = free_port()
        temporary = "".join(f"{x}_temp_path {self.home}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.config.write_text(
            f"pid {self.home}/nginx.pid; error_log {self.home}/error.log; events {{}} http {{ {temporary} access_log "
            f"{self.home}/access.log;\n"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{\nproxy_pass http://127.0.0.1:{free_port()};\n}} }} }}\n"
        )
        given(self.config)
        self.text = self.config.read_text()

    def program(self) -> Path:
        """Return his own copy of nginx."""
        path = self.home / "nginx"
        shutil.copy(NGINX, path)
        return given(path)

    def replaced(self, path: Path) -> None:
        """Replace the attacker's program by a script that records its execution and uid; the old one keeps running."""
        path.rename(path.with_name("old"))
        path.write_text(f"#!/bin/sh\nid -u >> {self.mark}\n")
        given(path).chmod(0o755)

    @contextlib.contextmanager
    def running(self, *argv: str, uid: int = STRANGER) -> Iterator[int]:
        """Run nginx as the attacker, send it two requests, and yield its pid."""
        command = [*argv, "-p", str(self.home), "-c", str(self.config), "-e", str(self.home / "error.log")]
        process = subprocess.Popen([*command, "-g", "daemon off;"], user=uid, group=uid, extra_groups=[], cwd="/")
        try:
            ends = time.monotonic() + 30
            while not (self.home / "nginx.pid").exists() or not _answers(self.port):
                assert process.poll() is None, (self.home / "error.log").read_text()
                assert time.monotonic() < ends
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    done = subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"], check=False)
    return done.returncode == 0


@pytest.fixture
def his() -> His:
    return His()


def state() -> str:
    """Return a directory for the journal."""
    return str(directory(0o700) / "state")


def test_a_program_of_the_attacker_is_not_run_as_root(his: His) -> None:
    program = his.program()
    with his.running(str(program)):
        his.replaced(program)
        done = why502("fix", "--config", str(his.config), "--apply", "--yes", "--state", state())
    assert f"runs as user {STRANGER}, and why502 does not change it as root" in refused(done)
    assert not his.mark.exists() or "0" not in his.mark.read_text().split(), "his program was run as root"
    assert (his.config.read_text(), his.config.stat().st_uid) == (his.text, STRANGER)


def _plan(root_shop: Shop, **changes: object) -> tuple[object, str]:
    plan = root_shop.plan()
    assert plan.proxy is not None
    return msgspec.structs.replace(plan, proxy=msgspec.structs.replace(plan.proxy, **changes)), root_shop.site.read_text()


def _refused(root_shop: Shop, plan: object) -> str:
    """Return the reason why a plan is refused; nothing is run or written before."""
    said: list[str] = []
    with pytest.raises(NotApplied) as caught:
        repair(plan, root_shop.snapshot(), LocalHost(), root_shop.state, root_shop.snapshot().taken_at, Progress(say=said.append))  # type: ignore[arg-type]
    assert said == []
    assert root_shop.site.read_bytes() == root_shop.old
    assert not list(root_shop.state.glob("*.json"))
    return caught.value.message


def test_a_plan_for_a_process_of_the_attacker_is_refused(root_shop: Shop, his: His) -> None:
    with his.running(NGINX) as pid:
        plan, _ = _plan(root_shop, pid=pid)  # root's files, but the attacker's command line would be run as root
        assert f"runs as user {STRANGER}" in _refused(root_shop, plan)


def test_a_plan_with_a_program_of_the_attacker_is_refused(root_shop: Shop, his: His) -> None:
    plan, _ = _plan(root_shop, exe=str(his.program()))
    assert f"user {STRANGER} owns {his.home}" in _refused(root_shop, plan)


@pytest.mark.parametrize("what", ["the file", "the main file", "the directory"])
def test_a_configuration_that_the_attacker_can_change_is_not_edited(root_shop: Shop, what: str) -> None:
    plan = root_shop.plan()
    given({"the file": root_shop.site, "the main file": root_shop.config, "the directory": root_shop.site.parent}[what])
    assert f"user {STRANGER} owns" in _refused(root_shop, plan)


def test_a_pid_file_of_the_attacker_does_not_choose_who_is_signalled(root_shop: Shop, his: His) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        (his.home / "pid").write_text(str(victim.pid))
        reload = (*root_shop.program, "-s", "reload")
        with pytest.raises(Why502Error, match=f"user {STRANGER} owns"):
            commands.execute(reload, Master(pid_file=str(his.home / "pid")))
        stale = root_shop.root / "stale.pid"
        stale.write_text(str(victim.pid))
        with pytest.raises(Why502Error, match="which is not nginx"):
            commands.execute(reload, Master(pid_file=str(stale)))
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_a_reused_pid_gets_no_signal(root_shop: Shop) -> None:
    long_ago = root_shop.snapshot().taken_at.replace(year=2001)
    with subprocess.Popen(["sleep", "60"]) as later:
        with pytest.raises(Why502Error, match="is now a different process"):
            guard.send(("kill", "-STOP", str(later.pid)), long_ago)
        later.kill()


def test_only_trusted_processes_get_signals() -> None:
    with subprocess.Popen(["sleep", "60"], user=STRANGER, group=STRANGER, extra_groups=[]) as his:
        with pytest.raises(Why502Error, match=f"runs as user {STRANGER}"):
            guard.send(("kill", "-USR2", str(his.pid)), None)
        assert his.poll() is None
        his.send_signal(signal.SIGKILL)


def test_a_signal_that_would_end_a_process_is_not_sent() -> None:
    with subprocess.Popen(["sleep", "60"]) as helpless:
        with pytest.raises(Why502Error, match="does not handle SIGUSR2"):
            guard.send(("kill", "-USR2", str(helpless.pid)), None)
        assert helpless.poll() is None
        helpless.kill()


def test_permissions_change_only_on_the_checked_file_and_never_through_a_link(his: His) -> None:
    precious = directory() / "precious"
    precious.touch(0o600)
    (his.home / "app.sock").symlink_to(precious)
    with pytest.raises(Why502Error, match="is a link"):
        commands.execute(("chmod", "0666", str(his.home / "app.sock")), Master())
    os.link(precious, his.home / "other")  # if fs.protected_hardlinks is 0, the attacker can create one
    with pytest.raises(Why502Error, match="has 2 names"):
        commands.execute(("chown", str(STRANGER), str(his.home / "other")), Master())
    assert (precious.stat().st_mode & 0o777, precious.stat().st_uid) == (0o600, 0)
    own = his.home / "own"
    own.touch(0o600)
    commands.execute(("chmod", "0660", str(given(own))), Master())
    assert own.stat().st_mode & 0o777 == 0o660
    (his.home / "temporary").mkdir()
    (his.home / "temporary/inner").touch()
    commands.execute(("chown", "-R", "33", str(his.home / "temporary")), Master())
    assert {(his.home / "temporary").stat().st_uid, (his.home / "temporary/inner").stat().st_uid} == {33}


def test_files_named_in_a_command_must_not_belong_to_the_attacker(his: His) -> None:
    (his.home / "supervisord.conf").write_text("[supervisorctl]\n")
    for argv in (("supervisorctl", "-c", str(his.home / "supervisord.conf"), "start", "app"), (str(his.home / "run"),)):
        with pytest.raises(Why502Error, match=f"user {STRANGER} owns"):
            commands.execute(argv, Master())


@pytest.mark.parametrize("where", ["his directory", "a shared directory", "his files in root's directory"])
def test_a_forged_journal_restores_nothing(root_shop: Shop, where: str) -> None:
    root_shop.apply()
    place = {"his directory": directory(0o755, STRANGER), "a shared directory": directory(0o1777)}.get(where, directory(0o700))
    (entry,) = journal.entries(root_shop.state)
    precious = directory() / "precious"
    precious.write_bytes(root_shop.new)
    evil = msgspec.structs.replace(
        entry, changes=(msgspec.structs.replace(entry.changes[0], file=str(precious), real=str(precious)),),
        runs=(Run(argv=("true",)),)
    )  # fmt: skip
    journal.save(place, evil)
    for path in root_shop.state.glob(f"{entry.id}.0.*"):
        shutil.copy(path, place)
    for path in place.iterdir():
        given(path)
    for argv in (("fix", "--undo"), ("fix", "--resume"), ("mitigate", "undo"), ("mitigate", "list")):
        assert "could be changed by users other than root" in refused(why502(*argv, "--state", str(place)))
    assert precious.read_bytes() == root_shop.new


def test_an_ordinary_user_is_refused_before_anything_starts(root_shop: Shop) -> None:
    root_shop.root.chmod(0o755)
    for path in (root_shop.root / "error.log", root_shop.config, root_shop.site):
        path.chmod(0o644)
    _answers(root_shop.port)
    home = directory(0o755, STRANGER)
    done = why502_as(STRANGER, "fix", "--config", str(root_shop.config), "--apply", "--yes", "--state", str(home / "state"))
    assert "Run it as root" in refused(done) or "run as root" in done.stderr
    assert root_shop.site.read_bytes() == root_shop.old
    done = why502_as(
        STRANGER, "mitigate", "limit", "/", "9", "--config", str(root_shop.config), "-y", "--state", str(home / "state")
    )
    assert "root" in refused(done)
    assert root_shop.site.read_bytes() == root_shop.old
