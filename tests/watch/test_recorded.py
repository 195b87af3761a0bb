"""Recorded faults under the daemon's rules: the first message has the right cause, and one root is one message."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from dataclasses import dataclass
from math import comb
from pathlib import Path

import pytest

from tests.watch.replayed import Replay, observed, recorded
from why502.model.logs import Symptom
from why502.watch.model import Incident, Transition
from why502.watch.state.values import Notify

PAGE = Path(__file__).parents[2] / "docs" / "incidents.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
# Faults of which nobody is told, and why that is right.
SILENT = {
    "backend-hung-group": "a retry served every request",
    "backend-not-running-fallback": "a retry served every request",
    "wrong-address-localhost": "a retry served every request",
    "wrong-port-group": "a retry served every request",
    "fastcgi-script-not-found": "clients got 404, which is no failure of the gateway",
    "worker-timeout": "clients got the application's own 500",
    "backend-startup-failure-elsewhere.there": "it has no gateway",
}
INTENDED = ("client-closed-request", "healthy", "maintenance-response", "rate-limited")
# Where the name of the directory is not the whole answer.
OTHERWISE = {
    "two-faults": {"backend-not-running", "premature-close"},
    "backend-startup-failure-elsewhere": {"backend-not-running"},  # the other machine's bundle is not given
    "workers-exhausted-unix": {"workers-exhausted", "backend-too-slow"},  # its log names two targets
}


def told(replay: Replay) -> list[Incident]:
    return [action.incident for action in replay.actions if isinstance(action, Notify) and action.transition is Transition.OPENED]


def wrong_messages() -> dict[str, dict[str, int]]:
    """Return the causes of the first messages, by recorded fault, where they are not the right ones, each once."""
    wrong = {}
    for path in recorded():
        replay = Replay(path)
        replay.fail_all()
        replay.wait(25)
        causes = Counter(incident.cause for incident in told(replay))
        name = path.name.removesuffix(".why502")
        expected = set() if not is_told(path) else OTHERWISE.get(name, {path.parent.name})
        if causes != Counter(expected):
            wrong[name] = dict(causes)
    return wrong


def is_told(path: Path) -> bool:
    """Return whether somebody must be told of a recorded fault."""
    return path.parent.name not in INTENDED and path.name.removesuffix(".why502") not in SILENT


@pytest.mark.thorough
def test_the_first_message_names_the_cause_of_every_recorded_fault() -> None:
    assert wrong_messages() == {}


@dataclass(slots=True)
class Score:
    """Pairs of signals, by whether they have one root and whether they are in one incident; and the adjusted Rand index."""

    together: int = 0
    wrongly_together: int = 0
    wrongly_apart: int = 0
    ari: float = 0.0
    ari_of_one_per_alert: float = 0.0
    mixtures: int = 0
    incidents: int = 0
    alerts: int = 0

    def add(self, truth: list[int], found: list[str]) -> None:
        for one, other in itertools.combinations(range(len(truth)), 2):
            is_same, is_found = truth[one] == truth[other], found[one] == found[other]
            self.together += is_same and is_found
            self.wrongly_together += is_found and not is_same
            self.wrongly_apart += is_same and not is_found
        self.ari += rand_index(truth, found)
        self.ari_of_one_per_alert += rand_index(truth, list(range(len(truth))))
        self.mixtures += 1
        self.incidents += len(set(found))
        self.alerts += len(found)

    @property
    def precision(self) -> float:
        return self.together / (self.together + self.wrongly_together)

    @property
    def recall(self) -> float:
        return self.together / (self.together + self.wrongly_apart)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def rand_index(truth: list[int], found: list[str] | list[int]) -> float:
    """Return the adjusted Rand index of two partitions (Hubert and Arabie 1985): 1 for the same, about 0 by chance."""
    both = sum(comb(count, 2) for count in Counter(zip(truth, found, strict=True)).values())
    one, other = (sum(comb(count, 2) for count in Counter(each).values()) for each in (truth, found))
    expected = one * other / comb(len(truth), 2) if len(truth) > 1 else 0.0
    return 1.0 if (one + other) / 2 == expected else (both - expected) / ((one + other) / 2 - expected)


def mixtures(count: int, seed: int = 502) -> list[tuple[Path, ...]]:
    """Return sets of two to four recorded faults that could happen on one machine at once: they share no target."""
    rng = random.Random(seed)
    usable = []
    for path in recorded():
        replay = Replay(path)
        failures = observed(replay.snapshots[0], replay.minute).failures
        names = {key.target or key.location for _, key in failures if key.symptom != Symptom.CLIENT_CLOSED}
        if names and path.parent.name not in INTENDED and path.name.removesuffix(".why502") not in (*SILENT, *OTHERWISE):
            usable.append((path, names))
    found = []
    while len(found) < count:
        picked: list[Path] = []
        used: set[str] = set()
        for path, names in rng.sample(usable, len(usable)):
            if not names & used and path.parent.name not in {each.parent.name for each in picked}:
                picked.append(path)
                used |= names
            if len(picked) == 2 + len(found) % 3:
                break
        found.append(tuple(picked))
    return found


def score(count: int) -> Score:
    """Return how mixed faults are divided into incidents."""
    result = Score()
    for paths in mixtures(count):
        replay = Replay(*paths)
        replay.is_diagnosing = False
        replay.fail_all()
        replay.is_diagnosing = True
        replay.wait(40)
        truth, found = [], []
        for tracked in replay.state.open:
            for key in sorted(tracked.signals):
                numbers = {int(name.partition(":")[0]) for name in replay.state.signals[key].locations}
                if len(numbers) == 1:
                    truth.append(numbers.pop())
                    found.append(tracked.incident.caused_by or tracked.incident.id)
        result.add(truth, found)
    return result


def figures() -> str:
    """Return the table of docs/incidents.md."""
    wrong = wrong_messages()
    names = {path.name.removesuffix(".why502"): is_told(path) for path in recorded()}
    faults, others = (Counter(name in wrong for name, told in names.items() if told is kind) for kind in (True, False))
    found = score(200)
    each = found.mixtures
    rows = (
        ("recorded faults whose first message names the cause", f"{faults[False]} of {faults.total()}"),
        ("healthy, intended or hidden from clients: messages", f"{others[True]} of {others.total()}"),
        ("mixtures of two to four faults", f"{each}"),
        ("incidents, of failing signals", f"{found.incidents} of {found.alerts}"),
        ("precision, recall, F1 of pairs", f"{found.precision:.2f}, {found.recall:.2f}, {found.f1:.2f}"),
        ("adjusted Rand index", f"{found.ari / each:.3f}"),
        ("adjusted Rand index of one per alert", f"{found.ari_of_one_per_alert / each:.3f}"),
    )
    return "\n".join(["", "| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows), "", ""])


@pytest.mark.thorough
def test_the_published_figures_are_up_to_date(update: bool) -> None:
    page = PAGE.read_text()
    assert FIGURES.search(page)
    if update:
        PAGE.write_text(FIGURES.sub(lambda _: figures(), page))
    assert FIGURES.search(PAGE.read_text())[0] == figures(), "run this test with --update"  # type: ignore[index]


@pytest.mark.thorough
def test_mixed_faults_are_divided_by_their_roots() -> None:
    found = score(40)
    assert found.precision >= 0.8
    assert found.recall >= 0.7
    assert found.ari / found.mixtures >= 0.9
    assert found.ari > found.ari_of_one_per_alert
