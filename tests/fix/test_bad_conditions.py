"""A fix on a damaged machine, or while somebody else interferes: nothing is lost, and the error is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from shop import HELPS, NOW, Shop

from why502.fix import disk, journal, reversal
from why502.fix.plan import warnings
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.lab.isolation import can_isolate
from why502.model.errors import Why502Error
from why502.model.remedy import Edit

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def inside(*around: str, case: str) -> subprocess.CompletedProcess[str]:
    """Run a case in another process, in the environment that `around` sets up; return the result."""
    script = Path(__file__).with_name("in_namespace.py")
    done = subprocess.run(
        [*around, sys.executable, str(script), case],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_fix_is_undone_although_the_journals_disk_is_full() -> None:
    if not can_isolate():
        pytest.skip("needs root and its own namespaces (unshare)")
    inside("unshare", "--mount", case="full-at-undo")


def test_without_the_right_to_mount() -> None:
    if not can_isolate():
        pytest.skip("needs root and its own namespaces (unshare)")
    done = inside("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", case="without-capability")
    assert "cannot be tested before it is in place: that needs root with CAP_SYS_ADMIN" in done.stdout


def test_a_file_with_several_names_is_reported(shop: Shop) -> None:
    other = shop.root / "other-name"
    other.hardlink_to(shop.site)
    said: list[str] = []
    assert shop.apply(progress=Progress(say=said.append)) == "kept"
    assert f"{shop.site} has 2 names (hard links): its other names keep the old content" in said
    (entry,) = journal.entries(shop.state)
    reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == other.read_bytes() == shop.old


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("full-state", "/state/* no space left on device"),
        ("full-configuration", "/sites-enabled/shop: no space left on device; everything was rolled back"),
        ("read-only-configuration", "/sites-enabled/shop lies on a read-only file system"),
        ("bound-alone", "/sites-enabled/shop is mounted there alone, and cannot be replaced in one step"),
        ("append-only", "/sites-enabled/shop is append-only (chattr +a)"),
        ("immutable-directory", "/sites-enabled is immutable (chattr +i)"),
    ],
)
def test_file_systems(case: str, message: str) -> None:
    if not can_isolate():
        pytest.skip("needs root and its own namespaces (unshare)")
    done = inside("unshare", "--mount", case=case)
    first, last = message.split("*") if "*" in message else (message, message)
    assert done.stdout.startswith(first)
    assert done.stdout.splitlines()[0].endswith(last)


def test_a_read_only_file_is_left_alone(shop: Shop) -> None:
    shop.site.chmod(0o444)
    with pytest.raises(Why502Error, match="is read-only"):
        shop.apply()
    assert shop.site.read_bytes() == shop.old
    assert not journal.entries(shop.state)


def test_a_link_stays_a_link(shop: Shop) -> None:
    real = shop.root / "sites-available-shop"
    shop.site.rename(real)
    shop.site.symlink_to(real)
    assert shop.apply() == "kept"
    assert shop.site.is_symlink()
    assert real.read_bytes() == shop.new
    (entry,) = journal.entries(shop.state)
    reversal.revert(shop.state, entry, Progress())
    assert shop.site.is_symlink()
    assert real.read_bytes() == shop.old


def test_owner_mode_and_attributes_stay(shop: Shop) -> None:
    shop.site.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(shop.site, 0, 33)
    try:
        os.setxattr(shop.site, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system has no attributes")
    before = shop.site.stat()
    shop.apply()
    after = shop.site.stat()
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    assert os.getxattr(shop.site, "user.note") == b"mine"


def test_the_new_content_is_never_seen_by_an_include(shop: Shop) -> None:
    seen: list[str] = []

    def look(name: str) -> None:
        if name in ("before write 0", "written 0"):
            Path(disk.temporary(str(shop.site))).write_text("nonsense")
            shop.check()
            seen.append(name)

    assert shop.apply(progress=Progress(at=look)) == "kept"
    assert seen == ["before write 0", "written 0"]


def test_an_edit_between_plan_and_write_is_noticed(shop: Shop) -> None:
    plan = shop.plan()
    changed = shop.old + b"# mine\n"
    shop.site.write_bytes(changed)
    with pytest.raises(Why502Error, match="has changed since it was read"):
        shop.apply(plan)
    assert shop.site.read_bytes() == changed


def test_an_edit_right_before_the_write_is_noticed(shop: Shop) -> None:
    changed = shop.old + b"# mine\n"
    with pytest.raises(Why502Error, match="was changed concurrently"):
        shop.apply(progress=Progress(at=lambda name: shop.site.write_bytes(changed) if name == "before write 0" else None))
    assert shop.site.read_bytes() == changed
    shop.check()


def test_an_edit_elsewhere_survives_the_undo(shop: Shop) -> None:
    shop.apply()
    shop.site.write_bytes(b"# mine\n" + shop.new + b"# too\n")
    (entry,) = journal.entries(shop.state)
    assert reversal.revert(shop.state, entry, Progress()).phase == "reverted"
    assert shop.site.read_bytes() == b"# mine\n" + shop.old + b"# too\n"
    assert shop.status() == 502


def test_an_edit_of_the_same_word_is_not_overwritten(shop: Shop) -> None:
    shop.apply()
    changed = shop.new.replace(b"proxy_pass http://127.0.0.1:%d;" % shop.right, b"proxy_pass http://127.0.0.1:9;", 1)
    shop.site.write_bytes(changed)
    (entry,) = journal.entries(shop.state)
    with pytest.raises(Why502Error, match="in the same lines") as caught:
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == changed
    kept = caught.value.hint.partition("its old content is ")[2].rstrip(".")
    assert Path(kept).read_bytes() == shop.old


def test_a_configuration_that_was_invalid_before_is_reported_as_such(shop: Shop) -> None:
    with shop.config.open("a") as stream:
        stream.write("nonsense;\n")
    with pytest.raises(Why502Error, match=r'on disk already fails the proxy\'s own test: .*unknown directive "nonsense"'):
        shop.apply()
    assert shop.site.read_bytes() == shop.old
    assert not list(shop.state.iterdir())


def test_a_change_that_fails_the_test_is_not_written(shop: Shop) -> None:
    times: list[float] = [shop.site.stat().st_mtime_ns]
    with pytest.raises(Why502Error, match=r"the new configuration fails .*invalid port"):
        shop.apply(shop.plan(shop.change(str(shop.wrong), "99999999")))
    assert shop.site.read_bytes() == shop.old
    assert [shop.site.stat().st_mtime_ns] == times


def test_two_runs_at_once(shop: Shop) -> None:
    with journal.lock(shop.state), pytest.raises(Why502Error, match="another why502"), journal.lock(shop.state):
        pass


def test_a_damaged_journal_is_named(shop: Shop) -> None:
    plan = shop.plan()
    shop.apply(plan)
    (path,) = shop.state.glob("*.json")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(Why502Error, match="the journal is damaged") as caught:
        shop.apply(plan)
    assert str(shop.state) in caught.value.hint


def test_damaged_contents_are_never_written(shop: Shop) -> None:
    shop.apply()
    (entry,) = journal.entries(shop.state)
    Path(journal.contents_path(shop.state, entry.id, 0, is_new=False)).write_bytes(b"rubbish")
    with pytest.raises(Why502Error, match="is damaged"):
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == shop.new


def test_an_interrupted_fix_must_be_ended_first(shop: Shop) -> None:
    def stop(name: str) -> None:
        if name == "planned":
            raise SystemExit

    plan = shop.plan()
    with pytest.raises(SystemExit):
        shop.apply(plan, progress=Progress(at=stop))
    (entry,) = journal.entries(shop.state)
    journal.save(shop.state, msgspec.structs.replace(entry, phase=journal.Phase.WRITTEN))
    with pytest.raises(Why502Error, match="was interrupted"):
        shop.apply(plan)


@pytest.mark.parametrize("at", ["written 0", "ran 0", "ran 1"])
def test_ctrl_c_puts_everything_back(shop: Shop, at: str) -> None:
    def stop(name: str) -> None:
        if name == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.apply(progress=Progress(at=stop))
    (entry,) = journal.entries(shop.state)
    assert entry.phase == "reverted"
    assert shop.site.read_bytes() == shop.old
    assert shop.status() == 502


def test_a_file_is_made_and_removed(shop: Shop) -> None:
    path = shop.root / "unit.d/why502.conf"
    plan = msgspec.structs.replace(
        shop.plan(), edits=(Edit(file=str(path), line=1, start=0, end=0, before="", after="[Service]\n"),)
    )
    entry = apply(plan, shop.state, NOW, (), lambda _: HELPS, Progress())
    assert path.read_text() == "[Service]\n"
    reversal.revert(shop.state, entry, Progress())
    assert not path.parent.exists()


@pytest.mark.parametrize("head", ["# Managed by Puppet", "# This file is generated by confd. Do not edit", "# Ansible managed"])
def test_a_generated_file_is_warned_of(shop: Shop, head: str) -> None:
    shop.site.write_text(f"{head}\n{shop.old.decode()}")
    (warning,) = warnings((shop.change(str(shop.wrong), "1"),), shop.proxy)
    assert "is marked as generated" in warning
