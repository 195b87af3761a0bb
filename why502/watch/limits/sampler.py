"""Sampler: reads each kind of limit in its own rhythm and thread, so that one that hangs hangs alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import ModuleType

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Snapshot
from why502.watch.forecast import Forecasts
from why502.watch.limits import samplers
from why502.watch.model import Limit, LimitKind
from why502.watch.progress import Beat, ignore_beat

LATE_S = 30.0  # a pass that takes longer is a gap
SAME_S = 10.0  # a sample that says the same is put again after this time
FORGOTTEN = timedelta(days=8)
Put = Callable[[Limit | Gap], None]


class Sampler:
    """Samples the limits of a snapshot's proxies and backends until it is stopped, each with its forecast.

    `put` is called from its threads, for a gap only when it is new. `is_probing`: connections may be opened. `history`: samples
    of before a restart, the oldest first, which the forecasts go on from. `beat` is told of each thread that it reads.
    """

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        put: Put,
        *,
        is_probing: bool = True,
        history: Iterable[Limit] = (),
        beat: Beat = ignore_beat,
    ) -> None:
        self._beat = beat
        self._host, self._known, self._put = host, snapshot, put
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._forecasts = Forecasts()
        for limit in history:
            self._forecasts.observe(limit)
        self._gaps: dict[str, tuple[Gap, ...]] = {}
        self._last: dict[tuple[LimitKind, str], Limit] = {}
        self._begun: dict[str, float] = {}
        chosen = {name: module for name, module in samplers().items() if is_probing or not getattr(module, "SENDS", False)}
        self._threads = [
            threading.Thread(target=self._run, args=(name, module), name=f"limits {name}", daemon=True)
            for name, module in chosen.items()
        ]

    def start(self) -> None:
        """Start."""
        for thread in self._threads:
            thread.start()

    def update(self, snapshot: Snapshot) -> None:
        """Look at what another snapshot names, from the next samples on."""
        self._known = snapshot
        with self._lock:
            self._forecasts.forget(snapshot.taken_at - FORGOTTEN)
            self._last = {}

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop; a thread that hangs is left behind."""
        self._stopped.set()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Return what cannot be read now, and the kinds of limits whose last pass has not ended."""
        now_s = time.monotonic()
        with self._lock:
            found = [gap for gaps in self._gaps.values() for gap in gaps]
            late = {name: now_s - begun_s for name, begun_s in self._begun.items() if now_s - begun_s > LATE_S}
        return (*found, *(Gap(source=f"limits: {name}", reason=f"no answer for {late_s:.0f} s") for name, late_s in late.items()))

    def _run(self, name: str, module: ModuleType) -> None:
        while not self._stopped.is_set():
            self._beat(f"limits {name}", LATE_S + module.EVERY_S, is_curable=False)
            with self._lock:
                self._begun[name] = time.monotonic()
            self._pass(name, module)
            with self._lock:
                del self._begun[name]
            self._stopped.wait(module.EVERY_S)

    def _pass(self, name: str, module: ModuleType) -> None:
        gaps: list[Gap] = []
        for found in sampled(module, self._host, self._known):
            if self._stopped.is_set():
                return
            if isinstance(found, Gap):
                gaps.append(found)
                continue
            forecast = self.forecast(found)
            if self._is_news(forecast):
                self._put(forecast)
        with self._lock:
            before, self._gaps[name] = self._gaps.get(name, ()), tuple(gaps)
        for gap in gaps:
            if gap not in before:
                self._put(gap)

    def forecast(self, limit: Limit) -> Limit:
        """Return a sample with what those before it say of the future."""
        with self._lock:
            return self._forecasts.observe(limit)

    def _is_news(self, limit: Limit) -> bool:
        """Return whether a sample differs from the last one that was put, or that is some seconds old."""
        key = (limit.kind, limit.subject)
        last = self._last.get(key)
        if last is not None and 0 <= (limit.at - last.at).total_seconds() < SAME_S:
            if (limit.used, limit.limit, limit.severity) == (last.used, last.limit, last.severity):
                return False
        self._last[key] = limit
        return True


def sampled(module: ModuleType, host: Host, known: Snapshot) -> tuple[Limit | Gap, ...]:
    """Return the samples of one kind now; what ends it early is one more gap."""
    found: list[Limit | Gap] = []
    source = f"limits: {module.__name__.rpartition('.')[2].replace('_', ' ')}"
    try:
        for one in module.sample(host, known, datetime.now(UTC)):
            found.append(one)  # noqa: PERF402 - those before an error are kept
    except HostError as error:
        found.append(Gap(source=source, reason=error.reason, hint=error.hint))
    except Exception as error:
        reason = f"internal error: {type(error).__name__}: {error}"
        found.append(Gap(source=source, reason=reason, hint="report it: this is a bug in why502"))
    return tuple(found)
