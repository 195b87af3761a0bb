"""A change is kept only if the failing requests work and no other request fails: on a real nginx."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from free_ports import free_port
from shop import NOW, Shop
from shop import shop as another_shop

from why502.cli.env import Env
from why502.fix import journal, verify
from why502.fix.commands import Master
from why502.fix.repair import verifier
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.fix.verify import Asked, judge
from why502.model.logs import Symptom, Tally
from why502.model.remedy import Edit
from why502.model.snapshot import LiveSnapshot
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
def test_what_fails_instead_is_named(shop: Shop) -> None:
    other = free_port()
    for _ in range(3):
        shop.status("/")
    host, said = Env().host(), list[str]()
    snapshot = shop.snapshot()
    (proxy,) = [one for one in snapshot.proxies or () if one.config == str(shop.config)]
    before = verify.ask(host, tuple(verify.requests(snapshot, ())))
    plan = shop.plan(shop.change(str(shop.wrong), str(other)))
    plan = msgspec.structs.replace(plan, proxy=proxy, seen=(f"connect-refused of 127.0.0.1:{shop.wrong}",))
    entry = apply(plan, shop.state, NOW, before, verifier(host), Progress(say=said.append))
    assert str(entry.phase) == "reverted"
    told = f"still fails (502); the error log shows connect-refused of 127.0.0.1:{other} since, which this does not fix"
    assert any(told in text for text in said), said


def test_a_failure_of_another_kind_is_named() -> None:
    told = "http://shop/ still fails, but in another way: 502 before and 504 now"
    assert judge([asked("/", "502")], [asked("/", "504")]).message == told
    assert judge([asked("/", "502")], [asked("/", "502")]).message == "http://shop/ still fails (502)"


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


def test_what_no_request_shows_is_kept_but_not_called_verified() -> None:
    limited = msgspec.structs.replace(asked("/", "429"), is_limited=True)
    assert judge([asked("/", "200")], [asked("/", "200")]).unverified == "no request failed before, and none fails now"
    assert judge([], []).unverified == "no request can be sent to that proxy from here"
    assert judge([limited], [limited]).unverified == "the proxy's own limits refuse our requests"
    assert judge([asked("/", "502")], [asked("/", "200")]).unverified == ""


def test_what_failed_beside_the_request_that_ends_workers_is_no_proof() -> None:
    before = [asked("/", "502"), msgspec.structs.replace(asked("/report", "as logged"), is_from_log=True)]
    assert not judge(before, [asked("/", "200"), asked("/report", "504")]).helps
    assert judge(before, [asked("/", "200"), asked("/report", "200")]).helps


@pytest.mark.parametrize(
    ("answers", "is_verified"), [(("403",), False), (("404", "200"), True), (("401",), True), (("302",), True)]
)
def test_a_refusal_shows_only_that_something_answers(answers: tuple[str, ...], *, is_verified: bool) -> None:
    before = [asked(f"/{number}", "502") for number, _ in enumerate(answers)]
    after = [asked(f"/{number}", how) for number, how in enumerate(answers)]
    verdict = judge(before, after)
    assert verdict.helps
    assert (verdict.unverified == "") is is_verified
    assert verify.is_settled(before, after) is ({"403", "404"}.isdisjoint(answers))  # a service that starts is waited for


@pytest.mark.parametrize(
    ("usual", "answer", "is_repaired"),
    [
        (("200",), "404", False),
        (("200", "404"), "404", True),  # some of them are not found: `GET /orders/*`
        (("404",), "404", True),  # a scanner's
        ((), "404", True),  # unknown
        (("200",), "403", True),  # clients log in, we do not
        (("101",), "404", True),  # a WebSocket's
        (("200",), "302", True),
    ],
)
def test_not_found_where_clients_were_served_is_a_failure(usual: tuple[str, ...], answer: str, *, is_repaired: bool) -> None:
    def with_usual(how: str) -> Asked:
        return msgspec.structs.replace(asked("/rates/", how), usual=usual)

    verdict = judge([asked("/", "502"), with_usual("502")], [asked("/", "200"), with_usual(answer)])
    assert verdict.helps
    assert (verdict.failing == ()) is is_repaired
    assert is_repaired or verdict.failing == ("http://shop/rates/ (404, where clients got 200 before)",)
    alone = judge([with_usual("502")], [with_usual(answer)])
    assert alone.helps is is_repaired


def test_what_clients_of_other_routes_still_get_makes_it_a_part() -> None:
    elsewhere = asked("/b", "502", concerns=False)
    of_clients = msgspec.structs.replace(elsewhere, is_of_clients=True)
    assert judge([asked("/", "502"), elsewhere], [asked("/", "200"), elsewhere]).failing == ()  # nobody asks for it
    assert judge([asked("/", "502"), of_clients], [asked("/", "200"), of_clients]).failing == ("http://shop/b (502)",)


@real
def test_what_clients_got_before_is_read_from_the_logs(shop: Shop) -> None:
    shop.status("/well/page")
    shop.site.write_bytes(shop.old.replace(str(shop.right).encode(), str(shop.wrong).encode()))
    shop.apply_reload()
    for path in ("/well/page", "/well/new", "/page"):
        assert shop.status(path) == 502
    found = {wanted.request.path: wanted for wanted in verify.requests(shop.snapshot(), ())}
    assert {path: wanted.usual for path, wanted in found.items()} == {"/well/page": ("200",), "/well/new": (), "/page": ()}
    assert all(wanted.is_of_clients for wanted in found.values())


@real
@pytest.mark.parametrize("is_wanted", [False, True])
def test_a_request_that_may_have_caused_its_failure_is_withheld_or_proves_the_repair(shop: Shop, *, is_wanted: bool) -> None:
    snapshot, target = shop.snapshot(), Target(host="127.0.0.1", port=shop.wrong)
    broken_off = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, target=target, requests=(("GET /report", 3), ("POST /pay", 1)))
    assert snapshot.logs is not None
    logs = msgspec.structs.replace(snapshot.logs, tallies=(broken_off,))
    snapshot = LiveSnapshot.of(msgspec.structs.replace(snapshot, logs=logs))
    route = next(route for proxy in snapshot.proxies or () for route in proxy.routes if route.location == "/")
    assert route.at is not None
    wanted = tuple(verify.requests(snapshot, (route.at,), cut_off=(target,) if is_wanted else ()))
    before = verify.ask(Env().host(), wanted)
    assert ("/report" in [asked.request.path for asked in before]) is is_wanted
    assert "GET /report" not in (shop.root / "access.log").read_text()  # it is not sent before the change
    left = verify.withheld(snapshot, (target,), before)
    assert left.startswith("POST /pay was not repeated" if is_wanted else "GET /report was not repeated")
    entry = apply(shop.plan(), shop.state, NOW, before, verifier(Env().host()), Progress(), withheld=left)
    assert (entry.phase, entry.is_proved, entry.unverified) == ("kept", False, left)
    assert (shop.root / "access.log").read_text().count("GET /report") == is_wanted


def test_the_journal_keeps_how_it_was_before(tmp_path: Path) -> None:
    entry = journal.Entry(
        id=journal.new_id(NOW), began_at=NOW, cause="x", message="y", phase=journal.Phase.LOADED, before=(asked("/", "502"),)
    )
    journal.save(tmp_path, entry)
    assert journal.entries(tmp_path) == [entry]
