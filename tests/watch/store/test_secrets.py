"""W47: nothing secret is in the file, whatever brought it there."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from observing import MINUTE, NOW, incident
from values import of

from why502 import bundle
from why502.model.finding import Evidence, Finding, Layer
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.model import (
    AttemptKey,
    Batch,
    Change,
    ChangeKind,
    CheckResult,
    Diagnosed,
    FailureKey,
    Incident,
    Limit,
    LimitKind,
    Member,
    Message,
    Observed,
    Occasion,
    Proposal,
    RequestKey,
    Step,
    Transition,
)
from why502.watch.store import Store, values

SECRET = "s3cr3tT0kenValue99"
TEXT = f"GET /login?password={SECRET}&x=1 from 10.0.0.1"


def everything() -> Batch:
    """Return a batch with a secret in every text that can hold one."""
    finding = Finding(
        cause="wrong-port",
        layer=Layer.PROXY,
        confidence=0.9,
        message=TEXT,
        evidence=(Evidence(message=TEXT, weight=1, source=TEXT),),
    )
    change = Change(kind=ChangeKind.UNIT, subject=TEXT, at=NOW, detail=TEXT, paths=(TEXT,), units=(TEXT,))
    peer = Target(host="127.0.0.1", port=3001)
    check = CheckResult(proxy="nginx", group="app", peer=peer, at=NOW, reason=TEXT)
    one = incident(
        target=TEXT,
        location=TEXT,
        closing=TEXT,
        locations=(TEXT,),
        targets=(TEXT,),
        diagnosed=(Diagnosed(at=NOW, occasion=Occasion.OPENED, finding=finding, reason=TEXT),),
        proposal=Proposal(summary=TEXT, diff=f"-password {SECRET};\n+password {SECRET};\n", command=TEXT, test=TEXT),
        changes=(change,),
        timeline=(Step(at=NOW, message=TEXT),),
        labels={"token": SECRET, "team": TEXT},
    )
    message = Message(key="i1.1", receiver="mail", transition=Transition.OPENED, incident=one, made_at=NOW, error=TEXT)
    seen = Observed(
        log="/var/log/nginx/access.log",
        proxy="nginx",
        requests=Counter({(MINUTE, RequestKey("nginx", TEXT, "502")): 1}),
        failures=Counter({(MINUTE, FailureKey("nginx", TEXT, TEXT, "refused")): 1}),
        attempts=Counter({(MINUTE, AttemptKey("nginx", TEXT, "refused")): 1}),
        reason=TEXT,
    )
    return Batch(
        at=NOW,
        observed=[seen],
        members=[Member(proxy="nginx", group="app", peer=peer, last=check)],
        changes=[change],
        limits=[Limit(kind=LimitKind.MEMORY, subject=TEXT, at=NOW, used=1, limit=2)],
        incidents=[one],
        messages=[message],
        bundles={"i1": bundle.save(Snapshot(taken_at=NOW, host=TEXT))},
    )


def test_no_secret_is_in_the_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "watch.db") as store:
        store.commit(everything())
        texts = [
            msgspec.json.encode(one)
            for one in (*store.incidents(), *store.pending("mail", NOW), *store.changes(), *store.limits())
        ]
        assert len(texts) == 4
        assert not [text for text in texts if SECRET.encode() in text]
        assert b"/login?password=[removed]" in texts[0]
        totals = store.totals()
        keys = [str(key) for found in (totals.requests, totals.failures, totals.attempts) for key in found]
        assert len(keys) == 3 and not [key for key in keys if SECRET in key]
        raw = b"".join(found.read_bytes() for found in sorted(tmp_path.iterdir()))
    assert SECRET.encode() not in raw
    assert SECRET.lower().encode() not in raw


def test_what_why502_compares_stays_exact(tmp_path: Path) -> None:
    exact = incident("01JDCQ7W3K9F4Z2X8Y6V5T4S3R", key=f"v1:{'9f8e7d6c' * 8}", earlier="01JDCQ7W3K9F4Z2X8Y6V5T4S3Q")
    message = Message(
        key=f"{exact.id}.1",
        receiver="password=mail",
        transition=Transition.OPENED,
        incident=exact,
        made_at=NOW,
        thread="token=1732330000.1",
    )
    assert values.unpack(values.pack(exact), Incident) == exact
    assert values.unpack(values.pack(message), Message) == message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(of(Incident))
def test_every_incident_is_read_as_it_was_written(one: Incident) -> None:
    again = values.unpack(values.pack(one), Incident)
    assert (again.id, again.key, again.failures, again.opened_at) == (one.id, one.key, one.failures, one.opened_at)
    assert values.pack(again) == values.pack(one)
    assert again.opened_at <= datetime.max.replace(tzinfo=UTC)
