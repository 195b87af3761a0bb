"""The stock for the metrics: certificates are no limits that fill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from why502.host.local import LocalHost
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.limits.sampler import Sampler
from why502.watch.metrics.view import Certificate, Role
from why502.watch.model import Batch, CheckResult, Limit, LimitKind, Member, Severity
from why502.watch.stock import Own, metrics_view
from why502.watch.store import Store

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
ENDS = NOW + timedelta(days=9)


def test_certificates_of_listeners_and_members_are_shown_by_their_end(tmp_path):
    peer = Target(host="10.0.0.5", port=443)
    limits = [
        Limit(kind=LimitKind.CERTIFICATE, subject="front shop.example", at=NOW, used=1, limit=10, exhausted_at=ENDS),
        Limit(kind=LimitKind.CERTIFICATE, subject=f"upstream {peer}", at=NOW, used=1, limit=10, exhausted_at=NOW),
        Limit(kind=LimitKind.MEMORY, subject="app.service", at=NOW, used=1, limit=10),
    ]
    last = CheckResult(proxy="nginx", group="app", peer=peer, at=NOW, certificate_ends_at=ENDS)
    store = Store.open(tmp_path / "watch.sqlite")
    try:
        store.commit(Batch(at=NOW, limits=limits))
        own = Own(host="web1", snapshot=Snapshot(taken_at=NOW))
        view = metrics_view(store, own, (Member(proxy="nginx", group="app", peer=peer, last=last),), lambda: NOW)
    finally:
        store.close()
    assert [limit.kind for limit in view.limits] == [LimitKind.MEMORY]
    assert view.certificates == [
        Certificate(role=Role.FRONT, name="shop.example", ends_at=ENDS),
        Certificate(role=Role.UPSTREAM, name=str(peer), ends_at=ENDS),  # the newer of the two
    ]


def test_forecasts_go_on_from_the_samples_of_before_a_restart(tmp_path):
    """Three hours of a leak that takes four; the process that leaks started then, another ran before."""
    began = NOW - timedelta(hours=3)
    store = Store.open(tmp_path / "watch.sqlite")
    try:
        for minute in range(-60, 181):
            at = began + timedelta(minutes=minute)
            since = began if minute >= 0 else began - timedelta(days=1)
            used = minute / 240 if minute >= 0 else 0.9
            limit = Limit(kind=LimitKind.MEMORY, subject="app.service", at=at, used=used, limit=1.0, since=since)
            store.commit(Batch(at=at, limits=[limit]))
        history = store.limit_history(NOW - timedelta(days=1))
    finally:
        store.close()
    assert [one.at for one in history] == sorted(one.at for one in history)
    assert (history[0].used, history[0].at) == (0.0, began)
    assert len(history) == 37
    told = []
    sampler = Sampler(LocalHost(), Snapshot(taken_at=NOW), told.append, history=history)
    now = [
        Limit(
            kind=LimitKind.MEMORY,
            subject="app.service",
            at=NOW + timedelta(minutes=n),
            used=(180 + n) / 240,
            limit=1.0,
            since=began,
        )
        for n in (1, 17)
    ]
    assert [sampler.forecast(one).severity for one in now] == [None, Severity.PAGE]
