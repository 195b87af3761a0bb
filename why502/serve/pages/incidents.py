"""One incident: verdict, evidence, configuration, fix, what changed, what was ruled out. Its address is that of the alerts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from why502.model.errors import Why502Error
from why502.model.finding import Finding
from why502.model.patterns import lazy
from why502.model.remedy import Edit, Run
from why502.render import plots
from why502.render.words import diff_lines, how_often, where
from why502.serve.live import News
from why502.serve.rendering import Serving, gone, page, part, serving, symptom_words
from why502.serve.stock import NoStore
from why502.watch.message import lead, tested
from why502.watch.model import FailureKey, Incident
from why502.watch.report import json, markdown, story
from why502.watch.store import Counted, Ring, Store

_ID = lazy(r"[0-9A-Za-z_.-]{1,100}")
_MARGIN_MIN = 10
_MOST_COLUMNS = 90


def show(request: Request) -> Response:
    """Return the page."""
    shared = serving(request)
    incident = _incident(shared, request)
    if incident.id != request.path_params["id"]:  # a short form
        return RedirectResponse(str(shared.address(f"/incidents/{incident.id}")), 307)
    return page(request, "incident.html", **_view(shared, incident))


async def live(request: Request) -> Response:
    """Return the page's live part, again and again."""
    shared = serving(request)
    id_ = request.path_params["id"]
    await run_sync(_found, shared, id_)
    return shared.live.stream(f"incident {id_}", partial(_news, shared, id_))


def _news(shared: Serving, id_: str) -> News:
    try:
        view = _view(shared, _found(shared, id_))
    except NoStore as error:
        return gone(shared, error)
    except HTTPException as error:  # it was deleted meanwhile
        return gone(shared, NoStore(error.detail, "Old incidents are deleted when the store is full.", is_missing=False))
    return News(part(shared, "incident_live.html", **view), view["sentence"])


def bundle(request: Request) -> Response:
    """Return the bundle of its first seconds, to be saved."""
    shared = serving(request)
    incident = _incident(shared, request)
    with shared.stock.reading() as store:
        data = store.bundle(incident.id)
    if data is None:
        raise HTTPException(404, "the bundle of this incident has been deleted")
    return _file(data, f"incident-{incident.id}.why502", "application/gzip")


def export(request: Request) -> Response:
    """Return the draft of a post-mortem, to be saved."""
    shared = serving(request)
    incident = _incident(shared, request)
    with shared.stock.reading() as store:
        has_bundle = store.bundle(incident.id) is not None
    text = markdown.render(incident, shared.now(), has_bundle=has_bundle)
    return _file(text.encode(), f"incident-{incident.id}.md", "text/markdown; charset=utf-8")


def as_json(request: Request) -> Response:
    """Return the incident as `why502 incidents show --format json` does."""
    shared = serving(request)
    return Response(json.render(_incident(shared, request), shared.now()), media_type="application/json")


