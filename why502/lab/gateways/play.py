"""Plays a scene behind a front in a room of its own, and judges what `why502` says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from why502.lab import room
from why502.lab.fault import Fault
from why502.lab.gateways.front import JOURNALS, Front, fronts, logged
from why502.lab.gateways.own import scenes_of
from why502.lab.gateways.scenes import Play, Scene
from why502.lab.isolation import can_isolate, program
from why502.lab.stage import LabError, Stage
from why502.model.finding import ASSERTED, Layer

SURE = 0.8  # a wrong answer of this confidence is the worst outcome
PROGRAMS = ("ip", "nft", "openssl")


def names(products: Iterable[str] = (), scenes: Iterable[str] = (), *, every_log: bool = True) -> Iterator[str]:
    """Yield the names of the scenes of these fronts (all, where none is named): "caddy/json/refused"."""
    wanted, named = tuple(scenes), tuple(products)
    for product, front in fronts().items():
        for log in front.LOGS if every_log else front.LOGS[:1]:
            for scene in scenes_of(product):
                if (
                    (not named or product in named)
                    and (not wanted or scene in wanted)
                    and not {scene, f"{log}/{scene}"} & front.LACKS.keys()
                ):
                    yield f"{product}/{log}/{scene}"


def parts(name: str) -> tuple[Front, str, Scene]:
    """Return front, form of the log, and scene of a name. Raises LabError."""
    product, _, rest = name.partition("/")
    log, _, scene = rest.partition("/")
    front = fronts().get(product)
    if front is None or log not in front.LOGS or scene not in scenes_of(product):
        raise LabError(f"unknown scene {name!r}", "The name is front/log/scene: caddy/json/refused.")
    played = scenes_of(product)[scene]
    return front, log, replace(played, causes=(*played.causes, *front.ALIKE.get(scene, ())))


def missing(name: str) -> str:
    """Return what this machine lacks for a scene, in words; "" where it can run."""
    if not can_isolate():
        return "needs root and its own namespaces (unshare)"
    front, log, _ = parts(name)
    if log in JOURNALS and not (program("systemd-nspawn") and program("systemctl")):
        return "needs systemd-nspawn (Debian package systemd-container)"
    absent = next((each for each in PROGRAMS if not program(each)), "")
    return f"needs the program {absent}" if absent else front.missing()


def behind_a_front(name: str) -> Fault:
    """Return a scene as a fault of the lab: `lab.room` plays it. Its expected causes and targets are in the scene."""
    front, log, scene = parts(name)
    return Fault(
        name=name,
        cause=scene.causes[0] if scene.causes else "healthy",
        layer=Layer.UPSTREAM,
        message=scene.message,
        build=partial(_build, front, log, scene),
        statuses=frozenset(),
        needs=frozenset({"machine"}) if log in JOURNALS else frozenset(),
    )


def _build(front: Front, log: str, scene: Scene, stage: Stage) -> str | None:
    scene.build(Play(stage, front, log))
    front.settle(stage)
    texts = logged(stage)
    stage.told["texts"] = {path: text[-200_000:] for path, text in texts.items()}
    stage.told["words"] = front.words(stage)
    stage.told["failures"] = front.failures("\n".join(texts.values()))
    return scene.targets[0] if scene.targets else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one scene: the clients' statuses, the findings (cause, target, confidence), and the front's own words."""

    name: str
    statuses: tuple[int, ...] = ()
    findings: tuple[tuple[str, str | None, float], ...] = ()
    verdict: str = ""
    gaps: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    words: dict[str, str]
    texts: dict[str, str]
    error: str = ""
    played: str = ""  # the day, and the version of why502

    @property
    def is_right(self) -> bool:
        """Whether the first answer is asserted, and right on a right target; for a control, that nothing is wrong."""
        scene = parts(self.name)[2]
        if self.error:
            return False
        if not scene.causes:
            return not self.asserted
        cause, target, _ = self.asserted[0] if self.asserted else ("", None, 0.0)
        return cause in scene.causes and (not scene.targets or target in scene.targets)

    @property
    def asserted(self) -> tuple[tuple[str, str | None, float], ...]:
        """The findings that are asserted."""
        return tuple(found for found in self.findings if found[2] >= ASSERTED)

    @property
    def wrong(self) -> tuple[tuple[str, str | None, float], ...]:
        """The findings that are wrong, and that it is sure of."""
        scene = parts(self.name)[2]
        return tuple(found for found in self.findings if found[2] >= SURE and found[0] not in (*scene.causes, *scene.also))

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Outcome:
        """Return the outcome that a row records; the texts of its logs are not in it."""
        return cls(
            name=row["scene"],
            statuses=tuple(row["statuses"]),
            findings=tuple((cause, target, sure) for cause, target, sure in row["findings"]),
            verdict=row["verdict"],
            gaps=tuple(row["gaps"]),
            failures=tuple(row["failures"]),
            words=row["words"],
            texts={},
            error=row["error"],
            played=row.get("played", ""),
        )

    def row(self) -> dict[str, Any]:
        """Return the outcome as a line of a record, without the texts of the logs."""
        return {
            "scene": self.name,
            "right": self.is_right,
            "wrong": self.wrong,
            "statuses": self.statuses,
            "findings": self.findings[:5],
            "verdict": self.verdict,
            "failures": self.failures,
            "words": self.words,
            "gaps": self.gaps,
            "error": self.error,
            "played": self.played,
        }


def play(name: str, *options: str) -> Outcome:
    """Return what came of a scene."""
    try:
        report = room.play(behind_a_front(name), *options)
    except LabError as error:
        return Outcome(name=name, words={}, texts={}, error=f"{error.message} {error.hint}".strip()[-600:])
    diagnosis = report["diagnosis"] or {"findings": [], "verdict": "none", "gaps": []}
    found = tuple((each["cause"], each["target"], each["confidence"]) for each in diagnosis["findings"])
    return Outcome(
        name=name,
        statuses=tuple(report["statuses"]),
        findings=found,
        verdict=diagnosis["verdict"],
        gaps=tuple(f"{gap['source']}: {gap['reason']}" for gap in diagnosis["gaps"]),
        failures=tuple(report["failures"]),
        words=report["words"],
        texts=report["texts"],
        error=report["stderr"] if not report["diagnosis"] else "",
    )
