"""Posts each transition to a URL: at least once, always with the same key."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import msgspec

from why502.model.base import Value, encode
from why502.watch.message import diff_lines, harmless, plain, tested, text
from why502.watch.model import Incident, Transition
from why502.watch.notify.alert import Labels, annotations_of, labels_of
from why502.watch.notify.base import Notice, secret
from why502.watch.notify.http import post, secret_url
from why502.watch.notify.webhook.settings import Form, Settings

SCHEMA = 1
_MOST = 50  # of a list
_NEVER = datetime(1, 1, 1, tzinfo=UTC)  # Go's zero time, which Alertmanager's webhooks have as the end of a firing alert


def make(settings: Settings) -> tuple[Webhook, ...]:
    """Return the receiver."""
    return (Webhook(settings),)


class Webhook:
    """One URL."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def send(self, notice: Notice) -> str:
        """Send one message. Return "": the incident's id is its thread. Raises Undelivered."""
        settings = self.settings
        url = secret_url(settings.url_file) if settings.url_file else settings.url
        body = encode(own(notice) if settings.form is Form.OWN else version_4(notice, settings.name))
        post(url, body, {"Idempotency-Key": f'"{notice.key}"', **self._signature(body, notice.at)}, settings)
        return ""

    def _signature(self, body: bytes, at: datetime) -> dict[str, str]:
        """Return the headers with the time and the HMAC-SHA256 of `time.body`: an old message cannot be sent again by others."""
        if not self.settings.secret_file:
            return {}
        sent_at = str(int(at.timestamp()))
        digest = hmac.new(secret(self.settings.secret_file).encode(), f"{sent_at}.".encode() + body, hashlib.sha256)
        return {"X-Why502-Timestamp": sent_at, "X-Why502-Signature": f"sha256={digest.hexdigest()}"}


class Item(Value, frozen=True, kw_only=True):
    """A piece of evidence."""

    message: str
    source: str


class Changed(Value, frozen=True, kw_only=True):
    """A change shortly before the incident."""

    kind: str
    subject: str
    at: datetime
    detail: str


class Fix(Value, frozen=True, kw_only=True):
    """The change that would fix it. `is_valid`: the gateway's own test of a copy; null if it was not run."""

    summary: str
    diff: str
    command: str
    is_valid: bool | None
    tested: str


class Body(Value, frozen=True, kw_only=True):
    """The form of our own. A field keeps its meaning within a schema number; new fields may come."""

    schema: int
    key: str
    keys: tuple[str, ...]
    transition: Transition
    transitions: tuple[Transition, ...]
    is_test: bool
    is_quiet: bool
    sent_at: datetime
    title: str
    text: str
    link: str
    incident: str
    host: str
    proxy: str
    target: str
    location: str
    targets: tuple[str, ...]
    locations: tuple[str, ...]
    severity: str
    symptom: str
    symptoms: dict[str, int]
    cause: str
    fault_domain: str
    confidence: float | None
    opened_at: datetime
    first_failure_at: datetime | None
    last_failure_at: datetime | None
    closed_at: datetime | None
    closing: str
    failures: int
    requests: int
    recovered: int
    evidence: tuple[Item, ...]
    fix: Fix | None
    changes: tuple[Changed, ...]
    caused_by: str
    labels: Labels


def own(notice: Notice) -> Body:
    """Return a notice in the form of our own."""
    incident, words = notice.incident, text(notice)
    finding = incident.finding
    return Body(
        schema=SCHEMA,
        key=notice.key,
        keys=notice.keys,
        transition=notice.transition,
        transitions=notice.transitions,
        is_test=notice.is_test,
        is_quiet=notice.is_quiet,
        sent_at=notice.at,
        title=words.title,
        text=plain(words),
        link=notice.link,
        incident=incident.id,
        host=harmless(incident.host),
        proxy=harmless(incident.proxy),
        target=harmless(incident.target),
        location=harmless(incident.location),
        targets=tuple(harmless(one) for one in incident.targets[:_MOST]),
        locations=tuple(harmless(one) for one in incident.locations[:_MOST]),
        severity=incident.severity.value,
        symptom=harmless(incident.symptom),
        symptoms={harmless(name): count for name, count in incident.symptoms.items()},
        cause=incident.cause,
        fault_domain=incident.fault_domain.value,
        confidence=finding.confidence if finding else None,
        opened_at=incident.opened_at,
        first_failure_at=incident.first_failure_at,
        last_failure_at=incident.last_failure_at,
        closed_at=incident.closed_at,
        closing=harmless(incident.closing),
        failures=incident.failures,
        requests=incident.requests,
        recovered=incident.recovered,
        evidence=tuple(Item(message=harmless(one.message), source=harmless(one.source)) for one in finding.evidence[:_MOST])
        if finding
        else (),
        fix=_fix(incident),
        changes=tuple(
            Changed(kind=one.kind.value, subject=harmless(one.subject), at=one.at, detail=harmless(one.detail))
            for one in incident.changes[:_MOST]
        ),
        caused_by=incident.caused_by,
        labels=labels_of(incident),
    )


def _fix(incident: Incident) -> Fix | None:
    proposal = incident.proposal
    if proposal is None:
        return None
    return Fix(
        summary=harmless(proposal.summary),
        diff="\n".join(diff_lines(proposal.diff)),
        command=harmless(proposal.command),
        is_valid=proposal.is_valid,
        tested=harmless(tested(proposal)),
    )


class Alert(Value, frozen=True, kw_only=True, rename="camel"):
    """One alert of version 4."""

    status: str
    labels: Labels
    annotations: Labels
    starts_at: datetime
    ends_at: datetime
    generator_url: str = msgspec.field(name="generatorURL")
    fingerprint: str


class Version4(Value, frozen=True, kw_only=True, rename="camel"):
    """The body of Alertmanager's webhooks (prometheus/alertmanager, template.Data and webhook.Message)."""

    version: str
    group_key: str
    truncated_alerts: int
    status: str
    receiver: str
    group_labels: Labels
    common_labels: Labels
    common_annotations: Labels
    external_url: str = msgspec.field(name="externalURL")
    alerts: tuple[Alert, ...]


def version_4(notice: Notice, receiver: str) -> Version4:
    """Return a notice in the form of Alertmanager's webhooks: one group with one alert."""
    incident = notice.incident
    status = "firing" if incident.is_open else "resolved"
    group = {"incident": incident.id}
    named = labels_of(incident)
    words = {**annotations_of(notice), "key": notice.key, "transition": notice.transition.value}
    alert = Alert(
        status=status,
        labels=named,
        annotations=words,
        starts_at=incident.opened_at,
        ends_at=incident.closed_at or _NEVER,
        generator_url=notice.link,
        fingerprint=hashlib.sha256(incident.id.encode()).hexdigest()[:16],
    )
    return Version4(
        version="4",
        group_key=f'{{}}:{{incident="{incident.id}"}}',
        truncated_alerts=0,
        status=status,
        receiver=receiver,
        group_labels=group,
        common_labels=named,
        common_annotations=words,
        external_url=notice.link,
        alerts=(alert,),
    )
