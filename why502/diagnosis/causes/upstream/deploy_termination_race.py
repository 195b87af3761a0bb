"""During a deployment the backend stops before the gateway stops sending requests to it, or is announced before it can serve.

Requests fail only within seconds of a stop or start of the backend.

## Do not confuse with
- `backend-crashed`: it was not stopped, it died.
- `keepalive-race`: occurs independently of restarts.

## Confirm
- Compare the times of the failures with `journalctl -u UNIT` (Stopping, Started).

## Fix
- Stop gracefully: close the listener last and finish running requests (TimeoutStopSec=, KillSignal=). Or use socket activation,
  or two instances in one group. In Kubernetes use a preStop sleep and a readiness probe.

## References
- https://www.freedesktop.org/software/systemd/man/systemd.kill.html
- https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.attribution import DEATHS, GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.routed import BROKEN
from why502.diagnosis.subrequests import judges
from why502.diagnosis.ways import FAILED
from why502.gateways.nginx.config import units
from why502.model.file_kind import FileKind
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom, Tally
from why502.model.probe import Probe
from why502.model.remedy import Remedy
from why502.model.snapshot import Event
from why502.model.words import words
from why502.remedies.drop_ins import seconds, write_drop_in

AROUND = timedelta(seconds=10)  # until it has stopped, or is ready
OF_RESTARTS = frozenset(  # symptoms of requests while one instance stops and the next starts
    {
        Symptom.CONNECT_REFUSED,
        Symptom.SOCKET_PATH_MISSING,
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_IN_BODY,
        Symptom.RESET_IN_BODY,
        Symptom.CONNECT_RESET,
        Symptom.SEND_FAILED,
        Symptom.STALE_ENDPOINT,
        Symptom.PEER_DISABLED,
        Symptom.NO_LIVE_UPSTREAMS,
        Symptom.CLIENT_CLOSED,
        Symptom.UPSTREAM_STATUS,
        Symptom.READ_TIMED_OUT,
        Symptom.CONNECT_TIMED_OUT,
    }
)
_LASTING = (Symptom.TLS_UNVERIFIED, Symptom.TLS_FAILED, Symptom.TLS_NOT_TLS, Symptom.OTHER_PROTOCOL)  # no restart causes these
_ORDERS = ("Stopping ", "Handling signal: ")  # the first words of a message about a stop that has begun
RESTART = timedelta(seconds=60)  # from a stop to the start that follows it
LONGEST_S = 3600.0  # of a read timeout
SECOND = timedelta(seconds=1)  # logs do not show fractions of it
QUIET = timedelta(seconds=2)  # after a reload: what breaks still is broken by something else
FEW = 5  # answers with an error and none without: more than a client's mistake
OFTEN = 2  # automatic restarts: a single one may follow a kill by the deploy
CLOCK = timedelta(seconds=1.5)  # log times are whole seconds: no failure of a stop precedes it


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    cut = [tally for tally in case.failures if tally.symptom in GAP]
    first = min((tally.first for tally in cut if tally.first), default=None)
    last = max((tally.last for tally in cut if tally.last), default=None)
    if case.target is None or first is None or last is None or case.listeners == ():
        return
    if case.probe(*GAP):  # any other current failure is another fault
        return
    if not any(tally.symptom in OF_RESTARTS or tally.symptom is Symptom.GATEWAY_STATUS for tally in case.failures):
        return
    path = case.socket_path
    if path is not None and path.is_reachable is False:
        yield refutes(f"user {path.user} has no access to {path.blocked_at or path.path} after the restart either", "stat", PROOF)
        return
    if path is not None and path.kind is FileKind.MISSING:
        yield refutes(f"{path.path} does not exist for the proxy after the restart either", f"stat {path.path}", PROOF)
        return
    if probe := _fails_now(case):
        what = f"is answered {probe.status}" if probe.status else f"meets: {words(probe.symptom or Symptom.READ_TIMED_OUT)}"
        yield refutes(f"it still fails after the restart: a request through the proxy {what}", "probe", PROOF)
        return
    if other := _fails_otherwise(case):
        yield refutes(f"it has since failed in another way: {words(other.symptom)}", other.source, PROOF)
        return
    if message := _errs_now(case, last):
        yield refutes(message, "access log", PROOF)
        return
    if later := _fails_since(case, last) or _is_no_judge_since(case, cut, last):
        message = f"it still fails since it is ready: {words(later.symptom)} {later.count} times, last at {later.last:%H:%M:%S}"
        yield refutes(message, later.source or "access log", PROOF)
        return
    if status := case.errs_since:
        yield refutes(f"the new process does not serve either: a probe is answered {status}", "probe", PROOF)
        return
    if probe := case.probe(*_LASTING):
        yield refutes(f"the new process does not serve either: {words(probe.symptom or Symptom.TLS_FAILED)}", "probe", PROOF)
        return
    if later := _hangs_since(case):
        yield refutes(f"it still fails since it is ready: {words(later.symptom)} {later.count} times", later.source, PROOF)
        return
    events = case.events(Symptom.PROCESS_STOPPED)
    orders = [e for e in events if e.detail.startswith(_ORDERS)]
    stops = [e for e in events if e.at and (e.at - _slack(e, orders) <= first <= e.at + AROUND or _is_repeated(e, first, last))]
    starts = [
        e for e in case.events(Symptom.PROCESS_STARTED) if e.ended_at and e.ended_at - AROUND <= last <= e.ended_at + AROUND
    ]
    broken = max((tally.last for tally in cut if tally.symptom in BROKEN and tally.last), default=None)
    if broken and starts and not any(e.ended_at and broken <= e.ended_at + SECOND for e in starts):
        return  # the new process itself breaks connections
    ends = (
        event
        for event in case.events(*DEATHS, Symptom.PROCESS_EXITED, Symptom.START_FAILED, Symptom.RESTART_LOOP)
        if not case.is_of_a_name(event) and not _was_told(event, stops)
    )
    if any(event.ended_at and event.ended_at >= first - CLOCK and event.at and event.at <= last + CLOCK for event in ends):
        return  # it ended by itself: this is not a deployment
    if unasked := _unasked(case, first, last):
        yield refutes(
            f"its manager restarted it {unasked} times after it had exited on its own: this is not a deployment",
            "systemctl show",
            PROOF,
        )
        return
    if not stops and (cutting := _cut_by_reload(case)):
        often = f", {cutting.count} times" if cutting.count > 1 else ""
        yield supports(f"connections broke only when its workers were replaced: {cutting.message}{often}", cutting.source, PROOF)
        return
    if stops and starts and (away := _away(stops, starts)):
        yield refutes(
            f"it was not started for {away.total_seconds():.0f} s: a restart does not take that long", starts[-1].source, LIKELY
        )
        return
    if stops and starts:
        what = "all failures" if len(cut) == len(case.failures) else "all failures to connect"
        yield supports(f"{what} fall between its stop and its start: {stops[0].message}", stops[0].source, PROOF)
        if len(cut) == len(case.failures):
            yield supports("nothing failed before or after", starts[-1].source, WEAK)


def _cut_by_reload(case: Case) -> Event | None:
    """Return the reload that cut the requests whose connections broke; None if they also broke before or long after one."""
    broken = [tally for tally in case.failures if tally.symptom in BROKEN]
    first = min((tally.first for tally in broken if tally.first), default=None)
    last = max((tally.last for tally in broken if tally.last), default=None)
    orders = [event for event in case.reloads if event.at and event.ended_at]
    if first is None or last is None or not orders:
        return None
    began, ended = min(event.at for event in orders if event.at), max(event.ended_at for event in orders if event.ended_at)
    return orders[0] if began - CLOCK <= first and last <= ended + AROUND and last <= case.here.taken_at - QUIET else None


def _fails_now(case: Case) -> Probe | None:
    """Return our request through the proxy that got no answer or the proxy's own error; None if one succeeds, or if another
    server of the route may have failed.
    """
    if len({peer.target for route in case.routes for peer in route.peers}) > 1 and case.is_answering:
        return None
    failed = [probe for probe in case.entrances if probe.symptom is not None or str(probe.status) in FAILED]
    return failed[0] if failed and len(failed) == len(case.entrances) else None


def _hangs_since(case: Case) -> Tally | None:
    """Return the timeouts that are too late for requests sent before the end of the last start; None if there are none."""
    ready = max((event.ended_at for event in case.events(Symptom.PROCESS_STARTED) if event.ended_at), default=None)
    waits = max((route.read_timeout_s for route in case.routes), default=0.0)
    late = [
        tally
        for tally in case.failures
        if tally.symptom in (Symptom.READ_TIMED_OUT, Symptom.CONNECT_TIMED_OUT) and tally.count > 1
        if tally.last and ready and tally.last > ready + AROUND + timedelta(seconds=min(waits, LONGEST_S))
    ]
    return max(late, key=lambda tally: tally.count, default=None)


def _away(stops: list[Event], starts: list[Event]) -> timedelta | None:
    """Return how long it stayed stopped if that is longer than a restart takes; None otherwise."""
    ended = max(stop.ended_at or stop.at for stop in stops if stop.at)
    begun = [at for start in starts for at in (start.at, start.ended_at) if at and at >= ended]
    away = min(begun) - ended if begun else None
    return away if away is not None and away > RESTART else None


def _unasked(case: Case, first: datetime, last: datetime) -> int:
    """Return the number of automatic restarts by its manager while requests failed, if at least two; else 0.

    systemd logs "Scheduled restart job" for an automatic restart, also after a clean exit, but never when a person restarts the
    unit.
    """
    again = [
        event
        for event in case.events(Symptom.PROCESS_STARTED)
        if event.detail.startswith("Scheduled restart job") and event.at and event.ended_at
        if event.ended_at >= first - CLOCK and event.at <= last + AROUND
    ]
    count = sum(event.count for event in again)
    return count if count >= OFTEN else 0


def _was_told(end: Event, stops: list[Event]) -> bool:
    """Return whether a process died because of a stop order: its manager kills a process that does not exit in time."""
    orders = (stop for stop in stops if stop.detail.startswith(_ORDERS) or "timed out. Killing" in stop.message)
    return any(stop.at and end.at and stop.at <= end.at + SECOND for stop in orders)


def _errs_now(case: Case, last: datetime) -> str:
    """Return a message that after the gap a request got an error of the application itself; "" if none did."""
    for path in case.paths:
        is_served = path.last_served is not None and path.last_served > last + SECOND
        is_later = path.last_refused is not None and path.last_refused > last
        if path.request and "500" in path.statuses and is_later and not is_served and path.refused_since >= FEW:
            return (
                f"the new process does not serve either: {path.request} has been answered {path.refused_since} times with an "
                "error since"
            )
    return ""


def _fails_otherwise(case: Case) -> Tally | None:
    """Return the failures that a stop or start cannot cause, if they continue after those that it can cause;
    None if there are none.
    """
    own = [tally for tally in case.failures if tally.symptom in OF_RESTARTS]
    others = [
        tally for tally in case.failures if tally.symptom not in OF_RESTARTS and tally.symptom is not Symptom.GATEWAY_STATUS
    ]
    last = max((tally.last for tally in own if tally.last), default=None)
    later = [tally for tally in others if tally.count > 1 and tally.last and last and tally.last > last]
    return max(later, key=lambda tally: (tally.count, tally.symptom.value), default=None)


def _fails_since(case: Case, last: datetime) -> Tally | None:
    """Return the failures of which only the access log knows, if they began when no connection failed any more, and lasted
    longer than a start takes: the new process answers so itself. None if there are none.
    """
    ready = max((event.ended_at for event in case.events(Symptom.PROCESS_STARTED) if event.ended_at), default=last)
    late = (
        tally
        for tally in case.failures
        if tally.symptom is Symptom.GATEWAY_STATUS and tally.count >= FEW
        if tally.first and tally.first >= last - SECOND and tally.last and tally.last > max(last, ready) + AROUND
    )
    return max(late, key=lambda tally: tally.count, default=None)


def _is_no_judge_since(case: Case, cut: list[Tally], last: datetime) -> Tally | None:
    """Return the failed authentication subrequests, if the target answers them, and more failed, and for longer, than it refused
    connections: its answers are not what the gateway expects. None if that is not so.
    """
    refused = sum(tally.count for tally in cut)
    logs = case.here.logs
    failed = (
        tally
        for tally in (logs.tallies if logs else ())
        if tally.symptom is Symptom.AUTH_FAILED and tally.count >= refused + FEW and tally.last and tally.last > last + SECOND
    )
    return next((tally for tally in failed if judges(case.joins, (tally,)) == {case.target}), None)


def _is_repeated(stop: Event, first: datetime, last: datetime) -> bool:
    """Return whether a stop that happened several times did so last while requests failed, soon after the first failure."""
    return bool(stop.count > 1 and stop.ended_at and first - CLOCK <= stop.ended_at <= min(first + RESTART, last + CLOCK))


def _slack(stop: Event, orders: list[Event]) -> timedelta:
    """Return how long before the logged stop a failure can still belong to it: zero if the event marks the stop's start.

    An event at the end of the stop is later, so it needs this time, unless the manager logged the stop order.
    """
    began = max((order.at for order in orders if order.at and stop.at and stop.at - AROUND <= order.at <= stop.at), default=None)
    if began is not None and stop.at is not None:
        return stop.at - began + CLOCK
    return CLOCK if stop.detail.startswith(_ORDERS) else AROUND


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: twice the stop timeout for a unit that systemd killed while it was stopping; for a container a health
    check that its gateway waits for.
    """
    if advice := _unawaited(case):
        yield Remedy(message=advice)
    killed = any("timed out. Killing" in event.message for event in case.events(Symptom.PROCESS_STOPPED))
    for service in case.services if killed else ():
        had_s = seconds(service.settings.get("TimeoutStopUSec", ""))
        if had_s and (steps := write_drop_in(service, "stop", f"TimeoutStopSec={2 * had_s:g}s")):
            message = f"give {service.name} {2 * had_s:g} s instead of {had_s:g} s to finish its requests when it stops"
            yield Remedy(message=message, steps=steps)


