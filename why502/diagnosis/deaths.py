"""Deaths of processes: how far one is known to be the target's, and what a process reported about its own."""

from __future__ import annotations

from datetime import timedelta

from why502.diagnosis.case import Case
from why502.logs.reasons import tells_little
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Event

NEAR = timedelta(seconds=2)  # between its last words and its manager's report
_OF_ITS_MANAGER = lazy(r"\bexited, code=|\bexited with code \[?\d|\bterminated by SIG|\bexit status \d")
_DEATHS = (Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED)


def weigh_death(case: Case, death: Event, message: str = "", *, linked: bool | None = None) -> Evidence:
    """Return a death as evidence for the cause that it is an event of. `message`: instead of the event's own.

    Proof is only what an address, a unit, a process id or a control group shows to be the target's. A program's name and the
    time are a coincidence on many machines: likely at most, and not even that if something else explains the failures.
    `linked`: whether it is the target's, if the caller knows that from something else than the event.
    """
    message = message or death.message
    if not case.is_of_a_name(death) if linked is None else linked:
        return supports(message, death.source, PROOF)
    if other := case.explains_otherwise(death):
        return supports(f"{message}: perhaps another process of that name, because {other}", death.source, WEAK)
    doubt = (
        "only the program's name and the time link it to the target" if death.process else "only the time links it to the target"
    )
    return supports(f"{message} ({doubt})", death.source, min(LIKELY, case.odds_of(death)))


def is_bare(event: Event) -> bool:
    """Return whether a report of a death gives no reason: its manager's, or a line that closes the report of an exception."""
    return tells_little(event.detail or event.message) or _OF_ITS_MANAGER.search(event.message) is not None


def last_words(case: Case) -> Event | None:
    """Return the reason that a process of the target gave for its last death: its own report, else the error that it logged
    just before; None if there is neither.
    """
    deaths = case.events(*_DEATHS)
    own = [event for event in case.events(Symptom.PROCESS_CRASHED) if not is_bare(event)]
    if own:
        return own[-1]
    errors = [error for error in case.events(Symptom.APPLICATION_ERROR) if any(_precedes(error, death) for death in deaths)]
    return errors[-1] if errors else None


def _precedes(error: Event, death: Event) -> bool:
    """Return whether a process logged an error just before it died."""
    times = ((error.at, death.at), (error.ended_at, death.at), (error.ended_at, death.ended_at))
    is_near = any(at and end and timedelta() <= end - at <= NEAR for at, end in times)
    return is_near and (error.pid == death.pid if error.pid and death.pid else bool(error.unit) and error.unit == death.unit)
