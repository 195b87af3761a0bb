"""One file for each cause that reasons, in a directory for each layer, and a table of those with exactly one explanation.

CAUSES holds them all by id, PAGES their documentation (the docstring of the file, the text of the row).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import lru_cache
from types import ModuleType

from why502 import registry
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes.of_one_symptom import ROWS
from why502.model.cause_page import items
from why502.model.finding import FAIR
from why502.model.logs import Symptom
from why502.model.patterns import lazy


def _find() -> dict[str, ModuleType]:
    """Return every module below this directory that has a CAUSE, by the cause's id."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(__path__, f"{__name__}.")]
    return {module.CAUSE.id: module for module in sorted(modules, key=lambda module: module.__name__) if hasattr(module, "CAUSE")}


_MODULES = _find()
_ROWS = {cause.id: (cause, page) for cause, page in ROWS}
_ROWS |= {name: (module.CAUSE, module.__doc__ or "") for name, module in _MODULES.items()}
CAUSES: dict[str, Cause] = {name: cause for name, (cause, _) in sorted(_ROWS.items())}
EXPLAINED_BY: dict[str, frozenset[str]] = {
    name: frozenset(cause.id for cause in CAUSES.values() if name in cause.explains) for name in CAUSES
}
OUTRANKED_BY: dict[str, frozenset[str]] = {
    name: frozenset(cause.id for cause in CAUSES.values() if name in cause.outranks) for name in CAUSES
}
_PRODUCT = lazy(rf"({'|'.join(registry.products('why502.gateways'))}): ", re.IGNORECASE)
PAGES: dict[str, str] = {name: page for name, (_, page) in sorted(_ROWS.items())}


@lru_cache(256)
def usual(symptom: Symptom) -> tuple[tuple[str, float], ...]:
    """Return the causes that a symptom points to, each with its weight (log-odds), the likeliest first."""
    found = [(name, cause.symptoms[symptom]) for name, cause in CAUSES.items() if symptom in cause.symptoms]
    return tuple(sorted(found, key=lambda each: (-each[1], each[0])))


@lru_cache(4096)
def weight(cause: str, symptom: Symptom, named: str = "") -> float:
    """Return the log-odds that a symptom adds for a cause; 0 if it adds none.

    `named` is the cause that the line itself names. If the symptom usually has another cause, the line decides: the named cause
    gets the weight of the usual one, and the symptom alone makes no other cause likely.
    """
    found = usual(symptom)
    own = dict(found).get(cause, 0.0)
    if named not in CAUSES or not found:
        return own
    best = found[0][1]
    if dict(found).get(named, 0.0) == best and (len(found) == 1 or found[1][1] < best):
        return own
    return best if cause == named else min(own, FAIR)


def section(cause: str, title: str) -> tuple[str, ...]:
    """Return the items of one section of a cause's page ("Fix", "Confirm"), each on one line; () if it has none."""
    return items(PAGES.get(cause, ""), title)


def fixes(cause: str, kind: str) -> tuple[str, ...]:
    """Return what a cause's page says about its fix for a kind of gateway, each on one line; for "" all of it.

    An item that begins with a gateway's name ("nginx: …") says in that one's words what the item before it says in general.
    """
    every = section(cause, "Fix")
    if not kind:
        return every
    found: list[str] = []
    for item in every:
        named = _PRODUCT.match(item)
        if named is None:
            found.append(item)
        elif named[1].lower() == kind:
            words = item[named.end() :]
            found[-1:] = [f"{found[-1]} {words[0].upper()}{words[1:]}"]
    return tuple(found)