def _unawaited(case: Case) -> str:
    """Return what to write in a compose file so that a container gets requests only when it is ready; "" if it waits already."""
    own, container = containers.proxy_container(case), containers.meant(case)
    if own is None or container is None or not container.service:
        return ""
    where = f" in {container.config_files[0]}" if container.config_files else ""
    is_awaited = own.project != container.project or own.depends_on.get(container.service) == "service_healthy"
    check = f"give service {container.service} a `healthcheck`{where}" if container.health is None else ""
    wait = f"`depends_on: {{{container.service}: {{condition: service_healthy}}}}` for service {own.service}"
    return ", and ".join(part for part in (check, "" if is_awaited else f"write {wait}{'' if check else where}") if part)


@rule(135, "reload-cuts-requests", Severity.NOTE)
def shutdown_cuts(deployment: Deployment) -> Iterator[Risk]:
    """A reload aborts requests that take longer than a few seconds.

    worker_shutdown_timeout ends old workers and the requests they handle: downloads, WebSockets, slow responses (status 000 in
    the log).
    """
    for directive in deployment.levels[0].own("worker_shutdown_timeout"):
        seconds = units.time(directive.args[0]) if directive.args else None
        if seconds is not None and seconds < 10 and deployment.routes:
            yield risk(
                f"requests longer than {seconds:g} s are aborted at each reload",
                directive.at,
                "set it as long as the longest request",
            )


CAUSE = Cause(
    id="deploy-termination-race",
    layer=Layer.UPSTREAM,
    message="during a deployment the backend stops before the gateway stops sending requests to it, "
    "or is announced before it can serve",
    headline="requests failed while {target} was being restarted",
    symptoms={
        Symptom.STALE_ENDPOINT: 0.5,
        Symptom.CONNECT_REFUSED: 0.5,
        Symptom.SOCKET_PATH_MISSING: 0.5,
        Symptom.CLOSED_BEFORE_HEADER: 0.5,
        Symptom.RESET_BEFORE_HEADER: 0.5,
    },
    needs=frozenset({"events"}),
    explains=frozenset(
        {
            "backend-not-running",
            "connection-reset",
            "keepalive-race",
            "premature-close",
            "truncated-response",
            "unix-socket-missing",
        }
    ),
    examine=examine,
    remedies=remedies,
    foresee=(shutdown_cuts,),
)
