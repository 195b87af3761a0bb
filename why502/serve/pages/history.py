"""All incidents: by cause, target and week, with the time that they lasted; what is left of objectives; filter and search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from why502.model.errors import Why502Error
from why502.render import plots, spreadsheet
from why502.render.words import FAULT_DOMAINS
from why502.serve.gateway_map import traffic
from why502.serve.navigation import Navigation
from why502.serve.objectives import allowance
from why502.serve.rendering import Serving, page, serving
from why502.watch import settings as watch_settings
from why502.watch.model import Incident
from why502.watch.report import story
from why502.watch.store import Ring, Store, history
from why502.watch.store.history import By, Group
from why502.watch.store.reading import Wanted

NAVIGATION = Navigation(title="History", path="/history", order=20, about="All incidents, and how long they lasted.")
SHOWN = 50
MOST_PAGE = 10_000
MOST_GROUPS = 15
MONTH_DAYS = 30
_STATES = {"": None, "open": True, "resolved": False}
MOST_EXPORTED, EXPORTED_AT_ONCE = 100_000, 500
_COLUMNS = (
    "id",
    "opened (UTC)",
    "resolved (UTC)",
    "minutes",
    "severity",
    "cause",
    "fault domain",
    "confidence",
    "host",
    "gateway",
    "target",
    "location",
    "failed requests",
    "requests",
    "message",
    "page",
)
_LONGEST = 200  # characters of a filter


@dataclass(slots=True, frozen=True, kw_only=True)
class Filter:
    """What is asked for, as it was typed; "" is everything."""

    cause: str = ""
    target: str = ""
    text: str = ""
    state: str = ""
    since: str = ""
    until: str = ""

    def wanted(self) -> Wanted:
        """Return it as the store takes it. Raises Why502Error."""
        until = _day("until", self.until)
        return Wanted(
            is_open=_STATES[self.state],
            since=_day("since", self.since),
            until=until + timedelta(days=1) if until else None,
            cause=self.cause,
            target=self.target,
            text=self.text,
        )


def _day(name: str, text: str) -> datetime | None:
    """Return the start of a day. Raises Why502Error."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if 1970 < day.year < 9999 else None
    except ValueError:
        raise Why502Error(f"{name}: {text!r} is not a date", "Write it as 2026-11-23.") from None


def _filter(query: QueryParams) -> Filter:
    """Return the filter of an address. Raises Why502Error."""
    given = {name: query.get(name, "").strip()[:_LONGEST] for name in Filter.__slots__}
    if given["state"] not in _STATES:
        raise Why502Error(f"state: {given['state']!r} is not known", "It is open, resolved, or empty.")
    return Filter(**given)


def _page_number(query: QueryParams) -> int:
    text = query.get("page", "1")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_PAGE):
        raise Why502Error(f"page: {text[:20]!r} is not a page number", "Pages are numbered from 1.")
    return int(text)


def show(request: Request) -> Response:
    """Return the page."""
    shared = serving(request)
    asked, number, now = _filter(request.query_params), _page_number(request.query_params), shared.now()
    wanted = asked.wanted()
    with shared.stock.reading() as store:
        groups = {by: store.ask(partial(history.groups, by=by, wanted=wanted, now=now)) for by in By}
        every = groups[By.CAUSE]
        if asked != Filter():
            every = store.ask(partial(history.groups, by=By.CAUSE, wanted=Filter().wanted(), now=now))
        found = store.incidents(**asdict(wanted), limit=SHOWN, offset=(number - 1) * SHOWN)
        allowances, reason = _allowances(store, now, shared.settings.watch_settings)
    total = sum(one.count for one in groups[By.CAUSE])
    return page(
        request,
        "history.html",
        asked=asked,
        now=now,
        is_filtered=asked != Filter(),
        causes=sorted(one.name for one in every if one.name),
        total=total,
        minutes=sum(one.seconds for one in groups[By.CAUSE]) / 60,
        by_cause=groups[By.CAUSE][:MOST_GROUPS],
        by_target=groups[By.TARGET][:MOST_GROUPS],
        by_week=list(reversed(groups[By.WEEK]))[:MOST_GROUPS],
        plot=_plot(groups[By.WEEK]),
        allowances=allowances,
        allowances_reason=reason,
        incidents=found,
        headline=story.headline,
        counts=story.counts,
        link=partial(_link, shared, asked),
        number=number,
        first=(number - 1) * SHOWN + 1,
        has_more=number * SHOWN < total,
    )


