"""Publisher: the metrics go where the settings say, each way in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import ProcessCollector

from why502.render.words import safe
from why502.watch.metrics import textfile
from why502.watch.metrics.collector import Collector, exposition
from why502.watch.metrics.otlp import Otlp
from why502.watch.metrics.server import Server
from why502.watch.metrics.settings import MetricsSettings, address
from why502.watch.metrics.view import MetricsView


class Publisher:
    """Serves, writes and sends the metrics from `start` to `stop`.

    `view` is called in other threads, whenever the metrics are asked for. `stuck`: the parts of the daemon that do not progress.
    `note` gets one sentence when a way fails, and one when it works again. Raises Why502Error for settings that cannot be used.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        view: Callable[[], MetricsView],
        stuck: Callable[[], Sequence[str]],
        note: Callable[[str], None],
    ) -> None:
        settings.check()
        self._settings = settings
        self._view = view
        self._note = note
        self._collector = Collector(view)
        self._process = ProcessCollector(registry=None)
        self._failing: set[str] = set()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._otlp = Otlp(settings.otlp, view().host) if settings.otlp else None
        self._server = Server(address(settings.listen), self.exposition, stuck) if settings.listen else None

    def start(self) -> None:
        """Begin."""
        if self._server:
            self._server.start()
        if self._settings.textfile:
            self._every(self._write)
        if self._otlp:
            self._every(self._send)

    def stop(self, timeout_s: float = 2.0) -> None:
        """End. A request that is on its way is given up. The file stays: its time shows that it is old."""
        self._stop.set()
        if self._server:
            self._server.stop()
        if self._otlp:
            self._otlp.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def exposition(self, is_openmetrics: bool) -> bytes:
        """Return the metrics of now, with those of this process."""
        return exposition(self._collector, self._process, is_openmetrics=is_openmetrics)

    def _every(self, act: Callable[[], None]) -> None:
        def repeat() -> None:
            while True:
                act()
                if self._stop.wait(self._settings.interval_s):
                    return

        thread = threading.Thread(target=repeat, name=f"metrics{act.__name__}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _write(self) -> None:
        """Write the file, without the metrics of this process: node_exporter has metrics of those names of its own."""
        with self._noting(f"writing {self._settings.textfile}"):
            textfile.write(Path(self._settings.textfile), exposition(self._collector))

    def _send(self) -> None:
        view = self._view()
        families = [*self._collector.collect(), *self._process.collect()]
        with self._noting(f"sending metrics to {self._settings.otlp}"):
            if self._otlp and not self._otlp.send(families, view.began_at, view.at):
                raise ConnectionError("not accepted")

    @contextmanager
    def _noting(self, work: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if work not in self._failing:
                self._failing.add(work)
                self._note(safe(f"{work}: {(error.strerror or str(error)).lower()}"))
        else:
            if work in self._failing:
                self._failing.remove(work)
                self._note(safe(f"{work} works again"))
