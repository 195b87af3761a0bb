"""The backend's short name resolves to something else: a search domain, a hosts file, or the alias of another container.

The proxy connects to a host that is not the backend. It does not answer, refuses the connection, or answers with another site.
Several projects on one shared network, each with a service called `api` or `db`, are the usual reason.

## Do not confuse with
- `stale-dns`: the name is right, but its address changed after the proxy had resolved it.
- `container-network-mismatch`: the address is the right container's, but in a network that the proxy is not in.

## Confirm
- Compare `getent ahosts NAME` inside the proxy's container with `docker inspect` of the backend's container. Read
  `/etc/hosts` and the `search` line of `/etc/resolv.conf` there.

## Fix
- Use the container's full name, or an alias that no other project uses. Remove the entry from `extra_hosts` or the hosts file.
  End a public name with a dot.

## References
- https://docs.docker.com/engine/network/#dns-services
- https://man7.org/linux/man-pages/man5/resolv.conf.5.html (search, ndots)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.container import Container
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.snapshot import Lookup
from why502.model.target import Transport


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if (shadow := _shadow(case)) is not None:
        yield supports(shadow[0], shadow[1], 2 * PROOF)


def _shadow(case: Case) -> tuple[str, str, Container] | None:
    """Return what answers for the name instead of its container, the source of that fact, and the container; else None."""
    target, own = case.target, containers.proxy_container(case)
    if target is None or own is None or not case.failures:
        return None
    for name in containers.names_of(case):
        near = [one for one in containers.called(case, name) if one.is_running and containers.shared(one, own)]
        right = [one for one in near if containers.serves(one, target.port)]
        wrong = containers.at(case, target.host)
        if wrong in near and wrong is not None and wrong.listens is not None and wrong not in right and right:
            first = right[0]
            message = (
                f"two containers are called {name}: {wrong.name} in {_networks(wrong, own)} has {target.host} and does not "
                f"listen on port {target.port}, {first.name} in {_networks(first, own)} does"
            )
            return message, f"{own.engine} inspect {wrong.name} {first.name}", first
        addresses = {address for one in near for address in one.addresses}
        for found in case.resolutions(name):
            strange = found.outcome is Lookup.OK and found.addresses and not addresses & set(found.addresses)
            if near and strange and target.host in (*found.addresses, name):
                message = (
                    f"inside {own.shown} the name {name} resolves to {', '.join(found.addresses)} ({found.source}), but "
                    f"{near[0].shown} has {_address(near[0], own)}"
                )
                return message, found.source, near[0]
    return None


def _networks(container: Container, own: Container) -> str:
    names = [place.network for place in containers.shared(container, own)]
    return f"network{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _address(container: Container, own: Container) -> str:
    return next((place.address for place in containers.shared(container, own) if place.address), "no address")


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    found = _shadow(case)
    return found[0] if found else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the name that only the right container has."""
    found = _shadow(case)
    if found is None or case.target is None:
        return
    _, source, container = found
    if source == "/etc/hosts":
        yield Remedy(
            message="remove that line: `extra_hosts` or `--add-host` of the proxy's container wrote it into its hosts file"
        )
    else:
        yield Remedy(message=f"name the container that you mean: {container.name}:{case.target.port}")


CAUSE = Cause(
    id="name-shadowed",
    layer=Layer.PROXY,
    transport=Transport.TCP,
    message="the backend's short name resolves to something else: a DNS search domain, a hosts file, another network's alias",
    headline="the backend's name leads {proxy} to {target}, which is another host",
    symptoms={Symptom.CONNECT_REFUSED: 0.1, Symptom.CONNECT_TIMED_OUT: 0.1, Symptom.HOST_UNREACHABLE: 0.1},
    needs=frozenset({"containers", "names"}),
    explains=frozenset(
        {
            "backend-not-running",
            "connect-rejected",
            "connect-timeout",
            "host-unreachable",
            "network-policy-denies",
            "stale-dns",
            "wrong-address",
            "wrong-port",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