def _link(shared: Serving, asked: Filter, path: str = "/history", **changed: Any) -> str:
    """Return the address of the same page with another filter, of another of its pages, or of its export."""
    return shared.address(path, **{name: getattr(asked, name) for name in Filter.__slots__} | changed)


def _plot(weeks: list[Group]) -> str:
    """Return the minutes of each week, also of those without an incident, as bars."""
    if len(weeks) < 2:
        return ""
    known = {date.fromisoformat(one.name): one for one in weeks}
    first, last = min(known), max(known)
    days = [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)]
    return plots.bars(
        [plots.Series(name="minutes", counts=tuple(round(known[day].seconds / 60) if day in known else 0 for day in days))],
        [f"week of {day}" for day in days],
        label=f"Minutes that incidents were open, by the week in which they began, {first} to {last}",
        axis=(str(first), str(last)),
    )


def _allowances(store: Store, now: datetime, path: str | None) -> tuple[list[Any], str]:
    """Return the objectives with what is left of their allowances; or why they are not known."""
    try:
        objectives = watch_settings.read(path).objectives
    except Why502Error as error:
        return [], f"The objectives are not known: {error.message}."
    if not objectives:
        return [], ""
    seen = traffic(store, now.timestamp(), MONTH_DAYS * Ring.DAY, Ring.DAY)
    return [allowance(one, seen) for one in objectives], ""


def export(request: Request) -> Response:
    """Return all incidents that the filter leaves, as CSV, the newest first."""
    shared = serving(request)
    wanted = _filter(request.query_params).wanted()
    with shared.stock.reading():  # a store that cannot be read is a page, not the end of a file
        name = f"incidents-{shared.now():%Y-%m-%d}.csv"
    return StreamingResponse(
        _lines(shared, wanted, shared.now()),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _lines(shared: Serving, wanted: Wanted, now: datetime) -> Iterator[str]:
    """Yield the file in parts. What opens meanwhile is not in it, so that no incident is in it twice."""
    yield spreadsheet.row(_COLUMNS)
    wanted = replace(wanted, until=min(filter(None, (wanted.until, now))))
    for offset in range(0, MOST_EXPORTED, EXPORTED_AT_ONCE):
        with shared.stock.reading() as store:
            found = store.incidents(**asdict(wanted), limit=EXPORTED_AT_ONCE, offset=offset)
        yield "".join(spreadsheet.row(_cells(one, now, shared.settings.url)) for one in found)
        if len(found) < EXPORTED_AT_ONCE:
            return


def _cells(one: Incident, now: datetime, url: str) -> tuple[str | float | None, ...]:
    """Return an incident in the order of _COLUMNS."""
    return (
        one.id,
        f"{one.opened_at:%Y-%m-%d %H:%M:%S}",
        f"{one.closed_at:%Y-%m-%d %H:%M:%S}" if one.closed_at else None,
        round(((one.closed_at or now) - one.opened_at).total_seconds() / 60, 1),
        one.severity.value,
        one.cause,
        FAULT_DOMAINS[one.fault_domain] if one.cause else None,
        round(one.finding.confidence, 2) if one.finding else None,
        one.host,
        one.proxy,
        one.target,
        one.location,
        one.failures,
        one.requests,
        story.headline(one),
        f"{url}/incidents/{one.id}" if url else None,
    )


ROUTES = [Route("/history", show), Route("/history.csv", export)]
