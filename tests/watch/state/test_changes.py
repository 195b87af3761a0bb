"""A change is blamed only if it touches the failing target's own process, unit or file."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from tests.watch.state.simulated import PROXY, World
from why502.model.logs import Symptom
from why502.watch.concern import Scope, touched, words
from why502.watch.model import Change, ChangeKind, MemberStatus
from why502.watch.state.values import Served, TargetsChanged

APP = "127.0.0.1:3001"
SCOPE = Scope(
    pids=(71,),
    units=("shop.service",),
    paths=("/usr/bin/node", "/srv/shop/current/server.js", "/srv/shop/current"),
    proxy_pids=(10,),
    proxy_units=("nginx.service",),
    proxy_paths=("/etc/nginx/conf.d/shop.conf", "/etc/ssl/shop.pem"),
)


def change(kind: ChangeKind, subject: str, *, world: World, before_s: float = 40, **more: object) -> Change:
    return Change(kind=kind, subject=subject, at=world.now - timedelta(seconds=before_s), **more)


def world_with_scope() -> World:
    world = World()
    world.causes = {APP: "backend-not-running"}
    world.put(TargetsChanged(served=(Served(proxy=PROXY, location="shop/", targets=(APP,)),), scopes={APP: SCOPE}))
    return world


def unrelated(world: World) -> list[Change]:
    """Return twenty changes that touch other things."""
    return [
        *(
            change(ChangeKind.UNIT, f"job{number}.service", world=world, units=(f"job{number}.service",), pids=(900 + number,))
            for number in range(5)
        ),
        *(
            change(ChangeKind.PACKAGE, f"lib{number}", world=world, paths=(f"/usr/bin/tool{number}", "/usr/bin/nodejs-doc"))
            for number in range(5)
        ),
        *(
            change(
                ChangeKind.CONFIG, f"/etc/nginx/conf.d/{number}.conf", world=world, paths=(f"/etc/nginx/conf.d/{number}.conf",)
            )
            for number in range(4)
        ),
        change(ChangeKind.RELOAD, "nginx", world=world, units=("nginx.service",), pids=(10,)),
        change(ChangeKind.RELOAD, "nginx.service", world=world, paths=("/etc/nginx/conf.d/shop.conf",), targets=("127.0.0.1:9",)),
        change(ChangeKind.CERTIFICATE, "/etc/ssl/blog.pem", world=world, paths=("/etc/ssl/blog.pem",)),
        change(ChangeKind.RELEASE, "/srv/blog/current", world=world, paths=("/srv/blog/current",)),
        change(ChangeKind.IMAGE, "redis", world=world, units=("redis",)),
        change(ChangeKind.RELEASE, "/srv/sho", world=world, paths=("/srv/sho",)),
    ]


def test_twenty_unrelated_changes_are_not_blamed() -> None:
    world = world_with_scope()
    others = unrelated(world)
    assert len(others) == 20
    for each in others:
        world.put(each)
    world.fail(APP)
    world.wait(20)
    assert world.open[0].changes == ()


def test_the_change_that_concerns_it_is_named_among_twenty_others() -> None:
    concerning = [
        {"kind": ChangeKind.UNIT, "subject": "shop.service", "detail": "started", "units": ("shop.service",)},
        {"kind": ChangeKind.PACKAGE, "subject": "nodejs", "detail": "upgraded", "paths": ("/usr/bin/node",)},
        {"kind": ChangeKind.CONFIG, "subject": "/etc/nginx/conf.d/shop.conf", "paths": ("/etc/nginx/conf.d/shop.conf",)},
        {"kind": ChangeKind.RELOAD, "subject": "nginx", "paths": ("/etc/nginx/conf.d/shop.conf",), "targets": (APP,)},
        {"kind": ChangeKind.CERTIFICATE, "subject": "/etc/ssl/shop.pem", "paths": ("/etc/ssl/shop.pem",)},
        {"kind": ChangeKind.RELEASE, "subject": "/srv/shop/current", "paths": ("/srv/shop/current",)},
        {"kind": ChangeKind.UNIT, "subject": "node (pid 71)", "detail": "started", "pids": (71,)},
    ]
    for own in concerning:
        world = world_with_scope()
        wanted = Change(at=world.now - timedelta(seconds=40), **own)
        for each in (*unrelated(world)[:10], wanted, *unrelated(world)[10:]):
            world.put(each)
        world.fail(APP)
        world.wait(20)
        assert world.open[0].changes == (wanted,), own
        assert any("began 40 s after" in step.message for step in world.open[0].timeline)


def test_the_edit_that_took_a_target_out_of_the_configuration_is_named_while_the_gateway_still_uses_it() -> None:
    world = world_with_scope()
    first = change(ChangeKind.CONFIG, "/etc/nginx/nginx.conf", world=world, before_s=2, paths=("/etc/nginx/nginx.conf",))
    other = change(
        ChangeKind.CONFIG, "/etc/nginx/blog.conf", world=world, paths=("/etc/nginx/blog.conf",), targets=("127.0.0.1:9",)
    )
    edit = change(
        ChangeKind.CONFIG, "/etc/nginx/nginx.conf", world=world, before_s=0, paths=("/etc/nginx/nginx.conf",),
        targets=(APP, "127.0.0.1:3002"),
    )  # fmt: skip
    for each in (first, edit, other):
        world.put(each)
    moved = Served(proxy=PROXY, location="shop/", targets=("127.0.0.1:3002",))
    world.put(TargetsChanged(served=(moved,), scopes={"127.0.0.1:3002": SCOPE}))
    world.fail(APP)
    world.wait(20)
    assert world.open[0].changes == (edit,)


def test_what_is_known_more_precisely_takes_the_place_of_what_was_known_of_it() -> None:
    world = world_with_scope()
    path = "/etc/nginx/conf.d/shop.conf"
    vague = change(ChangeKind.CONFIG, path, world=world, detail="changed", paths=(path,))
    precise = change(ChangeKind.CONFIG, path, world=world, detail="changed in line 18", paths=(path,), targets=(APP,))
    for each in (vague, precise, vague):
        world.put(each)
    world.fail(APP)
    world.wait(20)
    assert world.open[0].changes == (precise,)


def test_a_change_that_is_learnt_of_after_the_first_message_is_added() -> None:
    world = world_with_scope()
    world.fail(APP)
    world.wait(20)
    late = change(ChangeKind.UNIT, "shop.service", world=world, before_s=25, units=("shop.service",), detail="started")
    world.put(late)
    world.put(late)
    assert world.open[0].changes == (late,)


def test_the_change_that_ended_it_is_named() -> None:
    world = world_with_scope()
    world.fail(APP)
    world.wait(20)
    world.put(change(ChangeKind.UNIT, "shop.service", world=world, before_s=0, units=("shop.service",), detail="started"))
    for _ in range(35):
        world.wait(10)
        world.serve(APP, count=5)
    (incident,) = world.saved.values()
    assert not incident.is_open
    assert "it ended with: unit shop.service started at 12:00:20" in incident.closing
    assert incident.is_fixed


def test_the_fix_that_did_not_hold_is_named() -> None:
    world = world_with_scope()
    world.fail(APP)
    world.wait(20)
    world.put(change(ChangeKind.UNIT, "shop.service", world=world, before_s=0, units=("shop.service",), detail="started"))
    for _ in range(35):
        world.wait(10)
        world.serve(APP, count=5)
    world.wait(7200)
    world.fail(APP)
    world.wait(3)
    assert any("the fix of 23 November did not hold" in step.message for step in world.open[0].timeline)


def test_a_stop_that_somebody_ordered_is_a_change_and_no_incident_until_somebody_is_refused() -> None:
    world = world_with_scope()
    world.check(APP, MemberStatus.UP)
    world.put(
        change(
            ChangeKind.UNIT, "shop.service", world=world, before_s=0, units=("shop.service",), detail="stopped", is_planned=True
        )
    )
    world.check(APP, MemberStatus.DOWN)
    world.wait(4 * 3600)
    assert not world.saved
    world.fail(APP, count=6)
    world.wait(20)
    assert len(world.open) == 1


def test_a_service_that_failed_is_an_incident() -> None:
    world = world_with_scope()
    world.check(APP, MemberStatus.UP)
    world.put(change(ChangeKind.UNIT, "shop.service", world=world, before_s=0, units=("shop.service",), detail="failed: signal"))
    world.check(APP, MemberStatus.DOWN)
    world.wait(30)
    assert len(world.open) == 1


def test_a_restart_that_nobody_notices_opens_nothing() -> None:
    world = world_with_scope()
    world.check(APP, MemberStatus.UP)
    world.check(APP, MemberStatus.DOWN)
    world.wait(10)
    world.check(APP, MemberStatus.UP)
    world.wait(600)
    assert not world.saved


def test_what_lies_below_a_link_is_touched_and_what_only_begins_alike_is_not() -> None:
    world = World()
    link = change(ChangeKind.RELEASE, "l", world=world, paths=("/srv/shop/current/",))
    alike = change(ChangeKind.RELEASE, "l", world=world, paths=("/srv/shop/curr", "/"))
    assert touched(link, SCOPE, APP) == "/srv/shop/current/"
    assert touched(alike, SCOPE, APP) == ""


def test_the_check_that_passes_while_users_fail_is_named_with_the_difference() -> None:
    world = world_with_scope()
    world.check(APP, MemberStatus.UP)
    world.fail(APP, Symptom.HEADER_TOO_BIG)
    world.wait(3)
    assert world.open[0].unlike_check == "", "the last check was before the first failure: the server may have died since"
    world.check(APP, MemberStatus.UP)
    world.wait(3)
    world.fail(APP, Symptom.HEADER_TOO_BIG)
    assert world.open[0].unlike_check == (
        f"the check of {APP} passes, but users' requests fail: their responses have larger headers than the check's"
    )


def test_a_check_that_fails_too_is_not_said_to_pass() -> None:
    world = world_with_scope()
    world.check(APP, MemberStatus.UP)
    world.fail(APP, Symptom.HEADER_TOO_BIG)
    world.wait(3)
    world.check(APP, MemberStatus.UP)
    world.wait(3)
    world.fail(APP, Symptom.HEADER_TOO_BIG)
    world.check(APP, MemberStatus.DOWN)
    world.fail(APP, Symptom.HEADER_TOO_BIG)
    assert world.open[0].unlike_check == ""


def test_a_process_that_no_service_manager_knows_is_called_no_unit() -> None:
    started = Change(kind=ChangeKind.UNIT, subject="python3", at=World().now, detail="started", pids=(17,))
    assert words(started) == "process python3 started"
    assert words(structs.replace(started, subject="app.service", units=("app.service",))) == "unit app.service started"
