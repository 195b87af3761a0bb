"""Live parts: one worker for all viewers of a part, and nothing is left when they go away."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import aclosing
from typing import Any

import pytest
from recorded_site import NOW, Open, site

from why502.serve import live
from why502.serve.live import Live, News
from why502.serve.security import Refused


def data(event: bytes | str | memoryview) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(event).removeprefix(b"data: "))  # type: ignore[arg-type]
    return found


def test_all_viewers_of_a_part_are_told_each_change_once_and_the_part_is_made_once() -> None:
    made: list[str] = []
    now = ["a"]

    def make() -> News:
        made.append(now[0])
        return News(f"<p>{now[0]}</p>", now[0])

    async def scene() -> None:
        parts = Live(every_s=0.01)
        streams = [parts.stream("now", make).body_iterator for _ in range(50)]
        for stream in streams:
            assert (await anext(aiter(stream))).startswith(b"retry")  # type: ignore[union-attr, arg-type]
        first = [data(await anext(aiter(stream))) for stream in streams]
        assert first == [{"html": "<p>a</p>", "status": "a"}] * 50
        now[0] = "b"
        assert [data(await anext(aiter(stream)))["status"] for stream in streams] == ["b"] * 50
        assert len(made) < 1000
        for stream in streams:
            await stream.aclose()  # type: ignore[union-attr]
        assert not parts._parts
        count = len(made)
        await asyncio.sleep(0.1)
        assert len(made) == count, "nobody looks, so nothing is made"

    asyncio.run(scene())


def test_too_many_different_parts_are_refused() -> None:
    async def scene() -> None:
        parts = Live()
        streams = [parts.stream(str(number), lambda: News("", "")).body_iterator for number in range(live.MOST_PARTS)]
        for stream in streams:
            await anext(aiter(stream))
        with pytest.raises(Refused):
            parts.stream("one more", lambda: News("", ""))
        async with aclosing(parts.stream("0", lambda: News("", "")).body_iterator) as same:  # type: ignore[type-var]
            await anext(same)
        for stream in streams:
            await stream.aclose()  # type: ignore[union-attr]

    asyncio.run(scene())


def test_an_error_of_ours_ends_the_stream() -> None:
    def fail() -> News:
        raise RuntimeError("x")

    async def scene() -> None:
        stream = Live(every_s=0.01).stream("now", fail).body_iterator
        await anext(aiter(stream))
        with pytest.raises(RuntimeError):
            await anext(aiter(stream))

    asyncio.run(scene())


def test_a_part_is_made_once_a_second_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    made = []

    def make() -> News:
        made.append(1)
        return News("", str(len(made)))

    parts = Live()
    threads = [threading.Thread(target=parts.fresh, args=("now", make)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and parts.fresh("now", make).status == "1"
    clock[0] = 1.0
    assert parts.fresh("now", make).status == "2"


def test_an_incident_that_is_not_there_is_not_streamed(opened: Open, tmp_path: Any) -> None:
    site(tmp_path / "watch.db", NOW, "wrong-port")
    client = opened()
    for id_ in ("nowhere", "%00", "x" * 500):
        assert client.get(f"/live/incidents/{id_}").status_code == 404
