"""Holds error lines until the access line of their request arrives, so that each failure counts once, with the client's status.

A million failures in a window must fit into little memory: a line takes 28 bytes in columns, and values shared by many lines are
kept once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from why502.logs.held import Ended, Held, Line, mark, whole
from why502.logs.tallies import Kind, Tallies
from why502.logs.verdicts import has_failed
from why502.model.logs import Phase, Symptom
from why502.model.target import Target

MOST_SUSPECTS = 20_000
SLACK_S = 2.0  # both logs have whole seconds, and the access line is written slightly later
RETRY_S = 300.0  # a failed attempt is still found if it is this much older than the last one of its request
KEPT_S = 60.0  # an error line waits so long for its access line, where logs are followed
STEPS = 64  # maximum number of lines examined for one access line
NEIGHBOURS = 32  # lines before and after it that may be its other attempts
_SLOTS = 1 << 16

IN_BODY = frozenset({Phase.READ_BODY, Phase.UPGRADED})  # the status was already sent


class Waiting(NamedTuple):
    """The content of an error line without its time: shared by all lines of the same kind with the same status of their own."""

    kind: Kind
    own_status: int | None  # the status that the proxy returns for that reason
    is_failure: bool


Errors = Held[Waiting]


class Suspects(NamedTuple):
    """The seconds (with their neighbours) and the request marks for which a healthy access line may belong to an error line."""

    seconds: frozenset[int] = frozenset()
    marks: frozenset[int] = frozenset()

    def has(self, at: float, request: str) -> bool:
        """Return whether a request may be one of these; `request` is "" if the log has none."""
        return int(at) in self.seconds and (not request or mark(whole(request)) in self.marks)


def suspects(errors: Errors, *, only_in_body: bool) -> Suspects:
    """Return where healthy lines may belong to error lines.

    If the log has the upstream's status, it hides only a cut body, and a refusal by a limit with a custom status (429, 444).
    """
    kinds = [waiting.kind for waiting in errors.kinds()]
    wanted = [not only_in_body or kind.phase in IN_BODY or kind.symptom is Symptom.RATE_LIMITED for kind in kinds]
    hot: set[int] = set()
    marks: set[int] = set()
    for at, number, request in zip(errors.times, errors.shared, errors.requests, strict=True):
        if wanted[number]:
            hot.add(int(at))
            if len(marks) < MOST_SUSPECTS:
                marks.add(request)
    return Suspects(frozenset(second + off for second in hot for off in range(-2, 3)), frozenset(marks))


class Joiner:
    """Matches a request with its error lines, each used once."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.kinds = errors.kinds()
        self.shown = errors.shown()
        self.taken = bytearray(len(errors))
        self._indexes: dict[tuple[bool, bool], _Index] = {}

    def take(
        self,
        client: int,
        request: int,
        *,
        end: float,
        duration_s: float | None = None,
        most: int | None = None,
        connection: int | None = None,
        targets: frozenset[Target] = frozenset(),
        path: str = "",
    ) -> list[int]:
        """Return the error lines of a request that ended at `end`, oldest first; they are never returned again.

        The first line is searched within the duration and SLACK_S around it, then those of the request's other attempts on the
        same connection. `most` is the number of attempts, if the access log has it. If not, a target that appears a second time
        belongs to the next request, because nginx tries each server at most once. [ngx_http_upstream_round_robin.c, tried]
        `client` and `request` are marks, 0 for none. If the log has neither, lines are matched by `targets`, or else by `path`.
        """
        errors = self.errors
        if not errors or not (client or request or targets or path):
            return []
        anywhere = bool(client or request)
        index = self._index(bool(client), bool(request))
        wanted = (client or None, request or None)
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
        """Count one error line with the data of its access line."""
        errors = self.errors
        tallies.add(
            self.kinds[errors.shared[line]].kind._replace(status=status),
            errors.times[line],
            sample=errors.samples.get(line),
            request=self.shown[errors.texts[line]],
            duration_s=duration_s,
            is_hidden=is_hidden,
        )

    def settle(self, tallies: Tallies) -> None:
        """Count the lines that match no access line: the status that their clients got is unknown."""
        for line, taken in enumerate(self.taken):
            if not taken:
                self.count(line, tallies)

    def left(self) -> Errors:
        """Return the lines that match no access line so far."""
        found: Errors = Held()
        found.extend(self.errors, [line for line, taken in enumerate(self.taken) if not taken])
        return found

    def _attempts(
        self, index: _Index, first: int, wanted: tuple[int | None, int | None], most: int | None, begin: float | None
    ) -> list[int]:
        """Return the places of all lines of the request whose first line is at `first`, including that one."""
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
                if len(found) == most or (most is None and (goal in seen or errors.connections[line] <= 0)):
                    break
                seen.add(goal)
                found.append(place)
        return sorted(found)

    def _goal(self, line: int) -> tuple[Target | None, str]:
        kind = self.kinds[self.errors.shared[line]].kind
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


