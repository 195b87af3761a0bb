"""Verification of a raised limit: by the load that reached it, and not by a request that finds an empty process after a reload.

A new process begins without connections, so its queue is empty for a moment whatever its limit is. A raised limit is proved only
once as many clients are there as when the old one was full, and none of them waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from why502.fix import commands
from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

OBSERVED_S = 20.0  # how long the load is awaited after the change
BEFORE_S = 1.0  # how long it is measured before
EVERY_S = 0.25
ENOUGH = 8  # samples under the old load in which hardly anybody waits
_PIDS = lazy(r"\bpid=([0-9]{1,10})\b")

Clock = Callable[[], float]


class Load(Value, frozen=True, kw_only=True):
    """The connections at some addresses: those that wait to be accepted, and those that processes hold. `pids` are the processes
    that accept them.
    """

    queued: int = 0
    held: int = 0
    pids: tuple[int, ...] = ()


class Pressure(Value, frozen=True, kw_only=True):
    """The load before a change, at the addresses where clients reach the limit: the most of each that was seen."""

    doors: tuple[Target, ...]
    load: Load

    @property
    def where(self) -> str:
        """Return the addresses as text."""
        return " and ".join(map(str, self.doors[:3]))


class Relief(Value, frozen=True, kw_only=True):
    """What the load shows of a change. `message` states it; `is_proved` and `is_refuted` exclude each other.

    `waiting`: a sentence about clients that still wait although more are served than before.
    """

    message: str
    is_proved: bool = False
    is_refuted: bool = False
    waiting: str = ""


def doors(snapshot: Snapshot, targets: Iterable[Target | None], pids: Iterable[int]) -> tuple[Target, ...]:
    """Return the addresses on this machine where clients reach the limit: listeners of the targets, or of a proxy's processes
    for a finding about the proxy itself.
    """
    wanted, own = {target for target in targets if target is not None}, set(pids)
    listeners = [one for one in snapshot.listeners or () if not one.network]
    found = [one.target for one in listeners if (_is_wanted(one.target, wanted) if wanted else own & set(one.pids))]
    return tuple(dict.fromkeys(found))


def _is_wanted(door: Target, wanted: Iterable[Target]) -> bool:
    return any(
        door == target or (not door.is_unix and not target.is_unix and door.port == target.port and door.is_wildcard)
        for target in wanted
    )


def measure(places: tuple[Target, ...], clock: Clock = time.monotonic) -> Pressure | None:
    """Return the load at these addresses now, over a short time; None if there are none, or if it cannot be seen."""
    if not places:
        return None
    found = Load()
    ends = clock() + BEFORE_S
    while True:
        try:
            seen = sample(places)
        except Why502Error:
            return None
        found = Load(
            queued=max(found.queued, seen.queued),
            held=max(found.held, seen.held),
            pids=tuple(sorted({*found.pids, *seen.pids})),
        )
        if clock() >= ends:
            return Pressure(doors=places, load=found)
        time.sleep(EVERY_S)  # sampling: the kernel does not report a change of its queues


def sample(places: Sequence[Target], old: frozenset[int] = frozenset()) -> Load:
    """Return the load at these addresses now. If other processes than the `old` ones accept connections there, only what those
    hold counts: the old ones only finish theirs. Raises Why502Error if ss(8) cannot be run.
    """
    ports = [target.port for target in places if not target.is_unix]
    paths = frozenset(target.path for target in places if target.is_unix)
    lines: list[tuple[bool, str]] = []
    if ports:
        only = " or ".join(f"sport = :{port}" for port in dict.fromkeys(ports))
        for is_door, words in ((True, ("-ltnpH",)), (False, ("-tnpH", "state", "established"))):
            lines += [(is_door, line) for line in _ss(*words, f"( {only} )")]
    if paths:
        for is_door, words in ((True, ("-lxpH",)), (False, ("-xpH", "state", "established"))):
            lines += [(is_door, line) for line in _ss(*words) if paths & set(line.split())]
    pids = {int(pid) for is_door, line in lines if is_door for pid in _PIDS.findall(line)}
    queued = sum(_queued(line) for is_door, line in lines if is_door)
    holders = [{int(pid) for pid in _PIDS.findall(line)} for is_door, line in lines if not is_door]
    is_replaced = bool(old) and bool(pids - old)
    held = sum(1 for own in holders if own - old or (own and not is_replaced))
    return Load(queued=queued, held=held, pids=tuple(sorted(pids)))


def _ss(*words: str) -> list[str]:
    done = commands.finish(("ss", *words))
    if done.returncode != 0:
        raise Why502Error(f"ss: {commands.last(done)}", "Install iproute2.")
    return done.stdout.splitlines()


def _queued(line: str) -> int:
    """Return the accept queue of a listening socket: the first number of its line, after the kind and the state."""
    return next((int(word) for word in line.split() if word.isdecimal()), 0)


def observe(before: Pressure, clock: Clock = time.monotonic) -> Relief:
    """Return what the load shows of a change, as soon as it proves it; otherwise after OBSERVED_S."""
    return judge(before, _samples(before, clock))


def _samples(before: Pressure, clock: Clock) -> Iterable[Load]:
    ends = clock() + OBSERVED_S
    while clock() < ends:
        try:
            yield sample(before.doors, frozenset(before.load.pids))
        except Why502Error:
            return
        time.sleep(EVERY_S)  # sampling, as above


def judge(before: Pressure, samples: Iterable[Load]) -> Relief:
    """Return what samples of the load after a change show. Pure: it reads no more of them than it needs."""
    old = before.load
    most, calm, crowded, last = 0, 0, 0, Load()
    for last in samples:
        most = max(most, last.held)
        is_calm = last.queued <= old.queued // 4
        is_loaded = last.held + last.queued >= max(1, old.held)
        calm = calm + is_loaded if is_calm else 0
        crowded = 0 if last.queued <= old.queued // 2 else crowded + 1
        if calm >= ENOUGH:
            served = f"{most} connections are held there at a time, and {last.queued or 'none'} wait"
            return Relief(
                message=f"under the same load at {before.where}, {served} ({old.held} and {old.queued} before)", is_proved=True
            )
    if crowded >= ENOUGH:
        waiting = f"{last.queued} connections still wait at {before.where} ({old.queued} before)"
        if most > old.held:
            return Relief(message=f"{most} connections are held there at a time, {old.held} before", waiting=waiting)
        return Relief(message=f"{waiting}, and no more are held than before ({most}, {old.held} before)", is_refuted=True)
    return Relief(
        message=f"the load at {before.where} has not come back within {OBSERVED_S:g} s: at most {most} connections at a time "
        f"since the change, {old.held} before"
    )
