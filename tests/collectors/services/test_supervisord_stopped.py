"""A supervisord that does not start: its unit's journal gives the reason, and its programs are found in its files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.model.target import Target
from why502.supervisors.base import Look
from why502.supervisors.supervisord import manager

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
WHY = "Error: Invalid user name clinic in section 'program:web' (file: '/etc/supervisor/conf.d/clinic.conf')"
ENTRY = (
    '{{"__REALTIME_TIMESTAMP": "{at}", "MESSAGE": "{text}", "SYSLOG_IDENTIFIER": "{by}", "_SYSTEMD_UNIT": "supervisor.service"}}'
)


class Machine(DirectoryHost):
    """A directory as a machine with a journal."""

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        at = int(NOW.timestamp() * 1e6)
        lines = (ENTRY.format(at=at, text=WHY, by="supervisord"), ENTRY.format(at=at, text="Failed with result", by="systemd"))
        return Finished(status=0, stdout="\n".join(lines[::-1]) if argv[0] == "journalctl" else "", stderr="")


def test_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    (tmp_path / "etc" / "supervisor").mkdir(parents=True)
    (tmp_path / "etc" / "supervisor" / "supervisord.conf").write_text(
        "[supervisord]\n[program:web]\ncommand=/opt/venv/bin/gunicorn --bind 127.0.0.1:8000 clinic:application\n"
    )
    target = Target(host="127.0.0.1", port=8000)
    since = NOW - timedelta(minutes=15)
    look = Look(owners={target: ()}, processes={}, parents={}, names={}, pools=(), since=since, until=NOW)
    (found,) = manager.services(Machine(str(tmp_path)), look)
    assert (found.name, found.is_running, found.targets) == ("web", False, (target,))
    assert (found.result, found.reason) == ("exit-code", (WHY,))
