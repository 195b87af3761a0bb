"""Failures in the error log after a change."""

from __future__ import annotations

import msgspec
import pytest
from shop import NOW, Shop

from why502.cli.env import Env
from why502.fix import error_log
from why502.fix.commands import Master
from why502.fix.repair import verifier
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.model.config import LogKind, LogTarget

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]


def test_only_the_new_workers_count(shop: Shop) -> None:
    proxy = msgspec.structs.replace(shop.proxy, logs=(LogTarget(kind=LogKind.ERROR, path=str(shop.root / "error.log")),))
    marks, master = error_log.marks(proxy), Master(pid_file=str(shop.root / "nginx.pid"))
    assert not error_log.news(marks, master)
    assert shop.status() == 502
    failure = f"connect-refused of 127.0.0.1:{shop.wrong}"
    assert error_log.news(marks, master) == {failure: 1}
    shop.apply_reload()
    assert not error_log.news(marks, master)
    (shop.root / "error.log").rename(shop.root / "error.log.1")
    assert not error_log.news(marks, master)


@pytest.mark.parametrize("is_known", [True, False])
def test_where_no_request_shows_it_the_log_decides(shop: Shop, is_known: bool) -> None:
    """A visitor's request, which we never repeat, keeps failing after the change."""
    proxy = msgspec.structs.replace(shop.proxy, logs=(LogTarget(kind=LogKind.ERROR, path=str(shop.root / "error.log")),))
    seen = (f"connect-refused of 127.0.0.1:{shop.wrong}",) if is_known else ()
    plan = msgspec.structs.replace(shop.plan(shop.change("shop.example", "shop.example other.example")), proxy=proxy, seen=seen)
    said: list[str] = []
    progress = Progress(say=said.append, at=lambda name: shop.status() and None if name == "journal loaded 2" else None)
    entry = apply(plan, shop.state, NOW, (), verifier(Env().host()), progress)
    assert entry.phase == ("reverted" if is_known else "kept")
    assert any("the error log shows one failure since: connect-refused" in text for text in said)
