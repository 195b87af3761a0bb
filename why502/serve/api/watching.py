"""What `why502 watch` knows: incidents, routes, targets, and whether anything is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta
from starlette.requests import Request

from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.render.words import printable
from why502.serve.gateway_map import WINDOW_MIN, gateways, traffic
from why502.serve.operation import Nothing, NotThere, Operation
from why502.serve.rendering import serving
from why502.session.window import moment
from why502.version import __version__
from why502.watch.model import MemberStatus, Severity
from why502.watch.report.contract import Incident, Incidents
from why502.watch.report.json import document
from why502.watch.store import history

_404 = frozenset({404})
_Moment = Annotated[str, Meta(max_length=60, description="2h, 7d, or an ISO time; empty: any")]
_Part = Annotated[str, Meta(max_length=200)]


class Wanted(Value, frozen=True, kw_only=True):
    """Conditions that an incident must all meet."""

    open: bool | None = None
    since: _Moment = ""
    until: _Moment = ""
    cause: _Part = ""
    target: Annotated[str, Meta(max_length=200, description="a text in a target or location")] = ""
    text: Annotated[str, Meta(max_length=200, description="words that must all occur")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Id(Value, frozen=True, kw_only=True):
    """An incident, by its id or a unique prefix of it."""

    id: Annotated[str, Meta(max_length=64)]


class Target(Value, frozen=True, kw_only=True):
    """A target, with its check results. `status` is unknown where nothing was checked; `code`: the HTTP status."""

    proxy: str
    group: str
    target: str
    status: MemberStatus
    since: datetime | None
    checked_at: datetime | None
    symptom: str | None
    reason: str
    code: int | None
    phases_s: dict[str, float]
    certificate_ends_at: datetime | None


class Member(Value, frozen=True, kw_only=True):
    """A member of a route. Attempts per minute, and failed attempts in the window; the 95th percentile in seconds."""

    target: str
    status: MemberStatus
    is_checked: bool
    attempts_per_minute: float
    failed: int
    p95_s: float | None


class Route(Value, frozen=True, kw_only=True):
    """A route of a gateway, with its requests and failures in the window."""

    proxy: str
    location: str
    group: str
    requests: int
    failures: int
    members: tuple[Member, ...]


class Routes(Value, frozen=True, kw_only=True):
    """All routes. `window_s`: the time that the counts cover, up to now."""

    window_s: int
    routes: tuple[Route, ...]


class Open(Value, frozen=True, kw_only=True):
    """How many incidents are open, by severity."""

    page: int
    ticket: int
    none: int


class Status(Value, frozen=True, kw_only=True):
    """Whether anything is wrong. `newest_at`: when something was last recorded; null: nothing has been."""

    why502: str
    at: datetime
    newest_at: datetime | None
    open: Open


def _incidents(request: Request, wanted: Wanted) -> Incidents:
    now = serving(request).now()
    since = moment(wanted.since, now, "since") if wanted.since else None
    until = moment(wanted.until, now, "until") if wanted.until else None
    with serving(request).stock.reading() as store:
        found = store.incidents(
            is_open=wanted.open,
            since=since,
            until=until,
            cause=wanted.cause,
            target=wanted.target,
            text=wanted.text,
            limit=wanted.limit,
            offset=wanted.offset,
        )
    return Incidents(schema="why502.incidents/1", why502=__version__, incidents=[document(one, now) for one in found])


def _incident(request: Request, given: Id) -> Incident:
    with serving(request).stock.reading() as store:
        try:
            found = store.incident(given.id)
        except Why502Error as error:
            raise NotThere(error.message) from error
    return document(found, serving(request).now())


def _targets(request: Request, _: Nothing) -> list[Target]:
    with serving(request).stock.reading() as store:
        members = store.members()
    found = []
    for member in sorted(members, key=lambda one: (one.proxy, one.group, str(one.peer))):
        last = member.last
        found.append(
            Target(
                proxy=printable(member.proxy),
                group=printable(member.group),
                target=printable(str(member.peer)),
                status=member.status,
                since=member.since,
                checked_at=last.at if last else None,
                symptom=last.symptom.value if last and last.symptom else None,
                reason=printable(last.reason) if last else "",
                code=last.status if last else None,
                phases_s={phase.value: seconds for phase, seconds in last.phases_s.items()} if last else {},
                certificate_ends_at=last.certificate_ends_at if last else None,
            )
        )
    return found


def _routes(request: Request, _: Nothing) -> Routes:
    with serving(request).stock.reading() as store:
        seen = traffic(store, serving(request).now().timestamp(), WINDOW_MIN)
        found = gateways(store.ask(history.configured), store.members(), seen)
    return Routes(
        window_s=WINDOW_MIN * 60,
        routes=tuple(
            Route(
                proxy=printable(gateway.proxy),
                location=printable(path.location),
                group=printable(path.group),
                requests=path.requests,
                failures=path.failures,
                members=tuple(
                    Member(
                        target=printable(place.name),
                        status=place.status,
                        is_checked=place.is_checked,
                        attempts_per_minute=place.attempts,
                        failed=place.failed,
                        p95_s=place.p95_s,
                    )
                    for place in path.places
                ),
            )
            for gateway in found
            for path in gateway.paths
        ),
    )


def _status(request: Request, _: Nothing) -> Status:
    with serving(request).stock.reading() as store:
        severities = [one.severity for one in store.incidents(is_open=True, limit=10_000)]
        newest = store.ask(history.newest)
    return Status(
        why502=__version__,
        at=serving(request).now(),
        newest_at=newest,
        open=Open(**{severity.value: severities.count(severity) for severity in Severity}),
    )


OPERATIONS = (
    Operation(
        path="/incidents",
        name="incidents",
        summary="Incidents, the newest first",
        given=Wanted,
        answer=Incidents,
        work=_incidents,
        statuses=_404,
    ),
    Operation(
        path="/incidents/{id}",
        name="incident",
        summary="One incident, with its cause, evidence, fix and timeline",
        given=Id,
        answer=Incident,
        work=_incident,
        statuses=_404,
    ),
    Operation(
        path="/targets",
        name="targets",
        summary="Each target, with its check results",
        answer=list[Target],
        work=_targets,
        statuses=_404,
    ),
    Operation(
        path="/routes",
        name="routes",
        summary="The routes of the gateways, with their members",
        answer=Routes,
        work=_routes,
        statuses=_404,
    ),
    Operation(
        path="/status",
        name="status",
        summary="Whether anything is wrong",
        answer=Status,
        work=_status,
        statuses=_404,
    ),
)
ROUTES = [operation.route() for operation in OPERATIONS]
