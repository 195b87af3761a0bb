"""A dependency of the application refuses connections or fails: its database, cache, queue or another service.

The application runs and accepts requests. It answers with its own error (500, 503), or waits for a connection to the dependency
until the proxy gives up. Restarting the application does not help.

## Do not confuse with
- `backend-dependency-slow`: the dependency runs but answers late.
- `workers-exhausted`, `backend-hung`: the same symptoms from the proxy's view, while every worker waits for the same peer.
- `backend-startup-failure`: the application does not start without the dependency.

## Confirm
- The application's log names the dependency: "connection to server at "127.0.0.1", port 5432 failed: Connection refused".
- `ss -tnp state syn-sent` shows workers that wait to be connected. `systemctl status` of the dependency shows inactive or failed.

## Fix
- Start the dependency, or correct what blocks access to it: its port, its connection limit, its name.
- Give the application a connect timeout of a few seconds, so that one missing dependency does not block every worker.

## References
- https://man7.org/linux/man-pages/man2/connect.2.html
- https://www.postgresql.org/docs/current/server-start.html#CLIENT-CONNECTION-PROBLEMS
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.confined import kept_from
from why502.diagnosis.need_words import PRODUCTS
from why502.diagnosis.needs import Need, is_refused_somewhere, product_in
from why502.diagnosis.streams import cut_short
from why502.diagnosis.waiting import (
    ERRORS,
    LATE,
    called,
    dependency_errors,
    errors_of,
    heard_of,
    is_hurt,
    is_late,
    mixed_up,
    name_of,
    refusals,
)
from why502.gateways.behaviour import read_limit_s
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.service import ENDED, Service
from why502.model.snapshot import Dependency, Event
from why502.remedies.changes import start

BEFORE, CLOCK = timedelta(seconds=60), timedelta(seconds=2)
TOGETHER = timedelta(seconds=10)  # between the starts of what one boot or one deployment starts
MOST = 4  # times as many errors about something else
STOPPED = (*ENDED, "masked")
COMPUTES = 0.5  # processors that its own processes use; above it they do not only wait
TIMED_OUT, FEW = "504", 3  # requests
_LOCKED = "waiting"  # in the title of a database's process
_CARRIERS = frozenset({"Redis", "RabbitMQ", "Kafka", "PostgreSQL", "MySQL", "MongoDB"})  # of jobs
_OF_APPLICATIONS, MANY = ("500", "502", "503"), 5  # requests
_STATUS_ONLY = lazy(r"HTTP/[\d.]{1,9} \d{3}")
DAY_S = 86400.0
SHARE = 0.5  # of the busy workers that must wait for the same peer


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not is_hurt(case):
        return
    own = [(need, event) for need, event in dependency_errors(case) if need.is_down]
    if stream := cut_short(case):
        message = (
            f"{stream.gateway} on {stream.entrance} ends silent connections after {stream.limit_s:g} s, and {stream.end} runs"
        )
        yield refutes(message, str(stream.route.at or ""), PROOF)
    if mixed := mixed_up(case):
        message = f"its workers share one connection, so their answers get mixed up: {mixed.detail or mixed.message}"
        yield refutes(message, mixed.source, PROOF)
    if own:
        need, event = own[-1]
        times = sum(each.count for _, each in own)
        often = f", {times} times" if times > 1 else ""
        yield supports(
            f"the application reports about {called(case, need)}: {event.detail or event.message}{often}", event.source, LIKELY
        )
        peer = heard_of(case, need)
        others = [event for event in case.events(Symptom.APPLICATION_ERROR) if event not in [each for _, each in own]]
        elsewhere = sum(event.count for event in others)
        if elsewhere > MOST * times and not (peer is not None and peer.is_heard is False):
            last = max(others, key=lambda event: event.count)
            message = f"{elsewhere} of its {elsewhere + times} errors say something else: {last.detail or last.message}"
            yield refutes(message, last.source, LIKELY)
        if peer is not None and peer.is_heard is False:
            yield supports(f"nothing listens on {peer.peer}{_unit(peer)}", "ss -ltnx", STRONG)
        elif refusals(case, own):
            yield supports(
                "the number of requests that failed with its own error matches the number of reports", event.source, FAIR
            )
    if not own and (confined := _confined(case)):
        product, event, service, setting = confined
        message = f"it reports about {product}: {event.detail or event.message}; {service} may not connect over IP ({setting})"
        yield supports(message, f"{event.source}, systemctl show", LIKELY)
        if refusals(case, [(Need(product, None, "", is_down=True), event)]):
            yield supports(
                "the number of requests that failed with its own error matches the number of reports", event.source, FAIR
            )
    if not own and (unheard := _unheard(case)) is not None:
        lost, said = unheard
        if said is not None:
            message = f"the application reports: {said.detail or said.message}; nothing listens on {name_of(lost)}"
            yield supports(f"{message}, which it needs", f"{said.source}, ss -ltnx", LIKELY + FAIR)
        elif not _gone(case):
            message = f"its variable {lost.named_by} names {name_of(lost)}, where nothing listens"
            yield supports(f"{message}, and no log has another reason", "ss -ltnx", LIKELY)
    for peer in _gone(case) if not own else ():
        message = f"its variable {peer.named_by} names {name_of(peer)}, where nothing listens"
        yield supports(f"{message}{_instead(peer)}{_unit(peer)}", "ss -ltnx", LIKELY)
        if when := _went(case, peer):
            yield supports(f"{peer.unit} ended at {when}, when the failures began", "systemctl show", STRONG)
    for peer, lost in _beyond(case) if not own else ():
        message = f"it is connected to {name_of(peer)}, which needs {name_of(lost)}, where nothing listens{_unit(lost)}"
        yield supports(message, "ss -tnp, ss -ltnx", LIKELY)
    for peer in _ended(case) if not own else ():
        yield supports(f"{_end(case, peer)}, and nothing listens on {peer.peer}", "systemctl show, ss -ltnx", LIKELY)
    for peer in _silent(case):
        who = "the one worker waits" if peer.connecting == 1 else f"{peer.connecting} workers wait"
        yield supports(
            f"{who} to be connected to {name_of(peer)}, which does not answer (SYN_SENT)", "ss -tnp state syn-sent", PROOF
        )
        if cut := kept_from(case, peer.peer):
            yield supports(cut, "systemctl show", STRONG)
    for peer in _deaf(case):
        count = "one connection" if peer.unacknowledged == 1 else f"{peer.unacknowledged} connections"
        message = f"{count} to {name_of(peer)} have unacknowledged data, which is being retransmitted"
        yield supports(message, "ss -tno", PROOF)
    if (undone := _undone(case)) and not own:
        peer, request = undone
        when = f"ended at {peer.unit_since:%H:%M:%S}" if peer.unit_since else "has not run since boot"
        message = f"{peer.unit}, which {peer.shares}, {when} ({peer.unit_state}); {request} has timed out each time since"
        # What was served before the window is unknown: a unit that ended earlier may have nothing to do with it.
        is_within = peer.unit_since is not None and (case.here.since is None or peer.unit_since >= case.here.since)
        yield supports(message, "systemctl show, access log", LIKELY if is_within else FAIR)
        if carrier := _carrier(case):
            yield supports(f"it is connected to {name_of(carrier)}, which can pass work on to such a unit", "ss -tnp", WEAK)
    if (missed := _missed(case)) and not own and not undone:
        peer, request, status = missed
        message = f"{peer.unit}, which {peer.shares}, ended at {peer.unit_since:%H:%M:%S} ({peer.unit_state})"
        yield supports(f"{message}; {request} gets {status} each time since, and was served before", "systemctl show", LIKELY)
    for peer in _stopped(case):
        yield supports(
            f"{peer.process} (pid {peer.pid}) on {name_of(peer)} is stopped (state T)", f"/proc/{peer.pid}/stat", PROOF
        )
        if peer.waiting:
            yield supports(f"{peer.waiting} of its workers wait for an answer from it", "/proc/PID/syscall", WEAK)


def _confined(case: Case) -> tuple[str, Event, str, str] | None:
    """Return the product that the application's errors name, the last of these, and the unit with the setting that keeps it from
    connecting over IP; None if there is none.

    A client library may say no more than the class of its error then (libpq: no text at all).
    """
    for service in case.services:
        families = service.settings.get("RestrictAddressFamilies", "")
        setting = f"RestrictAddressFamilies={families}" if families and "AF_INET" not in families else ""
        setting = setting or ("PrivateNetwork=yes" if service.settings.get("PrivateNetwork") == "yes" else "")
        for event in reversed(case.events(Symptom.APPLICATION_ERROR)) if setting and not families.startswith("~") else ():
            if product := product_in(event.detail or event.message):
                return product, event, service.name, setting
    return None


def _gone(case: Case) -> list[Dependency]:
    """Return the dependency that its environment variables name but nothing serves, if it is known to have failed;
    unused settings do not count.
    """
    return [x for x in case.dependencies if x.named_by and x.is_heard is False and (x.elsewhere or x.unit_state in STOPPED)]


def _unheard(case: Case) -> tuple[Dependency, Event | None] | None:
    """Return the only dependency that its environment variables name and nothing serves, with its last message about a refused
    connection that names no address; the message is None if it answers with its own error and no log has a reason. None if there
    is no such dependency.
    """
    found = [one for one in case.dependencies if one.named_by and one.is_heard is False]
    if len(found) != 1:
        return None
    said = case.events(Symptom.APPLICATION_ERROR, Symptom.START_FAILED, Symptom.PROCESS_CRASHED)
    refused = [event for event in said if is_refused_somewhere(event.detail or event.message)]
    if refused:
        return found[0], refused[-1]
    return (found[0], None) if errors_of(case) and not said else None


def _beyond(case: Case) -> list[tuple[Dependency, Dependency]]:
    """Return the application of this machine that it is connected to, and what that one needs and nothing serves; [] if there is
    none, or if it has its own.
    """
    if _gone(case):
        return []
    others = ((peer, Case(here=case.here, target=peer.peer, index=case.joins)) for peer in case.dependencies if peer.is_heard)
    return [(peer, need) for peer, other in others for need in _gone(other)][:1]


def _ended(case: Case) -> list[Dependency]:
    """Return the dependency that stopped or moved just before requests began to fail with an application error
    that names no dependency.
    """
    if not case.tally(*ERRORS, *LATE) and not errors_of(case):
        return []
    return [
        x
        for x in case.dependencies
        if not x.named_by and x.is_heard is False and _went(case, x) and (_moved(case, x) if x.elsewhere else x.unit)
    ]


def _moved(case: Case, peer: Dependency) -> bool:
    """Return whether the application ran, or served what it now answers with errors, before the process that listens at another
    address. Where both were started together, as at boot, nobody knows that it ever listened at the usual one.
    """
    begun = min((process.started_at for process in case.processes if process.started_at), default=None)
    if begun is None or peer.unit_since is None or begun + TOGETHER < peer.unit_since:
        return True
    served = _served_last(case) or case.last_answered
    return served is not None and begun < served <= peer.unit_since + CLOCK


def _end(case: Case, peer: Dependency) -> str:
    """Return the event that the dependency had when the failures began."""
    what = (
        f"{peer.unit or peer.process} was restarted, listening on {peer.elsewhere}," if peer.elsewhere else f"{peer.unit} ended"
    )
    return f"{what} at {_went(case, peer)}, when the failures began"


def _instead(peer: Dependency) -> str:
    return f" ({peer.elsewhere} has a listener instead)" if peer.elsewhere else ""


def _went(case: Case, peer: Dependency) -> str:
    """Return when its unit stopped, if that was just before the first failure, or when its routes were last served."""
    since, first, served = peer.unit_since, case.first_failure, _served_last(case)
    if since is None:
        return ""
    is_near = first - BEFORE <= since <= first + CLOCK if first else served and served - CLOCK <= since <= served + BEFORE
    return f"{since:%H:%M:%S}" if is_near else ""


def _served_last(case: Case) -> datetime | None:
    """Return when those of its paths that now get errors were last served, by an access log; None if that is unknown."""
    return max((path.last_served for path in case.paths if path.refused_since and path.last_served), default=None)


def _undone(case: Case) -> tuple[Dependency, str] | None:
    """Return the stopped unit of the same application that does what some requests wait for, and one of these requests; None if
    there is none.

    Those requests have timed out each time since it ended, while the application answers others and does not compute.
    """
    idle = [x for x in case.dependencies if x.shares]
    first, answered = case.first_failure, case.last_answered
    if not idle or not is_late(case) or first is None or answered is None:
        return None
    if answered <= first:  # all workers wait by now: only a unit that ended as the last request was served can be it
        limit, has_carrier = (
            timedelta(seconds=min(read_limit_s(case.route), DAY_S) if case.route else 0),
            _carrier(case) is not None,
        )
        idle = [x for x in idle if has_carrier and _stops_all(x, served=answered, first=first, limit=limit)]
    if any(
        x.connecting or x.unacknowledged or x.is_stopped or any(_LOCKED in title for title in x.does) for x in case.dependencies
    ):
        return None  # it waits for something else
    if case.host and case.host.kernel and (case.host.kernel.of(case.target, case.host.kernel.backend_cpu) or 0) > COMPUTES:
        return None
    late = (
        [x for x in case.joins.paths_to(case.target) if x.request and x.statuses.get(TIMED_OUT, 0) >= FEW] if case.target else []
    )
    for peer in sorted(idle, key=lambda x: (x.unit_since is None, x.unit)):
        for path in late:
            served, since = path.last_served, peer.unit_since
            if (since is None and served is None) or (since and first >= since and (served is None or served <= since + CLOCK)):
                return peer, path.request
    return None


def _carrier(case: Case) -> Dependency | None:
    """Return the queue or database that it is connected to, which can pass jobs on; None if there is none."""
    return next((x for x in case.dependencies if x.is_heard and PRODUCTS.get(x.peer.port) in _CARRIERS), None)


def _stops_all(peer: Dependency, *, served: datetime, first: datetime, limit: timedelta) -> bool:
    """Return whether nothing was served after a unit ended, and the first request timed out as soon as one of then could."""
    since = peer.unit_since
    return since is not None and served <= since + CLOCK and since - CLOCK <= first <= since + limit + 2 * CLOCK


def _missed(case: Case) -> tuple[Dependency, str, str] | None:
    """Return the unit of the same application that ended when one of its paths began to get an error of the application's each
    time, with that request and status; None if there is none.

    The application says nothing about another reason, and goes on to serve its other paths.
    """
    first, answered = case.first_failure, case.last_answered
    said = case.events(Symptom.APPLICATION_ERROR, Symptom.START_FAILED, Symptom.PROCESS_CRASHED)
    idle = [x for x in case.dependencies if x.shares and x.unit_since and x.unit_state in STOPPED]
    if not idle or case.target is None or any(not _STATUS_ONLY.fullmatch(event.detail or event.message) for event in said):
        return None
    for path in case.joins.paths_to(case.target):
        statuses, served = path.statuses, path.last_served
        status = max(_OF_APPLICATIONS, key=lambda each: statuses.get(each, 0))
        if not path.request or served is None or statuses.get(status, 0) < MANY or answered is None or answered <= served:
            continue
        begun = first or served
        for peer in idle:
            if (since := peer.unit_since) and served <= since + CLOCK and since - CLOCK <= begun <= since + BEFORE:
                return peer, path.request, status
    return None


def _silent(case: Case) -> list[Dependency]:
    if case.loses_connections:
        return []  # this machine drops the proxy's own connections, too
    return [x for x in case.dependencies if x.connecting and x.connecting >= SHARE * x.busy]


def _deaf(case: Case) -> list[Dependency]:
    """Return the peer that does not acknowledge the application's packets while requests wait: network, firewall or dead host."""
    return [x for x in case.dependencies if x.unacknowledged] if is_late(case) else []


