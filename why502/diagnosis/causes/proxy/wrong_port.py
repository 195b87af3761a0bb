"""Nothing listens on the target port. The application listens on another port.

The connection is refused immediately (ECONNREFUSED), as if nothing were running. nginx answers 502, HAProxy and Apache answer
503.

## Do not confuse with
- `backend-not-running`: no application listens anywhere.
- `wrong-address`: the port is right, but the address or address family is not.
- `php-fpm-socket-mismatch`: the same problem for a PHP-FPM pool.

## Confirm
- `ss -Hltnp` shows the application on a different port than the proxy's directive.

## Fix
- Change the port in the proxy's directive to the one on which the application listens, or change the application's port.
- Between containers, use the port inside of the container, not the one that is published on the host.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from why502.deployment.applications import ApplicationKind, applications
from why502.deployment.files import Deployment, peers_of, same_path
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.elsewhere import is_of_its_service, was_there
from why502.diagnosis.listening import accepts
from why502.model.config import Peer
from why502.model.container import Container
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Target, Transport
from why502.remedies.changes import doubt, reload, set_peer_addresses, unauthorised_listener

_DEBUGGED = {"node": 9229, "python": 5678}  # the ports that their debuggers take unless told otherwise
_PORT = lazy(r"[:=](\d{1,5})(?!\d)")
_DEBUGS = lazy(r"^--inspect|jdwp=")
_PORTLESS = lazy(r"http(s?)://\$(host|server_name)(?:/.*)?")  # $host is without the port, unlike $http_host
MOST = 4  # of an application's ports that are listed
TICK = timedelta(seconds=0.5)  # both times are from the machine's own clock since boot
SWITCH = timedelta(seconds=30)  # from the stop of one instance to the start of the next
CLOCK = timedelta(seconds=3)  # log times are whole seconds; a process's start time is accurate to about one second


def candidates(case: Case) -> tuple[Listener, ...]:
    """Return the listeners that may be the application, the likeliest first: similar port, same address family,
    then the nearest port.

    A process that already listened while the target still answered is another application. A port that the kernel assigned is
    none that a person would configure.
    """
    target = case.target
    if target is None or target.is_unix:
        return ()
    wanted = str(target.port)

    def distance(listener: Listener) -> tuple[int, int, int, int, int]:
        port = str(listener.target.port)
        differs = (
            sum(a != b for a, b in zip(port, wanted, strict=True)) if len(port) == len(wanted) else max(len(port), len(wanted))
        )
        alike = len(port) == len(wanted) and sum(a != b for a, b in zip(port, wanted, strict=True)) <= 1
        same = set(port) == set(wanted) and len(port) == len(wanted)
        near = abs(listener.target.port - target.port)
        is_near = alike or same or near <= 10
        return (not is_of_its_service(listener, case), not _reaches(listener.target, target), not is_near, differs, near)

    unclaimed = (*case.unclaimed_listeners, *(x for x in _unparsed(case) if _alike(x, case)))
    possible = (x for x in unclaimed if not was_there(x, case) and _may_speak(x, case) and not _is_chance(x, case))
    possible = (x for x in possible if not _is_for_debugging(x, case))
    return tuple(sorted(possible, key=distance))


def _unparsed(case: Case) -> tuple[Listener, ...]:
    """Return the servers that only a gateway which passes on bare connections may have as a backend."""
    return case.unclaimed_services if case.protocol == "tcp" else ()


def _may_speak(listener: Listener, case: Case) -> bool:
    """Return whether the listening program may speak the proxy's protocol: PHP-FPM speaks only FastCGI,
    and few other programs speak it.
    """
    process = case.process_of(listener)
    is_fpm = process is not None and process.name.startswith("php-fpm")
    return is_fpm == (case.protocol == "fastcgi") if is_fpm or case.pools else True


def _is_for_debugging(listener: Listener, case: Case) -> bool:
    """Return whether a debugger would connect there: Node.js's inspector, the Java debug wire protocol, debugpy."""
    process = case.process_of(listener)
    if process is None:
        return False
    usual = next((port for name, port in _DEBUGGED.items() if process.name.startswith(name)), None)
    configured = (int(port) for word in process.argv if _DEBUGS.search(word) for port in _PORT.findall(word))
    return listener.target.port in (usual, *configured)


