"""One scene: a stack is set up, used, broken (or not), used again, and diagnosed from the inside, as its owner would.

Runs in the namespaces of `container.py`. Prints one JSON object: what was expected, what was answered, and whether the look
itself changed anything on the machine. Usage: scene.py STACK ID NAME BUNDLE|- look|fix
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import why502
from why502.lab.stacks import container, image, registry, repair
from why502.lab.stacks.stack import Calm, Fault, Route, Stack
from why502.lab.stacks.traffic import Traffic
from why502.lab.stage import LabError

SOURCE = "/opt/why502"
BUNDLE = "/root/scene.why502"
WARM_REQUESTS = 40
DIAGNOSE_S = 150.0
SERVICES = (
    "systemctl show --no-pager -p Id,MainPID,NRestarts,ActiveState $(systemctl list-units --no-legend --plain --type=service "
    "--all | awk '{print $1}')"
)
WORKERS = "ps -eo pid=,ppid=,comm= | grep -Ev ' (ps|grep|bash|sleep|systemd-journal|systemd)$' | awk '{print $1, $3}'"


def main() -> int:
    """Stage one scene and print what came of it."""
    stack_name, scene_id, name, kept, task = sys.argv[1:]
    stack = registry.stacks()[stack_name]
    scene = next(each for each in stack.scenes if each.id == scene_id)
    seen = stage(stack, scene, name, None if kept == "-" else Path(kept), is_repaired=task == "fix")
    sys.stdout.write(json.dumps(seen) + "\n")
    return 0


def stage(stack: Stack, scene: Fault | Calm, name: str, kept: Path | None, *, is_repaired: bool = False) -> dict[str, Any]:
    """Return what became of it, with a `fix` where it is to be repaired, too.

    A scene that did not show its fault, or was not healthy, has a `broken` that says why.
    """
    checkout = Path(why502.__file__).parent.parent
    with container.boot(image.path() / "root", name, {checkout: SOURCE}) as machine:
        try:
            _set_up(machine, stack)
            traffic = Traffic(
                container.ADDRESS, stack.routes, scene.users, container.USERS, isinstance(scene, Calm) and scene.cancels
            )
            seen = _live(machine, stack, scene, traffic)
        except LabError as error:
            words = machine.run("journalctl -b -p warning -n 30 --no-pager; tail -n 5 /var/log/nginx/error.log", is_checked=False)
            return {"broken": f"{error}\n{words[-3000:]}"}
        seen |= _diagnose(machine)
        if is_repaired:
            seen["fix"] = repair.repair(machine, traffic, SOURCE)
        traffic.stop()
        if kept is not None and (machine.root / BUNDLE.lstrip("/")).exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(machine.root / BUNDLE.lstrip("/"), kept)
        seen["clients"] = {f"{path} {status}": count for (path, status), count in sorted(traffic.outcomes.items())}
        return seen


# Logs lie where the configuration says: those that a gateway holds open.
_EMPTY_LOGS = """
for pid in $(pidof nginx apache2); do readlink /proc/$pid/fd/*; done |
  grep -E '^/.*[.](log|json)$' | sort -u | xargs -r truncate -s 0
truncate -s 0 /var/log/nginx/*.log /var/log/apache2/*.log
"""


def _set_up(machine: container.Machine, stack: Stack) -> None:
    """Write its files, start what is elsewhere, start its services, and wait until every route answers as it should."""
    for path, text in stack.files.items():
        machine.write(path, text)
    _outside(stack.remote)
    machine.run(stack.setup)
    asker = Traffic(container.ADDRESS, (), 0, container.USERS)
    asker.patience_s = 10.0
    asked: list[bool] = []
    for route in stack.routes:

        def answers(route: Route = route) -> bool:
            asked.append(asker.ask(route) in route.expect)
            return asked[-1]

        def otherwise(route: Route = route) -> str:
            return f"{route.path} does not answer {route.expect}; {dict(asker.words)}"

        await_(answers, stack.ready_s, otherwise)
    if not all(asked):  # we asked before it listened: that failure is ours, and no part of the scene
        machine.run(_EMPTY_LOGS, is_checked=False)


def _live(machine: container.Machine, stack: Stack, scene: Fault | Calm, traffic: Traffic) -> dict[str, Any]:
    """Let users in, let happen what happens, and let it be felt."""
    traffic.start()
    await_(lambda: traffic.total() >= WARM_REQUESTS, 60.0, "the users could not make their first requests")
    if isinstance(scene, Fault):
        if traffic.failures():
            raise LabError(f"it fails before the fault: {traffic.outcomes} {traffic.words}")
        traffic.patience_s = scene.patience_s
        traffic.routes = [*stack.routes, *scene.routes]
        _outside(scene.outside)
        machine.run(scene.steps)
        await_(
            lambda: traffic.failures() >= scene.failures,
            scene.limit_s,
            lambda: f"no failure is felt: {traffic.outcomes} {traffic.words}",
        )
        if scene.settle:
            await_(lambda: _holds(machine, scene.settle), scene.limit_s, f"never came true: {scene.settle}")
    else:
        traffic.routes = [*stack.routes, *scene.routes]
        since = time.monotonic()
        machine.run(scene.steps)
        await_(lambda: time.monotonic() - since >= scene.seconds, scene.seconds + 5, "")
        if traffic.failures():
            raise LabError(f"it is not healthy: {traffic.outcomes} {traffic.words}")
    return {"failures": traffic.failures(), "requests": traffic.total(), "words": dict(traffic.words.most_common(5))}


def _outside(script: str) -> None:
    """Run a shell script where users and other hosts are."""
    if script:
        subprocess.run(["bash", "-e", "-c", script], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def _holds(machine: container.Machine, condition: str) -> bool:
    return machine.run(f"if {condition}; then echo yes; fi", is_checked=False).strip().endswith("yes")


def _diagnose(machine: container.Machine) -> dict[str, Any]:
    """Run why502 on the machine, and compare its services and processes before and after."""
    services, workers = machine.run(SERVICES, is_checked=False), machine.run(WORKERS, is_checked=False)
    since = time.monotonic()
    try:
        out = machine.run(
            f"cd /; export PYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1; ulimit -c 0; "
            f"{image.WHY502_PYTHON} -m why502 diagnose --format json --save {BUNDLE} 2>/root/diagnose.err || true",
            timeout_s=DIAGNOSE_S,
        )
    except LabError as error:
        return {"error": str(error)[-500:], "seconds": round(time.monotonic() - since, 1)}
    seconds = round(time.monotonic() - since, 1)
    try:
        diagnosis = json.loads(out)
    except ValueError:
        return {"error": machine.run("tail -c 1500 /root/diagnose.err", is_checked=False), "seconds": seconds}
    return {
        "seconds": seconds,
        "verdict": diagnosis["verdict"],
        "findings": [
            {key: finding.get(key) for key in ("cause", "confidence", "target", "proxy", "failures", "ongoing")}
            | {"message": finding.get("message", finding.get("message"))}
            for finding in diagnosis["findings"][:4]
        ],
        "checks_failed": [each["id"] for each in diagnosis["checks"] if each["status"] == "fail"],
        "by_status": (diagnosis.get("traffic") or {}).get("by_status"),
        "services_changed": _changes(services, machine.run(SERVICES, is_checked=False)),
        "processes_gone": _changes(workers, machine.run(WORKERS, is_checked=False))[:12],
    }


def _changes(before: str, after: str) -> list[str]:
    """Return what is no longer so, one line or block each."""
    cut = "\n\n" if "Id=" in before else "\n"
    kept = set(after.split(cut))
    return [" ".join(block.split()) for block in before.split(cut) if block.strip() and block not in kept]


def await_(condition: Callable[[], bool], limit_s: float, otherwise: str | Callable[[], str]) -> None:
    """Wait until the condition holds. Raises LabError where that takes longer than the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise LabError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
