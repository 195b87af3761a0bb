"""A container engine publishes the port and accepts the connection, but nothing inside the container listens behind it.

Docker's `docker-proxy` listens on the host even if the application in the container does not: the connection succeeds and is then
reset or closed without an answer, so nginx logs "Connection reset by peer" or "prematurely closed" and answers 502. Without
`docker-proxy` the kernel forwards the connection, which is then refused. Usually the application listens on another port in the
container than the one that is published, or only on the container's own 127.0.0.1, which the engine does not reach.

## Do not confuse with
- `connection-reset`, `premature-close`: the application itself breaks the connection.
- `backend-not-running`: no container publishes the port.
- `wrong-port`: the proxy is in a container too, and uses the published port on the other container's address.

## Confirm
- `docker port CONTAINER` shows the port inside; `nsenter --net=/proc/PID/ns/net ss -ltn` shows what listens there.

## Fix
- Publish the port on which the application listens (`-p 8080:5000`), or let the application listen on 0.0.0.0 in the container.

## References
- https://docs.docker.com/engine/network/packet-filtering-firewalls/
- https://github.com/moby/libnetwork, cmd/proxy
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.listening import takes
from why502.model.container import Container
from why502.model.finding import PROOF, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.snapshot import Listener, NetworkSpace, PublishedPort
from why502.model.target import Transport

_SHOWN = 3  # other listeners that are named


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(*CAUSE.symptoms):
        return
    if (known := containers.publisher(case)) is not None and (message := _of_engine(case, *known)):
        yield supports(message, f"{known[0].engine} port {known[0].name}", 2 * PROOF)
        return
    if case.published is None or case.here.listeners is None:
        return
    space, port = case.published
    listeners = case.listeners_in(space.inode)
    if any(takes(listener, port.inner) for listener in listeners):
        yield refutes(f"something listens on {port.inner} in container {space.name}", "ss -ltn", 2 * PROOF)
        return
    source = f"{port.source}; nsenter --net=/proc/{space.pid}/ns/net ss -ltn"
    yield supports(_message(case, space, port, listeners), source, 2 * PROOF)


def _message(case: Case, space: NetworkSpace, port: PublishedPort, listeners: tuple[Listener, ...]) -> str:
    same = next((listener for listener in listeners if listener.target.port == port.inner.port), None)
    forwarded = f"port {case.target.port if case.target else 0} is published to port {port.inner.port} of container {space.name}"
    if same is not None:
        return f"{forwarded}, where the application listens only on {same.target}"
    others = ", ".join(str(listener.target) for listener in listeners[:_SHOWN] if listener.pids)
    return f"{forwarded}, where nothing listens" + (f"; it listens on {others}" if others else "")


def _of_engine(case: Case, container: Container, port: int) -> str:
    """Return the same of a container that its engine describes; "" if something serves the port, or if that is unknown."""
    if container.listens is None or containers.serves(container, port):
        return ""
    publishes = f"{container.engine} publishes port {port} of {container.shown} as {case.target}"
    if inner := containers.only_loopback(container, port):
        return f"{publishes}, but the application listens only on {inner} inside, where such connections do not arrive"
    others = sorted({target.port for target in containers.other_ports(container)})[:_SHOWN]
    where = f"; it listens on port {', '.join(map(str, others))}" if others else ""
    return f"{publishes}, but nothing inside listens on port {port}{where}"


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if (known := containers.publisher(case)) is not None and (message := _of_engine(case, *known)):
        return message
    if case.published is None:
        return ""
    space, port = case.published
    return _message(case, space, port, case.listeners_in(space.inode))


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the change of the container's ports, or of the application's address."""
    found = containers.publisher(case)
    if found is None or case.target is None or not _of_engine(case, *found):
        return
    container, port = found
    if containers.only_loopback(container, port):
        yield Remedy(message=f"let the application in {container.shown} listen on 0.0.0.0:{port} instead of 127.0.0.1:{port}")
        return
    for other in containers.other_ports(container)[:1]:
        yield Remedy(message=_publish(container, case.target.port, other.port))


def _publish(container: Container, outer: int, inner: int) -> str:
    if container.service:
        where = f" in {container.config_files[0]}" if container.config_files else ""
        return f'publish the port it listens on: `ports: ["{outer}:{inner}"]` for service {container.service}{where}'
    return f"make the container again with `-p {outer}:{inner}`"


CAUSE = Cause(
    id="published-port-unserved",
    layer=Layer.UPSTREAM,
    transport=Transport.TCP,
    message="the container engine publishes the port and accepts the connection, but nothing inside the container listens "
    "behind it",
    symptoms={
        Symptom.RESET_BEFORE_HEADER: 0.1,
        Symptom.CLOSED_BEFORE_HEADER: 0.1,
        Symptom.CONNECT_REFUSED: 0.1,
        Symptom.CONNECT_RESET: 0.1,
        Symptom.TLS_FAILED: 0.1,
        Symptom.CLOSED_IN_BODY: 0.1,
        Symptom.RESET_IN_BODY: 0.1,
        Symptom.SEND_FAILED: 0.1,
    },
    explains=frozenset(
        {
            "backend-crashed",
            "backend-not-running",
            "connect-rejected",
            "connection-reset",
            "deploy-termination-race",
            "invalid-response",
            "keepalive-race",
            "premature-close",
            "tls-handshake-failed",
            "wrong-address",
            "wrong-port",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
