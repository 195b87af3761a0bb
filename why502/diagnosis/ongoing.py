"""Ongoing: whether requests still failed for a cause when the machine was looked at."""

from __future__ import annotations

from datetime import datetime, timedelta

from why502.diagnosis.attribution import DEATHS, GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.routed import BROKEN
from why502.diagnosis.unserved import refusals, unserved
from why502.diagnosis.ways import FAILED
from why502.model.finding import LIKELY
from why502.model.logs import NOTICES, Symptom, Tally
from why502.model.probe import SERVER_ERROR, Probe
from why502.model.proxy import ConfigTest, Proxy
from why502.model.request_line import path_of
from why502.model.snapshot import Event

SECOND = timedelta(seconds=1)  # logs do not show fractions of it
HANDOVER = timedelta(seconds=5)  # old workers finish their requests after a reload
READY = timedelta(
    seconds=2
)  # between the start of a process and the first line of a log that it answers; log times are whole seconds
START = timedelta(seconds=120)  # the longest that a process takes until it listens
RECENT = timedelta(seconds=60)  # a failure this short before the collection counts as ongoing unless something shows the opposite


def is_ongoing(cause: Cause, case: Case, logged: list[Tally], last: datetime | None) -> bool:
    """Return whether a cause's failures go on. `logged`: what the gateways' logs tell of the target; `last`: the last failure."""
    return (
        _refuses_still(cause, case)
        or _says_so(cause, case, last)
        or _goes_on(case, [tally for tally in logged if tally.symptom in cause.symptoms], last)
    )


def _is_left_behind(case: Case, last: datetime) -> bool:
    """Return whether the proxy has since loaded a configuration that no longer names the target."""
    running = [proxy for proxy in case.proxies if proxy.is_running]
    if case.target is None or case.is_named or not running or any(proxy.test is ConfigTest.FAILED for proxy in running):
        return False
    ends = (file.last for file in (case.here.logs.files if case.here.logs else ()) if file.last is not None)
    is_silent_since = max(ends, default=last) > last + SECOND
    return all(_is_loaded_since(proxy, last, is_silent_since=is_silent_since) for proxy in running)


def _is_loaded_since(proxy: Proxy, last: datetime, *, is_silent_since: bool) -> bool:
    """Return whether a proxy loaded its configuration after a failure, or shortly before one of its old workers.

    `is_silent_since`: the logs go on without another failure.
    """
    if proxy.loaded_at is None:
        return False
    if proxy.loaded_at > last + SECOND:
        return True
    is_current = proxy.changed_at is not None and proxy.changed_at <= proxy.loaded_at
    return is_current and is_silent_since and last <= proxy.loaded_at + HANDOVER


def _says_so(cause: Cause, case: Case, last: datetime | None) -> bool:
    """Return whether the target's own recent messages report the cause: repeatedly after the last failure that the proxy logged,
    or while requests still failed.

    If requests for one path kill the worker, a probe of another path cannot show that.
    """
    words = [symptom for symptom, weight in cause.symptoms.items() if weight >= LIKELY and symptom not in GAP]
    events = case.events(*words) if words and case.target is not None and not case.offline else ()
    events = tuple(event for event in events if not case.is_of_a_name(event))
    since = max((event.ended_at for event in events if event.ended_at), default=None)
    if since is None or since < case.here.taken_at - RECENT:
        return False
    if any(tally.last and tally.last >= since for tally in case.tallies if tally.symptom in _effects(cause)):
        return True
    return any(event.count > 1 and event.ended_at == since and (last is None or since > last) for event in events)


def _effects(cause: Cause) -> frozenset[Symptom]:
    """Return the symptoms that a cause shows at a proxy: its own, and the usual ones of causes that are only its effect;
    symptoms of restarts are excluded.
    """
    effects = (CAUSES[name] for name in cause.explains)
    usual = {symptom for other in effects for symptom, weight in other.symptoms.items() if weight >= LIKELY}
    return frozenset({*cause.symptoms, *usual} - {*GAP, *NOTICES})


def _refuses_still(cause: Cause, case: Case) -> bool:
    """Return whether the access log shows clients refused for the cause's reason until shortly before the collection."""
    own = (one for one in unserved(case.joins) if one.reason in cause.answers and not one.is_over and one.is_on(case.target))
    return any(one.last is not None and one.last >= case.here.taken_at - RECENT for one in own)


