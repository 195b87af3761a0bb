"""Cause: the interface of a cause. Each file in `causes/` defines one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from why502.deployment.rule import Rule
from why502.diagnosis.case import Case
from why502.diagnosis.refused_route import Reason
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

    `symptoms`: the symptoms that this cause produces, each with the weight (log-odds) that it adds on its own. The engine adds
    this evidence itself, and `explain` ranks the candidates for one line by it.
    `examine`: yields the other evidence for and against.
    `explains`: the causes that are only its effect, or a more general name for it, if it holds for the same target. If it could
    not be checked, they stay doubtful.
    `outranks`: causes that rank below it if both hold. They do not become doubtful if it could not be checked.
    `sums_members`: it reports about a group what its members' own findings report. It also ranks lower if one cause keeps it
    from every member.
    `needs`: the sections of a machine's snapshot that are required to detect it. Without them its effects are not certain.
    `transport`: the only kind of address that it concerns; None for both.
    `protocol`: the only protocol that it concerns.
    `commonest_for`: symptoms for which it is the most common reason if that protocol is used.
    `stands_apart`: if no failing target is known, it is a separate fault besides those of targets.
    `is_fixed_while_ongoing`: no change is made for it after the failures have ended.
    `may_be_refusal`: the reason may be a configuration that the proxy rejects; `is_refusal`: this is the reason.
    `is_disproved_by_404`: a plan for it has not helped if the backend then does not find the script.
    `repeats_cut_off`: a fix for it is proved by requests that broke off or were late: each ended no more than one worker, or the
    reason is known to be outside of the application.
    `is_reached_by_load`: its fix raises a limit that only load reaches, so it is proved under that load, not by a request.
    `is_shown_by_handshake`: only the handshake of a WebSocket shows whether a fix for it helps.
    `lingers_s`: how long failures may continue after the fix, in seconds.
    `foresee`: the rules that find this cause in a configuration before it happens.
    `is_intended`: somebody configured the proxy to answer so; it wakes nobody.
    `answers`: it concerns routes whose clients are refused for one of these reasons; it is ongoing while they are.
    `headline`: one sentence about a {target} behind the {proxy}; the best of the evidence is added to it.
    `summarize`: the whole finding in one sentence of its own that names the difference (ports, sizes, users); "" if it has none.
    `aim`: the target of failures whose log names none.
    """

    id: str
    layer: Layer
    message: str
    headline: str = ""
    is_intended: bool = False
    answers: frozenset[Reason] = frozenset()
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
    repeats_cut_off: bool = False
    is_disproved_by_404: bool = False
    is_reached_by_load: bool = False
    is_shown_by_handshake: bool = False
    lingers_s: float = 0.0
    needs: frozenset[str] = frozenset()
    examine: Callable[[Case], Iterator[Evidence]] = nothing  # type: ignore[assignment]
    foresee: tuple[Rule, ...] = ()
    remedies: Callable[[Case], Iterator[Remedy]] = nothing  # type: ignore[assignment]
    summarize: Callable[[Case], str] = silent
    aim: Callable[[Case], Target | None] = nowhere
