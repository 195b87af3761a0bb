"""A daemon that is killed between any two steps of a delivery: a real process, a real store, a real receiver."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from notify_scenes import AT, closed, incident, serving

from why502.watch.model import Batch, Severity, Transition
from why502.watch.notify.webhook.settings import Settings
from why502.watch.outbox import messages
from why502.watch.store import Store

pytestmark = pytest.mark.real

# Arguments: the store, the receiver's URL, where to be killed, and at which message.
DAEMON = """
import os, queue, signal, sys, threading
from datetime import UTC, datetime
from why502.watch import outbox
from why502.watch.delivery import StoreSource
from why502.watch.model import Batch
from why502.watch.notify.settings import receivers
from why502.watch.notify.webhook.settings import Settings
from why502.watch.store import Store

path, url, point, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
outbox.SPACING_S = 0.01
passed = 0

def reached(here):
    global passed
    if here == point:
        passed += 1
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)

store, done, stop = Store.open(path), queue.Queue(), threading.Event()

def put(message):
    reached("answered")
    done.put(message)

(receiver,) = receivers((Settings(name="ops", url=url),))
send = receiver.send
def sending(notice):
    reached("sending")
    return send(notice)
receiver.send = sending
around = outbox.Surroundings(source=StoreSource(store), put=put)
thread = threading.Thread(target=outbox.Outbox([receiver], around).run, args=(stop,))
thread.start()
while store.pending("ops", outbox.EVERYTHING):
    batch = Batch(at=datetime.now(UTC), messages=[done.get(timeout=20)])
    while not done.empty():
        batch.messages.append(done.get())
    reached("committing")
    store.commit(batch)
    reached("committed")
stop.set()
thread.join()
store.close()
"""


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("point", ["sending", "answered", "committing", "committed"])
def test_each_transition_is_sent_once_or_again_with_the_same_key_if_its_answer_was_lost(
    tmp_path: Path, point: str, number: int
) -> None:
    settings = [Settings(name="ops", url="http://127.0.0.1:9")]
    store = Store.open(tmp_path / "watch.db")
    expected = []
    for count in range(5):
        one = incident(id=f"I{count}")
        sent = messages(one, Transition.OPENED, 1, settings, AT + timedelta(seconds=count))
        store.commit(Batch(at=AT, incidents=[one], messages=list(sent)))
        expected += [message.key for message in sent]
    store.close()
    with serving() as server:
        command = [sys.executable, "-c", DAEMON, str(tmp_path / "watch.db"), server.url]
        killed = subprocess.run([*command, point, str(number)], timeout=60, check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        answered = {received.json["key"] for received in server.received}
        left = Store.open(tmp_path / "watch.db")
        lost = answered & {message.key for message in left.pending("ops", AT + timedelta(days=1))}
        left.close()
        subprocess.run([*command, "", "0"], timeout=60, check=True)
        counts = Counter(received.json["key"] for received in server.received)
    assert counts == {key: 2 if key in lost else 1 for key in expected}
    if point in ("answered", "committing"):
        assert lost
    with_store = Store.open(tmp_path / "watch.db")
    assert with_store.pending("ops", AT + timedelta(days=1)) == []
    assert with_store.totals().deliveries == {("ops", "sent"): 5}
    with_store.close()


def test_what_is_settled_without_being_sent_is_not_counted_as_sent(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "watch.db")
    one = closed(incident(severity=Severity.PAGE))
    (message,) = messages(one, Transition.RESOLVED, 2, [Settings(name="ops", url="http://127.0.0.1:9")], AT)
    store.commit(Batch(at=AT, incidents=[one], messages=[message]))
    store.commit(Batch(at=AT, messages=[msgspec.structs.replace(message, sent_at=AT, error="silenced")]))
    assert store.pending("ops", AT + timedelta(days=1)) == []
    assert store.totals().deliveries == {}
    store.close()
