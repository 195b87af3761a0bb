"""Units of a real systemd that do not run: masked, never loaded, stopped, started by a socket, still starting."""

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
SAYS = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(1)); print('Listening on 127.0.0.1:' + str(3000 + "
    "203), flush=True); time.sleep(600)"
)
MOVES = """\
import socket, time
port = int(open("/srv/number").read())
server = socket.create_server(("127.0.0.1", port))
print(f"Listening on 127.0.0.1:{port}", flush=True)
time.sleep(600)
"""
FAILS = """\
import pathlib, sys, time
if pathlib.Path("/srv/breaks").exists():
    sys.exit("java: No such file or directory")
print("Listening on 127.0.0.1:" + str(3000 + 210), flush=True)
time.sleep(600)
"""
HOLDS = "import socket, time; server = socket.create_server(('127.0.0.1', 3000 + 211)); time.sleep(600)"
BEATEN = """\
import socket
try:
    socket.create_server(("127.0.0.1", 3000 + 211))
except OSError:
    raise SystemExit("listen tcp 127.0.0.1:%d: bind: address already in use" % (3000 + 211))
"""
PACKAGED = """\
import pathlib, signal, sys, time
if pathlib.Path("/srv/breaks").exists():
    sys.exit("Error: no certificate in old.conf")
signal.signal(signal.SIGTERM, lambda *_: sys.exit("Error: stopped while it worked"))
print("it runs", flush=True)
time.sleep(600)
"""
ASK = """\
import sys
sys.path[:0] = sys.argv[1:3]
import msgspec
from asked import ask, happened
from why502.host.local import LocalHost
from why502.model.target import Target
targets = [Target(host="127.0.0.1", port=port) for port in (3201, 3202, 3203, 3206, 3207, 3210, 3211, 3212)]
targets += [Target(path=f"/run/{name}") for name in ("shop/app.sock", "act.sock", "link.sock")]
print(msgspec.json.encode([ask(LocalHost(), *targets), happened(LocalHost(), *targets)]).decode())
"""
VENDOR = "/usr/lib/systemd/system"
OWN = "/etc/systemd/system"
FILES = {
    f"{VENDOR}/masked.service": "[Service]\nExecStart=/bin/sleep 600 --port 3201\n",
    f"{VENDOR}/vendor.service": "[Service]\nExecStart=/bin/sleep 600 --port 3202\n",
    f"{OWN}/ran.service": f'[Service]\nExecStart={PYTHON} -c "{SAYS}"\n',
    f"{OWN}/directory.service": "[Service]\nRuntimeDirectory=shop\nExecStart=/bin/sleep 600\n",
    f"{OWN}/act.socket": "[Socket]\nListenStream=/run/act.sock\n",
    f"{OWN}/act.service": "[Service]\nExecStart=/bin/sleep 600\n",
    f"{OWN}/starting.service": "[Service]\n"
    "ExecStartPre=/bin/sleep 600\nExecStart=/bin/sleep 600 --port 3206\nTimeoutStartSec=infinity\n",
    f"{OWN}/linked.service": "[Service]\nExecStart=/bin/sleep 600 --bind unix:/run/real.sock\n",
    f"{OWN}/moved.service": f"[Service]\nExecStart={PYTHON} /srv/moves.py\n",
    f"{OWN}/never.service": "[Service]\nExecStart=/bin/sleep 600 --port 3210\n",
    f"{OWN}/fails.service": f"[Service]\nExecStart={PYTHON} /srv/fails.py\n",
    f"{OWN}/holder.service": f'[Service]\nExecStart={PYTHON} -c "{HOLDS}"\n',
    f"{OWN}/beaten.service": f"[Service]\nExecStart={PYTHON} /srv/beaten.py\n",
    f"{OWN}/packaged.service": f"[Service]\nExecStart={PYTHON} /srv/packaged.py\n",
    f"{OWN}/neighbour.service": f"[Service]\nExecStart={PYTHON} /srv/packaged.py\n",
    "/etc/packaged/sites-enabled/shop": "Listen 127.0.0.1:3212\n",
    "/etc/neighbour/main.conf": "# Listen 127.0.0.1:3212\n",
    "/srv/packaged.py": PACKAGED,
    "/srv/fails.py": FAILS,
    "/srv/beaten.py": BEATEN,
    "/srv/moves.py": MOVES,
    "/srv/number": "3207",
    "/srv/ask.py": ASK,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Service], list[Event]]]:
    with booted(tmp_path_factory.mktemp("stopped"), FILES) as inside:

        def run(*argv: str) -> str:
            return subprocess.run([*inside, *argv], capture_output=True, text=True, check=True, timeout=60).stdout

        run("systemctl", "mask", "masked")
        run("ln", "-s", "real.sock", "/run/link.sock")
        run("systemctl", "start", "ran", "directory", "fails", "holder", "packaged", "neighbour")
        until(lambda: all("it runs" in run("journalctl", "-u", unit, "-o", "cat") for unit in ("packaged", "neighbour")))
        until(lambda: "Listening on" in run("journalctl", "-u", "fails", "-o", "cat"))
        until(lambda: ":3211 " in run("ss", "-ltn"))
        run("touch", "/srv/breaks")
        run("systemctl", "restart", "fails", "packaged", "neighbour")
        run("systemctl", "start", "beaten")
        until(lambda: run("systemctl", "show", "-P", "ActiveState", "fails", "beaten", "packaged").split() == ["failed"] * 3)
        until(lambda: "Listening on" in run("journalctl", "-u", "ran", "-o", "cat"))
        run("systemctl", "start", "moved")
        until(lambda: ":3207 " in run("ss", "-ltn"))
        run("sh", "-c", "echo 3208 > /srv/number")
        run("systemctl", "restart", "moved")
        until(lambda: ":3208 " in run("ss", "-ltn"))
        run("systemctl", "start", "--no-block", "starting")
        run("systemctl", "stop", "ran", "directory")
        here = Path(__file__).parent
        services, events = msgspec.json.decode(
            run(sys.executable, "/srv/ask.py", str(here), str(here.parents[2])), type=tuple[list[Service], list[Event]]
        )
    yield {service.name: service for service in services}, events


