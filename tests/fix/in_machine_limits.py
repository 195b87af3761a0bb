"""Run under its own systemd: limits that a drop-in raises apply to running processes; one that another file overrides is
reported.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from why502.fix import commands, reversal, transaction
from why502.fix.journal import Entry
from why502.fix.plan import Plan
from why502.fix.reversal import Progress
from why502.fix.verify import Verdict
from why502.model.errors import Why502Error
from why502.model.remedy import Edit, Run
from why502.model.service import Service
from why502.remedies import drop_ins

UNIT = Path("/etc/systemd/system/app.service")
DIRECTORY = Path("/etc/systemd/system/app.service.d")
STATE = Path("/srv/why502-state")
SERVICE = Service(manager="systemd", name="app.service", unit_file=str(UNIT))
FILES, MEMORY = 8192, 256 << 20


def show(name: str) -> str:
    return commands.finish(("systemctl", "show", "-p", name, "--value", "app.service")).stdout.strip()


def files_limit() -> int:
    lines = Path(f"/proc/{show('MainPID')}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Max open files")).split()[3])


def apply(name: str, *lines: str, restarts: bool) -> Entry:
    steps = (*drop_ins.write_drop_in(SERVICE, name, *lines), *((drop_ins.restart(SERVICE),) if restarts else ()))
    edits, runs = ([step for step in steps if isinstance(step, kind)] for kind in (Edit, Run))
    plan = Plan(cause="too-many-open-files", message="", remedy="", edits=tuple(edits), runs=tuple(runs))  # type: ignore[arg-type]
    return transaction.apply(plan, STATE, datetime.now(UTC), (), lambda _: Verdict(helps=True, message=""), Progress())


def main() -> None:
    STATE.mkdir(mode=0o700, exist_ok=True)
    UNIT.write_text("[Service]\nExecStart=/bin/sleep 600\nLimitNOFILE=256\nMemoryMax=128M\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", "app.service"], check=True)
    assert files_limit() == 256

    entry = apply("files", f"LimitNOFILE={FILES}", restarts=True)
    assert (entry.phase, files_limit()) == ("kept", FILES)
    assert reversal.revert(STATE, entry, Progress()).phase == "reverted"
    assert (files_limit(), DIRECTORY.exists()) == (256, False)

    pid = show("MainPID")
    entry = apply("memory", f"MemoryMax={MEMORY}", restarts=False)
    assert (entry.phase, show("MemoryMax"), show("MainPID")) == ("kept", str(MEMORY), pid)
    group = Path("/sys/fs/cgroup", show("ControlGroup").lstrip("/"), "memory.max")
    applied = group.read_text().strip() if group.exists() else "no memory controller"
    assert applied in (str(MEMORY), "no memory controller")
    assert reversal.revert(STATE, entry, Progress()).phase == "reverted"
    assert show("MemoryMax") == str(128 << 20)

    DIRECTORY.mkdir()
    (DIRECTORY / "zz-local.conf").write_text("[Service]\nLimitNOFILE=512\n")
    try:
        apply("files", f"LimitNOFILE={FILES}", restarts=True)
        raise AssertionError("it was not noticed")
    except Why502Error as error:
        assert "LimitNOFILE=512 although our drop-in sets 8192" in error.message, error.message
        assert "everything was rolled back" in error.message
    assert [path.name for path in DIRECTORY.iterdir()] == ["zz-local.conf"]
    print(f"limits applied; memory: {'in force' if applied == str(MEMORY) else applied}")


if __name__ == "__main__":
    main()
