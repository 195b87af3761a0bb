"""Bad input of any kind: two lines on stderr (the error and a hint), exit status 2, nothing on stdout; never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from asking import TWO_LINES, ask
from sampled import sampled

CONFIG = "events {}\nhttp { server { listen 80; location / { proxy_pass http://127.0.0.1:3001; } } }\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the current directory one with invalid files."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "nginx.conf").write_text(CONFIG)
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "empty").touch()
    (tmp_path / "cut.why502").write_bytes(gzip.compress(b'{"schema": "why502.bundle/2"}')[:-9])
    (tmp_path / "other.why502").write_bytes(gzip.compress(b'{"schema": "why502.bundle/99"}'))
    (tmp_path / "wrong.why502").write_bytes(
        gzip.compress(
            b'{"schema":"why502.bundle/2","why502":"1","snapshot":{"taken_at":"2026-11-21T00:00:00Z","listeners":[{"target":5}]}}'
        )
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("diagnose --config nowhere.conf", r"--config nowhere\.conf: no such file"),
        ("diagnose --config directory", r"--config directory is a directory"),
        ("diagnose --nginx-conf nowhere.conf", r"nowhere\.conf: no such file"),
        ("diagnose --log nowhere.log", r"--log nowhere\.log: no such file"),
        ("diagnose --error-log directory", r"--log directory is a directory"),
        ("diagnose --access-log nginx.conf/x", r"nginx\.conf/x: not a directory"),
        ("diagnose --since yesterday", r"--since 'yesterday' is neither a duration nor a time"),
        ("diagnose --since -5m", r"--since"),
        ("diagnose --since 2026-13-45", r"--since"),
        ("diagnose --until soon", r"--until 'soon'"),
        ("diagnose --since 1h --until 2h", r"--since is later than --until"),
        ("diagnose --format yaml", r"'yaml'"),
        ("diagnose --bundle nowhere", r"--bundle nowhere: no such file"),
        ("diagnose --bundle directory", r"--bundle directory is a directory"),
        ("diagnose --bundle noise", r"noise is not a why502 bundle"),
        ("diagnose --bundle empty", r"empty is not a why502 bundle"),
        ("diagnose --bundle cut.why502", r"cut\.why502 is damaged"),
        ("diagnose --bundle other.why502", r"why502\.bundle/99"),
        ("diagnose --bundle wrong.why502", r"\$\.snapshot\.listeners\[0\]\.target"),
        ("diagnose --url nonsense", r"--url 'nonsense' is not a valid http\(s\) URL"),
        ("diagnose --url ftp://example.com/", r"--url"),
        ("diagnose --url http://[::1", r"--url"),
        ("diagnose --host user@host", r"--host 'user@host' is not a valid ssh:// address"),
        ("diagnose --host ssh://", r"--host"),
        ("diagnose --host ssh://-oProxyCommand=id", r"--host"),
        ("diagnose --host ssh://-x@host", r"--host"),
        ("diagnose --host ssh://user:secret@host", r"a password in the address is not supported"),
        ("diagnose --host ssh://host:port", r"--host"),
        ("diagnose --host ssh://host/etc/nginx", r"--host"),
        ("diagnose --host ssh://host --offline", r"--offline and --host cannot be combined"),
        ("diagnose --host ssh://host --log -", r"standard input"),
        ("diagnose --offline", r"--offline needs files"),
        ("diagnose --log - --config -", r"standard input"),
        ("diagnose --no-such-option", r"No such option"),
        ("diagnose further", r"unexpected extra argument"),
        ("no-such-command", r"No such command"),
        ("collect", r"Missing option '-o'"),
        ("collect -o directory --config nowhere.conf", r"directory: is a directory"),
        ("collect -o out.why502 --config nowhere.conf", r"nowhere\.conf"),
        ("lab run no-such-fault", r"no-such-fault"),
        ("schema no-such-schema", r"no-such-schema"),
        ("completion tcsh", r"tcsh"),
    ],
)
def test_errors_have_two_lines(files: Path, line: str, message: str) -> None:
    answer = ask(*line.split())
    assert (answer.status, answer.out) == (2, "")
    assert TWO_LINES.fullmatch(answer.err), answer.err
    assert re.search(message, answer.err.splitlines()[0]), answer.err


def test_names_cannot_steer_the_terminal(files: Path) -> None:
    name = "a\x1b]0;owned\x07\x9b31m\u202e\n.conf"
    answer = ask("diagnose", "--config", name)
    assert answer.status == 2
    assert TWO_LINES.fullmatch(answer.err)
    assert not set(answer.err.replace("\n", "")) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize(
    ("name", "content", "gap"),
    [
        ("noise", bytes(range(256)) * 40, "binary data"),
        ("nul", b"\0" * 70000, "binary data"),
        ("empty", b"", None),
        ("prose", b"Dear reader,\nthis is no log at all.\n" * 50, None),
    ],
)
def test_a_file_that_is_not_a_log_is_not_guessed_at(files: Path, name: str, content: bytes, gap: str | None) -> None:
    (files / name).write_bytes(content)
    answer = ask("diagnose", "--offline", "--log", name)
    assert answer.err == ""
    assert answer.out.startswith(("UNKNOWN", "HEALTHY"))
    assert gap is None or gap in " ".join(answer.out.split())


@pytest.mark.parametrize(
    "text", ["http {\n server {\n", "}\n", "\0\1\2", '"', "http { include nowhere.conf; }", "\ufeffevents {}"]
)
def test_a_configuration_that_does_not_parse_is_reported_with_its_place(files: Path, text: str) -> None:
    (files / "bad.conf").write_text(text)
    answer = ask("diagnose", "--offline", "--config", "bad.conf")
    assert (answer.status, answer.err) == (1, "")
    assert answer.out.startswith("UNKNOWN")
    assert re.search(r"warn the configuration can be read: .*\(\S*bad\.conf:\d+\)", " ".join(answer.out.split()))


@pytest.mark.thorough
def test_a_line_without_end_takes_neither_time_nor_memory(files: Path) -> None:
    with open("long.log", "wb") as log:
        for _ in range(100):
            log.write(b"x" * (1 << 20))
        log.write(
            b"\n2026/11/21 01:10:00 [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, "
        )
        log.write(b'client: 192.0.2.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n')
    # VmHWM (proc_pid_status(5)) is the process's own peak; ru_maxrss of getrusage(2) would include its parent's.
    measure = "import re, sys; from why502.cli.main import run; status = run(sys.argv[1:]); "
    measure += "print(re.search('VmHWM:.*?([0-9]+)', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(status)"
    argv = ("diagnose", "--offline", "--log", "long.log", "--since", "2026-11-20", "--format", "json")
    done = subprocess.run([sys.executable, "-c", measure, *argv], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert int(done.stderr) < 200 * 1024  # KiB
    assert json.loads(done.stdout)["findings"][0]["target"] == "127.0.0.1:3001"


NOBODY = """
import importlib, os, pkgutil, sys, why502
for module in pkgutil.walk_packages(why502.__path__, "why502."):
    if module.name != "why502.__main__" and not module.name.startswith("why502.lab."):
        importlib.import_module(module.name)
