"""Sends the state of all incidents to one Alertmanager every minute, so that nothing can be lost.

Facts of Alertmanager's source (dispatch, provider/mem, types.Alert.Merge): the labels are the identity of an alert; of a firing
alert the later end counts, so that no end may be far away; an alert that is not sent again ends by itself; nothing is kept over a
restart of Alertmanager, so that the end of an alert is repeated too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from why502.model.base import Value, encode
from why502.watch.model import Incident
from why502.watch.notify.alert import Labels, annotations_of, labels_of
from why502.watch.notify.alertmanager.settings import Settings
from why502.watch.notify.base import Notice
from why502.watch.notify.http import post

LASTS = timedelta(minutes=4)  # of an alert that is not sent again
REPEATED = timedelta(minutes=15)  # how long the end of an alert is sent, as Prometheus does
TOLERATED = timedelta(seconds=30)  # between the clock of Alertmanager and ours
MOST = 1000  # alerts in one request

Identity = tuple[tuple[str, str], ...]


def make(settings: Settings) -> tuple[Alertmanager, ...]:
    """Return one receiver for each Alertmanager: a slow one delays no other."""
    return tuple(Alertmanager(settings, url) for url in settings.urls)


class Alert(Value, frozen=True, kw_only=True, rename="camel"):
    """An alert as the API takes it."""

    labels: Labels
    annotations: Labels
    starts_at: datetime
    ends_at: datetime
    generator_url: str = msgspec.field(name="generatorURL", default="")


class Alertmanager:
    """One Alertmanager, and what it was told."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.name = settings.name if len(settings.urls) == 1 else f"{settings.name} at {urlsplit(url).netloc}"
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._ahead = timedelta()  # how far the clock of Alertmanager is ahead of ours
        self._remembers = False  # what was sent before: not what an earlier process sent
        self._firing: dict[Identity, Notice] = {}
        self._ended: dict[Identity, tuple[Notice, datetime]] = {}

    def prepare(self, notices: Sequence[Notice], held: Container[str], at: datetime) -> object:
        """Take the incidents that are open or ended a short while ago. Of those `held` (by id) nothing is sent, unless it was
        before. Return a value that differs if Alertmanager should be told now.
        """
        announced = {notice.incident.id for notice in self._firing.values()}
        firing: dict[Identity, Notice] = {}
        ended: dict[Identity, tuple[Notice, datetime]] = {}
        for notice in notices:
            incident = notice.incident
            if incident.id in held and incident.id not in announced:
                continue
            if incident.closed_at is None:
                firing[_identity(incident)] = notice
            else:
                ended[_identity(incident)] = notice, incident.closed_at
            for earlier, until in () if self._remembers else _earlier(incident):
                ended.setdefault(_identity(earlier), (_of(notice, earlier), until))
        newest = {notice.incident.id: notice for notice in notices}
        for identity, notice in self._firing.items():  # those that have other labels now
            ended.setdefault(identity, (_of(newest.get(notice.incident.id, notice), notice.incident), at))
        self._remembers = True
        self._firing = firing
        self._ended = {
            identity: one
            for identity, one in {**ended, **self._ended}.items()
            if identity not in firing and at - one[1] <= REPEATED
        }
        return frozenset(self._firing), frozenset(self._ended)

    def repeat(self, at: datetime) -> None:
        """Send what was prepared, a second time if it shows that the clocks differ. Raises Undelivered."""
        ahead = self._ahead
        self._post(at)
        if abs(self._ahead - ahead) > TOLERATED:
            self._post(at)

    def _post(self, at: datetime) -> None:
        """Send everything. Its ends are by the clock of Alertmanager: for a clock that is behind, an alert would be over before
        it arrives, and nobody would be told.
        """
        alerts = [_alert(notice, at + LASTS + self._ahead) for notice in self._firing.values()]
        alerts += [_alert(notice, until + self._ahead) for notice, until in self._ended.values()]
        alerts.sort(key=lambda one: (one.labels["incident"], one.ends_at))  # what ends and what begins go together
        for start in range(0, len(alerts), MOST):
            answer = post(self._url, encode(alerts[start : start + MOST]), {}, self.settings)
            ahead = answer.sent_at - at if answer.sent_at else timedelta()
            self._ahead = ahead if abs(ahead) > TOLERATED else timedelta()

    def try_once(self, notice: Notice) -> str:
        """Send one alert that ends by itself after a minute. Return "". Raises Undelivered."""
        post(self._url, encode([_alert(notice, notice.at + timedelta(minutes=1))]), {}, self.settings)
        return ""


def _identity(incident: Incident) -> Identity:
    return tuple(sorted(labels_of(incident).items()))


def _earlier(incident: Incident) -> Iterator[tuple[Incident, datetime]]:
    """Yield the incident as it was before each later diagnosis, and the time of that."""
    for count, later in enumerate(incident.diagnosed[1:], start=1):
        earlier = msgspec.structs.replace(incident, diagnosed=incident.diagnosed[:count])
        if (earlier.cause, earlier.fault_domain) != (incident.cause, incident.fault_domain):
            yield earlier, later.at


def _of(notice: Notice, incident: Incident) -> Notice:
    return dataclasses.replace(notice, incident=incident)


def _alert(notice: Notice, ends_at: datetime) -> Alert:
    incident = notice.incident
    return Alert(
        labels=labels_of(incident),
        annotations=annotations_of(notice),
        starts_at=min(incident.opened_at, ends_at),
        ends_at=ends_at,
        generator_url=notice.link,
    )
