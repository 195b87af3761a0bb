"""The store: what is committed is there again, once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from observing import ATTEMPT, FAILURE, LOG, MINUTE, NOW, PEER, REQUEST, incident, observed

from why502.model.errors import Why502Error
from why502.watch.model import Batch, Message, Transition
from why502.watch.store import Counted, Ring, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.db"


def test_what_was_committed_is_there_after_opening_it_again(path: Path) -> None:
    store = Store.open(path)
    store.commit(Batch(at=NOW, observed=[observed(2)], incidents=[incident()], bundles={"i1": b"bundle"}))
    store.commit(Batch(at=NOW + timedelta(seconds=1), observed=[observed(3, offset=200)]))
    before = store.totals()
    store.close()
    store = Store.open(path)
    assert store.totals() == before
    assert before.requests == {REQUEST: 5}
    assert before.failures == {FAILURE: 5}
    assert before.attempts == {ATTEMPT: 5}
    assert before.recovered == {PEER: 5}
    assert sum(before.durations[PEER].counts) == 5
    assert before.logs[LOG].lines == 5
    assert store.checkpoints()[LOG].files[0].offset == 200
    assert store.counts(Counted.FAILURES, MINUTE, MINUTE + 1) == {(MINUTE, FAILURE): 5}
    hour = MINUTE - MINUTE % 60
    assert store.counts(Counted.FAILURES, MINUTE, MINUTE + 1, Ring.HOUR) == {(hour, FAILURE): 5}
    assert sum(store.durations(MINUTE, MINUTE + 1)[MINUTE, PEER].values()) == 5
    assert store.incident("i1") == incident()
    assert store.bundle("i1") == b"bundle"
    store.close()


def test_another_process_reads_it_meanwhile(path: Path) -> None:
    store = Store.open(path)
    store.commit(Batch(at=NOW, observed=[observed()], incidents=[incident()]))
    reader = Store.open(path, read_only=True)
    store.commit(Batch(at=NOW, observed=[observed(2)]))
    assert reader.totals() == store.totals()
    assert reader.incidents(is_open=True) == [incident()]
    reader.close()
    store.close()


def test_a_message_waits_until_it_is_sent(path: Path) -> None:
    store = Store.open(path)
    message = Message(key="i1.1", receiver="mail", transition=Transition.OPENED, incident=incident(), made_at=NOW)
    later = Message(
        key="i1.1",
        receiver="mail",
        transition=Transition.OPENED,
        incident=incident(),
        made_at=NOW,
        tries=1,
        next_try_at=NOW + timedelta(seconds=5),
        error="refused",
    )
    store.commit(Batch(at=NOW, messages=[message]))
    assert store.pending("mail", NOW) == [message]
    assert store.pending("slack", NOW) == []
    store.commit(Batch(at=NOW, messages=[later]))
    assert store.pending("mail", NOW) == []
    assert store.pending("mail", NOW + timedelta(seconds=5)) == [later]
    assert store.totals().pending == {("mail", "i1.1")}
    sent = Message(
        key="i1.1",
        receiver="mail",
        transition=Transition.OPENED,
        incident=incident(),
        made_at=NOW,
        tries=2,
        sent_at=NOW + timedelta(seconds=6),
        thread="<1@web1>",
    )
    store.commit(Batch(at=NOW, messages=[sent]))
    assert store.pending("mail", NOW + timedelta(days=1)) == []
    assert store.sent("mail", "i1") == [sent]
    assert store.totals().deliveries == {("mail", "failed"): 1, ("mail", "sent"): 1}
    store.close()


def test_a_second_writer_is_refused_with_two_lines(path: Path) -> None:
    store = Store.open(path)
    with pytest.raises(Why502Error, match="is in use by another") as error:
        Store.open(path)
    assert error.value.hint
    store.close()
    Store.open(path).close()