def _goes_on(case: Case, tallies: list[Tally], last: datetime | None) -> bool:
    """Return whether the failures are ongoing: by the probe if there was one, else by the last lines of the logs."""
    if last is not None and (_is_left_behind(case, last) or _is_gap(case, tallies)):
        return False
    if case.answers_now is False or any(_fails(probe, tallies) for probe in case.entrances):
        return True
    if last is not None and tallies and all(tally.symptom is Symptom.PEER_LIMIT for tally in tallies):
        return last >= case.here.taken_at - RECENT  # that one request passes says nothing about the next
    if any(
        probe.repeats and probe.symptom is None and not _is_of_others(probe, case, tallies)
        for probe in (*case.probes, *case.entrances)
    ):
        return False
    if last is None:
        return True
    answered = case.last_answered
    if answered and answered > last and (not _is_of_one_path(case) or _is_served_since(case, last)):
        return False
    if _came_back(case, last) or _is_refused_since(case, tallies, last):
        return False
    return last >= case.here.taken_at - RECENT


def _is_of_others(probe: Probe, case: Case, tallies: list[Tally]) -> bool:
    """Return whether our request only repeats one that failed in another way: its success says nothing about these failures."""
    own = {request for tally in tallies for request, _ in tally.requests}
    every = case.here.logs.tallies if case.here.logs else ()
    others = {request for tally in every if tally.is_failure for request, _ in tally.requests}
    return bool(own) and probe.request in others - own


def _fails(probe: Probe, tallies: list[Tally]) -> bool:
    """Return whether our request through the proxy failed; the application's own answer is not a broken connection."""
    if tallies and all(tally.symptom in GAP for tally in tallies):
        return probe.symptom is not None or str(probe.status) in FAILED
    return probe.symptom is not None or (probe.status or 0) >= SERVER_ERROR


def _is_gap(case: Case, tallies: list[Tally]) -> bool:
    """Return whether all failures ended when the current listener began to listen: the gap of a restart.

    A failure that our probe gets after that is another fault.
    """
    born, first = case.born, min((tally.first for tally in tallies if tally.first and tally.last), default=None)
    if not case.listeners or born is None or first is None or case.probe(*GAP):
        return False
    return (
        # Within the second of the restart the order is unknown, unless the service manager logged when it ordered the stop.
        (first + SECOND <= born or any(stop.at and stop.at <= first + SECOND for stop in case.restarts))
        and all(tally.last <= born + _until_ready(tally) for tally in tallies if tally.last)
        and all(tally.symptom in GAP for tally in tallies)
        and all(
            case.is_of_a_name(event) or (event.at is not None and event.at > born + READY) or _is_of_the_stop(case, event)
            for event in case.events(*DEATHS, Symptom.PROCESS_EXITED)
        )
    )


def _until_ready(tally: Tally) -> timedelta:
    """Return for how long after the start of the process that listens now such failures are those of its start.

    While one process lived, it refused connections only before it began to listen: a virtual machine may take a minute for that.
    """
    if tally.symptom in BROKEN:
        return SECOND
    return START if tally.symptom in (Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING) else READY


def _is_of_the_stop(case: Case, end: Event) -> bool:
    """Return whether a process ended after the order to stop it: some programs exit with an error then.

    If more of them end after the current listener began, that listener survived them, and the gap was over before.
    """
    return any(stop.at and end.at and stop.at <= end.at for stop in case.restarts)


def _is_of_one_path(case: Case) -> bool:
    """Return whether all failed requests asked for one path, other than the start page.
    Successes on other paths say nothing about it.
    """
    paths = {path_of(request) for tally in case.failures for request, _ in tally.requests}
    return len(paths) == 1 and not paths & {"", "/"}


def _is_served_since(case: Case, last: datetime) -> bool:
    """Return whether the access log shows the same requests answered after the last failure."""
    failed = {request for tally in case.failures for request, _ in tally.requests}
    paths = case.here.logs.paths if case.here.logs else ()
    return any(path.request in failed and path.last_served is not None and path.last_served > last for path in paths)


def _is_refused_since(case: Case, tallies: list[Tally], last: datetime) -> bool:
    """Return whether the target could not be reached until its process was started again, which refuses its clients itself."""
    born = case.born
    if born is None or not tallies or any(tally.symptom not in GAP for tally in tallies):
        return False
    if any(tally.last and tally.last > born + max(_until_ready(tally), READY) for tally in tallies):
        return False
    return any(one.last is not None and one.last > last for one in refusals(case))


def _came_back(case: Case, last: datetime) -> bool:
    """Return whether all failures were refused connections, and the process that listens now started after them."""
    if not case.listeners or any(tally.symptom is not Symptom.CONNECT_REFUSED for tally in case.failures):
        return False
    begun = [process.started_at for listener in case.listeners if (process := case.process_of(listener))]
    return bool(begun) and all(at is not None and at > last + SECOND for at in begun)
