"""A fix, an undo, a resume, a mitigation and its end are killed, or lose power, at each of their mutating system calls.

Afterwards the file is the old or the new one, the configuration is valid, undo and resume restore the right bytes, and the
running
nginx agrees with the files. `make kill` tries every call; otherwise every k-th.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from mutations import Loss, killed
from sampled import few
from shop import Shop, stop

from why502.fix import journal, mitigations, places
from why502.fix.commands import Master
from why502.fix.plan import Plan
from why502.host.local import LocalHost
from why502.model.snapshot import Snapshot
from why502.session import fixing, mitigating
from why502.session.fixing import Work

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

EVERY = int(os.environ.get("WHY502_KILL_EVERY", "47"))
RESULTS = os.environ.get("WHY502_KILL_RESULTS", "")


class Scene:
    """A shop with the work to be killed, and its file's content before and after."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch, *, mitigation: bool) -> None:
        monkeypatch.setattr(places, "locks", lambda: shop.root / "locks")
        monkeypatch.setattr("why502.fix.schedule.begin", lambda entry, where: "nobody")
        monkeypatch.setattr("why502.fix.verify.AT_ONCE", 1)
        self.shop, self.host = shop, LocalHost()
        shop.status()
        self.snapshot: Snapshot = shop.snapshot()
        self.plan: Plan = mitigations.answer(self.snapshot, "/", "<p>soon</p>", "html", 503) if mitigation else shop.plan()
        self.ends = datetime.now(UTC) + timedelta(hours=1)
        self.reverts_at = self.ends if mitigation else None
        self.statuses = (502, 503 if mitigation else 200)

    def work(self, *, late: bool = False) -> Work:
        return Work(state=str(self.shop.state), now=lambda: self.ends + timedelta(hours=1) if late else datetime.now(UTC))

    def apply(self) -> None:
        assert self.plan.proxy
        proxy = msgspec.structs.replace(self.plan.proxy, pid=self.shop.pid())
        entry = fixing.repair(
            msgspec.structs.replace(self.plan, proxy=proxy), self.snapshot, self.host, self.work(), reverts_at=self.reverts_at
        )
        assert entry.phase == "kept"

    def undo(self) -> None:
        assert fixing.undo(self.host, self.work()).left == ()

    def undo_mitigation(self) -> None:
        assert mitigating.undo(None, self.host, self.work()).left == ()

    def resume(self) -> None:
        fixing.resume(self.host, self.work())

    def expire(self) -> None:
        assert mitigating.expire(self.host, self.work(late=True))

    def reset(self) -> None:
        """Restore the initial state."""
        for directory in (self.shop.state, self.shop.root / "locks"):
            for path in directory.glob("*"):
                path.unlink()
        if self.shop.site.read_bytes() != self.shop.old or self.shop.status() != self.statuses[0]:
            self.shop.site.write_bytes(self.shop.old)
            self.load()

    def load(self) -> None:
        """Make nginx load the files on disk: by a reload, or by a start if it is down."""
        if Master(pid_file=str(self.shop.root / "nginx.pid")).find():
            self.shop.apply_reload()
        else:
            self.start()

    def reboot(self) -> None:
        """Turn the machine off and on: nginx starts with the files on disk."""
        for path in (self.shop.root / "locks").glob("*"):
            path.unlink()
        stop(self.shop)
        (self.shop.root / "nginx.pid").unlink(missing_ok=True)
        self.start()

    def start(self) -> None:
        subprocess.run(self.shop.program, check=True, capture_output=True)
        master = Master(pid_file=str(self.shop.root / "nginx.pid"))
        self.shop.until(lambda: bool(master.workers()))

    def is_whole(self) -> bytes:
        """Return the content of the file after asserting that it is the old or the new one and that nginx accepts it."""
        found = self.shop.site.read_bytes()
        done = subprocess.run([*self.shop.program, "-t"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return found

    def agrees(self, content: bytes) -> None:
        """Assert the content of the file, that no change is unfinished, and that the running nginx has loaded the file."""
        assert self.shop.site.read_bytes() == content
        assert self.shop.status() == self.statuses[content != self.shop.old]
        assert not list(fixing.interrupted(str(self.shop.state)))


def unfinished(scene: Scene) -> list[journal.Entry]:
    return [entry for entry in journal.entries(scene.shop.state) if entry.is_unfinished]


def play(scene: Scene, begin: Callable[[], None], work: Callable[[], None], end: str, loss: Loss) -> int:
    """Kill the work at each call in turn and finish the interrupted change; return the number of calls."""
    tried, call = 0, 1
    while True:
        begin()
        was = scene.shop.site.read_bytes()
        if not killed(work, call, loss):
            break
        content = scene.is_whole()
        assert content in (scene.shop.old, NEW[scene.plan.mitigation]), (call, end, loss)
        if loss is not Loss.NOTHING:
            scene.reboot()
        elif tried % 2:
            scene.load()  # somebody else does, in between
        left = unfinished(scene)
        told = list(fixing.interrupted(str(scene.shop.state)))
        assert len(told) == len(left), (call, told)
        assert left or content == was or journal.entries(scene.shop.state), (call, "a change that nothing tells of")
        if end == "resume" and left:
            is_back = left[-1].phase == "reverting"
            scene.resume()
            scene.agrees(scene.shop.old if is_back else NEW[scene.plan.mitigation])
        elif end == "expire" or scene.plan.mitigation:
            scene.expire()
            scene.agrees(scene.shop.old)
        elif left or any(entry.phase == "kept" for entry in journal.entries(scene.shop.state)):
            scene.undo()
            scene.agrees(scene.shop.old)
        scene.is_whole()
        tried += 1
        call += EVERY
        scene.reset()
    scene.reset()
    return tried


NEW: dict[str, bytes] = {}

CASES = [("apply", "undo"), ("apply", "resume"), ("undo", "undo"), ("undo", "resume"), ("resume", "undo"), ("resume", "resume")]
CASES += [("mitigate", "expire"), ("mitigate", "resume"), ("expire", "expire"), ("mitigate undo", "expire")]


@pytest.mark.parametrize("loss", list(Loss))
@pytest.mark.parametrize(("what", "end"), few(CASES, 3))
def test_killed_anywhere(shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str, end: str, loss: Loss) -> None:
    is_mitigation = what in ("mitigate", "expire", "mitigate undo")
    scene = Scene(shop, monkeypatch, mitigation=is_mitigation)
    scene.apply()
    NEW[scene.plan.mitigation] = shop.site.read_bytes()
    scene.reset()
    works = {
        "apply": (scene.reset, scene.apply),
        "mitigate": (scene.reset, scene.apply),
        "undo": (scene.apply, scene.undo),
        "mitigate undo": (scene.apply, scene.undo_mitigation),
        "expire": (scene.apply, scene.expire),
        "resume": (lambda: _interrupt(scene), scene.resume),
    }
    begin, work = works[what]
    tried = play(scene, begin, work, end, loss)
    assert tried  # the first call at least: a step beyond the last leaves no other
    if RESULTS:
        with Path(RESULTS).open("a") as results:
            results.write(json.dumps({"what": what, "end": end, "loss": loss, "points": tried}) + "\n")


def _interrupt(scene: Scene) -> None:
    """Leave a fix that was killed after its file was written and before it was loaded."""

    def work() -> None:
        fixing.repair(scene.plan, scene.snapshot, scene.host, scene.work())

    from why502.fix import commands

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "execute", lambda *_: os.kill(os.getpid(), 9))
        assert killed(work, 10_000)
    assert unfinished(scene)
