"""What `why502 watch` shows: a live screen on a terminal, one line for each event otherwise."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from why502.render.words import clock, safe
from why502.watch.model import Incident, Member, MemberStatus, Observed, Transition

WINDOW_S = 300  # length of the recent period that is shown
MOST_ROWS = 12
MOST_NOTES = 5
KEYS = "p proxy   s symptom   d members down   a all   q quit"

_STYLES = {MemberStatus.UP: "green", MemberStatus.DOWN: "bold red", MemberStatus.UNKNOWN: "yellow"}
_ORDER = (MemberStatus.DOWN, MemberStatus.UNKNOWN, MemberStatus.UP)


@dataclass(slots=True)
class _Second:
    """What was read in one second."""

    at_s: float
    requests: Counter[str] = field(default_factory=Counter)  # by proxy
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)  # by proxy and symptom


class Recent:
    """The rates of the last minutes. Times are monotonic seconds; lines of before the start do not count.

    One thread adds to it while another shows it.
    """

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._lock = threading.Lock()

    def add(self, observed: Observed, at_s: float) -> None:
        """Count what a log added."""
        if observed.is_history:
            return
        with self._lock:
            if not self._seconds or at_s - self._seconds[-1].at_s >= 1:
                self._seconds.append(_Second(at_s))
                while at_s - self._seconds[0].at_s > WINDOW_S:
                    self._seconds.popleft()
            second = self._seconds[-1]
            for (minute, request), count in observed.requests.items():
                if minute >= observed.live_since:
                    second.requests[request.proxy] += count
            for (minute, failure), count in observed.failures.items():
                if minute >= observed.live_since:
                    second.failures[failure.proxy, failure.symptom] += count

    def requests(self, now_s: float, within_s: float, proxy: str) -> int:
        """Return the requests of the last seconds, of one proxy ("": of all)."""
        found = self._within(now_s, within_s)
        return sum(count for second in found for one, count in second.requests.items() if proxy in ("", one))

    def failures(self, now_s: float, within_s: float, proxy: str) -> Counter[str]:
        """Return the failures of the last seconds by symptom, of one proxy ("": of all)."""
        found: Counter[str] = Counter()
        for second in self._within(now_s, within_s):
            for (one, symptom), count in second.failures.items():
                if proxy in ("", one):
                    found[symptom] += count
        return found

    def proxies(self) -> list[str]:
        """Return the proxies that had requests or failures."""
        found = self._within(0.0, -1.0)
        return sorted({one for second in found for one in (*second.requests, *(proxy for proxy, _ in second.failures))})

    def symptoms(self) -> list[str]:
        """Return the symptoms that were seen."""
        return sorted({symptom for second in self._within(0.0, -1.0) for _, symptom in second.failures})

    def _within(self, now_s: float, within_s: float) -> list[_Second]:
        """Return copies of what was read in the last seconds; all of it for a negative length."""
        with self._lock:
            return [
                _Second(second.at_s, second.requests.copy(), second.failures.copy())
                for second in self._seconds
                if within_s < 0 or now_s - second.at_s <= within_s
            ]


@dataclass(slots=True)
class Filter:
    """What is shown; "" is everything."""

    proxy: str = ""
    symptom: str = ""
    only_down: bool = False

    def press(self, key: str, proxies: Sequence[str], symptoms: Sequence[str]) -> None:
        """Change it as a key says."""
        if key == "p":
            self.proxy = _next(self.proxy, proxies)
        elif key == "s":
            self.symptom = _next(self.symptom, symptoms)
        elif key == "d":
            self.only_down = not self.only_down
        elif key == "a":
            self.proxy, self.symptom, self.only_down = "", "", False


@dataclass(slots=True)
class View:
    """What is shown now."""

    now: datetime
    now_s: float
    recent: Recent
    members: Sequence[Member] = ()
    incidents: Sequence[Incident] = ()
    notes: Sequence[str] = ()
    status: str = ""


def screen(view: View, wanted: Filter) -> RenderableType:
    """Return the live screen."""
    parts = (_head(view, wanted), _incidents(view, wanted), _failures(view, wanted), _members(view, wanted))
    spaced = [each for part in parts for each in (part, Text())]
    return Group(*spaced, *(Text(safe(note), "yellow") for note in list(view.notes)[-MOST_NOTES:]))


def event_line(at: datetime, transition: Transition, incident: Incident) -> str:
    """Return one line for what happened to an incident."""
    about = incident.target or incident.location or incident.proxy
    cause = f"{incident.cause}: " if incident.cause else ""
    return safe(
        f"{clock(at)} {transition} {incident.id} {incident.severity} {incident.proxy} {about}: {cause}{sentence(incident)}"
    )


def note_line(at: datetime, note: str) -> str:
    """Return one line for a note of the daemon itself."""
    return safe(f"{clock(at)} note {note}")


def sentence(incident: Incident) -> str:
    """Return what an incident is, in one sentence."""
    if not incident.is_open:
        return incident.closing or "ended"
    if incident.finding:
        return incident.finding.message
    reason = next((one.reason for one in reversed(incident.diagnosed) if one.reason), "")
    return f"{incident.symptom}, cause not established{f' ({reason})' if reason else ''}"


def _head(view: View, wanted: Filter) -> Text:
    requests = view.recent.requests(view.now_s, 10, wanted.proxy)
    failures = sum(view.recent.failures(view.now_s, 10, wanted.proxy).values())
    chosen = [f"proxy {wanted.proxy}"] * bool(wanted.proxy) + [f"symptom {wanted.symptom}"] * bool(wanted.symptom)
    return Text.assemble(
        (f"{view.now:%H:%M:%S} UTC", "bold"),
        f"   {requests / 10:.1f} requests/s   ",
        (f"{failures / 10:.1f} failures/s", "bold red" if failures else ""),
        f"   {safe(view.status)}" if view.status else "",
        f"   [{safe(', '.join(chosen))}]" if chosen else "",
        (f"   {KEYS}", "dim"),
    )


def _incidents(view: View, wanted: Filter) -> RenderableType:
    found = [
        one for one in view.incidents if wanted.proxy in ("", one.proxy) and wanted.symptom in ("", one.symptom, *one.symptoms)
    ]
    if not found:
        return Text("no open incident", "green")
    table = _table(("open since", 0), ("severity", 0), ("on", 1), ("incident", 4))
    for one in found[:MOST_ROWS]:
        cause = f"{one.cause}: " if one.cause else ""
        about = one.target or one.location or one.proxy
        table.add_row(*map(_cell, (f"{one.opened_at:%H:%M:%S}", one.severity, about, f"{cause}{sentence(one)}")))
    return Group(table, *_more(len(found)))


def _failures(view: View, wanted: Filter) -> RenderableType:
    now = view.recent.failures(view.now_s, 10, wanted.proxy)
    window = view.recent.failures(view.now_s, WINDOW_S, wanted.proxy)
    table = _table(("failures by symptom", 3), ("per second", 0), (f"last {WINDOW_S // 60} minutes", 0))
    rows = [(symptom, count) for symptom, count in window.most_common() if wanted.symptom in ("", symptom)]
    for symptom, count in rows[:MOST_ROWS]:
        table.add_row(*map(_cell, (symptom, f"{now[symptom] / 10:.1f}", str(count))))
    return Group(table, *_more(len(rows)))


def _members(view: View, wanted: Filter) -> RenderableType:
    found = [one for one in view.members if wanted.proxy in ("", one.proxy)]
    count = Counter(one.status for one in found)
    if wanted.only_down:
        found = [one for one in found if one.status is MemberStatus.DOWN]
    summed = Text("   ").join(Text(f"{count[status]} {status}", _STYLES[status]) for status in reversed(_ORDER))
    table = _table(("member", 2), ("group", 1), ("checks", 0), ("since", 0), ("last result", 3))
    for one in sorted(found, key=lambda one: (_ORDER.index(one.status), one.group, str(one.peer)))[:MOST_ROWS]:
        last = "" if one.last is None else one.last.reason or one.last.symptom or "passed"
        since = f"{one.since:%H:%M:%S}" if one.since else ""
        table.add_row(_cell(str(one.peer)), _cell(one.group), Text(one.status, _STYLES[one.status]), _cell(since), _cell(last))
    return Group(summed, table, *_more(len(found)))


def _table(*columns: tuple[str, int]) -> Table:
    table = Table(expand=True, box=None, header_style="bold")
    for name, ratio in columns:
        table.add_column(name, ratio=ratio or None, no_wrap=True, overflow="ellipsis")
    return table


def _cell(text: str) -> Text:
    return Text(safe(text))


def _more(count: int) -> list[Text]:
    return [Text(f"… and {count - MOST_ROWS} more", "dim")] if count > MOST_ROWS else []


def _next(current: str, choices: Sequence[str]) -> str:
    """Return the next choice, "" (everything) after the last."""
    every = ["", *choices]
    return every[(every.index(current) + 1) % len(every)] if current in every else ""
