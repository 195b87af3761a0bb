"""What systemd 219 to 257 says of units."""

from __future__ import annotations

import pytest
from said import check

from why502.model.logs import Symptom
from why502.supervisors.systemd import logs as systemd

APP = {"unit": "app.service"}
LINES = [
    ("app.service: Main process exited, code=killed, status=9/KILL", Symptom.PROCESS_CRASHED, APP | {"code": "SIGKILL"}),
    ("app.service: Main process exited, code=dumped, status=11/SEGV", Symptom.PROCESS_CRASHED, APP | {"code": "SIGSEGV"}),
    ("app.service: Main process exited, code=killed, status=15/TERM", Symptom.PROCESS_STOPPED, APP),
    ("app.service: Main process exited, code=exited, status=203/EXEC", Symptom.START_FAILED, APP | {"code": "203"}),
    ("app.service: Main process exited, code=exited, status=217/USER", Symptom.START_FAILED, APP | {"code": "217"}),
    ("app.service: Main process exited, code=exited, status=78/CONFIG", Symptom.START_FAILED, APP | {"code": "78"}),
    ("app.service: control process exited, code=exited status=1", Symptom.START_FAILED, APP),
    ("app.service holdoff time over, scheduling restart.", Symptom.PROCESS_STARTED, APP),
    ("app.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED", Symptom.PROCESS_EXITED, APP | {"code": "3"}),
    ("app.service: Main process exited, code=exited, status=143/n/a", Symptom.PROCESS_STOPPED, APP),
    ("app.service: Control process exited, code=exited, status=1/FAILURE", Symptom.START_FAILED, APP),
    ("nginx.service: main process exited, code=exited, status=1/FAILURE", Symptom.PROXY_START_FAILED, {"unit": "nginx.service"}),
    ("app.service: Failed with result 'oom-kill'.", Symptom.OOM_KILLED, APP),
    ("app.service: Failed with result 'signal'.", Symptom.PROCESS_CRASHED, APP),
    ("app.service: Failed with result 'resources'.", Symptom.START_FAILED, APP),
    ("app.service: Failed with result 'start-limit-hit'.", Symptom.RESTART_LOOP, APP),
    ("app.service: A process of this unit has been killed by the OOM killer.", Symptom.OOM_KILLED, APP),
    ("app.service: Scheduled restart job, restart counter is at 1.", Symptom.PROCESS_STARTED, APP | {"code": "1"}),
    ("app.service: Scheduled restart job, restart counter is at 5.", Symptom.RESTART_LOOP, APP | {"code": "5"}),
    ("app.service: Start request repeated too quickly.", Symptom.RESTART_LOOP, APP),
    ("start request repeated too quickly for app.service", Symptom.RESTART_LOOP, APP),
    ("app.service: Failed at step EXEC spawning /opt/x: No such file or directory", Symptom.START_FAILED, APP),
    ("app.service: Failed to load environment files: No such file or directory", Symptom.START_FAILED, APP),
    ("app.service: Unable to locate executable '/opt/x': No such file or directory", Symptom.START_FAILED, APP),
    ("app.service: start operation timed out. Terminating.", Symptom.START_FAILED, APP),
    ("app.service: Watchdog timeout (limit 1s)!", Symptom.PROCESS_CRASHED, APP),
    ("Unit app.service entered failed state.", Symptom.PROCESS_EXITED, APP),
    ("Nov 21 00:00:01 web systemd[1]: Failed to start My app.", Symptom.START_FAILED, {}),
    ("systemd[1]: Failed to start nginx - high performance web server.", Symptom.PROXY_START_FAILED, {"proxy": "nginx"}),
    ("systemd[1]: Failed to start A high performance web server and a reverse proxy server.", Symptom.PROXY_START_FAILED, {"proxy": "nginx"}),
    ("systemd[1]: Failed to start HAProxy Load Balancer.", Symptom.PROXY_START_FAILED, {"proxy": "haproxy"}),
    ("systemd[1]: Failed to start NGINX Unit.", Symptom.START_FAILED, {"proxy": None}),
    ("systemd[1]: Failed to start Prometheus exporter for nginx.", Symptom.START_FAILED, {"proxy": None}),
    ("systemd[1]: Started app.service - My app.", Symptom.PROCESS_STARTED, APP),
    ("Stopped app.service - My app.", Symptom.PROCESS_STOPPED, APP),
    ("Process 77 (node) of user 1000 dumped core.", Symptom.PROCESS_CRASHED, {"process": "node", "process_pid": 77}),
    ("   Active: failed (Result: exit-code) since Sun 2015-01-18 02:36:12 CET; 1min 15s ago", Symptom.PROCESS_EXITED, {}),
    ("     Active: activating (auto-restart) (Result: exit-code) since Sat 2026-11-21 00:00:00 UTC; 1s ago", Symptom.RESTART_LOOP, {}),
    ("    Process: 212 ExecStart=/opt/x (code=exited, status=203/EXEC)", Symptom.START_FAILED, {"code": "203"}),
    ("   Main PID: 212 (code=killed, signal=SEGV)", Symptom.PROCESS_CRASHED, {"code": "SIGSEGV"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "symptom", "told"), LINES)
def test_a_line(line: str, symptom: Symptom, told: dict[str, object]) -> None:
    check(systemd, line, symptom, **told)


@pytest.mark.parametrize(
    "line",
    [
        'Started GET "/users/sign_in" for 193.144.12.5 at 2015-01-21 08:31:46 +0000',
        "Stopped by the user.",
        "     Active: active (running) since Sat 2026-11-21 00:00:00 UTC; 5min ago",
        "   Main PID: 212 (nginx)",
        "app.service: Consumed 1.2s CPU time.",
    ],
)
def test_what_is_no_trouble(line: str) -> None:
    assert systemd.parse(line) is None
