"""Holds error lines until the access line of their request arrives, so that each failure counts once, with the client's status.

A million failures in a window must fit into little memory: a line is 28 bytes in columns, and what many lines share is kept once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from why502.logs.tallies import Kind, Tallies, mark
from why502.model.logs import Phase, Sample
from why502.model.target import Target

MOST_LINES = 1 << 20  # beyond it, error lines are counted without their access line
MOST_TEXTS = 1 << 14
SLACK_S = 2.0  # both logs have whole seconds, and the access line is written a little later
RETRY_S = 300.0  # an attempt that failed so long before the last one of its request is still found
STEPS = 64  # lines that are looked at for one access line
NEIGHBOURS = 32  # lines before and after it that may be its other attempts
SAMPLES = 8
_SLOTS = 1 << 16

IN_BODY = frozenset({Phase.READ_BODY, Phase.UPGRADED})  # the status was already sent


class Waiting(NamedTuple):
    """What an error line says, without the moment: shared by all lines of the same kind and with the same status of its own."""

    kind: Kind
    own_status: int | None  # what the proxy answers for that reason
    is_failure: bool


class Errors:
    """Error lines of requests, in the order of their log. Times are whole seconds since the epoch."""

    def __init__(self) -> None:
        self.times = array("I")
        self.clients = array("I")
        self.requests = array("I")
        self.connections = array("q")
        self.waiting = array("I")
        self.texts = array("H")
        self.samples: dict[int, Sample] = {}
        self.is_full = False
        self._waiting: dict[Waiting, int] = {}
        self._texts: dict[str, int] = {"": 0}
        self._sampled: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.times)

    def number(self, waiting: Waiting) -> int | None:
        """Return the number by which lines of a kind are added; None when there are too many kinds."""
        if len(self._waiting) < MOST_TEXTS:
            return self._waiting.setdefault(waiting, len(self._waiting))
        found = self._waiting.get(waiting)
        self.is_full |= found is None
        return found

    def add(self, number: int, at: float, *, client: str, request: str, shown: str, connection: int | None) -> bool:
        """Keep one line; `request` is the request line, `shown` what of it is listed. False when there is no room."""
        if len(self.times) >= MOST_LINES:
            self.is_full = True
            return False
        self._append((number, int(at), mark(client), mark(whole(request)), self._text(shown), connection or 0))
        return True

    def wants_sample(self, number: int) -> bool:
        """Return whether a sample would be kept for the next line of this kind."""
        return self._sampled.get(number, 0) < SAMPLES

    def sample(self, sample: Sample) -> None:
        """Keep a sample of the line added last."""
        number = self.waiting[-1]
        self._sampled[number] = self._sampled.get(number, 0) + 1
        self.samples[len(self) - 1] = sample

    def merge(self, other: Errors) -> None:
        """Add the lines of a later part of the logs."""
        kinds, texts = list(other._waiting), list(other._texts)
        self.is_full |= other.is_full
        for index in range(len(other)):
            number, text = self.number(kinds[other.waiting[index]]), texts[other.texts[index]]
            if len(self.times) >= MOST_LINES or number is None:
                self.is_full = True
                return
            wants = self.wants_sample(number)
            line = (number, other.times[index], other.clients[index], other.requests[index])
            self._append((*line, self._text(text), other.connections[index]))
            if wants and index in other.samples:
                self.sample(other.samples[index])

    def kinds(self) -> list[Waiting]:
        """Return the kinds by their number in `waiting`."""
        return list(self._waiting)

    def shown(self) -> list[str]:
        """Return the requests by their number in `texts`."""
        return list(self._texts)

    def _append(self, line: tuple[int, int, int, int, int, int]) -> None:
        for column, value in zip(
            (self.waiting, self.times, self.clients, self.requests, self.texts, self.connections), line, strict=True
        ):
            column.append(value)

    def _text(self, shown: str) -> int:
        if len(self._texts) < MOST_TEXTS:
            return self._texts.setdefault(shown, len(self._texts))
        return self._texts.get(shown, 0)


class Joiner:
    """Finds the error lines of a request, each once."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.kinds = errors.kinds()
        self.shown = errors.shown()
        self.taken = bytearray(len(errors))
        self._indexes: dict[tuple[bool, bool], _Index] = {}

    def take(
        self,
        client: str,
        request: str,
        *,
        end: float,
        duration_s: float | None = None,
        most: int | None = None,
        connection: int | None = None,
        targets: frozenset[Target] = frozenset(),
        path: str = "",
    ) -> list[int]:
        """Return the lines of one request that ended at `end`, oldest first; they are not given out again.

        A first line is looked for within the duration and SLACK_S around it, then those of its other attempts on the same
        connection. `most` is the number of attempts where the access log tells it. Where it does not, a target that comes
        a second time belongs to the next request: nginx tries each server at most once. [ngx_http_upstream_round_robin.c, tried]
        `targets`, else a `path`, are looked for where the log has neither client nor request.
        """
        errors = self.errors
        if not errors or not (client or request or targets or path):
            return []
        anywhere = bool(client or request)
        index = self._index(bool(client), bool(request))
        wanted = (mark(client) if client else None, mark(whole(request)) if request else None)
        near = index.free(_slot(*wanted), end - (duration_s or 0.0) - SLACK_S, end + SLACK_S, errors.times)
        first = next(
            (
                place
                for place in islice(near, STEPS)
                if self._fits(index.order[place], *wanted)
                and (anywhere or self._is_of(index.order[place], targets, path))
                and connection in (None, errors.connections[index.order[place]])
            ),
            None,
        )
        if first is None:
            return []
        found = self._attempts(index, first, wanted, most, None if duration_s is None else end - duration_s - SLACK_S)
        for place in found:
            line = index.order[place]
            self.taken[line] = 1
            index.drop(place)
        return [index.order[place] for place in found]

    def count(
        self, line: int, tallies: Tallies, *, status: int | None = None, duration_s: float | None = None, is_hidden: bool = False
    ) -> None:
        """Count one error line, with what its access line told."""
        errors = self.errors
        tallies.add(
            self.kinds[errors.waiting[line]].kind._replace(status=status),
            errors.times[line],
            sample=errors.samples.get(line),
            request=self.shown[errors.texts[line]],
            duration_s=duration_s,
            is_hidden=is_hidden,
        )

    def settle(self, tallies: Tallies) -> None:
        """Count the lines that no access line was found for: what their clients got is unknown."""
        for line, taken in enumerate(self.taken):
            if not taken:
                self.count(line, tallies)

    def _attempts(
        self, index: _Index, first: int, wanted: tuple[int | None, int | None], most: int | None, begin: float | None
    ) -> list[int]:
        """Return the places of the other lines of the request whose line stands at `first`, and itself."""
        errors = self.errors
        line = index.order[first]
        begin = errors.times[line] - RETRY_S if begin is None else begin
        found, seen = [first], {self._goal(line)}
        if most == 1:
            return found
        for step in (-1, 1):  # earlier attempts, then later ones
            place = first
            for _ in range(NEIGHBOURS):
                place += step
                if not index.has(place, _slot(*wanted)):
                    break
                other = index.order[place]
                if not begin <= errors.times[other] <= errors.times[line] + RETRY_S:
                    break
                if self.taken[other] or errors.connections[other] != errors.connections[line] or not self._fits(other, *wanted):
                    continue
                goal = self._goal(other)
                if len(found) == most or (most is None and (goal in seen or errors.connections[line] == 0)):
                    break
                seen.add(goal)
                found.append(place)
        return sorted(found)

    def _goal(self, line: int) -> tuple[Target | None, str]:
        kind = self.kinds[self.errors.waiting[line]].kind
        return kind.target, kind.group

    def _is_of(self, line: int, targets: frozenset[Target], path: str) -> bool:
        if targets:
            return self._goal(line)[0] in targets
        return self.shown[self.errors.texts[line]].partition(" ")[2].partition("?")[0] == path.partition("?")[0]

    def _fits(self, line: int, client: int | None, request: int | None) -> bool:
        return (client is None or self.errors.clients[line] == client) and (
            request is None or self.errors.requests[line] == request
        )

    def _index(self, by_client: bool, by_request: bool) -> _Index:
        key = (by_client, by_request)
        if key not in self._indexes:
            errors = self.errors
            pairs = zip(errors.clients, errors.requests, strict=True)
            slots = array(
                "I", (_slot(client if by_client else None, request if by_request else None) for client, request in pairs)
            )
            self._indexes[key] = _Index(slots, errors.times)
        return self._indexes[key]


