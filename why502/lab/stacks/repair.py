"""A repair of a broken stack: `why502 fix --apply --yes`, what users then get, and whether `--undo` restores each byte."""

from __future__ import annotations

import json
from typing import Any

from why502.lab.stacks import container, image
from why502.lab.stacks.traffic import Traffic
from why502.lab.stage import LabError

FIX_S = 240.0
ASKED = 4  # times each kind of request afterwards
_OF_UNITS = "/etc/alternatives/"  # PHP-FPM's unit makes a link there when it starts
# Everything that a fix may write. What an application writes there itself only counts if the fix names it.
DIRECTORIES = "/etc /srv /home /usr/local /var/www"
_LIST = f"""
find {DIRECTORIES} -xdev \\( -type f -o -type l \\) -printf '%p\\t%y %m %U %G %l\\n' 2>/dev/null | sort
find {DIRECTORIES} -xdev -type f -print0 2>/dev/null | sort -z | xargs -0 -r sha256sum 2>/dev/null | awk '{{print substr($0, 67) "\\tsha256 " $1}}'
"""  # noqa: E501 - one command is one line


def repair(machine: container.Machine, traffic: Traffic, source: str) -> dict[str, Any]:
    """Return what the command said, the requests that still fail after it, and the files that its undo did not restore.

    `source`: where the program lies on that machine.
    """
    before = _files(machine)
    status, out, errors = _why502(machine, source, "fix --apply --yes --format json")
    try:
        said = json.loads(out)
    except ValueError:
        said = {}
    seen: dict[str, Any] = {
        "status": status,
        "cause": said.get("cause"),
        "message": said.get("message"),
        "outcome": said.get("outcome"),
        "files": said.get("files", []),
        "tried": said.get("tried", []),
        "unproved": said.get("unverified") or "; ".join(said.get("still_failing", [])),
        "words": "" if said.get("outcome") == "kept" else errors[-600:],
    }
    if seen["outcome"] == "kept":
        seen["still_failing"] = _still_failing(traffic)
        seen["undo_status"], _, seen["undo_words"] = _why502(machine, source, "fix --undo --yes")
    after = _files(machine)
    seen["not_restored"] = [
        name
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
        and not name.startswith(_OF_UNITS)
        and (name.startswith("/etc/") or name in _named(seen["files"]))
    ]
    return seen


def judge(seen: dict[str, Any]) -> str:
    """Return repaired, unproved (kept, requests still fail, and the command says so or that it could not verify it), failing (it
    says nothing of that), dirty (not every byte was restored), reverted, or none.

    An undo brings the fault back, so its own requests may fail again (`undo_status` 1).
    """
    if seen["not_restored"] or seen.get("undo_status") == 2:
        return "dirty"
    if seen["outcome"] == "kept":
        unrepaired = "unproved" if seen["unproved"] else "failing"
        return unrepaired if seen["still_failing"] else "repaired"
    return "reverted" if seen["outcome"] == "reverted" else "none"


def line(seen: dict[str, Any]) -> str:
    """Return the result in a few words, for the row of a table."""
    words = seen["message"] or seen["words"].strip().partition("\n")[0]
    return f"{judge(seen)} ({words})"


def _why502(machine: container.Machine, source: str, command: str) -> tuple[int, str, str]:
    """Return the exit status, the output and the error output of a command of the program on that machine."""
    script = (
        f"cd /; export PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1; ulimit -c 0; status=0; "
        f"{image.WHY502_PYTHON} -m why502 {command} 2>/root/fix.err </dev/null || status=$?; echo; echo $status"
    )
    out = machine.run(script, timeout_s=FIX_S)
    text, _, status = out.rstrip().rpartition("\n")
    return int(status), text, machine.run("cat /root/fix.err", is_checked=False)


def _still_failing(traffic: Traffic) -> list[str]:
    """Return the kinds of requests that do not get what they got before the fault."""
    asker = Traffic(traffic.address, (), 0, container.USERS)
    asker.patience_s = traffic.patience_s
    failing = []
    for route in traffic.routes:
        answers = [asker.ask(route) for _ in range(ASKED)]
        if not all(status in route.expect for status in answers):
            failing.append(f"{route.method} {route.path} {answers}")
    return failing


def _files(machine: container.Machine) -> dict[str, list[str]]:
    """Return for each file its kind, mode, owners, link target and digest."""
    found: dict[str, list[str]] = {}
    for entry in machine.run(_LIST, is_checked=False).splitlines():
        name, tab, fact = entry.rpartition("\t")
        if tab:
            found.setdefault(name, []).append(fact)
    if not found:
        raise LabError("the files of the machine could not be listed")
    return found


def _named(files: list[Any]) -> set[str]:
    """Return the names in the command's list of files."""
    return {each if isinstance(each, str) else str(each.get("file", each.get("path", ""))) for each in files}
