"""The first page: is anything wrong? Open incidents, the map of gateways, and the failures of the last hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from why502.render import plots
from why502.serve.gateway_map import WINDOW_MIN, gateways, traffic
from why502.serve.live_page import LivePage
from why502.serve.navigation import Navigation
from why502.serve.rendering import Serving, symptom_words
from why502.watch.message import duration
from why502.watch.model import Incident, Severity
from why502.watch.report import story
from why502.watch.store import Counted, Part, Ring, Store, history

NAVIGATION = Navigation(title="Now", path="/", order=10, about="Is anything wrong?")
HOUR_MIN = 60
STALE = timedelta(minutes=2)  # members are checked at least once a minute
MOST_PATHS, MOST_PLACES, MOST_INCIDENTS = 20, 8, 50


def _view(shared: Serving) -> dict[str, Any]:
    """Return what the page shows. Raises NoStore."""
    at = shared.now()
    with shared.stock.reading() as store:
        open_ = store.incidents(is_open=True, limit=MOST_INCIDENTS)
        seen = traffic(store, at.timestamp(), WINDOW_MIN)
        newest = store.ask(history.newest)
        found = {
            "gateways": gateways(store.ask(history.configured), store.members(), seen),
            "ended": [one for one in store.incidents(is_open=False, since=at - timedelta(days=1), limit=5) if _is_reported(one)],
            **_hour(store, at),
        }
    reported = [one for one in open_ if _is_reported(one)]
    is_stale = newest is None or at - newest > STALE
    return {
        **found,
        "at": at,
        "told": reported,
        "untold": [one for one in open_ if not _is_reported(one)],
        "newest": newest,
        "is_stale": is_stale,
        "sentence": _status(reported, newest, at, is_stale=is_stale),
        "state": _state(reported, is_stale=is_stale),
        "most_paths": MOST_PATHS,
        "most_places": MOST_PLACES,
        "window": WINDOW_MIN,
        "headline": story.headline,
        "counts": story.counts,
    }


def _is_reported(incident: Incident) -> bool:
    """Return whether somebody is told of an incident: not what was intended, nor what another one explains."""
    return incident.severity is not Severity.NONE and not incident.caused_by


def _state(reported: list[Incident], *, is_stale: bool) -> str:
    """Return the class of the first sentence."""
    if any(one.severity is Severity.PAGE for one in reported):
        return "bad"
    return "warn" if reported or is_stale else "good"


def _status(shown: list[Incident], newest: datetime | None, at: datetime, *, is_stale: bool) -> str:
    """Return in one sentence whether anything is wrong."""
    if shown:
        first = next((one for one in shown if one.severity is Severity.PAGE), shown[0])
        more = {1: "", 2: " And one more incident is open."}.get(len(shown), f" And {len(shown) - 1} more incidents are open.")
        return f"{story.headline(first)}{more}"
    if newest is None:
        return "Not known yet: nothing has been counted so far."
    if is_stale:
        return f"Not known: nothing has been recorded for {duration(at - newest)}. Is why502 watch running?"
    return "Nothing is wrong: no incident is open."


def _hour(store: Store, at: datetime) -> dict[str, Any]:
    """Return the failures of the last hour by symptom, as figures and as a plot."""
    minute = int(at.timestamp()) // 60
    first = minute - HOUR_MIN + 1
    sums: dict[str, list[int]] = {}
    for (start, symptom), count in store.sums(Counted.FAILURES, Part.DETAIL, first, minute + 1).items():
        if 0 <= start - first < HOUR_MIN:
            sums.setdefault(symptom, [0] * HOUR_MIN)[start - first] += count
    asked = partial(history.summed, counted=(Counted.REQUESTS,), since=first, until=minute + 1, ring=Ring.MINUTE)
    ordered = sorted(sums.items(), key=lambda one: (-sum(one[1]), one[0]))
    series = [plots.Series(name=symptom_words(name), counts=tuple(counts)) for name, counts in ordered]
    columns = [f"{datetime.fromtimestamp((first + number) * 60, UTC):%H:%M}Z" for number in range(HOUR_MIN)]
    failures = sum(map(sum, sums.values()))
    label = f"Failed requests by minute and symptom, {columns[0]} to {columns[-1]}: {failures}"
    axis = (columns[0], columns[HOUR_MIN // 2], columns[-1])
    return {
        "symptoms": [(symptom_words(name), sum(counts), place) for place, (name, counts) in enumerate(ordered)],
        "failures": failures,
        "requests": sum(store.ask(asked)[Counted.REQUESTS].values()),
        "plot": plots.bars(series, columns, label=label, axis=axis, has_legend=False),
    }


ROUTES = LivePage(name="now", path="/", view=_view).routes
