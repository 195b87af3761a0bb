"""What an engine recorded about a container, as events."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from why502.model.container import KUBERNETES, Container, ContainerEvent
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Event

_ACTIONS = {
    "start": (Symptom.PROCESS_STARTED, "started"),
    "stop": (Symptom.PROCESS_STOPPED, "Stopped by a command"),
    "kill": (Symptom.PROCESS_STOPPED, "Stopping by a command"),
    "oom": (Symptom.OOM_KILLED, "ran out of memory"),
}
STOP_S = 120.0
# Signals that leave no record of the order: of podman's stop, and of a kubelet that ends what fails its liveness probe.
UNRECORDED = {"podman": (signal.SIGKILL,), KUBERNETES: (signal.SIGKILL, signal.SIGTERM)}
# What engines say of a port that they cannot publish: libnetwork's portallocator, and bind(2).
PORT_TAKEN = lazy(r"(?i)port is already allocated|address already in use")


def of_history(container: Container) -> Iterator[Event]:
    """Yield the starts, stops, ends and kills of a container. An end after a stop order is not a failure."""
    ordered: ContainerEvent | None = None
    if not container.is_running and container.error and (at := container.started_at or container.created_at):
        message = f"{container.engine} could not start {container.name}: {container.error}"
        yield Event(
            at=at,
            symptom=Symptom.ADDRESS_IN_USE if PORT_TAKEN.search(container.error) else Symptom.START_FAILED,
            message=message,
            source=container.shows("inspect"),
            unit=container.name,
            detail=container.error,
            code=container.exit_code,
        )
    for event in container.history:
        name = "runtime's status files" if container.engine == KUBERNETES else f"{container.engine} events"
        if event.action in ("die", "died"):
            is_order = ordered is not None and ordered.id == event.id and (event.at - ordered.at).total_seconds() <= STOP_S
            is_order = is_order or ((event.code or 0) - 128 in UNRECORDED.get(container.engine, ()))
            if not is_order and event.code:
                yield _ended(container, event, event.code, name)
            continue
        ordered = event if event.action in ("kill", "stop") else None if event.action == "start" else ordered
        if (found := _ACTIONS.get(event.action)) is not None:
            symptom, words = found
            message = f"{name}: {container.name} {words[0].lower()}{words[1:]}"
            yield Event(at=event.at, symptom=symptom, message=message, source=name, unit=container.name, detail=words)


def _ended(container: Container, event: ContainerEvent, code: int, source: str) -> Event:
    is_signal = 128 < code < 160
    return Event(
        at=event.at,
        symptom=Symptom.PROCESS_CRASHED if is_signal else Symptom.PROCESS_EXITED,
        message=f"{source}: {container.name} ended with status {code}",
        source=source,
        unit=container.name,
        detail=f"died with status {code}",
        code=code - 128 if is_signal else code,
    )
