"""Units that a fix started: one that has failed again has not been repaired, whatever a request got in between."""

from __future__ import annotations

from why502.fix import commands
from why502.fix.journal import Entry

_STARTING = ("start", "restart")


def complaint(entry: Entry) -> tuple[str, bool]:
    """Return a sentence about a unit that this change started and that has failed since, and whether it stays down; ("", False)
    if there is none.

    A oneshot unit that ended without a failure has done its work (systemd.service(5), Type=).
    """
    for run in entry.runs:
        if len(run.argv) != 3 or run.argv[0] != "systemctl" or run.argv[1] not in _STARTING:
            continue
        unit = run.argv[2]
        shown = commands.finish(("systemctl", "show", "-p", "ActiveState", "-p", "SubState", "-p", "Result", "--", unit)).stdout
        state = dict(line.partition("=")[::2] for line in shown.splitlines())
        if state.get("ActiveState") == "failed":
            return f"{unit} was started and has failed again ({state.get('Result') or 'unknown result'})", True
        if state.get("SubState") == "auto-restart":
            return f"{unit} was started and has failed since; systemd is starting it again", False
    return "", False
