"""Lines that wait for the matching line of their request: failures in error logs, ends of requests in access logs.

A million of them must fit into little memory: values shared by many lines are kept once, and the rest of a line takes about 60
bytes in columns.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.verdicts import has_failed, is_failure
from why502.model.logs import Attempt, LogRecord, Sample, Symptom
from why502.redaction import bare, clean

MOST_LINES = 1 << 20  # beyond this, lines are only counted
MOST_TEXTS = 1 << 14
MOST_SHARED = 1 << 14
SAMPLES = 8
_PLACE_BITS = 40  # for the first byte, in a line's sort key
Shared = TypeVar("Shared", bound=Hashable)


class Line(NamedTuple):
    """The stored part of one line.

    `order` sorts by position, `at` is in seconds since the epoch, `client` and `request` are marks (0: none).
    """

    at: float
    client: int = 0
    request: int = 0
    connection: int | None = None
    shown: str = ""  # the request without its query and protocol
    duration_s: float | None = None
    responses_s: tuple[float | None, ...] = ()  # of each attempt, in seconds
    order: int = 0


class Held(Generic[Shared]):
    """Lines in reading order, each with the values it shares with others."""

    def __init__(self) -> None:
        self.times = array("d")
        self.clients = array("I")
        self.requests = array("I")
        self.connections = array("q")
        self.shared = array("H")
        self.texts = array("H")
        self.orders = array("Q")
        self.samples: dict[int, Sample] = {}
        self.is_full = False
        self._durations = array("d")
        self._responses = array("I")  # offsets into the next array, where the values of a line start
        self._responses_s = array("d")
        self._shared: dict[Shared, int] = {}
        self._texts: dict[str, int] = {"": 0}
        self._sampled: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.times)

    def number(self, shared: Shared) -> int | None:
        """Return the number under which lines of a kind are added; None when there are too many kinds."""
        if len(self._shared) < MOST_SHARED:
            return self._shared.setdefault(shared, len(self._shared))
        found = self._shared.get(shared)
        self.is_full |= found is None
        return found

    def add(self, number: int, line: Line) -> bool:
        """Keep one line. Return False when there is no room."""
        if len(self.times) >= MOST_LINES:
            self.is_full = True
            return False
        self.times.append(line.at)
        self.clients.append(line.client)
        self.requests.append(line.request)
        self.connections.append(-1 if line.connection is None else line.connection)
        self.shared.append(number)
        self.texts.append(self._text(line.shown))
        self.orders.append(line.order)
        self._durations.append(math.nan if line.duration_s is None else line.duration_s)
        self._responses.append(len(self._responses_s))
        self._responses_s.extend(math.nan if value is None else value for value in line.responses_s)
        return True

    def wants_sample(self, number: int) -> bool:
        """Return whether a sample for the next line of this kind would be kept."""
        return self._sampled.get(number, 0) < SAMPLES

    def sample(self, sample: Sample) -> None:
        """Keep a sample of the line added last."""
        number = self.shared[-1]
        self._sampled[number] = self._sampled.get(number, 0) + 1
        self.samples[len(self) - 1] = sample

    def line(self, index: int, shown: Sequence[str]) -> Line:
        """Return one line; `shown` is the result of `shown()`."""
        begin = self._responses[index]
        end = self._responses[index + 1] if index + 1 < len(self) else len(self._responses_s)
        return Line(
            self.times[index],
            self.clients[index],
            self.requests[index],
            None if self.connections[index] < 0 else self.connections[index],
            shown[self.texts[index]],
            _known(self._durations[index]),
            tuple(map(_known, self._responses_s[begin:end])),
            self.orders[index],
        )

    def merge(self, other: Held[Shared]) -> None:
        """Add the lines of another part of the logs."""
        self.is_full |= other.is_full
        self.extend(other, range(len(other)))

    def since(self, before: float) -> Held[Shared]:
        """Return the lines from that second on."""
        found: Held[Shared] = Held()
        found.extend(self, [index for index, at in enumerate(self.times) if at >= before])
        return found

    def in_order(self) -> Held[Shared]:
        """Return the lines sorted by their position in the logs."""
        if all(one <= other for one, other in zip(self.orders, self.orders[1:], strict=False)):
            return self
        found: Held[Shared] = Held()
        found.extend(self, sorted(range(len(self)), key=self.orders.__getitem__))
        return found

    def kinds(self) -> list[Shared]:
        """Return the shared values, indexed by their number in `shared`."""
        return list(self._shared)

    def shown(self) -> list[str]:
        """Return the requests, indexed by their number in `texts`."""
        return list(self._texts)

    def extend(self, other: Held[Shared], indexes: Iterable[int]) -> None:
        """Add some lines of another part."""
        kinds, shown = other.kinds(), other.shown()
        for index in indexes:
            number = self.number(kinds[other.shared[index]])
            if number is None or not self.add(number, other.line(index, shown)):
                return
            if index in other.samples:
                self.sample(other.samples[index])

    def _text(self, shown: str) -> int:
        if len(self._texts) < MOST_TEXTS:
            return self._texts.setdefault(shown, len(self._texts))
        return self._texts.get(shown, 0)


class Ended(NamedTuple):
    """How a request ended according to an access log, without its time.

    The times in `attempts` only mark whether a time was logged.
    """

    path: str  # path of the log
    status: int | None
    attempts: tuple[Attempt, ...] = ()
    symptom: Symptom | None = None
    proxy: str | None = None
    server: str = ""
    is_own: bool = False  # one of our own probes
    is_suspect: bool = False  # it appears healthy
    is_path: bool = False  # the line has only the path, not the whole request line

    def has_failed(self) -> bool:
        """Return whether the request, or one of its attempts, failed."""
        return is_failure(self.status) or any(has_failed(attempt, self.status) for attempt in self.attempts)


class Origin(NamedTuple):
    """A log's properties. `path`: for display; `server`: the only one that logs there; `proxy`: the product."""

    path: str
    server: str = ""
    proxy: str | None = None


