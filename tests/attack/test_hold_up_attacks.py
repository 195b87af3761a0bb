"""What an ordinary user can do to keep root's `diagnose` from its answer: time, memory,
and managers that speak of root's targets.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port
from stranger import STRANGER, attacking, directory, given, needs_root, why502
from test_supplier_attacks import acting, collected, config, diagnose, master, site

pytestmark = [pytest.mark.real, needs_root]

NOGROUP = 65534
SERVER = Path(__file__).with_name("fuse_server.py")
_MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "why502", *sys.argv[1:]], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def megabytes(*argv: str) -> int:
    """Return the maximum memory of a root command or of a process it started."""
    done = subprocess.run([sys.executable, "-c", _MEASURED, *argv], capture_output=True, text=True, timeout=120, check=True)
    status, size = map(int, done.stdout.split())
    assert status in (0, 1, 2), done.stderr
    return size


class Dead(int):
    """A backend port without a listener, with the log of the gateway in front of it."""

    log: Path

    def failures(self) -> int:
        """Return how many failures the log holds: ours, and those of other tests' programs that ask every gateway
        of the machine.
        """
        return self.log.read_text().count("connect() failed")


def counts_all(dead: Dead, *argv: str) -> dict[str, object]:
    """Return a diagnosis that counts every failure of the backend that was in the log when it was read."""
    before = dead.failures()
    assert before >= 3
    found = diagnose(*argv)
    count, log = about(found, dead)["failures"], dead.log.read_text()
    assert count in range(before, dead.failures() + 1), f"{log}\n{json.dumps(found, indent=1)}"
    return found


@pytest.fixture
def dead() -> Iterator[Dead]:
    """A real root nginx whose log reports a backend port without a listener."""
    place = directory()
    port, backend = free_port(), free_port()
    passes = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{backend}; }} }}"
    http_block = f"http {{ access_log off; {passes} }}"
    text = f"daemon off; pid {place}/pid; error_log {place}/error.log; events {{}} {http_block}"
    (place / "nginx.conf").write_text(text)
    process = subprocess.Popen(["/usr/sbin/nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")])
    until = time.monotonic() + 20
    while not (place / "pid").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    for _ in range(3):
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        asked.request("GET", f"/{backend}")  # no program of another test asks for this: such lines are joined by path and second
        assert asked.getresponse().status == 502
        asked.close()
    port_of_none = Dead(backend)
    port_of_none.log = place / "error.log"
    yield port_of_none
    process.terminate()
    process.wait()
    shutil.rmtree(place)


def about(diagnosis: dict[str, object], port: int) -> dict[str, object]:
    """Return the first finding about a backend of root's gateway."""
    findings = diagnosis["findings"]
    assert isinstance(findings, list)
    return next(found for found in findings if found["target"] == f"127.0.0.1:{port}")


