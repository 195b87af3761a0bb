"""The cause that a symptom usually has.

The report of `why502 logs` names it. Importing all causes takes longer than reading a small log, so `scripts/pages` writes
what the report needs from them to `usual_causes.json`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from why502.logs.scan.cause_rows import Meaning
from why502.model.base import Value
from why502.model.logs import Symptom

PATH = Path(__file__).with_suffix(".json")
SURE = 4.0  # least weight of a symptom for a cause to be named


class Table(Value, frozen=True):
    """The message and fault domain of each cause by its id, and the id of the cause that each symptom usually has."""

    causes: dict[str, tuple[str, str]]
    symptoms: dict[str, str]

    def meaning(self, symptom: str, cause: str) -> Meaning:
        """Return the meaning of a symptom: the cause that its line names, or else the usual one."""
        name = cause if cause in self.causes else self.symptoms.get(symptom, "")
        if name:
            return Meaning(name, *self.causes[name])
        is_bare = symptom == Symptom.GATEWAY_STATUS
        return Meaning(message="the access log alone does not show the reason; the error log does" if is_bare else "")


def text() -> str:
    """Return the table as its file must hold it. A symptom has the cause with the largest weight, if that is at least SURE."""
    from why502.diagnosis.causes import CAUSES, usual
    from why502.render.words import FAULT_DOMAINS

    likely = {symptom.value: [name for name, weight in usual(symptom) if weight >= SURE] for symptom in Symptom}
    found = Table(
        causes={name: (cause.message, FAULT_DOMAINS[cause.layer]) for name, cause in CAUSES.items()},
        symptoms={symptom: names[0] for symptom, names in likely.items() if names},
    )
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"


@lru_cache(1)
def table() -> Table:
    """Return the table."""
    return msgspec.json.decode(PATH.read_bytes(), type=Table)
