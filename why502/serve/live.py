"""Live parts of pages by server-sent events (HTML, 9.2): one worker for each part that somebody looks at, however many look."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from starlette.responses import StreamingResponse

from why502.render.words import safe
from why502.serve.security import Refused

EVERY_S = 2.0
FRESH_S = 1.0
SHARE = 10  # a part that takes long to make is made less often: at most this part of the time
ALIVE_S = 15.0  # between signs of life, which tell whether a viewer went away
MOST_PARTS = 32
_HEADERS = {"x-accel-buffering": "no"}


@dataclass(slots=True, frozen=True)
class News:
    """A part of a page as it is now. `status`: the same in one sentence, for screen readers."""

    html: str
    status: str

    @property
    def event(self) -> bytes:
        """Return it as an event."""
        return f"data: {json.dumps({'html': self.html, 'status': safe(self.status)})}\n\n".encode()


@dataclass(slots=True)
class Part:
    """One part, its worker, and its viewers: each waits for its own event to be set."""

    newest: News | None = None
    event: bytes = b""  # of the newest, made once for all viewers
    viewers: set[asyncio.Event] = field(default_factory=set)
    worker: asyncio.Task[None] | None = None


class Live:
    """All parts that somebody looks at."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._parts: dict[str, Part] = {}
        self._fresh: dict[str, tuple[float, News]] = {}
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def fresh(self, key: str, make: Callable[[], News]) -> News:
        """Return a part that was made less than a second ago: `why502 watch` writes once a second. `key`: one of a few."""
        with self._making[key]:
            at_s, news = self._fresh.get(key, (float("-inf"), None))
            if news is None or time.monotonic() - at_s >= FRESH_S:
                news = make()
                self._fresh[key] = time.monotonic(), news
            return news

    def stream(self, key: str, make: Callable[[], News]) -> StreamingResponse:
        """Return a response that goes on for as long as somebody reads it. `make` is called in a thread. Raises Refused."""
        if key not in self._parts and len(self._parts) >= MOST_PARTS:
            raise Refused(
                503, "too many pages are open with live updates", "The page is still up to date each time it is loaded."
            )
        return StreamingResponse(self._events(key, make), media_type="text/event-stream", headers=_HEADERS)

    async def _events(self, key: str, make: Callable[[], News]) -> AsyncIterator[bytes]:
        part = self._parts.setdefault(key, Part())
        news = asyncio.Event()
        part.viewers.add(news)
        if part.worker is None:
            part.worker = asyncio.create_task(self._work(part, make))
        seen: News | None = None
        try:
            yield b"retry: 3000\n\n"
            while True:
                news.clear()  # before the look: what changes while a viewer takes its time is not missed
                if part.newest is not None and part.newest is not seen:
                    seen = part.newest
                    yield part.event
                try:
                    async with asyncio.timeout(ALIVE_S):
                        await news.wait()
                except TimeoutError:
                    yield b": \n\n"
                if part.worker.done():  # an error of ours, which is in the log; the browser asks again
                    part.worker.result()
        finally:
            part.viewers.discard(news)
            if not part.viewers:
                part.worker.cancel()
                self._parts.pop(key, None)

    async def _work(self, part: Part, make: Callable[[], News]) -> None:
        try:
            while True:
                begin = time.monotonic()
                made = await run_sync(make)
                if made != part.newest:
                    part.newest, part.event = made, made.event
                    for viewer in part.viewers:
                        viewer.set()
                await asyncio.sleep(max(self._every_s, SHARE * (time.monotonic() - begin)))
        finally:
            for viewer in part.viewers:
                viewer.set()
