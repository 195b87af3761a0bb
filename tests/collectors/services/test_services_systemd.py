"""systemd's units: recorded properties and journal of systemd 252, exit statuses, unit files."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from why502.host.local import LocalHost
from why502.machine.last_words import last_words
from why502.model.service import Service
from why502.supervisors.base import Look
from why502.supervisors.systemd import journal
from why502.supervisors.systemd.exit_status import exit_message
from why502.supervisors.systemd.manager import (
    _as_line,
    _service,
    _with_sockets,
    _with_words,
    described,
    parse_show,
    parse_unit_file,
)

DATA = Path(__file__).parents[2] / "data" / "services"
ENTRIES = journal.parse((DATA / "systemd_252_journal.jsonl").read_text())


def test_properties_of_several_units() -> None:
    units = {unit["Id"]: unit for unit in parse_show((DATA / "systemd_252_show.txt").read_text())}
    assert set(units) == {"loop.service", "segv.service", "nobin.service"}
    assert described(units["loop.service"]).environment == {"PORT": "3102"}
    assert described(units["nobin.service"]).argv == ("/opt/none", "--listen", "127.0.0.1:3104")
    assert (units["segv.service"]["ExecMainCode"], units["segv.service"]["ExecMainStatus"]) == ("2", "11")


@pytest.mark.parametrize(
    ("code", "status", "result", "message"),
    [
        (1, 203, "exit-code", "203/EXEC: its program could not be executed"),
        (1, 217, "exit-code", "217/USER: its User does not exist"),
        (1, 216, "exit-code", "216/GROUP: its Group does not exist"),
        (1, 226, "exit-code", "226/NAMESPACE: its mount namespace"),
        (1, 200, "exit-code", "200/CHDIR: its WorkingDirectory"),
        (1, 235, "exit-code", "235/CHOWN: "),
        (1, 243, "exit-code", "243/CREDENTIALS: "),
        (1, 7, "exit-code", "exited with status 7"),
        (2, 9, "oom-kill", "9/KILL: killed by SIGKILL; killed for lack of memory"),
        (3, 11, "core-dump", "11/SEGV: killed by SIGSEGV, core dumped"),
        (2, 6, "watchdog", "6/ABRT: killed by SIGABRT; did not notify"),
        (0, 0, "resources", "could not be started"),
        (1, 0, "success", ""),
    ],
)
def test_the_end_of_a_process_in_words(code: int, status: int, result: str, message: str) -> None:
    found = exit_message(code, status, result)
    assert found.startswith(message)
    assert bool(found) == bool(message)


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ("loop.service", "KeyError: 'DATABASE_URL'"),
        ("conflict.service", "Error: listen EADDRINUSE: address already in use 127.0.0.1:3101"),
        ("nobin.service", "nobin.service: Failed at step EXEC spawning /opt/none: No such file or directory"),
        ("noenv.service", "noenv.service: Failed to load environment files: No such file or directory"),
        ("nodir.service", "nodir.service: Failed at step CHDIR spawning /bin/sleep: No such file or directory"),
        ("nouser.service", "nouser.service: Failed at step USER spawning /bin/sleep: No such process"),
    ],
)
def test_the_last_words_of_a_unit_end_with_the_reason(unit: str, reason: str) -> None:
    assert last_words(_as_line(entry) for entry in ENTRIES if entry.unit == unit)[-1] == reason


def test_what_a_restarted_unit_says_since_is_not_why_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    began = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    entries = [
        journal.Entry(at=began - timedelta(seconds=9), message="Use Ctrl-C to stop", unit="bikes.service", identifier="puma"),
        journal.Entry(
            at=began - timedelta(seconds=4),
            message="bikes.service: Main process exited, code=killed, status=11/SEGV",
            unit="bikes.service",
            identifier="systemd",
        ),
        journal.Entry(at=began - timedelta(seconds=1), message="Stopped bikes.", unit="bikes.service", identifier="systemd"),
        journal.Entry(at=began + timedelta(seconds=1), message="Use Ctrl-C to stop", unit="bikes.service", identifier="puma"),
    ]
    monkeypatch.setattr(journal, "read", lambda *_, **__: entries)
    service = Service(manager="systemd", name="bikes.service", is_running=True, restarts=3, started_at=began)
    look = cast(Look, SimpleNamespace(since=began, until=began + timedelta(minutes=1)))
    assert _with_words(LocalHost(), look, service).reason[-1].endswith("status=11/SEGV")


@pytest.mark.parametrize(("state", "listen"), [("active", "/run/lms.sock 127.0.0.1:8000"), ("inactive", None)])
def test_where_systemd_listens_for_a_service(state: str, listen: str | None) -> None:
    socket = {"Id": "lms.socket", "ActiveState": state, "Listen": "/run/lms.sock (Stream)\n127.0.0.1:8000 (Stream)"}
    unit = {"Id": "lms.service", "TriggeredBy": "lms.timer lms.socket"}
    found = _with_sockets(Service(manager="systemd", name="lms.service"), unit, {"lms.socket": socket, "lms.service": unit})
    assert found.settings.get("Listen") == listen


def test_a_journal_entry_of_any_kind() -> None:
    text = (
        '{"__REALTIME_TIMESTAMP":"1795220000000000","MESSAGE":[104,105,255],"_PID":["7","8"]}\nnonsense\n{"MESSAGE":null}\n[]\n'
    )
    (entry,) = journal.parse(text)
    assert (entry.message, entry.pid) == ("hi\ufffd", 7)


def test_a_unit_file() -> None:
    what = parse_unit_file(
        '[Service]\n# ExecStart=/no\nExecStart=-/usr/bin/node \\\n  app.js --port 3000\nEnvironment="A=b c" PORT=1\n'
        "EnvironmentFile=-/etc/app.env\nWorkingDirectory=-/srv\n"
    )
    assert what.argv == ("/usr/bin/node", "app.js", "--port", "3000")
    assert what.environment == {"A": "b c", "PORT": "1"}
    assert (what.cwd, what.files) == ("/srv", ("/etc/app.env",))


@pytest.mark.skipif(not shutil.which("journalctl"), reason="needs journalctl")
@pytest.mark.skipif(not os.path.exists("/lib/systemd/systemd-journal-remote"), reason="needs systemd-journal-remote")
@pytest.mark.real
def test_a_real_journal(tmp_path: Path) -> None:
    export, file = tmp_path / "x.export", tmp_path / "x.journal"
    export.write_text(
        "__REALTIME_TIMESTAMP=1795220000000000\n_BOOT_ID=00000000000000000000000000000001\n_SYSTEMD_UNIT=app.service\n_PID=7\nMESSAGE=hello\n\n"
    )
    subprocess.run(["/lib/systemd/systemd-journal-remote", "-o", str(file), str(export)], check=True, capture_output=True)
    done = subprocess.run(
        ["journalctl", "--file", str(file), "-o", "json", "-q", "-u", "app"], check=True, capture_output=True, text=True
    )
    (entry,) = journal.parse(done.stdout)
    assert (entry.unit, entry.pid, entry.message) == ("app.service", 7, "hello")


@pytest.mark.parametrize(
    ("output", "error", "logs"),
    [
        ("append:/var/log/shop/out.log", "append:/var/log/shop/err.log", ("/var/log/shop/out.log", "/var/log/shop/err.log")),
        ("file:/var/log/shop.log", "inherit", ("/var/log/shop.log",)),
        ("truncate:/var/log/shop.log", "truncate:/var/log/shop.log", ("/var/log/shop.log",)),
        ("journal", "inherit", ()),
    ],
)
def test_the_files_that_a_unit_logs_to(output: str, error: str, logs: tuple[str, ...]) -> None:
    """systemd.exec(5): StandardOutput=."""
    unit = {"Id": "shop.service", "ActiveState": "active", "StandardOutput": output, "StandardError": error}
    assert _service(LocalHost(), unit, None).logs == logs
