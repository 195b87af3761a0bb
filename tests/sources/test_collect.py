"""collect(): the report always comes, whatever a source does; and the whole of it on a real machine is quick."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from nginx_real import Nginx, needs_nginx

from why502 import collectors as sources
from why502.collectors.base import Ask, Found
from why502.host.local import LocalHost
from why502.host.offline import OfflineHost
from why502.model.base import decode, encode
from why502.model.errors import Denied, Why502Error
from why502.model.snapshot import Gap, Snapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)
Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Make one source of these: "one" and "two" run at the same time, "three" after them."""
    made: list[str] = []

    def one(name: str, section: str, look: Callable[..., object], limit_s: float = 5.0) -> None:
        module = ModuleType(f"why502.collectors.{name}")
        module.SECTION, module.LIMIT_S, module.collect = section, limit_s, look  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        made.append(name)
        first, second = (tuple(dict.fromkeys(x for x in made if (x == "three") == late)) for late in (False, True))
        monkeypatch.setattr(sources, "STAGES", (first, second))

    return one


def collect() -> Snapshot:
    return sources.collect(LocalHost(), AT, None, None, Ask())


def test_stages_build_on_each_other(put: Put) -> None:
    put("one", "addresses", lambda *_: Found(("192.0.2.1",), (Gap(source="one", reason="half"),)))
    put("three", "host", lambda _, known, __: Found(f"saw {known.addresses}"))
    found = collect()
    assert found.addresses == ("192.0.2.1",)
    assert found.host == "saw ('192.0.2.1',)"
    assert found.gaps == (Gap(source="one", reason="half"),)


def test_a_source_that_does_not_exist_is_a_bug_and_no_silence(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("one", "addresses", lambda *_: Found(("192.0.2.1",)))
    monkeypatch.setattr(sources, "STAGES", (("one", "no_such_source"),))
    found = collect()
    assert found.addresses == ("192.0.2.1",)
    (gap,) = found.gaps
    assert (gap.source, gap.hint) == ("no such source", "report it: this is a bug of why502")
    assert "ModuleNotFoundError" in gap.reason


def test_every_source_of_every_stage_exists() -> None:
    for name in (name for stage in sources.STAGES for name in stage):
        source = importlib.import_module(f"why502.collectors.{name}")
        assert source.SECTION in Snapshot.__struct_fields__
        assert callable(getattr(source, "parts", None) or source.collect)


def test_a_refusal_and_a_bug_lose_only_themselves(put: Put) -> None:
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
                hint="report it: this is a bug of why502",
            ),
        ),
    ):
        put("one", "listeners", look)
        put("three", "addresses", lambda *_: Found(()))
        found = collect()
        assert found.listeners is None
        assert found.addresses == ()
        assert found.gaps == (gap,)


def test_one_that_hangs_is_left_behind(put: Put) -> None:
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
def test_the_whole_of_it(nginx: Nginx) -> None:
    pid = nginx.start()
    found = sources.collect(LocalHost(), datetime.now(UTC), None, None, Ask(configs=(str(nginx.config),), probes=False))
    (proxy,) = found.proxies or ()
    assert (proxy.pid, proxy.test) == (pid, "ok")
    assert pid in {process.pid for process in found.processes or ()}
    assert nginx.listen in {str(listener.target) for listener in found.listeners or ()}
    assert found.addresses and found.names == () and found.socket_paths == () and found.disks
    assert not [gap for gap in found.gaps if "internal error" in gap.reason or "did not answer" in gap.reason]
    assert decode(encode(found), Snapshot) == found


def test_offline_only_the_given_configuration(nginx: Nginx) -> None:
    ask = Ask(configs=(str(nginx.config),), offline=True, probes=False)
    found = sources.collect(OfflineHost(LocalHost(), ask.configs), AT, None, None, ask)
    assert found.proxies and found.proxies[0].routes
    assert found.listeners is found.processes is found.addresses is None
    assert all("internal error" not in gap.reason for gap in found.gaps), found.gaps
    assert any("--offline" in gap.reason for gap in found.gaps)
