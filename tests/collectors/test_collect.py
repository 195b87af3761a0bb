"""collect(): the report always comes, whatever a source does; and a full collection on a real machine is quick."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from graphlib import CycleError
from pathlib import Path
from types import ModuleType

import pytest
from nginx_real import Nginx, needs_nginx

from why502 import collectors as sources
from why502.collectors.base import CollectOptions, Found
from why502.host.local import LocalHost
from why502.host.offline import OfflineHost
from why502.model.base import decode, encode
from why502.model.errors import Denied, Why502Error
from why502.model.snapshot import Gap, Snapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)
Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Replace the sources by these: "one" and "two" run at the same time, "three" after them."""
    made: dict[str, ModuleType] = {}

    def one(name: str, section: str, look: Callable[..., object], limit_s: float = 5.0) -> None:
        module = ModuleType(f"why502.collectors.{name}")
        needs = ("one", "two") if name == "three" else ()
        module.SECTION, module.NEEDS, module.LIMIT_S, module.collect = section, needs, limit_s, look  # type: ignore[attr-defined]
        made[name] = module
        monkeypatch.setattr(sources, "sources", lambda: (made, ()))

    return one


def collect() -> Snapshot:
    return sources.collect(LocalHost(), AT, None, None, CollectOptions())


def test_stages_build_on_each_other(put: Put) -> None:
    put("one", "addresses", lambda *_: Found(("192.0.2.1",), (Gap(source="one", reason="half"),)))
    put("three", "host", lambda _, known, __: Found(f"saw {known.addresses}"))
    found = collect()
    assert found.addresses == ("192.0.2.1",)
    assert found.host == "saw ('192.0.2.1',)"
    assert found.gaps == (Gap(source="one", reason="half"),)


GOOD = 'SECTION = "addresses"\nNEEDS = ()\nLIMIT_S = 1.0\ndef collect(host, known, ask): ...\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("LIMIT_S = 1.0", ""), "does not state LIMIT_S"),
        (GOOD.replace("NEEDS = ()", ""), "does not state NEEDS"),
        (GOOD.replace('SECTION = "addresses"', ""), "does not state SECTION"),
        (GOOD.replace("def collect", "def look"), "does not state collect"),
        (GOOD.replace('"addresses"', '"no_such"'), "SECTION 'no_such' is not a field of the Snapshot"),
        (GOOD.replace("NEEDS = ()", 'NEEDS = "proxies"'), "NEEDS is not a tuple of names"),
        (GOOD.replace("1.0", "None"), "LIMIT_S is not a number of seconds"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("def collect(", "SyntaxError"),
    ],
)
def test_a_module_that_does_not_fit_is_reported_as_a_bug(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad_source.py").write_text(text)
    (tmp_path / "good_source.py").write_text(GOOD)
    (tmp_path / "shared_by_both.py").write_text("LIMIT_S = 1.0\n")
    monkeypatch.setattr(sources, "__path__", [str(tmp_path)])
    try:
        found, (gap,) = sources.sources.__wrapped__()
    finally:
        for name in ("bad_source", "good_source", "shared_by_both"):
            sys.modules.pop(f"why502.collectors.{name}", None)
    assert list(found) == ["good_source"]
    assert (gap.source, gap.hint) == ("bad source", "report it: this is a bug in why502")
    assert reason in gap.reason


def test_every_module_fits_and_needs_only_existing_sources() -> None:
    found, gaps = sources.sources()
    assert gaps == ()
    assert {need for module in found.values() for need in module.NEEDS} <= found.keys()


def test_every_section_of_the_snapshot_has_a_source() -> None:
    found, _ = sources.sources()
    head = {"taken_at", "schema", "host", "since", "until", "asked", "gaps"}
    assert {module.SECTION for module in found.values()} == {*Snapshot.__struct_fields__} - head


def test_a_source_runs_after_its_needs_and_no_two_concurrent_ones_fill_the_same_section() -> None:
    found, _ = sources.sources()
    stages = sources.stages(found)
    at = {name: number for number, stage in enumerate(stages) for name in stage}
    assert at.keys() == found.keys()
    assert all(at[need] < at[name] for name, module in found.items() for need in module.NEEDS)
    for stage in stages:
        sections = [found[name].SECTION for name in stage]
        assert len(sections) == len({*sections}), stage


def test_a_cycle_of_needs_is_a_bug(put: Put) -> None:
    put("one", "addresses", lambda *_: Found(()))
    found, _ = sources.sources()
    found["one"].NEEDS = ("one",)  # type: ignore[attr-defined]
    with pytest.raises(CycleError):
        collect()


def test_a_refusal_and_a_bug_cost_only_their_own_section(put: Put) -> None:
    def denied(*_: object) -> Found[object]:
        raise Denied("no", "run as root")

    def broken(*_: object) -> Found[object]:
        raise ZeroDivisionError("oops")

    def bad(*_: object) -> Found[object]:
        raise Why502Error("bad", "hint")

    for look, gap in (
        (denied, Gap(source="one", reason="no", hint="run as root")),
        (bad, Gap(source="one", reason="bad", hint="hint")),
        (
            broken,
            Gap(
                source="one",
                reason="internal error in source one: ZeroDivisionError: oops",
                hint="report it: this is a bug in why502",
            ),
        ),
    ):
        put("one", "listeners", look)
        put("three", "addresses", lambda *_: Found(()))
        found = collect()
        assert found.listeners is None
        assert found.addresses == ()
        assert found.gaps == (gap,)


def test_a_hanging_source_is_abandoned(put: Put) -> None:
    stuck = threading.Event()

    def hang(*_: object) -> Found[object]:
        stuck.wait()
        return Found(None)

    put("one", "listeners", hang, 0.05)
    put("two", "addresses", lambda *_: Found(("::1",)))
    started = time.monotonic()
    found = collect()
    assert time.monotonic() - started < 3
    assert found.addresses == ("::1",)
    assert found.gaps == (Gap(source="one", reason="did not answer within 0.05 s", section="listeners"),)
    stuck.set()


@pytest.fixture
def nginx(open_directory: Path) -> Iterator[Nginx]:
    nginx = Nginx(open_directory / "a", passes="http://127.0.0.1:9")
    yield nginx
    nginx.stop()


@pytest.mark.real
@needs_nginx
def test_a_complete_collection(nginx: Nginx) -> None:
    pid = nginx.start()
    found = sources.collect(
        LocalHost(), datetime.now(UTC), None, None, CollectOptions(configs=(str(nginx.config),), probes=False)
    )
    (proxy,) = found.proxies or ()
    assert (proxy.pid, proxy.test) == (pid, "ok")
    assert pid in {process.pid for process in found.processes or ()}
    assert nginx.listen in {str(listener.target) for listener in found.listeners or ()}
    assert found.addresses and found.names == () and found.socket_paths == () and found.disks
    assert not [gap for gap in found.gaps if "internal error" in gap.reason or "did not answer" in gap.reason]
    assert decode(encode(found), Snapshot) == found


def test_offline_only_the_given_configuration(nginx: Nginx) -> None:
    ask = CollectOptions(configs=(str(nginx.config),), offline=True, probes=False)
    found = sources.collect(OfflineHost(LocalHost(), ask.configs), AT, None, None, ask)
    assert found.proxies and found.proxies[0].routes
    assert found.listeners is found.processes is found.addresses is None
    assert all("internal error" not in gap.reason for gap in found.gaps), found.gaps
    assert any("--offline" in gap.reason for gap in found.gaps)
