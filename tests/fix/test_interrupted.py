"""An interrupted change: once it is ended, the running proxy matches the files. Until then every command reports it,
and no other change starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from asking import Answer, ask
from sampled import few
from shop import HELPS, NOW, Shop

from why502.fix import commands, journal, places, proxy_lock, reversal, schedule, transaction
from why502.fix.journal import Entry, Phase
from why502.fix.reversal import Progress
from why502.fix.signals import held, interruptible
from why502.model.errors import Why502Error

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

LATE = ("written 0", "journal written 0", "journal written 1", "ran 0", "journal written 2", "ran 1", "journal loaded 2")


class Killed(BaseException):
    """Ends a run like SIGKILL: nothing is rolled back."""


def interrupted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str, *, mitigation: str = "", reverts_at: datetime | None = None
) -> Entry:
    """End the shop's repair at a checkpoint without a roll-back; return its entry."""

    def end(name: str) -> None:
        if name == at:
            raise Killed

    plan = msgspec.structs.replace(shop.plan(), mitigation=mitigation)
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr("why502.fix.transaction._revert_now", lambda *_: None)
        transaction.apply(plan, shop.state, NOW, (), lambda _: HELPS, Progress(at=end), reverts_at=reverts_at)
    (entry,) = journal.entries(shop.state)
    assert entry.is_unfinished
    return entry


def why502(shop: Shop, *argv: str) -> Answer:
    return ask(*argv, "--state", str(shop.state))


@pytest.mark.parametrize("way", ["--undo", "--resume"])
@pytest.mark.parametrize("at", few(LATE, 3))
def test_the_running_proxy_matches_the_files(shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str, way: str) -> None:
    interrupted(shop, monkeypatch, at)
    shop.apply_reload()  # somebody else does, in between
    assert shop.status() == 200
    done = why502(shop, "fix", way)
    is_new = way == "--resume"
    assert done.status == is_new  # 1: it was interrupted before a request was recorded, so nothing proves the repair
    assert (shop.site.read_bytes(), shop.status()) == ((shop.new, 200) if is_new else (shop.old, 502))


