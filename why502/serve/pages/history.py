"""All incidents: by cause, target and week, with the time that they lasted; what is left of objectives; filter and search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.model.errors import Why502Error
from why502.render import plots
from why502.serve.gateway_map import traffic
from why502.serve.navigation import Navigation
from why502.serve.objectives import allowance
from why502.serve.rendering import address, page, serving
from why502.watch import settings as watch_settings
from why502.watch.report import story
from why502.watch.store import Ring, Store, history
from why502.watch.store.history import By, Group
from why502.watch.store.reading import Wanted

NAVIGATION = Navigation(title="History", path="/history", order=20, about="All incidents, and the time that they cost.")
SHOWN = 50
MOST_PAGE = 10_000
MOST_GROUPS = 15
MONTH_DAYS = 30
_STATES = {"": None, "open": True, "resolved": False}
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
        raise Why502Error(f"page: {text[:20]!r} is not the number of a page", "Pages are counted from 1.")
    return int(text)


def show(request: Request) -> Response:
    """Return the page."""
    shared = serving(request)
    asked, number, now = _filter(request.query_params), _page_number(request.query_params), shared.now()
    wanted = asked.wanted()
    with shared.stock.reading() as store:
        groups = {by: store.ask(partial(history.groups, by=by, wanted=wanted, now=now)) for by in By}
        every = store.ask(partial(history.groups, by=By.CAUSE, wanted=Filter().wanted(), now=now))
        found = store.incidents(
            is_open=wanted.is_open,
            since=wanted.since,
            until=wanted.until,
            cause=wanted.cause,
            target=wanted.target,
            text=wanted.text,
            limit=SHOWN,
            offset=(number - 1) * SHOWN,
        )
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
        link=partial(_link, asked),
        number=number,
        first=(number - 1) * SHOWN + 1,
        has_more=number * SHOWN < total,
    )


def _link(asked: Filter, **changed: Any) -> str:
    """Return the address of the same page with another filter, or of another of its pages."""
    return address("/history", **{name: getattr(asked, name) for name in Filter.__slots__} | changed)


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


ROUTES = [Route("/history", show)]
