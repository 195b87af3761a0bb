"""Publisher: the metrics go where the settings say, each way in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from prometheus_client import ProcessCollector

from why502.model.errors import Why502Error
from why502.render.words import safe
from why502.watch.metrics import textfile
from why502.watch.metrics.collector import Collector, exposition
from why502.watch.metrics.otlp import Otlp
from why502.watch.metrics.server import Server
from why502.watch.metrics.settings import MetricsSettings, address
from why502.watch.metrics.view import MetricsView

RETRY_S = 10.0  # until an address that is taken is tried again


class Publisher:
    """Serves, writes and sends the metrics, from `configure` to `stop`.

    `view` is called in other threads, whenever the metrics are asked for. `stuck`: the parts of the daemon that do not progress.
    `note` gets one sentence when a way fails, and one when it works again. `clock`: a monotonic time in seconds.
    """

    def __init__(
        self,
        view: Callable[[], MetricsView],
        stuck: Callable[[], Sequence[str]],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._stuck = stuck
        self._note = note
        self._collector = Collector(view, clock)
        self._process = ProcessCollector(registry=None)
        self._failing: set[str] = set()
        self._lock = threading.Lock()  # of writing and sending
        self._settings = MetricsSettings(listen="")
        self._server: Server | None = None
        self._listening: _Repeated | None = None
        self._file: _Repeated | None = None
        self._otlp: Otlp | None = None
        self._sending: _Repeated | None = None

    def start(self, settings: MetricsSettings) -> None:
        """Put the first settings in force. An address that is taken is tried again and again. Raises Why502Error for bad ones."""
        settings.check()
        self.configure(msgspec.structs.replace(settings, listen=""))
        self._settings = settings
        if settings.listen and not self._listen():
            self._listening = _Repeated(self._listen, RETRY_S, "metrics address")

    def configure(self, settings: MetricsSettings) -> None:
        """Put settings in force; called again, only what differs is renewed. Raises Why502Error before anything was changed."""
        settings.check()
        old = self._settings
        otlp = Otlp(settings.otlp, self._view().host) if settings.otlp and settings.otlp != old.otlp else None
        if settings.listen != old.listen:
            server = self._new_server(settings.listen) if settings.listen else None
            self._end_server()
            self._server = server
            if server:
                server.start()
        self._settings = settings
        if (settings.textfile, settings.interval_s) != (old.textfile, old.interval_s):
            _end(self._file)
            self._file = _Repeated(self._write, settings.interval_s, "metrics file") if settings.textfile else None
        if (settings.otlp, settings.interval_s) != (old.otlp, old.interval_s):
            self._end_sending(is_closed=settings.otlp != old.otlp)
            self._otlp = otlp or self._otlp
            self._sending = _Repeated(self._send, settings.interval_s, "metrics otlp") if self._otlp else None

    def stop(self, timeout_s: float = 2.0) -> None:
        """End. A request that is on its way is given up. The file stays: its time shows that it is old."""
        self._end_server()
        _end(self._file, timeout_s)
        self._end_sending(is_closed=True, timeout_s=timeout_s)

    def publish(self) -> None:
        """Write and send the current metrics, before their time: for a daemon that makes one round and ends."""
        if self._file:
            self._write()
        if self._sending:
            self._send()

    def exposition(self, is_openmetrics: bool) -> bytes:
        """Return the current metrics, with those of this process."""
        return exposition(self._collector, self._process, is_openmetrics=is_openmetrics)

    def _new_server(self, listen: str) -> Server:
        return Server(address(listen), self.exposition, self._stuck)

    def _listen(self) -> bool:
        """Begin to serve; return whether there is nothing left to try."""
        with self._noting("serving metrics"):
            self._server = self._new_server(self._settings.listen)
            self._server.start()
        return self._server is not None

    def _end_server(self) -> None:
        _end(self._listening)
        self._listening = None
        if self._server:
            self._server.stop()
            self._server = None

    def _end_sending(self, *, is_closed: bool, timeout_s: float = 2.0) -> None:
        if self._otlp and is_closed:
            self._otlp.close()
            self._otlp = None
        _end(self._sending, timeout_s)

    def _write(self) -> None:
        """Write the file, without the metrics of this process: node_exporter has metrics of those names of its own."""
        with self._lock, self._noting(f"writing {self._settings.textfile}"):
            textfile.write(Path(self._settings.textfile), exposition(self._collector))

    def _send(self) -> None:
        otlp = self._otlp
        with self._lock, self._noting(f"sending metrics to {self._settings.otlp}"):
            view, families = self._view(), [*self._collector.collect(), *self._process.collect()]
            if otlp and not otlp.send(families, view.began_at, view.at):
                raise ConnectionError("not accepted")

    @contextmanager
    def _noting(self, work: str) -> Iterator[None]:
        try:
            yield
        except (OSError, Why502Error) as error:
            reason = error.message if isinstance(error, Why502Error) else (error.strerror or str(error)).lower()
            if work not in self._failing:
                self._failing.add(work)
                self._note(safe(f"{work}: {reason}"))
        else:
            if work in self._failing:
                self._failing.remove(work)
                self._note(safe(f"{work} works again"))


class _Repeated:
    """Calls `act` every `interval_s` in a thread of that name, at once for the first time, until it returns True."""

    def __init__(self, act: Callable[[], bool | None], interval_s: float, name: str) -> None:
        self._act = act
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def end(self, timeout_s: float) -> None:
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            if self._act() or self._ended.wait(self._interval_s):
                return


def _end(repeated: _Repeated | None, timeout_s: float = 2.0) -> None:
    if repeated:
        repeated.end(timeout_s)