def test_a_way_back_that_is_interrupted_is_finished(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = shop.plan()
    for at in ("journal reverting 2", "before restore 0", "restored 0"):
        assert shop.apply(plan) == "kept"
        entry = journal.entries(shop.state)[-1]

        def end(name: str, at: str = at) -> None:
            if name == at:
                raise Killed

        with suppress(Killed):
            reversal.revert(shop.state, entry, Progress(at=end))
        assert shop.status() == 200
        assert f"({entry.id}: {entry.message}) was interrupted" in why502(shop, "mitigate", "list").err
        with pytest.raises(Why502Error, match="was interrupted"):
            shop.apply(plan)
        assert why502(shop, "fix", "--undo").status == 0
        assert (shop.site.read_bytes(), shop.status()) == (shop.old, 502)


@pytest.mark.parametrize("at", few(["end arranged", *LATE], 3))
def test_every_command_reports_it(shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setattr(schedule, "begin", lambda entry, where: "nobody")
    soon = datetime.now(UTC) + timedelta(hours=1)
    entry = interrupted(shop, monkeypatch, at, mitigation="answer /", reverts_at=soon)
    monkeypatch.setattr(places, "journal", lambda: shop.state)
    told = f"why502: an earlier mitigation ({entry.id}: name the right one) was interrupted; finish it with"
    assert told in ask("diagnose", "--config", str(shop.config)).err
    assert told in ask("fix", "--config", str(shop.config)).err
    listed = ask("mitigate", "list")
    assert (told in listed.err, listed.status, entry.id in listed.out) == (True, 1, True)
    assert json.loads(ask("mitigate", "list", "--format", "json").out)["mitigations"][0]["interrupted"]
    refused = ask("mitigate", "timeout", "/", "90", "--config", str(shop.config), "--yes")
    assert (refused.status, "was interrupted" in refused.err) == (2, True)
    assert ask("mitigate", "undo", entry.id).status == 0
    assert (shop.site.read_bytes(), shop.status()) == (shop.old, 502)
    assert ask("mitigate", "list").status == 0


@pytest.mark.parametrize("at", few(LATE, 3))
def test_its_time_ends_it_all_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setattr(schedule, "begin", lambda entry, where: "nobody")
    now = datetime.now(UTC)
    interrupted(shop, monkeypatch, at, mitigation="answer /", reverts_at=now + timedelta(minutes=1))
    assert ask("mitigate", "expire", "--state", str(shop.state), now=lambda: now + timedelta(minutes=2)).status == 0
    assert (shop.site.read_bytes(), shop.status()) == (shop.old, 502)


def test_its_end_is_arranged_before_the_change(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def refuse(entry: Entry, where: Path) -> str:
        seen.append(shop.site.read_bytes())
        raise Why502Error("nobody would revert it", "Without --for, revert it yourself.")

    monkeypatch.setattr(schedule, "begin", refuse)
    refused = why502(shop, "mitigate", "timeout", "/well/", "90", "--for", "30m", "--config", str(shop.config), "--yes")
    assert (refused.status, seen) == (2, [shop.old])
    assert "nobody would revert it; everything was rolled back" in refused.err
    assert shop.site.read_bytes() == shop.old


def test_without_systemd_a_waiting_process_is_used_and_reported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(schedule, "UNITS", tmp_path)
    monkeypatch.setattr(schedule, "has_systemd", lambda: True)  # systemd is not running: systemctl cannot connect
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    done = why502(shop, "mitigate", "timeout", "/well/", "90", "--for", "1s", "--config", str(shop.config), "--yes")
    assert done.status == 0, done
    assert (
        "reverted by a waiting process; after a reboot the next `why502 mitigate` (a timer was not possible: systemctl"
        in done.err
    )
    assert not list(tmp_path.glob("why502-*"))
    shop.until(lambda: shop.site.read_bytes() == shop.old)
    shop.until(lambda: why502(shop, "mitigate", "list").status == 0)


def test_it_is_reverted_only_once_the_old_files_are_loaded(shop: Shop) -> None:
    assert shop.apply() == "kept"
    text = shop.config.read_text()
    shop.config.write_text(text + "nonsense;\n")  # an unrelated error elsewhere
    done = why502(shop, "fix", "--undo")
    assert (done.status, shop.site.read_bytes(), shop.status()) == (1, shop.old, 200)
    assert "the files are restored, but what runs still has the change" in done.out
    assert "is not undone completely" in why502(shop, "mitigate", "list").err
    shop.config.write_text(text)
    assert why502(shop, "fix", "--undo").status == 0
    assert shop.status() == 502
    assert why502(shop, "mitigate", "list").err == ""


def test_an_undo_that_breaks_a_request_is_reported(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that worked before the fix fails after its undo, because its backend has stopped in the meantime."""
    from why502.fix.verify import Asked
    from why502.model.target import Target
    from why502.probing.request import Request

    request = Request(target=Target(host="127.0.0.1", port=shop.port), url="http://shop.example/")
    plan = shop.plan()
    transaction.apply(plan, shop.state, NOW, (Asked(request=request, is_failed=False, how="200"),), lambda _: HELPS, Progress())
    done = why502(shop, "fix", "--undo")
    assert (done.status, "http://shop.example/ answered 200 before and fails now (502)" in done.out) == (1, True)


def test_an_undo_where_nothing_runs_only_restores(shop: Shop) -> None:
    assert shop.apply() == "kept"
    os.kill(shop.pid(), signal.SIGQUIT)
    shop.until(lambda: not (shop.root / "nginx.pid").exists())
    done = why502(shop, "fix", "--undo")
    assert (done.status, shop.site.read_bytes()) == (0, shop.old)
    assert "it will load the restored files when it starts" in done.err


def test_two_journals_exclude_each_other(shop: Shop, tmp_path: Path, locks: Path) -> None:
    argv = ("mitigate", "timeout", "/well/", "90", "--config", str(shop.config), "--yes", "--state", str(tmp_path / "other"))
    with proxy_lock.hold(str(shop.config), shop.state):
        refused = ask(*argv)
    assert (refused.status, f"another why502 is changing the proxy with {shop.config}" in refused.err) == (2, True)
    assert not locks.exists()
    assert ask(*argv).status == 0


def test_another_journal_with_an_interrupted_change_is_known(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: Path
) -> None:
    with proxy_lock.hold(str(shop.config), shop.state):
        interrupted(shop, monkeypatch, "written 0")
    assert len(list(locks.iterdir())) == 1
    elsewhere = str(tmp_path / "other")
    refused = ask("mitigate", "timeout", "/well/", "90", "--config", str(shop.config), "--yes", "--state", elsewhere)
    assert (refused.status, f"its journal is in {shop.state}" in refused.err) == (2, True)
    assert f"`why502 fix --undo`, with {shop.state} for --state" in ask("mitigate", "list", "--state", elsewhere).err
    assert ask("fix", "--undo", "--state", str(shop.state)).status == 0
    assert not locks.exists()


def test_a_lock_whose_file_was_removed_is_taken_again(shop: Shop, locks: Path) -> None:
    with proxy_lock.hold(str(shop.config), shop.state):
        pass
    assert not locks.exists()
    with proxy_lock.hold(str(shop.config), shop.state), pytest.raises(Why502Error), proxy_lock.hold(str(shop.config), shop.state):
        pass


@pytest.fixture
def hangups() -> Iterator[Callable[[object], None]]:
    old = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)  # type: ignore[arg-type, return-value]
    signal.signal(signal.SIGHUP, old)


def test_an_ignored_hangup_stays_ignored(hangups: Callable[[object], None]) -> None:
    hangups(signal.SIG_IGN)
    with interruptible(), held():
        os.kill(os.getpid(), signal.SIGHUP)
    hangups(signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_held_until_everything_is_back(shop: Shop, number: int) -> None:
    assert shop.apply() == "kept"
    (entry,) = journal.entries(shop.state)

    def strike(name: str) -> None:
        os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt), interruptible():
        reversal.revert(shop.state, entry, Progress(at=strike))
    assert (shop.site.read_bytes(), shop.status()) == (shop.old, 502)
    assert journal.entries(shop.state)[0].phase is Phase.REVERTED


def test_an_undo_of_a_mitigation_survives_a_signal(shop: Shop) -> None:
    own = ("--state", str(shop.state))
    assert ask("mitigate", "timeout", "/well/", "90", "--config", str(shop.config), "--yes", *own).status == 0
    text = shop.site.read_bytes()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-m", "why502", "mitigate", "undo", *own],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    line = process.stderr.readline()
    assert b"restored" in line, line
    process.send_signal(signal.SIGTERM)
    process.wait()
    process.stderr.close()
    assert shop.site.read_bytes() == shop.old != text
    assert journal.entries(shop.state)[0].phase is Phase.REVERTED


def test_the_unit_orders_itself_after_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "UNITS", tmp_path)
    monkeypatch.setattr(schedule, "has_systemd", lambda: True)
    monkeypatch.setattr(commands, "execute", lambda *_: None)
    entry = Entry(id="x", began_at=NOW, cause="", message="", phase=Phase.PLANNED, unit="nginx.service", reverts_at=NOW)
    schedule.begin(entry, tmp_path)
    assert "After=network.target nginx.service\n" in (tmp_path / "why502-x.service").read_text()
    assert f"OnUnitInactiveSec={schedule.AGAIN_S}\n" in (tmp_path / "why502-x.timer").read_text()
