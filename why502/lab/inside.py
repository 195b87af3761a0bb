"""Code that runs inside the sandbox: builds a scene, proves that its fault is real, runs the diagnosis, and cleans up."""

from __future__ import annotations

import argparse
import base64
import ctypes
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from why502.lab.browser import server
from why502.lab.fault import Fault
from why502.lab.faults import faults
from why502.lab.gateways.play import behind_a_front
from why502.lab.stage import FAILED, LabError, Stage, remove
from why502.lab.watched import clients, record, watching

CONFIGURATION = ("/etc/nginx", "/etc/php", "/etc/supervisor", "/etc/systemd/system", "/etc/default", "/run")
ACL = "system.posix_acl_access"
DEADLY = ("/crash", "/exit", "/hog")  # requests that end the application, repaired or not
UNNAMED = "is fixed only when named explicitly"
UNASKED = "sending 0 requests"  # the fix had none that it could repeat


def build(fault: Fault, stage: Stage) -> str | None:
    """Build the scene and prove it; return the target. Raises LabError where its logs or statuses do not show the fault."""
    if "isolation" in fault.needs and not stage.is_isolated:
        raise LabError("needs namespaces of its own", "Run it as root.")
    target = fault.build(stage)
    for pattern in fault.proves:
        stage.until_logged(pattern)
    if missing := fault.statuses - stage.statuses:
        raise LabError(f"clients never saw {sorted(missing)}, only {sorted(stage.statuses)}", stage.logs()[-2000:])
    return target


def where(stage: Stage) -> tuple[str, ...]:
    """Return the options that name the scene's nginx: none where no other is visible."""
    return () if stage.is_isolated else ("--config", stage.nginx.config)


def diagnose(stage: Stage, *options: str, is_captured: bool) -> subprocess.CompletedProcess[str]:
    """Run `why502 diagnose` within the scene, as its user would: without options, where nginx is where it belongs."""
    argv = (sys.executable, "-m", "why502", "diagnose", *where(stage), *options)
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=is_captured, text=True, check=False)


