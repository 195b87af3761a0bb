"""Inhibit rules of Alertmanager, from what the causes know about each other."""

from __future__ import annotations

from why502.diagnosis.causes import CAUSES
from why502.generate.observability.rules import BURN_RATES, templates


def alertmanager() -> str:
    """Return an Alertmanager configuration: an example of routing, and the inhibit rules.

    A root cause mutes the causes that it `explains` on the same target, but only while it pages itself: a ticket must not
    silence a page.
    """
    causes = [(cause.id, sorted(cause.explains)) for cause in CAUSES.values() if cause.explains]
    budgets = [burn.alert for burn in BURN_RATES]
    return templates().get_template("alertmanager.yml").render(causes=causes, budgets=budgets)
