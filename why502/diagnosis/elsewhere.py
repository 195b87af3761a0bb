"""Whether the service that should listen on a target listens somewhere else instead."""

from __future__ import annotations

from datetime import timedelta

from why502.deployment.files import same_path
from why502.diagnosis.case import Case
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Target

SECOND = timedelta(seconds=1)  # logs do not show fractions of it


def is_of_its_service(listener: Listener, case: Case) -> bool:
    """Return whether the listening process belongs to the service that should listen on the target. A stopped one has none."""
    process = case.process_of(listener)
    running = [service for service in case.services if service.is_running is not False]
    units, pids = {service.name for service in running}, {service.main_pid for service in running} - {None}
    if process is None:
        return False
    return process.unit in units or bool(pids & {process.pid, process.ppid}) or is_held_for_its_service(listener, case)


def is_held_for_its_service(listener: Listener, case: Case) -> bool:
    """Return whether the manager that started the target's service holds the listener for it, as PM2 does for a cluster: then the
    manager's age says nothing about when the service chose that port.
    """
    process, processes = case.process_of(listener), case.joins.processes
    if process is None or process.is_init or case.host is not case.here:
        return False
    return any(
        service.main_pid in processes and processes[service.main_pid].ppid == process.pid
        for service in case.services
        if service.is_running and service.main_pid and _is_younger(service, case)
    )


def _is_younger(service: Service, case: Case) -> bool:
    served = case.last_served
    return service.started_at is not None and (served is None or service.started_at >= served - SECOND)


def was_there(listener: Listener, case: Case) -> bool:
    """Return whether a listener was there while the target still answered: then it belongs to another application."""
    return case.was_beside(listener) and not is_held_for_its_service(listener, case)


def own_listeners(case: Case) -> tuple[Listener, ...]:
    """Return the listeners of the target's own service that no route names and that were not there while the target answered."""
    return tuple(
        listener for listener in case.unclaimed_listeners if is_of_its_service(listener, case) and not was_there(listener, case)
    )


def awaited(case: Case) -> tuple[Service, str] | None:
    """Return the service of a unix socket for which systemd listens on other paths only, with the first of these; None if there
    is none. The path of a socket unit was changed, and the old file remains.
    """
    if case.target is None or not case.target.is_unix or case.listeners != ():
        return None
    steps = case.socket_path.steps if case.socket_path is not None else ()
    own = {same_path(case.target), *(same_path(Target.unix(step.path)) for step in steps[-1:])}
    for service in case.services:
        paths = [place for place in service.settings.get("Listen", "").split() if place.startswith("/")]
        if paths and not own & {same_path(Target.unix(path)) for path in paths}:
            return service, paths[0]
    return None