class _Index:
    """The lines sorted by slot, then time; `places` are positions in that order."""

    def __init__(self, slots: array[int], times: array[int]) -> None:
        self.starts = array("I", [0]) * (_SLOTS + 1)
        for slot in slots:
            self.starts[slot + 1] += 1
        for slot in range(_SLOTS):
            self.starts[slot + 1] += self.starts[slot]
        self.order = array("I", [0]) * len(slots)
        nexts = self.starts[:]
        in_order = all(a <= b for a, b in pairwise(times))
        for line in range(len(slots)) if in_order else sorted(range(len(slots)), key=times.__getitem__):
            self.order[nexts[slots[line]]] = line
            nexts[slots[line]] += 1
        self._free = array("I", range(len(slots) + 1))  # the next place that may be free, itself included

    def has(self, place: int, slot: int) -> bool:
        """Return whether a place belongs to a slot."""
        return self.starts[slot] <= place < self.starts[slot + 1]

    def free(self, slot: int, begin: float, end: float, times: array[int]) -> Iterator[int]:
        """Yield the places of a slot that were not dropped, within a time."""
        last = self.starts[slot + 1]
        place = bisect_left(self.order, begin, self.starts[slot], last, key=times.__getitem__)
        while (place := self._next(place)) < last and times[self.order[place]] <= end:
            yield place
            place += 1

    def drop(self, place: int) -> None:
        """Never yield a place again."""
        self._free[place] = place + 1

    def _next(self, place: int) -> int:
        free = self._free
        while free[place] != place:
            free[place] = free[free[place]]
            place = free[place]
        return place


def whole(request: str) -> str:
    """Return a request line without its protocol, which some access logs leave out."""
    return request.rpartition(" HTTP/")[0] or request


def _slot(client: int | None, request: int | None) -> int:
    return ((client or 0) * 31 + (request or 0)) % _SLOTS
