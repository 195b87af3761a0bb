"""What an engine recorded about a container, as events."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from why502.model.container import Container, ContainerEvent
from why502.model.logs import Symptom
from why502.model.snapshot import Event

_ACTIONS = {
    "start": (Symptom.PROCESS_STARTED, "started"),
    "stop": (Symptom.PROCESS_STOPPED, "Stopped by a command"),
    "kill": (Symptom.PROCESS_STOPPED, "Stopping by a command"),
    "oom": (Symptom.OOM_KILLED, "ran out of memory"),
}
STOP_S = 120.0
KILLED = 128 + signal.SIGKILL
NOT_RUN = (125, 126, 127)  # exit codes for a command that the engine could not start (docker-run(1))


def of_history(container: Container) -> Iterator[Event]:
    """Yield the starts, stops, ends and kills of a container. An end after a stop order is not a failure."""
    told: ContainerEvent | None = None
    if container.exit_code in NOT_RUN and container.error and (at := container.started_at or container.created_at):
        message = f"{container.engine} could not start {container.name}: {container.error}"
        yield Event(
            at=at,
            symptom=Symptom.START_FAILED,
            message=message,
            source=f"{container.engine} inspect {container.name}",
            unit=container.name,
            detail=container.error,
            code=container.exit_code,
        )
    for event in container.history:
        name = f"{container.engine} events"
        if event.action in ("die", "died"):
            is_order = told is not None and told.id == event.id and (event.at - told.at).total_seconds() <= STOP_S
            is_order = is_order or (container.engine == "podman" and event.code == KILLED)  # it records no orders
            if not is_order and event.code:
                yield _ended(container, event, event.code, name)
            continue
        told = event if event.action in ("kill", "stop") else None if event.action == "start" else told
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
