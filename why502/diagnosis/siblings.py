"""Remedies for all routes of a proxy that fail for the same reason, not only for the route with the most failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.remedy import Edit, Remedy

MOST = 64  # routes that are examined


def remedies(cause: Cause, case: Case) -> tuple[Remedy, ...]:
    """Return a cause's remedies: the changes for the route with the most failures and for the other routes to the target."""
    found = tuple(cause.remedies(case))
    if not any(isinstance(step, Edit) for remedy in found for step in remedy.steps):
        return found
    for other in _siblings(case):
        found = _with_sibling(found, tuple(cause.remedies(other)), has_failed=bool(case.failures_of[other.routes[0].at]))
    return found


def _siblings(case: Case) -> Iterator[Case]:
    """Yield the case of each other route of the same proxy that leads to the target."""
    if case.target is None or case.route is None or case.proxy is None:
        return
    places = {case.route.at}
    for route in case.routes[:MOST]:
        if route.at is not None and route.at not in places and case.joins.proxy_of.get(id(route)) is case.proxy:
            places.add(route.at)
            yield replace(case, index=case.joins, only=route)


def _with_sibling(found: tuple[Remedy, ...], others: tuple[Remedy, ...], *, has_failed: bool) -> tuple[Remedy, ...]:
    """Return the remedies with the changes for another route, too, if that route failed or contains the same text."""
    if len(found) != len(others):
        return found
    return tuple(
        _joined(remedy, other)
        if remedy.steps and other.steps and (has_failed or _is_same_text(remedy, other)) and not _clash(remedy, other)
        else remedy
        for remedy, other in zip(found, others, strict=True)
    )


def _is_same_text(remedy: Remedy, other: Remedy) -> bool:
    changed = {(step.before, step.after) for step in remedy.steps if isinstance(step, Edit)}
    return all((step.before, step.after) in changed and step.before for step in other.steps if isinstance(step, Edit))


def _joined(remedy: Remedy, other: Remedy) -> Remedy:
    steps = tuple(dict.fromkeys((*remedy.steps, *other.steps)))
    edits = tuple(step for step in steps if isinstance(step, Edit))
    message = remedy.message if remedy.message == other.message else f"{remedy.message}; {other.message}"
    return msgspec.structs.replace(
        remedy, message=message, steps=(*edits, *(step for step in steps if not isinstance(step, Edit)))
    )


def _clash(remedy: Remedy, other: Remedy) -> bool:
    """Return whether two remedies change the same bytes, or the same place, in different ways."""
    edits = [step for step in remedy.steps if isinstance(step, Edit)]
    others = [step for step in other.steps if isinstance(step, Edit)]
    return any(one.meets(two) and one != two for one in edits for two in others)
