"""An incident as an alert of Alertmanager: labels, which are its identity, and annotations, which are its words."""

from __future__ import annotations

from why502.model.finding import Layer
from why502.model.patterns import lazy
from why502.watch.message import harmless, plain, tested, text
from why502.watch.model import Incident
from why502.watch.notify.base import Field, Notice

NAME = "Why502Incident"
_LABEL = 200  # characters of a value
_DESCRIPTION = 16 << 10
_NAME = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_OWN = ("alertname", "incident", *Field)

Labels = dict[str, str]


def labels_of(incident: Incident) -> Labels:
    """Return the labels of an incident, without empty ones, which are equal to missing ones.

    No number, time, path of a request or confidence: whatever changes while an alert lasts would make it another alert.
    """
    fault_domain = incident.fault_domain
    values = {
        **{name: value for name, value in incident.labels.items() if _NAME.fullmatch(name) and name not in _OWN},
        "alertname": NAME,
        "host": incident.host,
        "proxy": incident.proxy,
        "cause": incident.cause,
        "fault_domain": "" if fault_domain is Layer.NONE else fault_domain.value,
        "target": incident.target,
        "location": incident.location,
        "severity": incident.severity.value,
        "incident": incident.id,
    }
    return {name: harmless(value, _LABEL) for name, value in values.items() if value}


def annotations_of(notice: Notice) -> Labels:
    """Return the words of an incident."""
    words = text(notice)
    description = plain(words)
    proposal = notice.incident.proposal
    found = {
        "summary": words.title,
        "description": description if len(description) <= _DESCRIPTION else f"{description[: _DESCRIPTION - 1]}…",
        "fix": harmless(f"{proposal.summary}. {tested(proposal)}".strip()) if proposal else "",
        "caused_by": harmless(notice.incident.caused_by, _LABEL),
        "link": notice.link,
    }
    return {name: value for name, value in found.items() if value}