def _stopped(case: Case) -> list[Dependency]:
    return [x for x in case.dependencies if x.is_stopped and (x.waiting or x.connecting)]


def _unit(peer: Dependency) -> str:
    return (
        f", and systemd reports that {peer.unit} is {peer.unit_state}"
        if peer.unit and peer.unit_state not in ("", "active")
        else ""
    )


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    own = [need for need, _ in dependency_errors(case) if need.is_down]
    if own:
        peer = heard_of(case, own[-1])
        return f"the application on {case.target} needs {called(case, own[-1])}, which {own[-1].how}{_unit(peer) if peer else ''}"
    if confined := _confined(case):
        product, _, service, setting = confined
        return f"the application on {case.target} needs {product}, to which {service} may not connect over IP ({setting})"
    if not own and (unheard := _unheard(case)) is not None:
        return f"the application on {case.target} needs {name_of(unheard[0])}, where nothing listens{_unit(unheard[0])}"
    for peer in _gone(case):
        return f"the application on {case.target} needs {name_of(peer)}, where nothing listens{_instead(peer)}{_unit(peer)}"
    for peer, need in _beyond(case):
        return (
            f"the application on {case.target} uses {name_of(peer)}, which needs {name_of(need)}, where nothing "
            f"listens{_unit(need)}"
        )
    for peer in _ended(case):
        return f"the application on {case.target} seems to need {name_of(peer)}: {_end(case, peer)}"
    if undone := _undone(case):
        peer, request = undone
        since = f"since {peer.unit_since:%H:%M:%S}" if peer.unit_since else "since boot"
        return (
            f"the application on {case.target} seems to need {peer.unit}, which {peer.shares} and has been stopped {since}: "
            f"{request} times out each time"
        )
    if missed := _missed(case):
        peer, request, status = missed
        return (
            f"the application on {case.target} seems to need {peer.unit}, which {peer.shares} and has been stopped since "
            f"{peer.unit_since:%H:%M:%S}: {request} gets {status} each time since"
        )
    for peer in _stopped(case):
        return (
            f"the application on {case.target} waits for {name_of(peer)}, whose process {peer.process} (pid {peer.pid}) "
            "is stopped"
        )
    for peer in _deaf(case):
        return f"the application on {case.target} needs {name_of(peer)}, which does not acknowledge data"
    for peer in _silent(case):
        if cut := kept_from(case, peer.peer):
            return f"the application on {case.target} needs {name_of(peer)}, and {cut}"
        return f"the application on {case.target} needs {name_of(peer)}, which does not answer connection attempts"
    return ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Start the stopped unit of the dependency that nothing serves, if systemd here has it.

    There is none for a dependency that listens on another address: the application must be told that one. To start a unit that
    never ran since boot is a decision: the data of the application may be elsewhere.
    """
    peer = _stopped_unit(case)
    if peer is None:
        return
    if peer.unit_state == "masked":
        yield Remedy(message=f"unmask {peer.unit}, which was masked deliberately, and start it")
        return
    stopped = Service(manager="systemd", name=peer.unit, start_argv=("systemctl", "start", peer.unit))
    yield Remedy(
        message=f"start {peer.unit}, which the application on {case.target} needs",
        steps=(start(stopped),),
        is_policy=peer.unit_since is None,
    )


def _stopped_unit(case: Case) -> Dependency | None:
    """Return the dependency that the finding names, if nothing listens there and its unit is stopped; None otherwise."""
    own = [need for need, _ in dependency_errors(case) if need.is_down]
    if own:
        named = heard_of(case, own[-1])
        found = [named] if named else []
    elif _confined(case):
        found = []
    else:
        found = [*_gone(case), *(need for _, need in _beyond(case)), *_ended(case)]
        if not found and (undone := _undone(case) or _missed(case)):
            return undone[0]
    peer = found[0] if found else None
    if peer is None or peer.is_heard is not False or peer.elsewhere is not None:
        return None
    is_of_system = peer.unit.endswith(".service") and not peer.unit.startswith("user@")
    return peer if is_of_system and peer.unit_state in STOPPED else None


CAUSE = Cause(
    id="backend-dependency-down",
    layer=Layer.UPSTREAM,
    message="a dependency of the application refuses connections or fails: its database, cache, queue or another service",
    headline="a dependency of the application on {target} refuses connections or fails",
    outranks=frozenset(
        {
            "connection-reset",
            "premature-close",
            "application-error",
            "backend-dependency-slow",
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "invalid-response",
            "listen-backlog-overflow",
            "php-fpm-max-children",
            "proxy-timeout-too-short",
            "upstream-error-status",
            "worker-timeout",
            "workers-exhausted",
        }
    ),
    repeats_cut_off=True,
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