def _reaches(listening: Target, target: Target) -> bool:
    return accepts(listening, Target(host=target.host, port=listening.port))


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None or case.target.is_unix or not case.seen(Symptom.CONNECT_REFUSED):
        return
    for route in case.joins.variable_routes:
        match = _PORTLESS.fullmatch(route.passes)
        if match and case.target.port == (443 if match[1] else 80):
            message = (
                f"{route.directive} {route.passes} gives no port, and ${match[2]} never contains one: {case.target.port} is used"
            )
            yield supports(message, str(route.at or ""), STRONG)
            break
    for tally in case.words(Symptom.LISTENS_ON):
        if tally.target and tally.target.port and tally.target.port != case.target.port and case.listeners is None:
            yield supports(f"the application reports that it listens on port {tally.target.port}", tally.source, STRONG)
            break
    if published := _of_container(case):
        yield supports(published, "inspect", 2 * PROOF)
        return
    if (outer := containers.published_as(case)) is not None:
        yield supports(_published_words(case, *outer), outer[0].shows("inspect"), PROOF)
        return
    if case.listeners is None or case.listeners or case.same_port:
        return
    if gateway := case.missing_gateway:
        yield refutes(f"that is where {gateway.kind} should listen, which does not run", gateway.config, PROOF)
        return
    if moved := _moved(case):
        listener, old = moved
        message = (
            f"{case.name_of(listener)}, from the same template as {old.name}, began to listen on {listener.target} when "
            f"{old.name} was stopped"
        )
        yield supports(message, "systemctl show", 2 * PROOF)
        return
    if any(service.is_running is False for service in case.services):
        yield refutes(f"the service for {case.target} is known, and it is stopped", "", PROOF)
        return
    found = candidates(case)
    if not found:
        return
    best = found[0]
    process = case.process_of(best)
    name = f"{process.name} (pid {process.pid})" if process else "an application"
    own = _of_same_process(best, found)
    what = "which no route names" if len(own) == 1 else "none of which a route names"
    message = f"{name} listens on {_listed(own)}, {what}, and nothing listens on {case.target}"
    is_known = _alike(best, case) or case.traffic is not None  # the log shows that the target never answered
    if is_of_its_service(best, case):
        service = case.service.name if case.service else "its service"
        yield supports(f"{service}, which belongs on {case.target}, listens on {best.target} instead", "ss -ltnp", PROOF)
    weight = (LIKELY if is_known else STRONG) if len(found) == len(own) else FAIR
    if unauthorised_listener(case, best.target):  # any user may listen on the port of a dead backend
        weight = min(weight, FAIR)
    yield supports(message, "ss -ltnp", weight)
    if process is not None and (other := containers.may_be_another(case, process)):
        yield refutes(other, "inspect", LIKELY)
    if (inner := _published_as(case)) is not None:
        message = f"port {case.target.port} is only published on the host; between containers it is port {inner.port}"
        yield supports(message, "docker port", PROOF)
    if _alike(best, case):
        yield supports(f"port {best.target.port} is one typo away from {case.target.port}", "", WEAK)
    if process and process.started_at and case.last_failure and process.started_at > case.last_failure + CLOCK:
        yield refutes(f"{name} started only after the failures", "", FAIR)


def _published_as(case: Case) -> Target | None:
    """Return the address in the target's container that the engine publishes on the host with the target's port; else None."""
    space = case.joins.homes.spaces.get(case.home or "")
    found = (one.inner for one in (space.published if space else ()) if case.target and one.outer.port == case.target.port)
    return next((inner for inner in found if case.heard_at(inner)), None)


def _of_container(case: Case) -> str:
    """Return why the port is not the container's own: another is served there, or this one is the machine's; else ""."""
    target, container = case.target, containers.meant(case)
    if target is None or container is None or target.host not in (*container.addresses, *containers.names_of(case)):
        return ""
    if not container.listens or containers.serves(container, target.port) or containers.only_loopback(container, target.port):
        return ""
    inner = next((port.inner for port in container.published if port.outer == target.port), 0)
    if inner and containers.serves(container, inner):
        return (
            f"{container.shown} listens on port {inner}; {target.port} is the port that {container.engine} publishes on the "
            "machine, not one of the container"
        )
    others = sorted({one.port for one in containers.other_ports(container)})
    is_only = len(others) == 1 and not container.restarts
    return f"{container.shown} listens on port {others[0]}, and nothing in it on {target.port}" if is_only else ""


def _published_words(case: Case, container: Container, port: int) -> str:
    inner = case.target.port if case.target else 0
    return f"{container.shown} listens on port {inner} in a network of its own, and the machine has it as port {port}"


def _moved(case: Case) -> tuple[Listener, Service] | None:
    """Return the listener that replaced the target's service, and that service:
    an instance of the same template that started when it stopped.
    """
    for service in case.services:
        template, found, _ = service.name.partition("@")
        at = service.stopped_at
        if service.is_running is not False or not found or at is None:
            continue
        for listener in candidates(case):
            process = case.process_of(listener)
            if process is None or process.started_at is None or not process.unit.startswith(f"{template}@"):
                continue
            if "user.slice" in process.cgroup or "/system.slice/" not in process.cgroup:
                continue  # users choose the names of their own units
            was_beside = service.started_at is not None and process.started_at <= service.started_at + TICK
            if not was_beside and at - TICK <= process.started_at <= at + SWITCH:
                return listener, service
    return None


def _is_chance(listener: Listener, case: Case) -> bool:
    """Return whether the kernel assigned the listener's port, while the proxy's port was configured by a person."""
    if _alike(listener, case) or is_of_its_service(listener, case):
        return False
    kernel = case.host.kernel if case.host else None
    if kernel is None or kernel.ports_first is None or kernel.ports_last is None or case.target is None:
        return False
    chosen = range(kernel.ports_first, kernel.ports_last + 1)
    return listener.target.port in chosen and case.target.port not in chosen


