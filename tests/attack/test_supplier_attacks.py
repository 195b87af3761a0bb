"""What an ordinary user can make root's `diagnose` do by process titles, configurations, logs,
sockets and programs of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stranger import STRANGER, attacking, directory, needs_root, why502

pytestmark = [pytest.mark.real, needs_root]

SECRET = "correct-horse-battery-staple-9c1f"


@contextlib.contextmanager
def acting(*argv: str, uid: int = STRANGER, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A running process of the attacker with any command line."""
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd="/", **options)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def titled(title: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the attacker with any title (perlvar(1), $0)."""
    with acting("perl", "-e", f'$|=1; $0 = "{title}"; print "ready\\n"; sleep 300') as process:
        yield process


@contextlib.contextmanager
def named(name: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the attacker with any short name (PR_SET_NAME, prctl(2)) and arguments."""
    number = {"x86_64": 157, "aarch64": 167}[os.uname().machine]
    script = f'$|=1; my $name = "{name}"; syscall({number}, 15, $name, 0, 0, 0); print "ready\\n"; sleep 300'
    with acting("perl", "-e", script, "--", *argv) as process:
        yield process


def diagnose(*more: str) -> dict[str, object]:
    """Return root's diagnosis of the machine, with probes."""
    done = why502("diagnose", "--format", "json", *more)
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout))


def collected() -> str:
    """Return all that a bundle of root's holds."""
    out = directory() / "a.why502"
    done = why502("collect", "-o", str(out))
    assert done.returncode == 0, done.stderr
    from why502.bundle import load
    from why502.model.base import encode

    return encode(load(out.read_bytes(), str(out))).decode("utf-8", "replace")


def config(directory: Path, text: str, name: str = "nginx.conf") -> Path:
    """Return a configuration file of the stranger."""
    path = directory / name
    path.write_text(text)
    os.chown(path, STRANGER, STRANGER)
    return path


class Watcher:
    """A unix socket accessible only to root, which records the users that connect."""

    def __init__(self, directory: Path, mode: int = 0o600) -> None:
        self.path = directory / "root.sock"
        self.heard: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self.path.chmod(mode)
        self._socket.listen(8)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            line.settimeout(1)
            with contextlib.suppress(OSError):
                self.heard.append(line.recv(4096))
            line.close()

    def close(self) -> None:
        self._socket.close()


def site(target: str, more: str = "") -> str:
    return f"events {{}} http {{ {more} server {{ listen 127.0.0.1:9; location / {{ proxy_pass {target}; }} }} }}"


def master(path: Path) -> str:
    return f"nginx: master process nginx -c {path}"


def test_a_title_leads_into_no_directory_that_is_closed_to_its_user() -> None:
    closed = directory(0o700)
    (closed / "nginx.conf").write_text(site("http://127.0.0.1:1", f'add_header X "{SECRET}";'))
    (closed / "nginx.conf").chmod(0o644)
    with titled(master(closed / "nginx.conf")):
        assert SECRET not in collected()


def test_a_configuration_includes_nothing_that_its_user_may_not_read() -> None:
    mine, secret = directory(uid=STRANGER), directory()
    hidden = secret / "hidden.conf"
    hidden.write_text(f"# {SECRET}\nupstream {SECRET} {{ server 192.0.2.1; }}\n")
    hidden.chmod(0o600)
    link = mine / "link.conf"
    link.symlink_to(hidden)
    text = site("http://127.0.0.1:1", f"include {hidden}; include {link}; include {secret}/*;")
    path = config(mine, text)
    with titled(master(path)):
        assert SECRET not in collected()


def test_a_link_swapped_during_the_read_leads_nowhere_else() -> None:
    mine, secret = directory(uid=STRANGER), directory()
    hidden = secret / "hidden.conf"
    hidden.write_text(f"upstream {SECRET} {{ server 192.0.2.1; }}\n")
    hidden.chmod(0o600)
    harmless = config(mine, "upstream other { server 192.0.2.2; }\n", "harmless.conf")
    path = config(mine, site("http://127.0.0.1:1", f"include {mine}/part.conf;"))
    one, two = mine / "one", mine / "two"
    one.symlink_to(harmless)
    two.symlink_to(hidden)

    def exchange() -> None:
        for aim in (harmless, hidden):
            with contextlib.suppress(OSError):
                os.unlink(mine / "next")
            os.symlink(aim, mine / "next")
            os.rename(mine / "next", mine / "part.conf")

    with titled(master(path)), attacking(exchange):
        for _ in range(3):
            assert SECRET not in collected()


