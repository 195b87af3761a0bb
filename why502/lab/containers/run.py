"""Runs the scenes of containers, judges the first answers, and writes them down.

Usage: python -m why502.lab.containers.run [--engine NAME] [--scene ID]… [--bundles DIRECTORY] [--rows FILE]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from why502.lab.containers import machine
from why502.lab.containers.scene import Scene, scene_list

SCENE_S = 180.0
ASSERTED = 0.5
SURE = 0.8


def play(scene: Scene, engine: str, way: str, archive: Path, bundles: Path | None = None) -> dict[str, Any]:
    """Stage one scene on a machine of its own and return its judged result. `way` is fault or healthy."""
    argv = ["why502.lab.containers.scene", scene.id, engine, way]
    if bundles is not None:
        bundles.mkdir(parents=True, exist_ok=True)
        argv.append(str((bundles / f"{scene.id}-{engine}-{way}.why502").resolve()))
    out, err = machine.play(argv, archive, SCENE_S)
    try:
        seen: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        seen = {"broken": f"no result: {err.strip()[-2000:]}"}
    return {"scene": scene.id, "engine": engine, "way": way, "judged": judge(scene, way, seen), **seen}


def judge(scene: Scene, way: str, seen: dict[str, Any]) -> str:
    """Return right, wrong (with `surely-wrong` for a sure answer), unknown, blind, false-alarm, error or broken."""
    if "broken" in seen or "error" in seen:
        return "broken" if "broken" in seen else "error"
    diagnosis = seen["diagnosis"]
    named = [(finding["cause"], finding["confidence"]) for finding in diagnosis["findings"] if finding["confidence"] >= ASSERTED]
    if way != "fault":
        return "right" if {diagnosis["verdict"], *(cause for cause, _ in named[:1])} & scene.twin else "false-alarm"
    if not named:
        return "blind" if diagnosis["verdict"] == "healthy" else "unknown"
    cause, confidence = named[0]
    if cause in scene.expects:
        return "right" if not scene.never & {cause for cause, _ in named} else "wrong"
    return "surely-wrong" if confidence >= SURE else "wrong"


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    head = f"{row['scene']:<34} {row['engine']:<7} {row['way']:<8} {row['judged']:<12}"
    if row["judged"] in ("broken", "error"):
        return f"{head} {row.get('broken') or row.get('error')}"
    findings = row["diagnosis"]["findings"]
    told = "; ".join(f"{one['cause']} {one['confidence']:.2f} on {one['target']}" for one in findings[:3])
    return f"{head} {told or row['diagnosis']['verdict']}  {row['seconds']:.1f} s  {sorted(set(row['clients']))}"


def main() -> int:
    """Run what was asked for; return 1 where an answer was not right."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", action="append", choices=machine.ENGINES, default=[])
    parser.add_argument("--scene", action="append", default=[])
    parser.add_argument("--way", action="append", choices=("fault", "healthy"), default=[])
    parser.add_argument("--bundles", type=Path)
    parser.add_argument("--rows", type=Path)
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the control groups of a scene are removed
    for engine in told.engine or machine.ENGINES:
        if why := machine.missing(engine):
            sys.stderr.write(f"why502: {engine} {why}\n")
            return 2
    with tempfile.TemporaryDirectory(prefix="why502-containers-") as directory:
        judged = [
            _told(play(scene, engine, way, Path(directory, "image.tar"), told.bundles), told.rows)
            for scene in scene_list().values()
            for engine in told.engine or machine.ENGINES
            for way in told.way or ("fault", "healthy")
            if engine in scene.engines and (not told.scene or scene.id in told.scene)
        ]
    right = judged.count("right")
    sys.stdout.write(f"{right} of {len(judged)} right\n")
    return 0 if right == len(judged) else 1


def _told(row: dict[str, Any], rows: Path | None) -> str:
    """Print a row and write it down; return what it was judged."""
    sys.stdout.write(f"{line(row)}\n")
    sys.stdout.flush()
    if rows:
        with rows.open("a") as stream:
            stream.write(f"{json.dumps(row)}\n")
    return str(row["judged"])


if __name__ == "__main__":
    sys.exit(main())
