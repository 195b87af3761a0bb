"""A real systemd: units that serve, lost their port, crash in a loop or cannot start, examined inside their machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from asked import until
from container import booted, why_not

from why502.model.logs import Symptom
from why502.model.service import Service
from why502.model.snapshot import Event
from why502.model.target import Target

pytestmark = [pytest.mark.machine, pytest.mark.skipif(bool(why_not()), reason=why_not())]
PYTHON = "/usr/bin/python3"
SERVE = """\
import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[2])))
server.listen()
print(f"Listening on 127.0.0.1:{sys.argv[2]}", flush=True)
time.sleep(600)
"""
ASK = """\
import sys
sys.path[:0] = sys.argv[1:3]
import msgspec
from asked import ask, happened
from why502.host.local import LocalHost
from why502.model.target import Target
targets = [Target(host="127.0.0.1", port=port) for port in range(3101, 3120)] + [Target(path="/run/app/app.sock")]
print(msgspec.json.encode([ask(LocalHost(), *targets), happened(LocalHost(), *targets)]).decode())
"""
OFTEN = "[Unit]\nStartLimitBurst=4\nStartLimitIntervalSec=60\n"
UNITS = {
    "serves": f"[Service]\nExecStart={PYTHON} /srv/serve.py --port 3101\nPrivateTmp=yes\nMemoryMax=200M\nRestart=always\n",
    "clash": f"{OFTEN}[Service]\nExecStart={PYTHON} /srv/serve.py --port 3101\nRestart=on-failure\nRestartSec=50ms\n",
    "loop": (
        f"{OFTEN}[Service]\nEnvironment=PORT=3102 SECRET=hidden\nExecStart={PYTHON} -c 'import os; "
        f'os.environ["DATABASE_URL"]\'\nRestart=always\nRestartSec=50ms\n'
    ),
    "segv": "[Service]\nExecStart=/bin/sh -c 'kill -SEGV $$$$' --port 3103\n",
    "nobin": "[Service]\nExecStart=/opt/none --listen 127.0.0.1:3104\n",
    "nouser": "[Service]\nUser=nosuchuser\nExecStart=/bin/sleep 1 --port=3105\n",
    "nodir": "[Service]\nWorkingDirectory=/nonexistent\nExecStart=/bin/sleep 1 --port=3106\n",
    "noenv": "[Service]\nEnvironmentFile=/etc/nosuch.env\nExecStart=/bin/sleep 1 --port=3107\n",
    "stopped": "[Service]\nExecStart=/bin/sleep 1 --port=3108\n",
    "silent": (
        f'[Service]\nExecStart={PYTHON} -c \'print("Listening on 127.0.0.1:" + str(3000 + 109), flush=True); raise '
        f"SystemExit(7)'\n"
    ),
    "chatty": (
        f'[Service]\nExecStart={PYTHON} -c \'print(*range(5000), sep="\\\\n", flush=True); raise KeyError("SECRET_KEY")\' '
        f"--port 3110\n"
    ),
    "sock": f"[Service]\nRuntimeDirectory=app\nWorkingDirectory=/run/app\nExecStart={PYTHON} -m nosuch --bind unix:app.sock\n",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Service], list[Event]]]:
    files = {f"/etc/systemd/system/{name}.service": text for name, text in UNITS.items()}
    files |= {"/srv/serve.py": SERVE, "/srv/ask.py": ASK}
    with booted(tmp_path_factory.mktemp("machine"), files) as inside:

        def state(*names: str) -> list[str]:
            shown = subprocess.run([*inside, "systemctl", "is-active", *names], capture_output=True, text=True, check=False)
            return shown.stdout.split()

        def listens() -> bool:
            return ":3101 " in subprocess.run([*inside, "ss", "-ltn"], capture_output=True, text=True, check=False).stdout

        subprocess.run([*inside, "systemctl", "start", "serves"], check=True)
        until(listens)
        failing = [name for name in UNITS if name not in ("serves", "stopped")]
        subprocess.run([*inside, "systemctl", "start", "--no-block", *failing], check=False)
        until(lambda: state(*failing) == ["failed"] * len(failing))
        here = Path(__file__).parent
        asked = [sys.executable, "/srv/ask.py", str(here), str(here.parents[2])]
        done = subprocess.run([*inside, *asked], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        services, events = msgspec.json.decode(done.stdout, type=tuple[list[Service], list[Event]])
    yield {service.name.removesuffix(".service"): service for service in services}, events


def test_services(told: tuple[dict[str, Service], list[Event]]) -> None:
    found, _ = told
    assert set(found) == set(UNITS)
    serves = found["serves"]
    assert (serves.is_running, serves.link, serves.settings["PrivateTmp"]) == (True, "its process listens on it", "yes")
    assert serves.settings["MemoryMax"] == str(200 << 20)
    ends = {
        name: (service.result, service.exit_code, service.signal) for name, service in found.items() if not service.is_running
    }
    assert ends == {
        "clash": ("exit-code", 1, None),
        "loop": ("exit-code", 1, None),
        "segv": ("signal", None, 11),
        "nobin": ("exit-code", 203, None),
        "nouser": ("exit-code", 217, None),
        "nodir": ("exit-code", 200, None),
        "noenv": ("resources", None, None),
        "stopped": ("", None, None),
        "silent": ("exit-code", 7, None),
        "chatty": ("exit-code", 1, None),
        "sock": ("exit-code", 1, None),
    }
    assert found["chatty"].reason[-1] == "KeyError: 'SECRET_KEY'"  # the newest lines of its journal, not the oldest
    assert (found["loop"].restarts, found["loop"].reason[-1]) == (4, "KeyError: 'DATABASE_URL'")
    assert found["clash"].reason[-1] == "OSError: [Errno 98] Address already in use"
    assert found["noenv"].settings["EnvironmentFileMissing"] == "/etc/nosuch.env"
    assert found["silent"].link == "its journal reports that it listens on 127.0.0.1:3109"
    assert found["sock"].targets == (Target(path="/run/app/app.sock"),)
    assert "hidden" not in str(found)


def test_events(told: tuple[dict[str, Service], list[Event]]) -> None:
    _, events = told
    seen: dict[str, list[Symptom]] = {}
    for event in events:
        if event.symptom is not Symptom.PROCESS_STARTED:
            seen.setdefault(event.unit.removesuffix(".service"), []).append(event.symptom)
    assert seen["serves"] == [Symptom.LISTENS_ON]
    assert seen["segv"] == [Symptom.PROCESS_CRASHED]
    assert seen["noenv"] == [Symptom.START_FAILED]
    assert set(seen["loop"]) == {Symptom.START_FAILED, Symptom.RESTART_LOOP}
    assert set(seen["clash"]) == {Symptom.ADDRESS_IN_USE, Symptom.RESTART_LOOP}
    assert {symptom for name in ("nobin", "nouser", "nodir") for symptom in seen[name]} == {Symptom.START_FAILED}
