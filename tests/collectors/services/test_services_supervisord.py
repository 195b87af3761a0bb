"""A real supervisord with programs that serve, lost their port, crash, or cannot start."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from asked import ask, happened, until
from free_ports import free_port

from why502.host.local import LocalHost
from why502.model.logs import Symptom
from why502.model.target import Target

SUPERVISORD = shutil.which("supervisord") or str(Path(sys.executable).parent / "supervisord")
pytestmark = [pytest.mark.real, pytest.mark.skipif(not Path(SUPERVISORD).exists(), reason="needs supervisord")]


SERVE = """\
import socket, sys, time
address = ("127.0.0.1", int(sys.argv[2]))
while "after" in sys.argv and socket.socket().connect_ex(address):
    time.sleep(0.05)
server = socket.socket()
server.bind(address)
server.listen()
time.sleep(600)
"""


TRIES = """\
import socket, sys, time
while True:
    try:
        socket.socket().bind(("127.0.0.1", int(sys.argv[2])))
    except OSError as error:
        print("OSError:", error, file=sys.stderr, flush=True)
    time.sleep(0.2)
"""


class Machine:
    def __init__(self, directory: Path) -> None:
        self.serves, self.lost, self.none = free_port(), free_port(), free_port()
        self.log = directory / "supervisord.log"
        serve = directory / "serve.py"
        serve.write_text(SERVE)
        (directory / "tries.py").write_text(TRIES)
        server = f"{sys.executable} {serve}"
        (directory / "supervisord.conf").write_text(
            dedent(f"""
            [unix_http_server]
            file={directory}/s.sock
            [supervisord]
            logfile={self.log}
            pidfile={directory}/pid
            childlogdir={directory}
            [rpcinterface:supervisor]
            supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
            [include]
            files = %(here)s/conf.d/*.conf
            [program:serves]
            command={server} --port {self.serves}
            startsecs=0
            """)
        )
        (directory / "conf.d").mkdir()
        (directory / "conf.d" / "more.conf").write_text(
            dedent(f"""
            [program:clash]
            command={server} --port {self.serves} after
            startsecs=100
            startretries=1
            [program:tries]
            command={sys.executable} {directory}/tries.py --port {self.serves}
            startsecs=0
            [program:nobin]
            command=/nonexistent/bin --port {self.none}
            startretries=0
            [program:broken]
            command={sys.executable} -c 'import nosuchmodule' --listen 127.0.0.1:{self.lost}
            startretries=0
            """)
        )
        self.process = subprocess.Popen(
            [SUPERVISORD, "-n", "-c", str(directory / "supervisord.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def gave_up(self) -> bool:
        return self.log.exists() and self.log.read_text().count("gave up: ") == 3


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    running = Machine(tmp_path_factory.mktemp("supervisord"))
    try:
        until(running.gave_up)
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)


def test_services(machine: Machine) -> None:
    targets = [Target(host="127.0.0.1", port=port) for port in (machine.serves, machine.lost, machine.none)]
    found = {service.name: service for service in ask(LocalHost(), *targets)}
    assert set(found) == {"serves", "clash", "nobin", "broken", "tries"}
    assert (found["tries"].is_running, found["tries"].targets) == (True, (targets[0],))  # it reports that it lost the address
    assert (found["serves"].is_running, found["serves"].link) == (True, "its process listens on it")
    assert found["serves"].targets == (targets[0],)
    clash = found["clash"]
    assert (clash.state, clash.is_running, clash.exit_code, clash.restarts) == ("FATAL", False, 1, 1)
    assert "Address already in use" in clash.reason[-1]
    assert found["broken"].reason[-1] == "ModuleNotFoundError: No module named 'nosuchmodule'"
    assert found["broken"].targets == (targets[1],)
    assert "can't find command" in found["nobin"].exit_message
    assert found["nobin"].start_argv[0] == "supervisorctl"


def test_events(machine: Machine) -> None:
    targets = [Target(host="127.0.0.1", port=port) for port in (machine.serves, machine.lost, machine.none)]
    seen = {(event.unit, event.symptom) for event in happened(LocalHost(), *targets)}
    assert ("clash", Symptom.ADDRESS_IN_USE) in seen
    assert ("clash", Symptom.RESTART_LOOP) in seen
    assert ("broken", Symptom.START_FAILED) in seen
    assert ("serves", Symptom.RESTART_LOOP) not in seen