def _file(data: bytes, name: str, kind: str) -> Response:
    """Return data that a browser saves; an id has letters and digits alone, so that it fits in the header."""
    return Response(data, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


def _incident(shared: Serving, request: Request) -> Incident:
    """Return the incident of a request. Raises HTTPException, Why502Error, NoStore."""
    return _found(shared, request.path_params["id"])


def _check_id(id_: str) -> None:
    if not _ID.fullmatch(id_):
        raise HTTPException(404, "there is no incident with this id")


def _found(shared: Serving, id_: str) -> Incident:
    _check_id(id_)
    with shared.stock.reading() as store:
        try:
            return store.incident(id_)
        except Why502Error as error:
            if error.__cause__ is not None:
                raise
            raise HTTPException(404, error.message) from error


def _view(shared: Serving, incident: Incident) -> dict[str, Any]:
    """Return what the page shows. Raises NoStore."""
    now = shared.now()
    with shared.stock.reading() as store:
        kept = store.bundle(incident.id)
        plot = _plot(store, incident, now)
    replayed = shared.replays.of(incident, kept)
    finding, proposal = incident.finding, incident.proposal
    return {
        "incident": incident,
        "finding": finding,
        "now": now,
        "sentence": f"{'Open' if incident.is_open else 'Resolved'}: {story.headline(incident)}",
        "headline": lead(incident),
        "counts": story.counts(incident),
        "state": story.state(incident, now),
        "how_often": how_often(finding) if finding else "",
        "where": where(finding) if finding else "",
        "reason": next((one.reason for one in reversed(incident.diagnosed) if one.reason), "not established yet"),
        "for": sorted((one for one in finding.evidence if one.weight >= 0), key=lambda one: -one.weight) if finding else [],
        "against": [one for one in finding.evidence if one.weight < 0] if finding else [],
        "fixes": list(_fixes(incident, finding)),
        "tested": tested(proposal) if proposal else "",
        "is_valid": proposal.is_valid if proposal else None,
        "replayed": replayed,
        "has_bundle": kept is not None,
        "timeline": [(step, step in story.changes(incident)) for step in story.timeline(incident)],
        "advice": list(story.advice(incident, has_bundle=False)),
        "plot": plot,
        "symptoms": [(symptom_words(name), count) for name, count in sorted(incident.symptoms.items(), key=lambda one: -one[1])],
    }


def _step(step: Edit | Run) -> tuple[str, list[str]]:
    """Return a step of a remedy: what it is, and its lines."""
    return ("diff", diff_lines(step.diff)) if isinstance(step, Edit) else ("run", [shlex.join(step.argv)])


def _fixes(incident: Incident, finding: Finding | None) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """Yield each fix: its sentence, and its steps: "diff" or "run", and lines."""
    for remedy in finding.remedies if finding else ():
        steps = [_step(step) for step in remedy.steps]
        yield remedy.message, steps
    if own := story.own_proposal(incident):
        yield (
            own.summary,
            [("diff", diff_lines(own.diff))] * bool(own.diff) + [("run", [own.command])] * bool(own.command),
        )


def _plot(store: Store, incident: Incident, now: datetime) -> str:
    """Return the failures around an incident with what changed; "" where they are not kept in such detail any more."""
    begin = (incident.first_failure_at or incident.opened_at) - timedelta(minutes=_MARGIN_MIN)
    begin = min([begin, *(change.at - timedelta(minutes=1) for change in incident.changes)])
    end = min((incident.closed_at or now) + timedelta(minutes=_MARGIN_MIN), now)
    first, last = int(begin.timestamp()) // 60, int(end.timestamp()) // 60
    if first < int(now.timestamp()) // 60 - Ring.MINUTE.kept + 1:
        return ""
    width = max(1, -(-(last - first + 1) // _MOST_COLUMNS))
    size = (last - first) // width + 1
    targets, locations = {incident.target, *incident.targets} - {""}, {incident.location, *incident.locations} - {""}
    counts: dict[str, list[float]] = {}
    for (minute, key), count in store.counts(Counted.FAILURES, first, last + 1).items():
        assert isinstance(key, FailureKey)
        is_its = key.target in targets if targets else key.location in locations
        if is_its and key.proxy == incident.proxy and first <= minute <= last:
            counts.setdefault(key.symptom, [0.0] * size)[(minute - first) // width] += count
    if not counts:
        return ""
    columns = [_minute(first + number * width) for number in range(size)]
    marks = [
        plots.Mark(name=f"{step.at:%H:%M:%S}Z {step.message}", at=(step.at.timestamp() / 60 - first) / width)
        for step in story.changes(incident)
    ]
    return plots.bars(
        [plots.Series(name=symptom_words(name), counts=tuple(each)) for name, each in sorted(counts.items())],
        columns,
        label=f"Failed requests by minute, {columns[0]} to {columns[-1]}, and what changed",
        axis=(columns[0], columns[-1]),
        marks=marks,
    )


def _minute(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%m-%d %H:%M}Z"


ROUTES = [
    Route("/incidents/{id}", show),
    Route("/incidents/{id}/bundle", bundle),
    Route("/incidents/{id}/markdown", export),
    Route("/incidents/{id}/json", as_json),
    Route("/live/incidents/{id}", live),
]