@pytest.mark.parametrize("name", ["haproxy", "apache2"])
def test_other_gateways_read_nothing_that_their_user_may_not(name: str) -> None:
    secret = directory()
    hidden = secret / "hidden.cfg"
    hidden.write_text(f"listen a\n bind :9\n server {SECRET} 192.0.2.1:80\nProxyPass / http://{SECRET}.example/\n")
    hidden.chmod(0o600)
    with named(name, "-f", str(hidden)):
        assert SECRET not in collected()


def test_a_log_that_only_root_may_read_is_not_read_for_a_user() -> None:
    mine, secret = directory(uid=STRANGER), directory()
    hidden = secret / "error.log"
    stamp = time.strftime("%Y/%m/%d %H:%M:%S")
    line = (
        f"{stamp} [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
        f'192.0.2.9, server: {SECRET}, request: "GET /{SECRET} HTTP/1.1", upstream: "http://127.0.0.1:1/", host: "a"\n'
    )
    hidden.write_text(line)
    hidden.chmod(0o600)
    path = config(mine, site("http://127.0.0.1:1", f"error_log {hidden};"))
    with titled(master(path)):
        assert SECRET not in collected()


def test_no_socket_is_asked_that_the_user_may_not_connect_to() -> None:
    mine, watched = directory(uid=STRANGER), Watcher(directory())
    stamp = time.strftime("%Y/%m/%d %H:%M:%S")
    log = mine / "error.log"
    request = (
        f"{stamp} [error] 1#1: *1 connect() to unix:{watched.path} failed (111: Connection refused) while connecting to "
        f'upstream, client: 192.0.2.9, server: a, request: "GET /shutdown HTTP/1.1", upstream: '
        f'"http://unix:{watched.path}:/shutdown", host: "a"\n'
    )
    log.write_text(request * 9)
    os.chown(log, STRANGER, STRANGER)
    more = f"error_log {log}; proxy_set_header X-Admin yes;"
    path = config(mine, site(f"http://unix:{watched.path}:/shutdown?force=1", more))
    try:
        with titled(master(path)):
            diagnose()
        assert watched.heard == []
    finally:
        watched.close()


def test_no_script_is_run_through_a_pool_that_the_user_may_not_connect_to() -> None:
    mine, watched = directory(uid=STRANGER), Watcher(directory())
    stamp = time.strftime("%Y/%m/%d %H:%M:%S")
    log = mine / "error.log"
    log.write_text(
        f'{stamp} [error] 1#1: *1 FastCGI sent in stderr: "Primary script unknown" while reading response header from '
        f'upstream, client: 192.0.2.9, server: a, request: "GET /evil.php HTTP/1.1", upstream: '
        f'"fastcgi://unix:{watched.path}:", host: "a"\n'
    )
    os.chown(log, STRANGER, STRANGER)
    text = (
        f"events {{}} http {{ error_log {log}; server {{ listen 127.0.0.1:9; root {mine}; location / {{ fastcgi_pass unix:"
        f"{watched.path}; fastcgi_param SCRIPT_FILENAME {mine}/evil.php; }} }} }}"
    )
    path = config(mine, text)
    pool = config(
        mine, f"[www]\nlisten = {watched.path}\npm = static\npm.max_children = 1\npm.status_path = /evil.php\n", "fpm.conf"
    )
    try:
        with titled(master(path)), titled(f"php-fpm: master process ({pool})"):
            diagnose()
        assert watched.heard == []
    finally:
        watched.close()


