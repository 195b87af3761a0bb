"""A fix that is killed at any point leaves a valid configuration, the old or the new one, and can be finished or taken back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from shop import HELPS, Shop

from why502.fix import journal, reversal, transaction
from why502.fix.reversal import Progress

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LASTING = ("open", "write", "fsync", "replace", "unlink", "fchmod")  # what the operating system is asked to do with files
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
UNDONE = ("before restore 0", "restored 0", "journal reverted 2")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(act: Callable[[Progress], object], *, at: str = "", call: int = -1) -> bool:
    """Do something in a child that kills itself at a checkpoint, or before a call to the system;
    return whether it came to that.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
            def one(*args: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == call:
                    die()
                return real(*args, **options)

            return one

        try:
            for name in LASTING:
                setattr(os, name, wrapped(getattr(os, name)))
            act(Progress(at=lambda name: die() if name == at else None))
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed"
    return os.WIFSIGNALED(status)


def is_whole(shop: Shop) -> None:
    """Assert the old or the new content, and that nginx tests and serves."""
    assert shop.site.read_bytes() in (shop.old, shop.new)
    shop.check()


def finish(shop: Shop, *, forward: bool) -> None:
    """Resume or undo, as `why502 fix` would, and assert the outcome."""
    unfinished = [entry for entry in journal.entries(shop.state) if entry.is_unfinished]
    if not unfinished:  # killed before it began, or after its end
        return
    (entry,) = unfinished
    if forward:
        transaction.resume(shop.state, entry, lambda _: HELPS, Progress())
    else:
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == (shop.new if forward else shop.old)
    assert shop.status() == (200 if forward else 502)


def begin_anew(shop: Shop) -> None:
    """Put everything back by hand."""
    for path in shop.state.iterdir():
        path.unlink()
    if shop.site.read_bytes() != shop.old:
        shop.site.write_bytes(shop.old)
        shop.apply_reload()


@pytest.mark.parametrize("forward", [True, False], ids=["resume", "undo"])
@pytest.mark.parametrize("at", NAMES)
def test_killed_at_a_checkpoint(shop: Shop, at: str, forward: bool) -> None:
    assert killed(lambda progress: shop.apply(progress=progress), at=at)
    is_whole(shop)
    finish(shop, forward=forward)
    is_whole(shop)


@pytest.mark.parametrize("at", UNDONE)
def test_killed_while_it_is_taken_back(shop: Shop, at: str) -> None:
    assert shop.apply() == "kept"
    (entry,) = journal.entries(shop.state)
    assert killed(lambda progress: reversal.revert(shop.state, entry, progress), at=at)
    is_whole(shop)
    (entry,) = journal.entries(shop.state)
    if entry.phase != "reverted":
        reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == shop.old
    assert shop.status() == 502


@pytest.mark.parametrize("forward", [True, False], ids=["resume", "undo"])
def test_killed_before_each_call_to_the_system(shop: Shop, forward: bool) -> None:
    calls = 1
    while killed(lambda progress: shop.apply(progress=progress), call=calls):
        is_whole(shop)
        finish(shop, forward=forward)
        is_whole(shop)
        begin_anew(shop)
        calls += 1
        assert calls < 500
    assert calls > 40
    assert shop.site.read_bytes() == shop.new


def test_the_checkpoints_are_these(shop: Shop) -> None:
    met: list[str] = []
    assert shop.apply(progress=Progress(at=met.append)) == "kept"
    (entry,) = journal.entries(shop.state)
    reversal.revert(shop.state, entry, Progress(at=met.append))
    assert tuple(met) == NAMES + UNDONE
