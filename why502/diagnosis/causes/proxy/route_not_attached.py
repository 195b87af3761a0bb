"""A route is configured, but the gateway does not use it: requests for it get no route.

Traefik leaves a router out if its service, its entry points or a middleware do not exist, or if its rule cannot be read. It
leaves a container out if its labels do not ask for a route although they must (`exposedByDefault=false`), forbid one, or have a
name that it does not know. In Kubernetes, no controller serves an Ingress of another class; why502 does not ask its API.

## Do not confuse with
- `route-not-found`: nothing is configured for the request.
- `health-check-misconfigured`: the container is left out because its health check fails.

## Confirm
- Ask the gateway which routes it uses: `/api/http/routers` of Traefik has the errors of each.
- Compare the labels of the container with the providers' settings.

## Fix
- Define what the route names, or correct the name. Add the label that enables the container.

## References
- https://doc.traefik.io/traefik/providers/docker/#exposedbydefault
- https://doc.traefik.io/traefik/operations/api/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.behaviour import container_labels
from why502.model.container import Container, LabelledRoute
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.remedy import Remedy
from why502.model.target import Target

HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class _Unused:
    """A route that is not used, in words, and how much that weighs."""

    message: str
    source: str
    weight: float
    remedy: str
    target: Target | None = None  # the container that is not attached, by its name


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: a route that would take the requests without a route, and that the gateway does not use."""
    if found := _best(case):
        yield supports(found.message, found.source, found.weight)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    found = _best(case)
    return found.message if found else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return what attaches the route."""
    if found := _best(case):
        yield Remedy(message=found.remedy)


def aim(case: Case) -> Target | None:
    """Return the container that is not attached; None for a route of the gateway's own configuration."""
    found = _best(case)
    return found.target if found else None


def _best(case: Case) -> _Unused | None:
    """Return the unused route that most likely takes the requests; None if there is none."""
    return max(_all(case), key=lambda one: one.weight, default=None)


def _all(case: Case) -> Iterator[_Unused]:
    if case.target is not None:
        return
    for tally in case.tallies:
        if tally.symptom is not Symptom.ROUTE_MISSING:
            continue
        for proxy in case.proxies:
            if proxy.is_running and proxy.kind == tally.proxy:
                yield from _of_configuration(proxy, tally)
                yield from _of_labels(case, proxy, tally)
        yield from _of_log(case, tally)


def _of_configuration(proxy: Proxy, tally: Tally) -> Iterator[_Unused]:
    """Yield the routes that the gateway itself, or its files, show as unused."""
    for route in proxy.unused_routes:
        if weight := _weight(route.server_names, route.locations, tally):
            message = f"{proxy.kind} does not use the route {route.name}: {route.reason}"
            yield _Unused(message, route.source, weight, f"correct the route {route.name}: {route.reason}")


def _of_labels(case: Case, proxy: Proxy, tally: Tally) -> Iterator[_Unused]:
    """Yield the routes for which a running container asks, and that the gateway does not make."""
    if proxy.attaches_by_default is None:
        return
    attached = {peer.target.host for group in proxy.upstreams for peer in group.peers if peer.target}
    for one in containers.trusted(case):
        for route in one.labelled_routes if one.is_running else ():
            weight = _weight(route.server_names, route.locations, tally) if route.gateway == proxy.kind else 0.0
            asks = bool(route.name or route.mistake or route.is_enabled)
            if weight and asks and not one.addresses & attached and (why := _left_out(proxy, one, route)):
                yield _Unused(*why, weight, _remedy(proxy, one, route), Target(host=one.name, port=one.routed_port or 0))


def _left_out(proxy: Proxy, container: Container, route: LabelledRoute) -> tuple[str, str] | None:
    """Return why a gateway makes no route for a container, with the source; None if nothing shows that it makes none."""
    enabling = f"{container_labels()[proxy.kind]}enable"
    source = f"{container.engine} inspect {container.name}"
    if route.is_enabled is False:
        return f"{proxy.kind} makes no route for {container.shown}: its label {enabling} forbids it", source
    if route.is_enabled is None and proxy.attaches_by_default is False:
        why = f"it takes only containers with the label {enabling}=true, which this one does not have"
        return f"{proxy.kind} makes no route for {container.shown}: {why}", source
    is_waited_for = container.health is not None and container.health.status != HEALTHY
    if not proxy.admin or not container.addresses or is_waited_for:
        return None
    if route.mistake:
        return f"{proxy.kind} makes no route for {container.shown}: {route.mistake}", source
    named = f" the route {route.name}" if route.name else ""
    return f"{proxy.kind} has no server of {container.shown}, although its labels ask for{named or ' a route'}", proxy.admin


def _remedy(proxy: Proxy, container: Container, route: LabelledRoute) -> str:
    label = f"{container_labels()[proxy.kind]}enable=true"
    where = f" in {container.config_files[0]}" if container.config_files else ""
    if route.is_enabled is not True and not (route.is_enabled is None and proxy.attaches_by_default):
        return f"give {container.shown} the label {label}{where}, and create it again"
    if route.mistake:
        return f"correct the labels of {container.shown}{where}, and create it again: {route.mistake}"
    return f"read the log of {proxy.kind} from its start: it says why it left out {container.shown}"


def _of_log(case: Case, tally: Tally) -> Iterator[_Unused]:
    """Yield the routes of which the gateway's log says that it cannot use them, where nothing newer is known of its routes."""
    if any(proxy.kind == tally.proxy and (proxy.admin or proxy.unused_routes) for proxy in case.proxies):
        return
    rules = {
        route.name: route
        for one in containers.trusted(case)
        for route in one.labelled_routes
        if route.gateway == tally.proxy and route.name
    }
    for refused in case.tallies:
        if refused.symptom is Symptom.ROUTE_UNUSED and refused.proxy == tally.proxy:
            known = rules.get(refused.group.rpartition("@")[0] or refused.group)
            weight = _weight(known.server_names, known.locations, tally) if known else LIKELY
            if weight:
                message = f"{tally.proxy} does not use the route {refused.group}: {refused.detail}"
                yield _Unused(message, refused.source, weight, f"correct the route {refused.group}: {refused.detail}")


def _weight(names: tuple[str, ...], locations: tuple[str, ...], tally: Tally) -> float:
    """Return how much it weighs that a route is not used: whether it takes a request of the tally, or may do; 0.0 if it does not.

    Many logs do not have the host of a request.
    """
    host = tally.server.partition(":")[0].lower()
    if names and host and host not in names:
        return 0.0
    paths = [request.partition(" ")[2] or request for request, _ in tally.requests]
    if locations and paths and not any(_takes(location, path) for location in locations for path in paths):
        return 0.0
    return PROOF if (locations and not names) or host in names else LIKELY


def _takes(location: str, path: str) -> bool:
    return path == location[2:] if location.startswith("= ") else path.startswith(location)


CAUSE = Cause(
    id="route-not-attached",
    layer=Layer.PROXY,
    message="the gateway does not use a route that is configured for the request",
    symptoms={Symptom.ROUTE_UNUSED: LIKELY},
    explains=frozenset({"route-not-found"}),
    examine=examine,
    summarize=summarize,
    aim=aim,
    remedies=remedies,
)
