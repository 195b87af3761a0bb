"""What `why502 explain` makes of a front's log, without its configuration and without a probe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from why502.explanation import explain
from why502.lab.gateways.scenes import Scene
from why502.model.explanation import Kind

SURE = 0.8
_MOST_LINES = 400


@dataclass(frozen=True, slots=True)
class Reading:
    """`first`: the best cause of the most telling line. `candidates`: those of all lines; `sure`: those it is sure of."""

    first: str = ""
    candidates: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()

    def is_first(self, scene: Scene) -> bool:
        """Return whether the best cause is a right one."""
        return self.first in scene.causes

    def has(self, scene: Scene) -> bool:
        """Return whether a right cause is among the candidates: a status alone has many."""
        return bool(self.candidates & {*scene.causes})

    def wrong(self, scene: Scene) -> frozenset[str]:
        """Return the causes that it is sure of, and that are wrong."""
        return self.sure - {*scene.causes, *scene.also}


def read(texts: Iterable[str]) -> Reading:
    """Return what the lines of a front's logs say, each on its own."""
    first, best = "", 0.0
    candidates, sure = set[str](), set[str]()
    for line in [line for text in texts for line in text.splitlines()][-_MOST_LINES:]:
        found = explain(line)
        if found.kind is not Kind.LOG_LINE or not found.candidates:
            continue
        candidates |= {each.cause for each in found.candidates}
        sure |= {each.cause for each in found.candidates if each.confidence >= SURE}
        if found.candidates[0].confidence > best:
            first, best = found.candidates[0].cause, found.candidates[0].confidence
    return Reading(first, frozenset(candidates), frozenset(sure))
