"""What an explanation needs of the causes.

Importing all causes takes longer than everything else that `why502 explain` does, so `scripts/pages` writes it to `known.json`.
A file that does not match the program any more can be replaced by `{}` before that.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from why502.model.base import Value
from why502.model.cause_page import items
from why502.model.finding import Layer
from why502.model.logs import Symptom
from why502.model.target import Transport

PATH = Path(__file__).with_suffix(".json")


class Known(Value, frozen=True, kw_only=True):
    """One cause: see `diagnosis.cause.Cause`. `page`: its documentation; `explained_by`: the causes of which it is an effect."""

    layer: Layer
    message: str
    symptoms: dict[Symptom, float] = {}
    transport: Transport | None = None
    protocol: str = ""
    commonest_for: tuple[Symptom, ...] = ()
    explained_by: tuple[str, ...] = ()
    page: str = ""


def text() -> str:
    """Return the table as its file must hold it."""
    from why502.diagnosis.causes import CAUSES, EXPLAINED_BY, PAGES

    found = {
        name: Known(
            layer=cause.layer,
            message=cause.message,
            symptoms=dict(cause.symptoms),
            transport=cause.transport,
            protocol=cause.protocol,
            commonest_for=tuple(sorted(cause.commonest_for)),
            explained_by=tuple(sorted(EXPLAINED_BY[name])),
            page=PAGES[name],
        )
        for name, cause in CAUSES.items()
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"


CAUSES: dict[str, Known] = msgspec.json.decode(PATH.read_bytes(), type=dict[str, Known])


@lru_cache(256)
def usual(symptom: Symptom) -> tuple[tuple[str, float], ...]:
    """Return the causes that a symptom points to, each with its weight (log-odds), the likeliest first."""
    found = [(name, cause.symptoms[symptom]) for name, cause in CAUSES.items() if symptom in cause.symptoms]
    return tuple(sorted(found, key=lambda each: (-each[1], each[0])))


def section(cause: str, title: str) -> tuple[str, ...]:
    """Return the items of one section of a cause's page ("Fix", "Confirm"), each on one line; () if it has none."""
    return items(CAUSES[cause].page, title) if cause in CAUSES else ()
