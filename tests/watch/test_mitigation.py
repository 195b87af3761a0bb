"""A member that keeps failing is taken out: never the last that passes, never more than half, always for a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from asking import ask
from daemons import scene
from hypothesis import given
from hypothesis import strategies as st
from serving import answering

from why502.model.config import Peer, Upstream
from why502.model.errors import Why502Error
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.mitigation import Mitigation, choices
from why502.watch.model import CheckResult
from why502.watch.settings import Settings
from why502.watch.toml_file import parse

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SETTINGS = Mitigation(down=True)


def target(number: int) -> Target:
    return Target(host=f"10.0.0.{number + 1}", port=80)


def group(name: str, *numbers: int, down: tuple[int, ...] = (), backup: tuple[int, ...] = ()) -> Upstream:
    peers = tuple(
        Peer(name=str(target(one)), target=target(one), is_down=one in down, is_backup=one in backup) for one in numbers
    )
    return Upstream(name=name, peers=peers)


def machine(*groups: Upstream) -> Snapshot:
    return Snapshot(taken_at=NOW, proxies=(Proxy(pid=1, upstreams=groups),))


def round_of(failing: tuple[int, ...], passing: tuple[int, ...], unknown: tuple[int, ...] = ()) -> list[CheckResult]:
    def result(number: int, symptom: Symptom | None, is_unknown: bool = False) -> CheckResult:
        return CheckResult(proxy="nginx", group="", peer=target(number), at=NOW, symptom=symptom, is_unknown=is_unknown)

    return [
        *(result(one, Symptom.CONNECT_REFUSED) for one in failing),
        *(result(one, None) for one in passing),
        *(result(one, None, is_unknown=True) for one in unknown),
    ]


def out(rounds: list[list[CheckResult]], *groups: Upstream, times: int = 0) -> dict[str, float | None]:
    return {one.name: one.for_s for one in choices(rounds, machine(*groups), SETTINGS, lambda _: times)}


def test_one_that_fails_every_round_is_taken_out() -> None:
    app = group("app", 0, 1, 2)
    assert out([round_of((0,), (1, 2))] * 5, app) == {"10.0.0.1:80": 300.0}
    assert out([round_of((0,), (1, 2))] * 4 + [round_of((), (0, 1, 2))], app) == {}
    assert out([round_of((), (1, 2), unknown=(0,))] * 5, app) == {}


def test_each_time_it_is_out_for_longer() -> None:
    app, rounds = group("app", 0, 1), [round_of((0,), (1,))] * 5
    assert [out(rounds, app, times=times)["10.0.0.1:80"] for times in (0, 1, 2, 3, 4, 9999)] == [
        300, 600, 1200, 2400, 3600, 3600,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "failing", "passing", "reason"),
    [
        ((group("app", 0),), (0,), (), "no other server of app passes"),
        ((group("app", 0, 1),), (0,), (), "no other server of app passes"),  # the other one is unknown
        ((group("app", 0, 1, 2),), (0, 1), (), "no other server of app passes"),
        ((group("app", 0, 1, 2, down=(1,)),), (0,), (2,), "more than half of app"),
        ((group("app", 0, 1, 2), group("api", 0)), (0,), (1, 2), "no other server of api passes"),
    ],
)
def test_why_one_stays(groups: tuple[Upstream, ...], failing: tuple[int, ...], passing: tuple[int, ...], reason: str) -> None:
    (first, *_) = choices([round_of(failing, passing)] * 5, machine(*groups), SETTINGS, lambda _: 0)
    assert first.for_s is None
    assert reason in first.reason


def test_a_backup_may_be_all_that_passes() -> None:
    assert out([round_of((0,), (2,))] * 5, group("app", 0, 1, 2, backup=(2,))) == {"10.0.0.1:80": 300.0}


numbers = st.sets(st.integers(0, 7), max_size=8)


@given(
    members=st.lists(st.sets(st.integers(0, 7), min_size=1, max_size=8), min_size=1, max_size=3),
    failing=numbers,
    passing=numbers,
    down=numbers,
)
def test_never_the_last_that_passes_and_never_more_than_half(
    members: list[set[int]], failing: set[int], passing: set[int], down: set[int]
) -> None:
    passing -= failing
    groups = [group(f"g{place}", *sorted(one), down=tuple(down & one)) for place, one in enumerate(members)]
    gone = {name for name, for_s in out([round_of(tuple(failing), tuple(passing))] * 2, *groups).items() if for_s}
    for one in groups:
        new = [peer for peer in one.peers if peer.name in gone and not peer.is_down]
        if not new:
            continue
        left = [peer for peer in one.peers if peer.name not in gone and not peer.is_down]
        assert 2 * (len(one.peers) - len(left)) <= len(one.peers)
        assert any(peer.target in {target(number) for number in passing} for peer in left)


def test_it_is_off_until_the_settings_say_so(tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    path.write_text("")
    assert not parse("", Settings, "x").mitigation.down
    assert "This is turned off" in ask("watch", "mitigate", "--settings", str(path)).out
    refused = ask("watch", "install", "--mitigate", "--settings", str(path), "--directory", str(tmp_path))
    assert (refused.status, "do not allow it" in refused.err) == (2, True)
    assert [one.name for one in tmp_path.iterdir()] == ["watch.toml"]
    with pytest.raises(Why502Error, match="longest_s must not be less"):
        parse("[mitigation]\nlongest_s = 60.0", Settings, "x")


@pytest.mark.real
def test_a_real_member_is_taken_out_and_comes_back(tmp_path: Path) -> None:
    settings, state = tmp_path / "watch.toml", str(tmp_path / "state")
    settings.write_text("[checks]\nquick_s = 1.0\n[mitigation]\ndown = true\nfall = 2\n")
    with scene(tmp_path) as stage, answering() as first, answering() as second:
        dead = stage.port(3000)
        ports = (dead, first.server_port, second.server_port)
        lines = "\n".join(f"server 127.0.0.1:{port};" for port in ports)
        stage.nginx.start("proxy_pass http://app;", http=f"upstream app {{ {lines} }}")
        options = ("--settings", str(settings), "--state", state, "--config", stage.nginx.config)
        config = Path(stage.nginx.config)
        before = config.read_bytes()
        shown = ask("watch", "mitigate", "--dry-run", *options)
        assert f"127.0.0.1:{dead} is taken out for 300 s" in shown.out
        assert config.read_bytes() == before
        done = ask("watch", "mitigate", *options)
        assert done.status == 0, done.err + done.out
        assert f"server 127.0.0.1:{dead} down;" in config.read_text()
        listed = ask("mitigate", "list", "--state", state)
        assert f"down 127.0.0.1:{dead}" in listed.out or f"take 127.0.0.1:{dead} out" in listed.out
        assert "until" in listed.out
        second.shutdown()
        second.server_close()
        again = ask("watch", "mitigate", *options)
        assert f"127.0.0.1:{second.server_port} stays: more than half of app would be out" in again.out
        assert ask("mitigate", "undo", "--state", state).status == 0
        assert config.read_bytes() == before
