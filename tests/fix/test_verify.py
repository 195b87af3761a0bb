"""A change is kept only if the failing requests work and no other request fails: on a real nginx."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import NOW, Shop
from shop import shop as another_shop

from why502.cli.env import Env
from why502.fix import journal, verify
from why502.fix.commands import Master
from why502.fix.repair import verifier
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.fix.verify import Asked, judge
from why502.model.remedy import Edit
from why502.model.target import Target
from why502.probing.request import Request

real = pytest.mark.real


def repaired(shop: Shop, *edits: Edit) -> tuple[str, list[str]]:
    """Apply changes with the real verification; return the phase and the messages."""
    for _ in range(3):
        shop.status("/")
    snapshot = shop.snapshot()
    before = verify.ask(Env().host(), tuple(verify.requests(snapshot, ())))
    said: list[str] = []
    entry = apply(shop.plan(*edits), shop.state, NOW, before, verifier(Env().host()), Progress(say=said.append))
    return str(entry.phase), said


@real
def test_a_change_that_helps_is_kept(shop: Shop) -> None:
    phase, said = repaired(shop)
    assert phase == "kept"
    assert any("answered 502 before and 200 now" in text for text in said)
    assert shop.status() == 200


@real
def test_a_change_that_does_not_help_is_rolled_back(shop: Shop) -> None:
    phase, said = repaired(shop, shop.change("/well/", "/well"))
    assert phase == "reverted"
    assert any("still fails (502)" in text for text in said)
    assert shop.site.read_bytes() == shop.old
    shop.check()


@real
def test_a_change_that_harms_another_route_is_rolled_back(shop: Shop) -> None:
    with_harm = (shop.change(str(shop.wrong), str(shop.right)), shop.change(str(shop.right), str(shop.wrong)))
    phase, said = repaired(shop, *with_harm)
    assert phase == "reverted"
    assert any("/well/ answered 200 before and fails now (502)" in text for text in said)
    assert shop.site.read_bytes() == shop.old
    assert (shop.status(), shop.status("/well/")) == (502, 200)


@real
def test_only_the_workers_of_the_right_master_count(shop: Shop) -> None:
    with another_shop() as other:
        masters = [Master(pid_file=str(one.root / "nginx.pid")) for one in (shop, other)]
        first, second = (master.workers() for master in masters)
        assert first
        assert second
        assert not first & second
        children = Path(f"/proc/{shop.pid()}/task/{shop.pid()}/children").read_text().split()
        assert first == frozenset(map(int, children))
        shop.apply_reload()
        assert not masters[0].workers() & first
        assert masters[1].workers() == second


@real
def test_a_master_is_found_without_its_file(shop: Shop) -> None:
    assert Master(pid_file="/nonexistent", pid=shop.pid()).find() == shop.pid()
    assert Master(pid_file="/nonexistent", pid=1).find() in (0, 1)
    assert Master().workers() == frozenset()


def asked(path: str, how: str, *, concerns: bool = True) -> Asked:
    request = Request(target=Target(host="127.0.0.1", port=80), url=f"http://shop{path}")
    return Asked(request=request, is_failed=not how.startswith(("2", "3", "4")), how=how, concerns=concerns)


@pytest.mark.parametrize(
    ("before", "after", "helps"),
    [
        ("502", "200", True),
        ("502", "502", False),
        ("502", "400", False),  # plain HTTP to a TLS port: another failure, not a fix
        ("502", "404", True),
        ("200", "200", True),
        ("200", "502", False),
    ],
)
def test_one_request(before: str, after: str, helps: bool) -> None:
    assert judge([asked("/", before)], [asked("/", after)]).helps is helps


def test_recovery_of_another_route_does_not_count_as_help() -> None:
    before = [asked("/", "502"), asked("/b", "504", concerns=False)]
    after = [asked("/", "502"), asked("/b", "200", concerns=False)]
    assert not judge(before, after).helps


def test_a_partial_repair_is_kept_and_the_rest_reported() -> None:
    verdict = judge([asked("/a", "502"), asked("/b", "502")], [asked("/a", "200"), asked("/b", "504")])
    assert verdict.helps
    assert verdict.message == "http://shop/a answered 502 before and 200 now; http://shop/b still fails (504)"


def test_the_journal_keeps_how_it_was_before(tmp_path: Path) -> None:
    entry = journal.Entry(
        id=journal.new_id(NOW), began_at=NOW, cause="x", message="y", phase=journal.Phase.LOADED, before=(asked("/", "502"),)
    )
    journal.save(tmp_path, entry)
    assert journal.entries(tmp_path) == [entry]