def fix(stage: Stage, where_to: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `why502 fix` within the scene; its journal lies in `where_to`."""
    named = () if {"--undo", "--resume"} & set(options) else where(stage)
    argv = (sys.executable, "-m", "why502", "fix", "--format", "json", "--state", str(where_to), *named, *options)
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def repaired(stage: Stage, cause: str) -> dict[str, Any]:
    """Have the scene repaired, by its cause's name where that must be, then taken back.

    Return what was said each time, the clients' statuses, and the files' digests.

    `before`, `planned`, `fixed`, `undone`: the digests of every file that the fix may change, with modes and owners. `statuses`:
    of the requests that had failed (all, where none did), sent again once repaired.
    """
    state = stage.path("/run/lab/state")
    found: dict[str, Any] = {"before": digests(stage)}
    named = (cause,) if UNNAMED in fix(stage, state).stderr else ()
    for name, options in (("plan", ()), ("applied", ("--apply", "--yes"))):
        done = fix(stage, state, *named, *options)
        found[name] = {"status": done.returncode, "json": json.loads(done.stdout or "null"), "stderr": done.stderr}
        if name == "plan":
            found["planned"] = digests(stage)
        if done.returncode == 2:
            return found
    found["fixed"] = digests(stage)
    rounds = [done for done in stage.rounds if not done.path.startswith(DEADLY)]
    failed = [done for done in rounds if FAILED & done.statuses or not done.statuses] or rounds
    if UNASKED in found["applied"]["stderr"]:  # what it started may not listen yet, and no request of its own waited for that
        stage.until(lambda: not FAILED & set(stage.repeat(failed[0])), "what was started serves")
    found["statuses"] = sorted({status for done in failed for status in stage.repeat(done)})
    done = fix(stage, state, "--undo")
    found["undo"] = {"status": done.returncode, "json": json.loads(done.stdout or "null"), "stderr": done.stderr}
    found["undone"] = digests(stage)
    return found


def under_watch(fault: Fault, stage: Stage) -> dict[str, Any]:
    """Return what `why502 watch` tells of the scene, which is made while it runs."""
    with watching(stage, where(stage)) as found:
        target = build(fault, stage)
        return {"target": target, "statuses": sorted(stage.statuses), **record(stage, found, is_healthy=fault.is_healthy)}


def shown_in_browser(fault: Fault, stage: Stage, descriptor: int) -> int:
    """Break the scene under `why502 watch`, and let clients go on while its incidents are served. Return the exit status."""
    with watching(stage, where(stage)) as found:
        process = server(descriptor, found.store)
        try:
            target = build(fault, stage)
            seen = ", ".join(str(status) for status in sorted(stage.statuses)) or "none"
            click.echo(f"Scene: {fault.message}\nTarget: {target or 'none'}; statuses seen by clients: {seen}", err=True)
            with clients(stage):
                return process.wait()
        finally:
            process.terminate()
            process.wait()


def digests(stage: Stage) -> dict[str, str]:
    """Return of every configuration file, and of every socket and its directory, what it is: mode, owner,
    and the digest of its content. Bytecode caches are left out: an application writes them when it is first imported.
    """
    found = {}
    for top in CONFIGURATION:
        for directory, below, names in os.walk(stage.path(top)):
            below[:] = [name for name in below if name != "__pycache__"]
            for path in (Path(directory), *(Path(directory, name) for name in names)):
                seen = path.lstat()
                is_file = stat.S_ISREG(seen.st_mode) and top != "/run"  # logs, pid files
                content = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
                if is_file or stat.S_ISDIR(seen.st_mode) or stat.S_ISSOCK(seen.st_mode):
                    acl = os.getxattr(path, ACL).hex() if ACL in os.listxattr(path, follow_symlinks=False) else ""
                    found[str(path)] = f"{seen.st_mode:o} {seen.st_uid}:{seen.st_gid} {acl} {content}"
    return {path: told for path, told in found.items() if "/run/lab/" not in path}


def together(stage: Stage, near: Path, target: str) -> dict[str, Any]:
    """Return the diagnosis of two bundles, this machine's and that of the backend's machine, and the latter."""
    far = stage.path("/run/there.why502")
    here = (sys.executable, "-m", "why502")
    stage.sh(*stage.there, *here, "collect", "--quiet", "--target", target, "-o", str(far))
    argv = (*here, "diagnose", "--bundle", str(near), "--bundle", str(far), "--format", "json")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return {
        "status": done.returncode,
        "diagnosis": json.loads(done.stdout or "null"),
        "stderr": done.stderr,
        "bundle_there": base64.b64encode(far.read_bytes()).decode(),
    }


def cost(stage: Stage, *command: str) -> tuple[float, int]:
    """Return the seconds of wall time and the bytes of memory that a command takes within the scene (wait4(2): ru_maxrss)."""
    argv = (sys.executable, "-m", "why502", command[0], *where(stage), *command[1:])
    began = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - began, used.ru_maxrss * 1024


def main() -> int:
    """Return the exit status: of the diagnosis, or 2 where the scene could not be built; 0 with `--report` and `--show-only`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--isolated", action="store_true")
    parser.add_argument("--show-only", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--watch", action="store_true", help="report what `why502 watch` tells of it")
    parser.add_argument("--web", type=int, help="break it under `why502 watch`, and serve its pages on this descriptor")
    parser.add_argument("--fix", action="store_true", help="report the repair, too")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--machine", action="store_true")
    parser.add_argument("--group", default="", help="name of the scene's control groups")
    parser.add_argument("--measure", action="store_true", help="with --report: what collect and diagnose cost")
    parser.add_argument("--option", action="append", default=[], help="of why502 diagnose")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    adopt()
    fault = faults().get(told.name) or behind_a_front(told.name)
    directory = None if told.isolated else Path(tempfile.mkdtemp(prefix="why502-lab-"))
    if directory:
        directory.chmod(0o755)  # nginx's workers run as another user
    stage = Stage(directory or Path("/"), is_isolated=told.isolated, is_machine=told.machine, group=told.group)
    try:
        stage.open()
        if told.watch:
            click.echo(json.dumps(under_watch(fault, stage)))
            return 0
        if told.web is not None:
            return shown_in_browser(fault, stage, told.web)
        target = build(fault, stage)
        if told.report:
            report: dict[str, Any] = {
                "target": target,
                "statuses": sorted(stage.statuses),
                "logs": stage.logs()[-20000:],
                **stage.told,
            }
            if told.fix:
                report["fix"] = repaired(stage, fault.cause)
            elif not told.show_only:
                bundle = stage.path("/run/scene.why502")
                done = diagnose(stage, "--format", "json", "--save", str(bundle), *told.option, is_captured=True)
                report |= {"status": done.returncode, "diagnosis": json.loads(done.stdout or "null"), "stderr": done.stderr}
                if stage.there:
                    report |= together(stage, bundle, str(target))
                if told.measure:
                    report["costs"] = {
                        "collect": cost(stage, "collect", "--quiet", "-o", str(bundle)),
                        "diagnose": cost(stage, "diagnose"),
                    }
                report["bundle"] = base64.b64encode(bundle.read_bytes()).decode() if bundle.exists() else ""
            click.echo(json.dumps(report))
            return 0
        return show(fault, stage, target, told)
    except LabError as error:
        click.echo(f"why502: {fault.name}: {error.message}\n{error.hint}", err=True)
        return 2
    finally:
        stage.close()
        if directory:
            remove(directory)


def show(fault: Fault, stage: Stage, target: str | None, told: argparse.Namespace) -> int:
    """Tell what is broken, run the diagnosis on our own streams, and wait for Enter where the user wants to look around."""
    seen = ", ".join(str(status) for status in sorted(stage.statuses)) or "none"
    click.echo(f"Scene: {fault.message}\nTarget: {target or 'none'}; statuses seen by clients: {seen}\n", err=True)
    status = 0
    if told.show_only:
        lines = [line for line in stage.logs().splitlines() if any(re.search(pattern, line) for pattern in fault.proves)]
        click.echo("\n".join(lines[:3]))
    else:
        status = diagnose(stage, *told.option, is_captured=False).returncode
    if told.keep:
        click.echo("\nThe scene stays as it is. Press Enter to end it.", err=True)
        os.read(0, 1)
    return status


def adopt() -> None:
    """Become the parent of every orphan of the scene, as the first process of a namespace is (PR_SET_CHILD_SUBREAPER,
    prctl(2)).
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _end(*_: object) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
