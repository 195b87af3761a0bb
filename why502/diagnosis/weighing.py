"""Weighing: the evidence of logs and probes for a cause on one target, and the confidence of a sum of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes import weight as weight_of
from why502.model.finding import FAIR, LIKELY, PRIOR, WEAK, Evidence, refutes, supports
from why502.model.logs import NOTICES, Symptom, Tally
from why502.model.words import words

CERTAIN = 0.99  # the highest confidence of any answer


@dataclass(frozen=True, slots=True)
class Weighed:
    """One cause on one target, weighed. `heirs`: the causes attributed to it; their symptoms count as its own."""

    cause: Cause
    case: Case
    seen: tuple[Evidence, ...]  # from the examination
    evidence: tuple[Evidence, ...]  # all of it
    confidence: float
    heirs: frozenset[str] = frozenset()
    is_by_link: bool = False  # whether it would be less likely without a service that only the time links to the target


def weigh_symptoms(cause: Cause, case: Case) -> Iterator[Evidence]:
    """Yield the evidence of logs and probes for a cause's symptoms on the target, each symptom once."""
    best: Evidence | None = None
    named = [tally.symptom for tally in case.tallies if tally.named == cause.id]
    for symptom in dict.fromkeys((*cause.symptoms, *named)):
        if symptom in NOTICES and not case.explains_notices:
            continue
        tally, probe = case.tally(symptom), case.probe(symptom)
        weight = weight_of(cause.id, symptom, tally.named if tally else "")
        if tally is not None and tally.is_notice and not case.explains_notices and not case.has_failed:
            continue
        if tally is None and any(failure.symptom is not Symptom.GATEWAY_STATUS for failure in case.failures):
            weight *= 0.5  # the log shows other failures than our own request gets
        if tally is not None:
            found = supports(count(tally), tally.source, weight)
        elif probe is not None:
            found = supports(_probed(probe.symptom, probe.detail), "probe" if probe.at else "ss -ltnx", weight)
        else:
            continue
        if tally is not None and probe is not None and probe.at and weight >= FAIR:
            yield supports("a probe gets the same result now: " + _probed(probe.symptom, probe.detail), "probe", WEAK)
        if best is None or found.weight > best.weight:
            best = found
    if best is not None:
        yield best


def weigh_link(cause: Cause, case: Case, weight: float) -> Iterator[Evidence]:
    """Yield what speaks against a cause that weighs this much because of a service that only the time links to the target.

    Two services can fail at the same moment: what such a service reports makes a cause likely at most. What the cause weighs
    without it stays.
    """
    service = case.linked_by_time
    if service is None or weight <= LIKELY:
        return
    without = replace(case, joins_by_time=False)
    rest = sum(item.weight for item in (*weigh_symptoms(cause, without), *cause.examine(without)))
    if (excess := weight - max(rest, LIKELY)) > 0:
        yield refutes(f"nothing but the time links {service.name} to {case.target}", service.manager, excess)


def count(tally: Tally) -> str:
    """Return a tally in words: count, symptom, time, status."""
    what = words(tally.symptom)
    times = "once" if tally.count == 1 else f"{tally.count} times"
    status = f", answered {tally.status:03d}" if tally.status is not None else ""
    detail = f" ({tally.detail})" if tally.detail else ""
    return f"{what} {times}{status}{detail}"


def _probed(symptom: Symptom | None, detail: str) -> str:
    what = words(symptom) if symptom else ""
    return f"{what} ({detail})" if detail and detail.lower() != what else what


def confidence_of(weight: float) -> float:
    """Return the confidence for a sum of weights, at most CERTAIN."""
    return min(CERTAIN, 1 / (1 + math.exp(-(PRIOR + weight))))
