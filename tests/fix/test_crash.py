"""A fix killed at a checkpoint leaves a valid configuration, the old or the new one. It can be finished or rolled back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from sampled import few
from shop import HELPS, Shop

from why502.fix import journal, reversal, transaction
from why502.fix.reversal import Progress

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NAMES = (
    "backup 0",
    "before journal",
    "planned",
    "before write 0",
    "written 0",
    "journal written 0",
    "journal written 1",
    "ran 0",
)
NAMES += ("journal written 2", "ran 1", "journal loaded 2", "journal kept 2")
UNDONE = ("journal reverting 2", "before restore 0", "restored 0", "journal reverted 2")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(act: Callable[[Progress], object], *, at: str) -> bool:
    """Do something in a child process that kills itself at a checkpoint; return whether it reached it."""
    child = os.fork()
    if child == 0:
        try:
            act(Progress(at=lambda name: die() if name == at else None))
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed"
    return os.WIFSIGNALED(status)


def is_whole(shop: Shop) -> None:
    """Assert that the file has the old or the new content, and that nginx tests and serves."""
    assert shop.site.read_bytes() in (shop.old, shop.new)
    shop.check()


def finish(shop: Shop, *, forward: bool) -> None:
    """Resume or undo, as `why502 fix` would, and assert the outcome."""
    unfinished = [entry for entry in journal.entries(shop.state) if entry.is_unfinished]
    if not unfinished:  # killed before it started, or after its end
        return
    (entry,) = unfinished
    if forward:
        transaction.resume(shop.state, entry, lambda _: HELPS, Progress())
    else:
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == (shop.new if forward else shop.old)
    assert shop.status() == (200 if forward else 502)


@pytest.mark.parametrize("forward", [True, False], ids=["resume", "undo"])
@pytest.mark.parametrize("at", few(NAMES, 3))
def test_killed_at_a_checkpoint(shop: Shop, at: str, forward: bool) -> None:
    assert killed(lambda progress: shop.apply(progress=progress), at=at)
    is_whole(shop)
    finish(shop, forward=forward)
    is_whole(shop)


@pytest.mark.parametrize("at", UNDONE)
def test_killed_during_the_roll_back(shop: Shop, at: str) -> None:
    assert shop.apply() == "kept"
    (entry,) = journal.entries(shop.state)
    assert killed(lambda progress: reversal.revert(shop.state, entry, progress), at=at)
    is_whole(shop)
    (entry,) = journal.entries(shop.state)
    if entry.phase != "reverted":
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == shop.old
    assert shop.status() == 502


def test_the_checkpoints_are_these(shop: Shop) -> None:
    met: list[str] = []
    assert shop.apply(progress=Progress(at=met.append)) == "kept"
    (entry,) = journal.entries(shop.state)
    reversal.revert(shop.state, entry, Progress(at=met.append))
    assert tuple(met) == NAMES + UNDONE