def of_access(record: LogRecord, origin: Origin, *, is_own: bool = False, is_suspect: bool = False) -> Ended:
    """Return how the request of an access line ended."""
    attempts = tuple(map(_plain, record.attempts))
    is_path = record.request.startswith("/")
    is_anyones = record.format == NGINX_ACCESS and origin.proxy  # other products write lines of that form, too
    proxy, server = origin.proxy if is_anyones else record.proxy or origin.proxy, clean(record.server) or origin.server
    return Ended(origin.path, record.status, attempts, record.symptom, proxy, server, is_own, is_suspect, is_path)


def line_of(record: LogRecord, at: float, order: int = 0) -> Line:
    """Return the part of a record that is stored."""
    request = record.request if " " in record.request else ""
    return Line(
        at,
        mark(record.client),
        mark(whole(request)),
        record.connection,
        bare(record.request),
        record.duration_s,
        tuple(attempt.response_s for attempt in record.attempts),
        order,
    )


def order_of(part: int, start: int) -> int:
    """Return a sort key for a line from the number of its part and its first byte."""
    return (part << _PLACE_BITS) + start


def is_noted(record: LogRecord) -> bool:
    """Return whether an access line reports a problem."""
    if is_failure(record.status) or any(has_failed(attempt, record.status) for attempt in record.attempts):
        return True
    return record.symptom is not None and not record.attempts  # a limit of the proxy: 413, 414


def mark(text: str) -> int:
    """Return a number for a text, the same in every process; 0 for an empty text."""
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def whole(request: str) -> str:
    """Return a request line without its protocol, which some access logs omit."""
    return request.rpartition(" HTTP/")[0] or request


def _plain(attempt: Attempt) -> Attempt:
    return Attempt(
        target=attempt.target,
        group=attempt.group,
        status=attempt.status,
        connect_s=None if attempt.connect_s is None else 0.0,
        header_s=None if attempt.header_s is None else 0.0,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