def test_a_key_of_roots_is_not_shown_to_a_users_server() -> None:
    mine, secret = directory(uid=STRANGER), directory()
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-days", "2"]
    subprocess.run([*made, "-keyout", f"{secret}/key", "-out", f"{secret}/cert"], check=True, capture_output=True)
    (secret / "key").chmod(0o600)
    server = f"""
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain({str(mine / "cert")!r}, {str(mine / "key")!r})
context.verify_mode = ssl.CERT_OPTIONAL
context.load_verify_locations({str(mine / "cert")!r})
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    line, _ = listening.accept()
    try:
        with context.wrap_socket(line, server_side=True) as secured:
            secured.recv(100)
            print("shown" if secured.getpeercert() else "none", flush=True)
    except Exception as error:
        print("error", "shown" if "verify" in str(error).lower() else "", flush=True)
"""
    for name in ("key", "cert"):
        (mine / name).write_bytes((secret / name).read_bytes())
        os.chown(mine / name, STRANGER, STRANGER)
    words = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", sys.executable, "-c", server]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd="/")
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            pytest.fail("the stranger's server did not start")
        more = f"proxy_ssl_certificate {secret}/cert; proxy_ssl_certificate_key {secret}/key;"
        path = config(mine, site(f"https://127.0.0.1:{port}", more))
        with titled(master(path)):
            found = diagnose()
        process.kill()
        assert "shown" not in process.stdout.read()
        assert found
    finally:
        process.kill()
        process.wait()


def test_no_program_of_a_user_is_run_as_root_without_a_running_nginx() -> None:
    proof = directory(0o777) / "proof"
    mine = Path("/opt/why502-attack")
    mine.mkdir()
    try:
        (mine / "sbin").mkdir()
        (mine / "conf").mkdir()
        (mine / "conf/nginx.conf").write_text(site("http://127.0.0.1:1"))
        program = mine / "sbin/nginx"
        program.write_text(f"#!/bin/sh\nid -u >> {proof}\necho 'nginx version: nginx/1.22.1' >&2\n")
        program.chmod(0o755)
        subprocess.run(["chown", "-R", f"{STRANGER}:{STRANGER}", str(mine)], check=True)
        why502("diagnose", "--format", "json", before=("unshare", "--mount", "--pid", "--fork", "--mount-proc"))
        alone = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
        done = why502("fix", "--apply", "--yes", "--state", str(directory(0o700)), before=alone)
        assert "Traceback" not in done.stderr
        assert "0" not in (proof.read_text().split() if proof.exists() else [])
    finally:
        subprocess.run(["rm", "-rf", str(mine)], check=True)


def test_the_configuration_test_runs_nothing_of_a_user_as_root() -> None:
    """A directory swapped for a link while overlays are mounted, and a configuration that loads a module."""
    mine, proof = directory(uid=STRANGER), directory(0o777) / "proof"
    program = mine / "nginx"
    program.write_text(f"#!/bin/sh\nid -u >> {proof}\nsleep 120\n")
    program.chmod(0o755)
    os.chown(program, STRANGER, STRANGER)
    path = config(mine, f"load_module {mine}/evil.so; error_log {mine}/logs/error.log; " + site("http://127.0.0.1:1"))

    def exchange() -> None:
        for aim in ("/etc", str(mine / "real")):
            with contextlib.suppress(OSError):
                os.unlink(mine / "next")
            os.symlink(aim, mine / "next")
            os.rename(mine / "next", mine / "logs")

    with titled(master(path)), attacking(exchange):
        diagnose("--no-probe")
    assert "0" not in (proof.read_text().split() if proof.exists() else [])


def test_seventy_masters_of_a_user_do_not_hide_the_real_one(root_nginx: Callable[[], int]) -> None:
    mine = directory(uid=STRANGER)
    path = config(mine, site("http://127.0.0.1:1", "include /*/*/*/*;"))
    with contextlib.ExitStack() as stack:
        for _ in range(70):
            stack.enter_context(titled(master(path)))
        pid = root_nginx()
        found = collected()
    assert f'"pid":{pid},' in found
    assert found.count(str(path)) > 0


@pytest.fixture
def root_nginx() -> Iterator[Callable[[], int]]:
    """Starts a real nginx of root's."""
    place = directory()
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        text = (
            f"daemon off; pid {place}/pid; error_log {place}/error.log; events {{}} http {{ access_log off; server {{ list"
            f"en 127.0.0.1:18099; location / {{ proxy_pass http://127.0.0.1:1; }} }} }}"
        )
        (place / "nginx.conf").write_text(text)
        started.append(subprocess.Popen(["/usr/sbin/nginx", "-c", str(place / "nginx.conf")]))
        until = time.monotonic() + 10
        while not (place / "pid").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        return started[0].pid

    yield start
    for process in started:
        process.terminate()
        process.wait()