def test_every_unit_is_found_although_none_runs(told: tuple[dict[str, Service], list[Event]]) -> None:
    found, _ = told
    links = {name: service.link for name, service in found.items()}
    assert links == {
        "masked.service": "its command names port 3201",
        "vendor.service": "its command names port 3202",
        "ran.service": "its journal reports that it listens on 127.0.0.1:3203",
        "directory.service": "its RuntimeDirectory is /run/shop",
        "act.service": "act.socket listens for it",
        "starting.service": "its command names port 3206",
        "linked.service": "its command names /run/real.sock",
        "moved.service": "its journal reports that it listens on 127.0.0.1:3207",
        "packaged.service": "/etc/packaged/sites-enabled/shop names port 3212",
        "fails.service": "its journal reports that it listens on 127.0.0.1:3210",
        "holder.service": "its process listens on it",
        "neighbour.service": "it fails, and nothing links it to a target",
        "beaten.service": "its journal reports that another process holds 127.0.0.1:3211",
    }
    assert "No such file" in found["fails.service"].reason[-1]
    assert found["masked.service"].settings["LoadState"] == "masked"
    assert found["act.service"].start_argv == ("systemctl", "start", "act.socket")
    assert found["linked.service"].targets == (Target(path="/run/link.sock"),)
    assert (found["starting.service"].state, found["starting.service"].substate) == ("activating", "start-pre")
    idle = {name for name, service in found.items() if service.is_running is False}
    assert idle == found.keys() - {"starting.service", "moved.service", "holder.service"}


def test_a_unit_stopped_on_request_is_reported_as_such(told: tuple[dict[str, Service], list[Event]]) -> None:
    found, events = told
    assert found["ran.service"].exit_code == 1  # this is its exit status when it is stopped
    assert any(event.unit == "ran.service" and event.symptom is Symptom.PROCESS_STOPPED for event in events)


def test_a_packaged_daemon_that_does_not_start_is_known_by_its_directory_below_etc(
    told: tuple[dict[str, Service], list[Event]],
) -> None:
    services, _ = told
    packaged = services["packaged.service"]
    assert packaged.targets == (Target(host="127.0.0.1", port=3212),)
    assert packaged.link == "/etc/packaged/sites-enabled/shop names port 3212"
    assert packaged.reason == ("Error: no certificate in old.conf",), "not what it said in the life before"
    assert services["neighbour.service"].targets == ()
