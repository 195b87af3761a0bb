"""Runs scenes, two at a time, judges the first answers, and records them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from why502.lab import groups
from why502.lab.stacks import container, repair
from why502.lab.stacks.stack import Calm, Fault, Stack

SCENE_S = 420.0
REPAIRED_SCENE_S = 1200.0
ASSERTED = 0.5
_numbers = count()


def run(
    scenes: list[tuple[Stack, Fault | Calm]], jobs: int, bundles: Path | None, *, is_repaired: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the judged result of each scene as it ends. `is_repaired`: `why502 fix` repairs each, too."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for done in as_completed([pool.submit(play, stack, scene, bundles, is_repaired=is_repaired) for stack, scene in scenes]):
            yield done.result()


def play(stack: Stack, scene: Fault | Calm, bundles: Path | None = None, *, is_repaired: bool = False) -> dict[str, Any]:
    """Stage one scene in namespaces of its own, and return its judged result."""
    name = f"why502-stack{os.getpid() % 100000}-{next(_numbers)}"  # its last ten characters name the machine; no hyphen first
    module = "why502.lab.stacks.scene"
    kept = "-" if bundles is None else str(bundles / f"{scene.id}.why502")
    argv = [
        *container.NAMESPACES,
        sys.executable,
        "-m",
        module,
        stack.name,
        scene.id,
        name,
        kept,
        "fix" if is_repaired else "look",
    ]
    limit_s = REPAIRED_SCENE_S if is_repaired else SCENE_S
    since = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        out, err = "", f"not done within {limit_s:g} s"
    finally:
        process.kill()
        process.wait()
        groups.remove(name)
        with suppress(OSError):
            (container.RUN / name).rmdir()  # its mounts went with the namespace
    try:
        seen: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        seen = {"broken": f"no result: {err.strip()[-2000:]}"}
    row = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "stack": stack.name,
        "scene": scene.id,
        "kind": "fault" if isinstance(scene, Fault) else "calm",
        "happens": scene.happens,
        "expects": sorted(scene.expects) if isinstance(scene, Fault) else ["healthy"],
        "partly": sorted(scene.partly) if isinstance(scene, Fault) else [],
        "targets": sorted(scene.targets) if isinstance(scene, Fault) else [],
        **seen,
    }
    row["judged"] = judge(scene, seen)
    row["scene_s"] = round(time.monotonic() - since, 1)
    return row


def judge(scene: Fault | Calm, seen: dict[str, Any]) -> str:
    """Return right, partly, wrong, blind, unknown, false-alarm, error, or broken for a scene that was none."""
    if "broken" in seen:
        return "broken"
    if "error" in seen:
        return "error"
    asserted = [finding for finding in seen["findings"] if finding["confidence"] >= ASSERTED]
    if isinstance(scene, Calm):
        return "right" if seen["verdict"] == "healthy" else "false-alarm"
    if not asserted:
        return "blind" if seen["verdict"] == "healthy" else "unknown"
    first = asserted[0]
    if first["cause"] in scene.expects:
        return "right" if not scene.targets or str(first["target"]) in scene.targets else "partly"
    return "partly" if first["cause"] in scene.partly else "wrong"


def as_json(row: dict[str, Any]) -> str:
    """Return it as one line."""
    return json.dumps(row, ensure_ascii=False)


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a result to a file of JSON lines."""
    with path.open("a") as rows:
        rows.write(f"{as_json(row)}\n")


def line(row: dict[str, Any]) -> str:
    """Return the row of the table."""
    if row["judged"] == "broken":
        return f"{row['scene']:<44} BROKEN  {row['broken'].splitlines()[0][:150]}"
    if row["judged"] == "error":
        return f"{row['scene']:<44} ERROR   {str(row['error']).strip().splitlines()[-1:]}"
    first = row["findings"][0] if row["findings"] else None
    answer = f"{first['cause']} {first['confidence']:.2f} on {first['target']}" if first else row["verdict"]
    changed = f"  CHANGED {row['services_changed']}" if row["services_changed"] else ""
    repaired = f"  fix: {repair.line(row['fix'])}" if "fix" in row else ""
    return (
        f"{row['scene']:<44} {row['judged']:<11} {'|'.join(row['expects'])} ← {answer}  {row['seconds']:.0f} s{changed}{repaired}"
    )