class Request(NamedTuple):
    """A held access line: its number, and the numbers of its error lines, oldest first."""

    number: int
    ended: Ended
    line: Line
    errors: list[int]


def requests(joiner: Joiner, held: Held[Ended]) -> Iterator[Request]:
    """Yield the access lines with their error lines: failures first, then lines that appear healthy."""
    kinds, shown = held.kinds(), held.shown()
    later: list[tuple[int, Ended]] = []
    for index, number in enumerate(held.shared):
        ended = kinds[number]
        if ended.is_suspect:
            later.append((index, ended))
            continue
        failed = sum(1 for attempt in ended.attempts if has_failed(attempt, ended.status))
        is_limit = not ended.has_failed() and not ended.is_own  # of the proxy, which logs one line
        line = held.line(index, shown)
        yield Request(index, ended, line, _errors_of(joiner, ended, line, 1 if is_limit else failed or None))
    for index, ended in later:
        line = held.line(index, shown)
        yield Request(index, ended, line, _errors_of(joiner, ended, line, None))


def _errors_of(joiner: Joiner, ended: Ended, line: Line, most: int | None) -> list[int]:
    duration_s = line.duration_s
    if duration_s is None and line.responses_s and line.responses_s[0] is not None:
        duration_s = sum(value or 0.0 for value in line.responses_s)
    return joiner.take(
        line.client,
        line.request,
        end=line.at,
        duration_s=duration_s,
        most=most,
        connection=line.connection,
        targets=frozenset(attempt.target for attempt in ended.attempts if attempt.target),
        path=line.shown.removesuffix("?") if ended.is_path else "",
    )


class _Index:
    """The lines sorted by slot, then time; `places` are positions in that order."""

    def __init__(self, slots: array[int], times: array[float]) -> None:
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
        self._free = array("I", range(len(slots) + 1))  # the next place, possibly itself, that may be free

    def has(self, place: int, slot: int) -> bool:
        """Return whether a place belongs to a slot."""
        return self.starts[slot] <= place < self.starts[slot + 1]

    def free(self, slot: int, begin: float, end: float, times: array[float]) -> Iterator[int]:
        """Yield the places of a slot within a time range, except dropped ones."""
        last = self.starts[slot + 1]
        place = bisect_left(self.order, begin, self.starts[slot], last, key=times.__getitem__)
        while (place := self._next(place)) < last and times[self.order[place]] <= end:
            yield place
            place += 1

    def drop(self, place: int) -> None:
        """Exclude a place from all later results."""
        self._free[place] = place + 1

    def _next(self, place: int) -> int:
        free = self._free
        while free[place] != place:
            free[place] = free[free[place]]
            place = free[place]
        return place


def _slot(client: int | None, request: int | None) -> int:
    return ((client or 0) * 31 + (request or 0)) % _SLOTS
