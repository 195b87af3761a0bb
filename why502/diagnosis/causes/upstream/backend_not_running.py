"""The application for the target is not running: there is no process, or its service is stopped.

A connection to a port without a listener is refused immediately (ECONNREFUSED), so the 502 takes no time. HAProxy and Apache
answer 503. A unix socket file that no process holds open any more also refuses connections.

## Do not confuse with
- `wrong-port`: the application listens, but on another port.
- `wrong-address`: it listens on that port, but on another address or family.
- `connect-rejected`: the listener exists, but a firewall rejects the connection.
- `backend-crashed`, `backend-oom-killed`, `backend-startup-failure`: the known reason why nothing runs.

## Confirm
- `ss -Hltnp 'sport = :PORT'` shows no line. `systemctl status UNIT` shows inactive or failed.

## Fix
- Start the service. Read its journal to find out why it was not running.

## References
- https://man7.org/linux/man-pages/man2/connect.2.html (ECONNREFUSED)
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_test_connect
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.containers import Unresolved
from why502.diagnosis.elsewhere import awaited, own_listeners
from why502.diagnosis.place import proof_of
from why502.diagnosis.routed import BROKEN
from why502.model.container import Container
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy, Run
from why502.model.service import Service
from why502.model.target import Target
from why502.remedies.changes import start
from why502.remedies.drop_ins import is_masked, restart_remedies
from why502.remedies.gateways import begin

YOUNG_S = 30.0  # after its start, in which an application may not listen yet
_AFTER_CONNECT = (Symptom.TLS_FAILED, Symptom.TLS_NOT_TLS, Symptom.TLS_UNVERIFIED, Symptom.TLS_CLIENT_CERTIFICATE)
CLOCK = timedelta(seconds=3)  # log times are whole seconds; a process's start time is accurate to about one second


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if ended := _ended(case):
        message = f"{ended.other.shown} has ended ({ended.other.state}), so the name {ended.target.host} is unknown"
        yield supports(message, f"{ended.other.engine} ps -a", 2 * PROOF)
    if unrouted := containers.unrouted(case):
        yield supports(_lost_route(*unrouted), f"{unrouted[0].engine} ps -a", 2 * PROOF)
    if not case.seen(*CAUSE.symptoms) and case.gone is None:
        return
    if case.gone is not None:
        message = f"{containers.shown(case, case.gone)} has ended, and its address went with it: connections get no answer"
        yield supports(message, case.gone.manager, LIKELY)
    if moved := awaited(case):
        yield refutes(
            f"systemd listens for {moved[0].name} on {moved[1]}, and starts it on a connection", "systemctl show", 2 * PROOF
        )
    for service in case.services if moved is None else ():
        if service.is_running is False:
            when = f" since {service.changed_at:%H:%M:%S}" if service.changed_at else ""
            message = f"{service.manager} reports that {service.name} is {_state(service)}{when}"
            yield supports(message, service.manager, proof_of(service))
    if gateway := case.missing_gateway:
        unit = f" ({gateway.unit})" if gateway.unit else ""
        yield supports(f"{gateway.kind}{unit}, which should listen on {case.target}, does not run", gateway.config, PROOF)
    if moved is None and case.listeners == () and (stop := case.told_to_stop):
        yield supports(f"it was asked to stop, and has not been started since: {stop.message}", stop.source, PROOF)
    if (starting := begins(case)) and not (case.began_again and case.tally(*BROKEN)):  # it did run, and died
        yield supports(starting, starting.partition(" ")[0], STRONG)
    path = case.socket_path
    if case.listeners == () and case.target and case.target.is_unix and (own := own_listeners(case)):
        yield refutes(f"its service runs, and listens on {own[0].target}", "ss -lx", PROOF)
    if case.orphans:
        yield refutes(f"it still listens on {case.target}: only the socket's file was removed", "ss -lx", 2 * PROOF)
    elif case.listeners == () and not (case.target and case.target.is_unix and case.tally(Symptom.SOCKET_PATH_MISSING)):
        yield supports(f"no socket listens on {case.target}", "ss -ltnx")
        if lost := containers.unforwarded(case):
            message = f"{lost.container.shown} runs, and listens on port {lost.inner} in a network of its own: it may be meant"
            yield refutes(message, lost.container.shows("inspect"), PROOF)
        if unowned := case.unidentified_listeners:
            others = ", ".join(str(listener.target) for listener in unowned[:4])
            yield refutes(
                f"an unidentified process listens on {others}, which no route names: it may be the application",
                "ss -ltnx",
                LIKELY,
            )
    elif case.listeners == () and case.has_served and not case.has_stray and not (path and path.seen_elsewhere):
        yield supports(
            "no application listens on another path or address either, and this target worked before", "ss -ltnx", LIKELY
        )
    if (same := case.handshake_code) and (met := case.probe(*_AFTER_CONNECT)):
        message = f"a probe connects, and then fails ({met.detail or met.symptom}); the proxy's log has {same} for both"
        yield refutes(message, "probe", PROOF)
    first = case.first_failure
    for listener in case.listeners or ():
        process = case.process_of(listener)
        since = process.started_at if process else None
        name = f"{process.name} (pid {process.pid})" if process else "a process"
        if case.probe(Symptom.CONNECT_REFUSED):
            yield refutes(f"{name} listens on {case.target}, yet connections are refused", "ss -ltnx", PROOF)
        elif since and first and since > first + CLOCK:
            is_unix = case.tally(Symptom.SOCKET_PATH_MISSING) is not None
            yield supports(
                f"{name} has listened on {case.target} only since {since:%H:%M:%S}, after the failures began",
                "ss -ltnx",
                STRONG if is_unix else WEAK,
            )
        elif since and first and since < first - CLOCK:
            yield refutes(f"{name} has listened on {case.target} since {since:%H:%M:%S}, before the failures", "ss -ltnx", STRONG)


def _ended(case: Case) -> Unresolved | None:
    """Return a name that is unknown because its only container has ended; None if there is none."""
    for found in containers.unresolved(case):
        if not any(one.is_running for one in containers.called(case, found.target.host)):
            return found
    return None


def _lost_route(container: Container, gateway: str) -> str:
    """Return in words that a gateway has no route any more because its container has ended."""
    when = f" at {container.stopped_at:%H:%M:%S}" if container.stopped_at else ""
    return f"{container.shown}, whose labels give {gateway} a route, ended{when}, and the route went with it"


def aim(case: Case) -> Target | None:
    """Return the name, as configured, of a container that has ended; if only its labels gave it a route, its own name."""
    if found := _ended(case):
        return found.target
    if unrouted := containers.unrouted(case):
        one = unrouted[0]
        exposed = one.exposed[0] if len(one.exposed) == 1 else 0
        return Target(host=one.name, port=one.routed_port or exposed)
    return None


def _state(service: Service) -> str:
    """Return the state of a service as text."""
    return f"{service.state or 'stopped'}{' and masked, so nothing can start it' if is_masked(service) else ''}"


def _is_as_installed(case: Case, service: Service) -> bool:
    """Return whether a stopped unit may be one that nobody uses: a package brought it, it is disabled, only a file of its program
    names the target, and it did not run since the boot or in the window. Two packages often have the same usual port.
    """
    has_run = service.started_at or service.stopped_at
    is_packaged = service.unit_file.startswith(("/lib/", "/usr/lib/")) and service.link.startswith("/")
    is_disabled = service.settings.get("UnitFileState") == "disabled"
    events = (case.host.events if case.host else None) or ()
    return is_packaged and is_disabled and not has_run and all(event.unit != service.name for event in events)


def _unmask(service: Service) -> Run | None:
    """Return the command that unmasks a unit so that it can be started; None if it is not masked."""
    state = service.settings.get("UnitFileState", "")
    if not is_masked(service) or not service.start_argv:
        return None
    at = ("--runtime",) if state.endswith("-runtime") else ()
    return Run(argv=("systemctl", "unmask", *at, service.name), undo=("systemctl", "mask", *at, service.name))


def begins(case: Case) -> str:
    """Return a message that its service is starting and does not listen yet; "" otherwise."""
    for service in case.services:
        since = service.changed_at or service.started_at
        if case.listeners != () or since is None:
            continue
        age = max(0.0, (case.here.taken_at - since).total_seconds())
        if service.state == "activating" and not service.substate.startswith("auto-restart"):
            return f"{service.manager} has been starting {service.name} for {age:.0f} s ({service.substate or service.state})"
        if service.is_running and service.started_at and age < YOUNG_S and not _listens_elsewhere(case, service):
            return f"{service.manager} started {service.name} {age:.0f} s ago, and it does not listen on {case.target} yet"
    return ""


def _listens_elsewhere(case: Case, service: Service) -> bool:
    """Return whether a service already listens on another address or path: then it is not still starting."""
    if case.socket_path is not None and case.socket_path.seen_elsewhere:
        return True
    pids = {service.main_pid, *(p.pid for p in (case.host.processes if case.host else None) or () if p.ppid == service.main_pid)}
    return any(pids & set(listener.pids) for listener in (case.host.listeners if case.host else None) or ())


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if ended := _ended(case):
        return f"{ended.other.shown} is not running ({ended.other.state}), so the proxy cannot resolve {ended.target.host}"
    if unrouted := containers.unrouted(case):
        return _lost_route(*unrouted)
    if starting := begins(case):
        return f"nothing listens on {case.target} yet: {starting}"
    stopped = next((service for service in case.services if service.is_running is False), None)
    if stopped and stopped is case.linked_by_time:
        return (
            f"nothing listens on {case.target}; {stopped.name} may be its application: {_state(stopped)}, and nothing but the "
            "time links the two"
        )
    if stopped:
        return f"{containers.shown(case, stopped)}, which should answer on {case.target}, is not running ({_state(stopped)})"
    if case.listeners == () and case.unidentified_listeners:
        others = ", ".join(str(listener.target) for listener in case.unidentified_listeners[:4])
        return f"nothing listens on {case.target}; run as root to see whether the application is listening on {others}"
    if case.listeners == ():
        return f"nothing listens on {case.target}: the application that should answer there is not running"
    first = case.first_failure
    for listener in case.listeners or ():
        process = case.process_of(listener)
        if process and process.started_at and first and process.started_at > first and not case.probe(Symptom.CONNECT_REFUSED):
            return (
                f"nothing listened on {case.target} until {process.started_at:%H:%M:%S}Z, when {process.name} (pid "
                f"{process.pid}) began"
            )
    return ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: start the service that owns the target, if it is known."""
    if ended := _ended(case):
        yield Remedy(message=f"start it: `{shlex.join(ended.other.command('start'))}`")
    if unrouted := containers.unrouted(case):
        yield Remedy(message=f"start it: `{shlex.join(unrouted[0].command('start'))}`")
    if gateway := case.missing_gateway:
        yield from begin(gateway, has_systemd=True)
    # Starting a missing service manager is the last resort.
    for service in sorted(case.services, key=lambda service: service.start_argv[:1] == ("supervisord",)):
        if service.is_running is False and (unmask := _unmask(service)):
            yield Remedy(
                message=f"unmask {service.name}, which was masked deliberately, and start it", steps=(unmask, start(service))
            )
        elif service.is_running is False and _is_as_installed(case, service):
            message = f"start {service.name}, if that is the application: it is disabled, and nothing shows that it ever ran"
            yield Remedy(message=message, steps=(start(service),), is_policy=True)
        elif service.is_running is False:
            yield from restart_remedies(service)
            container = containers.of_service(case, service)
            if container is not None and container.project:
                yield Remedy(message=f"or by its compose project: `{shlex.join(container.command('start'))}`")
            if service.settings.get("UnitFileState") == "disabled":
                enable = Run(argv=("systemctl", "enable", service.name), undo=("systemctl", "disable", service.name))
                yield Remedy(message=f"start {service.name}, now and at every boot", steps=(enable, start(service)))


CAUSE = Cause(
    id="backend-not-running",
    layer=Layer.UPSTREAM,
    is_fixed_while_ongoing=True,
    message="the application for the target is not running: there is no process, or its service is stopped",
    headline="no application seems to be running on {target}, where connections are refused",
    symptoms={Symptom.CONNECT_REFUSED: LIKELY, Symptom.SOCKET_PATH_MISSING: WEAK},
    explains=frozenset(
        {
            "connect-timeout",
            "dns-host-not-found",
            "dns-resolver-failure",
            "host-unreachable",
            "route-not-found",
            "unix-socket-missing",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    aim=aim,
)