from why502.cli.main import run
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, needs root")
@pytest.mark.parametrize("option", sampled(["--config", "--log", "--bundle"], 4))
def test_no_permission(files: Path, option: str) -> None:
    files.chmod(0o755)
    (files / "nginx.conf").chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, "diagnose", option, "nginx.conf"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert re.search(r"nginx\.conf: permission denied", done.stderr)
    assert "root" in done.stderr


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces of its own, needs root")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_nginx_at_all(form: str) -> None:
    hide = (
        "mount -t tmpfs t /etc/nginx; for f in /usr/sbin/nginx /usr/local/sbin/nginx; do [ -e $f ] && mount --bind "
        "/dev/null $f; done; "
    )
    space = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    if subprocess.run([*space, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    command = [*space, hide + 'exec "$@"', "sh", sys.executable, "-m", "why502", "diagnose", "--format", form]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert "no proxy found on this machine: none is running" in done.stderr
    assert "--config" in done.stderr


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_log_of_another_day_is_unknown_and_not_healthy(files: Path, is_compressed: bool) -> None:
    line = (
        b"2025/03/04 01:10:00 [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, "
        b'client: 192.0.2.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n'
    )
    (files / "old.log").write_bytes(gzip.compress(line * 3) if is_compressed else line * 3)
    out = json.loads(ask("diagnose", "--offline", "--log", "old.log", "--format", "json").out)
    assert (out["verdict"], out["findings"]) == ("unknown", [])
    (gap,) = [gap for gap in out["gaps"] if gap["source"].endswith("old.log")]
    assert "2025-03-04 01:10:00" in gap["reason"] and gap["hint"].endswith("--since 2025-03-04")
    assert ask("diagnose", "--offline", "--log", "old.log", "--since", "2025-03-04", "-q").status == 1
