"""The start of a unit after the service that it needs: at boot it was faster than that, and gave up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.diagnosis.case import Case
from why502.diagnosis.needs import Need, need_of
from why502.diagnosis.waiting import dependency_errors
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.remedies.changes import start
from why502.remedies.drop_ins import clear_failures, is_masked, write_drop_in


def start_after_dependency(case: Case) -> Iterator[Remedy]:
    """Yield the remedies for a unit that ended because a service of this machine was not up, and that service listens by now.

    The first starts the unit. If that service came up only after the unit had ended, the first also orders the unit after it
    (`After=`, and `Wants=`, because an order alone starts nothing: systemd.unit(5)), so that the next boot does not end the same
    way.
    """
    for service in case.services:
        if service.manager != "systemd" or service.is_running is not False or not service.start_argv or is_masked(service):
            continue
        for need in _needs(case, service):
            found = _unit_at(case, need)
            if found is None or found[0] == service.name:
                continue
            unit, since = found
            begin = (clear_failures(service), start(service))
            ended = service.stopped_at or service.changed_at
            if since is not None and ended is not None and since > ended:
                if steps := write_drop_in(service, "order", "[Unit]", f"Wants={unit}", f"After={unit}"):
                    message = f"start {service.name}, and make systemd start it after {unit}, which it needs (After=)"
                    yield Remedy(message=message, steps=(*steps, *begin))
            yield Remedy(message=f"start {service.name}: {unit}, which it needs, is up now", steps=begin)
            return


def _needs(case: Case, service: Service) -> Iterator[Need]:
    """Yield what the unit's last lines say that it did not reach, the last one first."""
    lines = [need_of(line) for line in reversed(service.reason)]
    events = [need for need, _ in reversed(dependency_errors(case))]
    yield from (need for need in (*lines, *events) if need is not None and need.is_down and need.place is not None)


def _unit_at(case: Case, need: Need) -> tuple[str, datetime | None] | None:
    """Return the systemd unit that listens where a dependency should be, and since when its process runs; None if none does."""
    for listener in case.heard_at(need.place) if need.place is not None else ():
        process = case.process_of(listener)
        if process is not None and process.unit.endswith(".service") and not process.unit.startswith("user@"):
            return process.unit, process.started_at
    return None
