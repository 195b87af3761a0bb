"""Cause: the interface of a cause. Each file in `causes/` defines one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from why502.deployment.rule import Rule
from why502.diagnosis.case import Case
from why502.model.base import Value
from why502.model.finding import Evidence, Layer
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.target import Target, Transport


def nothing(_: object) -> Iterator[object]:
    """Yield nothing."""
    return iter(())


def nowhere(_: object) -> None:
    """Return None: there is no target to name."""


def silent(_: object) -> str:
    """Return "": there is nothing to name."""
    return ""


class Cause(Value, frozen=True, kw_only=True):
    """One cause.

    `symptoms` maps each symptom that this cause produces to the weight (log-odds) that the symptom alone lends to it: the engine
    adds that evidence by itself, and `explain` ranks the candidates of one line by it. `examine` yields what else speaks for and
    against. `explains`: causes that are only its effect, or its general name, where it holds for the same target; while it could
    not be looked for, they stay doubtful. `outranks`: causes that it leads where both hold, and that need no look for it.
    `sums_members`: it says of a group what its members say themselves, and yields where the same cause keeps each of them from
    it. `needs`: the sections of a machine's snapshot without which it cannot be seen; an effect of it is no certainty without
    them. `transport`: the only kind of address that it concerns; None for both. `protocol`: the only protocol that it concerns.
    `commonest_for`: symptoms whose commonest reason it is where that protocol is spoken. `stands_apart`: where no target is known
    to fail, it is a fault of its own beside those of targets. `is_fixed_while_ongoing`: nothing is changed for it once the
    failures are over. `may_be_refusal`: a configuration that the proxy refuses may be behind it; `is_refusal`: it is just that.
    `is_disproved_by_404`: a plan for it has not helped where the backend then misses the script. `lingers_s`: how long failures
    may go on after it was fixed, in seconds. `foresee` are the rules that find this cause in a configuration before it happens.
    `is_of_answers`: it is about what the application itself answers, so it goes on for as long as clients get its errors.
    `headline` says it of one {target} behind the {proxy}; the best of the evidence is added to it. `tell` says all of it in one
    sentence of its own, naming what differs (ports, sizes, users); "" where it cannot. `aim`: the target of failures whose log
    names none.
    """

    id: str
    layer: Layer
    message: str
    headline: str = ""
    is_of_answers: bool = False
    symptoms: Mapping[Symptom, float] = {}
    explains: frozenset[str] = frozenset()
    outranks: frozenset[str] = frozenset()
    sums_members: bool = False
    transport: Transport | None = None
    protocol: str = ""
    commonest_for: frozenset[Symptom] = frozenset()
    stands_apart: bool = False
    is_fixed_while_ongoing: bool = False
    may_be_refusal: bool = False
    is_refusal: bool = False
    is_disproved_by_404: bool = False
    lingers_s: float = 0.0
    needs: frozenset[str] = frozenset()
    examine: Callable[[Case], Iterator[Evidence]] = nothing  # type: ignore[assignment]
    foresee: tuple[Rule, ...] = ()
    remedies: Callable[[Case], Iterator[Remedy]] = nothing  # type: ignore[assignment]
    tell: Callable[[Case], str] = silent
    aim: Callable[[Case], Target | None] = nowhere