@contextlib.contextmanager
def crowd(count: int, *argv: str) -> Iterator[None]:
    """Processes of the attacker below pid 1, so that none is left out as one of many children."""
    script = f"""
import os, sys
os.setsid()
os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})
for _ in range({count}):
    if os.fork() == 0:
        if os.fork() == 0:
            os.execv(sys.argv[1], sys.argv[1:])
        os._exit(0)
    os.wait()
print("ready", flush=True)
sys.stdin.read()
"""
    begun = subprocess.Popen([sys.executable, "-c", script, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    try:
        assert begun.stdout is not None
        assert begun.stdout.readline()
        yield
    finally:
        os.killpg(begun.pid, signal.SIGKILL)
        begun.wait()


def test_long_command_lines_of_many_processes_take_no_memory(dead: Dead) -> None:
    with crowd(250, "/usr/bin/perl", "-e", "sleep 300", "--", *["ab"] * 20_000):
        counts_all(dead)
        assert megabytes("diagnose", "--no-probe") < 200


def test_a_huge_program_takes_no_memory(dead: Dead) -> None:
    mine = directory(uid=STRANGER)
    program = mine / "nginx"
    shutil.copy("/usr/bin/perl", program)
    os.truncate(program, 128 << 20)
    path = config(mine, site("http://127.0.0.1:1"))
    with acting(str(program), "-e", f'$|=1; $0 = "nginx: master process {program} -c {path}"; print "ready\\n"; sleep 300'):
        assert about(diagnose(), dead)
        assert megabytes("diagnose", "--no-probe") < 200


def _stop_ours() -> None:
    """Stop every process that runs with the attacker's uid on root's behalf."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdecimal() and b"owner_process" in Path(f"/proc/{name}/cmdline").read_bytes():
                os.kill(int(name), signal.SIGSTOP)
    time.sleep(0.002)


def test_stopping_the_reader_processes_hides_no_gateway_of_root(dead: Dead) -> None:
    path = config(directory(uid=STRANGER), site("http://127.0.0.1:1"))
    title = f'$|=1; $0 = "{master(path)}"; print "ready\\n"; sleep 300'
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # each in its own mount namespace: a process reads for root below each of their roots
            stack.enter_context(acting("unshare", "-Urm", "perl", "-e", title))
        stack.enter_context(attacking(_stop_ours))
        found = counts_all(dead, "--no-probe")
    assert "did not answer within" not in json.dumps([gap for gap in _gaps(found) if gap["source"] in ("proxies", "disks")])


def _gaps(diagnosis: dict[str, object]) -> list[dict[str, str]]:
    found = diagnosis.get("gaps")
    assert isinstance(found, list)
    return found


def test_a_file_system_of_the_stranger_costs_no_log_of_root(dead: Dead) -> None:
    mine = directory(uid=STRANGER)
    point = mine / "point"
    point.mkdir()
    given(point)
    device = directory() / "fuse"
    os.mknod(device, 0o020666, os.makedev(10, 229))
    device.chmod(0o666)
    path = config(mine, f"error_log {point}/error.log; {site('http://127.0.0.1:1')}")
    words = ["setpriv", f"--reuid={STRANGER}", f"--regid={NOGROUP}", "--clear-groups", "unshare", "-Urm", "/usr/bin/python3", "-"]
    with SERVER.open("rb") as program:
        process = subprocess.Popen(
            [*words, str(device), str(point), str(path)],
            stdin=program, stdout=subprocess.PIPE, text=True, cwd="/", start_new_session=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        counts_all(dead)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        device.unlink()


def test_arguments_of_a_set_user_id_program_are_not_roots() -> None:
    secret = "upstream the-name-of-a-secret { server 127.0.0.1:1; }"
    closed = directory(0o711)
    (closed / "secret").write_text(secret)
    (closed / "secret").chmod(0o600)
    program = closed / "sudo"  # becomes root in every respect, as sudo(8) does while it waits for a password
    shutil.copy("/usr/bin/perl", program)
    os.chown(program, 0, STRANGER)
    program.chmod(0o4750)
    try:
        words = f'$|=1; $< = 0; $( = 0; $0 = "nginx: master process nginx -c {closed}/secret"; print "$< $>\\n"; sleep 300'
        argv = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", str(program), "-e", words]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "0 0\n"
            assert "the-name-of-a-secret" not in collected()
        finally:
            process.kill()
            process.wait()
    finally:
        program.unlink()


class Pm2:
    """A daemon of the attacker that reports one application, with a name chosen by the attacker and an address that names a
    port.
    """

    def __init__(self, home: Path, name: str, port: int) -> None:
        one = {"name": name, "status": "stopped", "exit_code": 0, "restart_time": 0, "args": ["--port", str(port)]}
        rows = [{"name": name, "pid": 0, "pm_id": 0, "pm2_env": one}]
        self._answer = b"j:" + json.dumps({"args": [rows]}).encode()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(home / "rpc.sock"))
        given(home / "rpc.sock")
        self._socket.listen(8)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                line.recv(4096)
                line.sendall(b"\x11" + struct.pack(">I", len(self._answer)) + self._answer)
            line.close()

    def close(self) -> None:
        self._socket.close()


def test_root_runs_no_command_that_another_user_worded(dead: Dead) -> None:
    home, bin_ = directory(uid=STRANGER), directory()
    proof = bin_ / "ran"
    (bin_ / "pm2").write_text(f'#!/bin/sh\necho "$*" >> {proof}\n')
    (bin_ / "pm2").chmod(0o755)
    daemon = Pm2(home, "all", dead)
    program = home / "PM2"
    shutil.copy("/usr/bin/perl", program)
    try:
        with acting(str(program), "-e", f'$|=1; $0 = "PM2 v5.3.0: God Daemon ({home})"; print "ready\\n"; sleep 300'):
            finding = about(diagnose(), dead)
            own = ("--config", str(dead.log.with_name("nginx.conf")), "--state", str(directory(0o700)))  # no other test's gateway
            done = why502("fix", "--apply", "--yes", *own, env={**os.environ, "PATH": f"{os.environ['PATH']}:{bin_}"})
            assert "Traceback" not in done.stderr
    finally:
        daemon.close()
    assert "all" in str(finding["message"])  # it is considered
    assert f"user {STRANGER}, not root" in json.dumps(finding["evidence"])  # the finding names the user who reported it
    assert '"run"' not in json.dumps(finding["remedies"])
    assert not proof.exists()


SUPERVISORD = """[unix_http_server]
file={directory}/sock
[supervisord]
logfile={directory}/log
pidfile={directory}/pid
nodaemon=true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:{name}]
command=/bin/false --port {port}
startretries=1
startsecs=0
autorestart=false
"""


def test_silent_managers_of_another_user_hide_nothing_from_roots_manager(dead: Dead) -> None:
    mine, roots = directory(uid=STRANGER), directory()
    config(mine, SUPERVISORD.format(directory=mine, name="theirs", port=dead), "s.conf")
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(mine / "sock"))
    given(mine / "sock")
    silent.listen(64)
    program = mine / "supervisord"
    shutil.copy("/usr/bin/perl", program)
    (roots / "s.conf").write_text(SUPERVISORD.format(directory=roots, name="app-of-root", port=dead))
    with crowd(20, str(program), "-e", "sleep 300", "--", "-c", f"{mine}/s.conf"):  # smaller pids than root's
        process = subprocess.Popen(["supervisord", "-c", str(roots / "s.conf")], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            until = time.monotonic() + 30
            while "exited: app-of-root" not in process.stdout.readline():
                assert time.monotonic() < until
            message = str(about(diagnose(), dead)["message"])
        finally:
            process.terminate()
            process.wait()
            silent.close()
    assert "app-of-root" in message


def test_no_gateway_of_root_is_pointed_at_a_listener_of_another_user(dead: Dead) -> None:
    near = dead + 1 if dead % 10 < 9 else dead - 1
    listens = (
        "use IO::Socket::INET; $|=1;"
        f'$s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => {near}) or die;'
        'print "ready\\n"; while ($c = $s->accept) { sysread $c, $b, 4096; print $c "HTTP/1.1 200 OK\\r\\nContent-Leng'
        'th: 0\\r\\n\\r\\n"; }'
    )
    with acting("perl", "-e", listens):
        found = diagnose()
    findings = found["findings"]
    assert isinstance(findings, list)
    own = [finding for finding in findings if finding["target"] == f"127.0.0.1:{dead}"]
    message = json.dumps([finding["remedies"] for finding in own])
    assert f"user {STRANGER} runs that" in message  # it is shown as a possibility
    assert f":{near}" not in json.dumps([remedy["steps"] for finding in own for remedy in finding["remedies"]])