def _of_same_process(listener: Listener, found: Iterable[Listener]) -> tuple[Listener, ...]:
    """Return a listener and the others of its process: an application may have a port for its users and one for its operators."""
    return tuple(each for each in found if each is listener or (listener.pids and each.pids == listener.pids))


def _listed(found: Sequence[Listener]) -> str:
    """Return the addresses of some listeners in words."""
    *most, last = sorted(str(listener.target) for listener in found[:MOST])
    return f"{', '.join(most)} and {last}" if most else last


def _alike(listener: Listener, case: Case) -> bool:
    one, other = str(listener.target.port), str(case.target.port if case.target else 0)
    return len(one) == len(other) and (sum(a != b for a, b in zip(one, other, strict=True)) <= 1 or sorted(one) == sorted(other))


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if published := _of_container(case):
        return published
    if (outer := containers.published_as(case)) is not None:
        return _published_words(case, *outer)
    found = candidates(case)
    product = case.proxy.kind if case.proxy else "the proxy"
    if not found:
        return ""
    listens = _listed(_of_same_process(found[0], found))
    return f"{product} connects to {case.target}, where nothing listens; {case.name_of(found[0])} listens on {listens}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the port on which the application listens."""
    container = containers.meant(case)
    if container is not None and _of_container(case):
        ports = {one.port for one in containers.other_ports(container)}
        inner = next((port.inner for port in container.published if case.target and port.outer == case.target.port), min(ports))
        yield Remedy(message=f"let the proxy connect to port {inner} of {container.service or container.name}")
        return
    if (outer := containers.published_as(case)) is not None:
        yield Remedy(message=f"let the proxy connect to port {outer[1]} of the machine")
        return
    found = candidates(case)
    own = _of_same_process(found[0], found) if found else ()
    if len({listener.target.port for listener in own}) > 1:
        yield Remedy(
            message=f"let the proxy connect to the port that serves its requests: {case.name_of(found[0])} has {_listed(own)}"
        )
        return
    # one port may have a listener for each address family: the one that the proxy's own address reaches comes first
    for listener in sorted(own, key=lambda each: case.target is None or not _reaches(each.target, case.target))[:1]:
        is_reached = case.target is not None and _reaches(listener.target, case.target)
        host = (
            case.target.host if case.target and is_reached else listener.target.host
        )  # a listener of another family has its own address
        to = Target(host=host, port=listener.target.port)
        changes = set_peer_addresses(case, to)
        message = f"let the proxy connect to port {listener.target.port}, where {case.name_of(listener)} listens{doubt(case, to)}"
        yield Remedy(message=message, steps=(*changes, *reload(case.proxy)) if changes else ())


@rule(30, "target-without-listener", Severity.WARNING)
def without_listener(deployment: Deployment) -> Iterator[Risk]:
    """The deployment contains an application on a different port than the one that the proxy passes to.

    Nothing in the given files listens on the target, but something listens on a port that no route uses. Every request is
    refused: 502.
    """
    if not deployment.is_whole:  # other files may pass to it
        return
    known = [(target, backend) for backend in applications(deployment) for target in backend.targets]
    if not known:
        return
    own = {target.port for target in deployment.configuration.listens}
    passed = {target for peer in peers_of(deployment.configuration.routes) if (target := same_path(peer.target))}
    ports = {target.port for target in passed if not target.is_unix}
    unclaimed_listeners = [
        (t, b)
        for t, b in known
        if b.kind is ApplicationKind.SERVICE and (same_path(t) not in passed if t.is_unix else t.port not in ports)
    ]
    unheard: dict[Target, Peer] = {}
    for route in deployment.routes:
        for peer in deployment.peers(route):
            target = peer.target
            if target is None or not target.is_loopback or not unclaimed_listeners or route.protocol == "fastcgi":
                continue
            if target.port not in own and not any(
                same_path(t) == same_path(target) or (not t.is_unix and t.port == target.port) for t, _ in known
            ):
                unheard.setdefault(target, peer)
    if len(unheard) == 1:  # with several targets, most belong to programs whose units were not given
        stray, backend = unclaimed_listeners[0]
        for target, peer in unheard.items():
            yield risk(
                f"nothing here listens on {target}; {backend.name} listens on {stray}",
                peer.at,
                f"pass to {stray}, or change {backend.name}",
                severity=None if deployment.is_here else Severity.NOTE,  # a repository seldom has every program of its machines
            )


CAUSE = Cause(
    id="wrong-port",
    layer=Layer.PROXY,
    transport=Transport.TCP,
    message="nothing listens on the target port, but the application listens on another port",
    symptoms={Symptom.CONNECT_REFUSED: WEAK},
    needs=frozenset({"listeners", "processes"}),
    explains=frozenset({"backend-not-running"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(without_listener,),
)
