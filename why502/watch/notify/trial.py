"""Sends a test message to receivers: `why502 watch test-notify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.model.errors import Why502Error
from why502.model.finding import Finding, Layer, supports
from why502.model.target import Target
from why502.watch.model import Change, ChangeKind, Diagnosed, Incident, Occasion, Proposal, Transition
from why502.watch.notify.base import Notice, Receiver, Repeater, Undelivered


@dataclass(slots=True, frozen=True)
class Trial:
    """What came of a test message. `reason`: why it was not taken, "" if it was."""

    receiver: str
    reason: str = ""


def name_of(receiver: Receiver | Repeater) -> str:
    """Return the name of a receiver."""
    return receiver.name if isinstance(receiver, Repeater) else receiver.settings.name


def chosen(receivers: Sequence[Receiver | Repeater], name: str | None) -> tuple[Receiver | Repeater, ...]:
    """Return the receivers of a name in the settings, all for None. Raises Why502Error."""
    found = tuple(one for one in receivers if name in (None, one.settings.name))
    if not found:
        known = ", ".join(dict.fromkeys(one.settings.name for one in receivers)) or "none"
        raise Why502Error(
            f"no receiver {f'has the name {name}' if name else 'is configured'}", f"Receivers in the settings: {known}."
        )
    return found


def try_receivers(receivers: Sequence[Receiver | Repeater], host: str, at: datetime) -> tuple[Trial, ...]:
    """Send an example of a message, marked as a test, to each receiver. Return what came of it."""
    return tuple(_tried(one, _notice(host, at)) for one in receivers)


def _tried(receiver: Receiver | Repeater, notice: Notice) -> Trial:
    try:
        if isinstance(receiver, Repeater):
            receiver.try_once(notice)
        else:
            receiver.send(notice)
    except Undelivered as error:
        return Trial(name_of(receiver), error.reason)
    return Trial(name_of(receiver))


def _notice(host: str, at: datetime) -> Notice:
    incident = _example(host, at)
    return Notice(
        key=f"{incident.id}.1",
        keys=(f"{incident.id}.1",),
        transitions=(Transition.OPENED,),
        incident=incident,
        at=at,
        is_test=True,
    )


def _example(host: str, at: datetime) -> Incident:
    """Return an incident as it could be."""
    finding = Finding(
        cause="wrong-port",
        layer=Layer.PROXY,
        confidence=0.95,
        message="nginx connects to 127.0.0.1:3001, where nothing listens; node (pid 10) listens on 127.0.0.1:3000",
        target=Target(host="127.0.0.1", port=3001),
        statuses=(502,),
        failures=6,
        evidence=(
            supports("node (pid 10) listens on 127.0.0.1:3000, which no route names", "ss -ltnp"),
            supports("connection refused 6 times, answered 502", "/var/log/nginx/error.log:1"),
        ),
    )
    return Incident(
        id=f"test-{at:%Y%m%dT%H%M%S}",
        key="test",
        host=host,
        proxy="nginx",
        symptom="connect-refused",
        opened_at=at,
        first_failure_at=at - timedelta(seconds=10),
        last_failure_at=at,
        target="127.0.0.1:3001",
        location="shop.example/",
        failures=6,
        requests=6,
        diagnosed=(Diagnosed(at=at, occasion=Occasion.OPENED, finding=finding),),
        proposal=Proposal(
            summary="let the proxy connect to port 3000, where node (pid 10) listens",
            diff="-    proxy_pass http://127.0.0.1:3001;\n+    proxy_pass http://127.0.0.1:3000;",
            command="why502 fix",
            is_valid=True,
            test="nginx -t",
        ),
        changes=(Change(kind=ChangeKind.RELOAD, subject="nginx", at=at - timedelta(seconds=40)),),
    )
