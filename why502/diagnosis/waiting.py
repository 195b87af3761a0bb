"""What a backend depends on and waits for: its own messages, and the peers of its connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from msgspec.structs import replace

from why502.diagnosis.case import Case
from why502.diagnosis.need_words import FORWARDED, PRODUCTS
from why502.diagnosis.needs import Need, is_mixed_up, need_of
from why502.diagnosis.targets import addresses
from why502.diagnosis.unserved import unserved
from why502.gateways.behaviour import programs
from why502.model.logs import Symptom
from why502.model.snapshot import Dependency, Event

_DATABASES = frozenset({"PostgreSQL", "PgBouncer", "MySQL", "a database"})
LATE = (Symptom.READ_TIMED_OUT, Symptom.BODY_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.QUEUE_FULL)
ERRORS = (Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS)
BROKEN = (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER)
MEMBERS = 32  # of a group, whose messages are looked at
BEFORE, AFTER = timedelta(seconds=90), timedelta(seconds=90)  # an application may wait that long before it logs an error


def is_hurt(case: Case) -> bool:
    """Return whether requests fail in a way that a dependency of the application can cause: it runs and took them.

    Workers that wait fill the accept queue before connections to it time out; where it never was full, these are lost elsewhere.
    """
    if case.failures and case.has_never_overflowed and all(each.symptom is Symptom.CONNECT_TIMED_OUT for each in case.failures):
        return False
    has_errors = any(tally.proxy is not None and tally.symptom is Symptom.APPLICATION_ERROR for tally in case.tallies)
    return case.target is not None and (
        has_errors or case.seen(*LATE, *ERRORS, *BROKEN) or bool(errors_of(case) or case.errs_since)
    )


def errors_of(case: Case) -> int:
    """Return the number of requests that the application itself answers with an error, on routes where most clients get one."""
    own = (one for one in unserved(case.joins) if one.is_of_application and one.is_on(case.target))
    return max((one.refused for one in own), default=0)


def is_late(case: Case) -> bool:
    """Return whether requests to the target time out."""
    return case.seen(*LATE)


def dependency_errors(case: Case) -> list[tuple[Need, Event]]:
    """Return the application's messages about its dependencies around the time of the failures, in order of time."""
    found = []
    first, last = case.first_failure, case.last_failure
    own = case.events(Symptom.APPLICATION_ERROR, Symptom.START_FAILED, Symptom.PROCESS_CRASHED)
    for event in (*own, *_of_inner(case), *(() if own else _of_members(case))):
        is_near = event.at is None or first is None or last is None or first - BEFORE <= event.at <= last + AFTER
        if is_near and (need := need_of(event.detail or event.message)):
            found.append((need, event))
    for tally in case.tallies:  # its messages in the proxy's log, or in a log that the user gave
        if tally.symptom in (Symptom.APPLICATION_ERROR, Symptom.START_FAILED) and (need := need_of(tally.detail)):
            event = Event(
                symptom=tally.symptom, message=tally.detail, detail=tally.detail, source=tally.source, count=tally.count
            )
            found.append((need, event))
    return found


def mixed_up(case: Case) -> Event | None:
    """Return the application's message that answers on a connection belong to other requests; None if there is none.

    Connections that are opened before a server forks its workers are shared by them. The other end is well.
    """
    found = (event for event in case.events(Symptom.APPLICATION_ERROR) if is_mixed_up(event.detail or event.message))
    return next(found, None) if all(peer.is_heard is not False for peer in case.dependencies) else None


def _of_inner(case: Case) -> Iterator[Event]:
    """Yield the errors of the applications behind the inner gateway that listens on the target."""
    for event in (case.host.events if case.host else None) or ():
        if event.symptom is Symptom.APPLICATION_ERROR and event.target is not None and event.target in case.behind_inner:
            yield event


def _of_members(case: Case) -> Iterator[Event]:
    """Yield the errors of the other servers of its group while it answers with its own error, too, and its log was not read."""
    if not case.errs_since:
        return
    peers = (peer for route in case.routes if len(route.peers) > 1 for peer in route.peers)
    others = dict.fromkeys(target for peer in peers for target in addresses(peer, case.here) if target != case.target)
    for other in islice(others, MEMBERS):
        for event in Case(here=case.here, target=other, index=case.joins).events(Symptom.APPLICATION_ERROR):
            yield replace(event, detail=f"{event.detail or event.message} (reported by another server of its group)")


def refusals(case: Case, own: list[tuple[Need, Event]]) -> bool:
    """Return whether the application logs about as many complaints as requests fail with its own error."""
    errors = sum(tally.count for tally in case.tallies if tally.symptom in ERRORS)
    errors = max(errors, errors_of(case))
    return bool(errors) and 2 * sum(event.count for _, event in own) >= errors


def heard_of(case: Case, need: Need) -> Dependency | None:
    """Return the dependency that the application's messages name. Without a port it is the product that tells which one."""
    if need.place is None or not (need.place.port or need.place.path):
        named = (x for x in case.dependencies if need.product and PRODUCTS.get(x.peer.port) == need.product)
        here = (x for x in named if need.place is None or need.place.host in (x.peer.host, ""))
        return next((x for x in here if x.is_heard is False), None)
    return next((x for x in case.dependencies if x.peer.port == need.place.port and x.peer.path == need.place.path), None)


def called(case: Case, need: Need) -> str:
    """Return the dependency that the application's messages name. If they contain no address and the application is connected to
    only one database that they may mean, that database's address is added.
    """
    if need.product == FORWARDED:
        return next((service.argv[-1] for service in case.services if is_forwarder(service.argv)), need.name)
    if need.place is None and need.product in _DATABASES:
        heard = {peer: PRODUCTS.get(peer.peer.port, "") for peer in case.dependencies if peer.is_heard}
        same = [peer for peer, product in heard.items() if product in _DATABASES and _may_be(need.product, product)]
        if len(same) == 1:
            return name_of(same[0])
    return need.name


def _may_be(named: str, product: str) -> bool:
    """Return whether a message about one product may be about a server of another: PgBouncer speaks for PostgreSQL."""
    return named in (product, "a database") or {named, product} <= {"PostgreSQL", "PgBouncer"}


def is_forwarder(argv: tuple[str, ...]) -> bool:
    """Return whether a command only forwards connections to the address at its end."""
    return len(argv) > 1 and argv[0].endswith("/systemd-socket-proxyd") and not argv[-1].startswith("-")


def name_of(peer: Dependency) -> str:
    """Return a peer in words: "PostgreSQL (127.0.0.1:5432)"."""
    gateway = peer.process.split(":")[0] if peer.process.split(":")[0] in programs() else ""
    product = gateway or PRODUCTS.get(peer.peer.port, "") or ("PostgreSQL" if ".s.PGSQL" in peer.peer.path else "")
    return f"{product} ({peer.peer})" if product else f"{peer.process} ({peer.peer})" if peer.process else str(peer.peer)
