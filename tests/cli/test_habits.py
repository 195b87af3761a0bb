"""Behaviour that all commands share: streams, exit statuses, colours, pipes, Ctrl-C, help."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from asking import GOLDEN, PROGRAM, ask, environment, run_program
from sampled import sampled

from why502 import __version__
from why502.cli.main import cli

WRONG_PORT = str(GOLDEN / "wrong-port.why502")
HEALTHY = str(GOLDEN / "healthy.why502")
REFUSED = (
    b"2026/11/21 01:10:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    b"client: 192.0.2.1, "
    b'server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n'
)
COMMANDS = cli.list_commands(None)


@pytest.mark.parametrize(("bundle", "status"), [(HEALTHY, 0), (WRONG_PORT, 1)])
@pytest.mark.parametrize("form", ["text", "json", "jsonl", "html", "markdown"])
def test_the_exit_status_is_the_verdict_in_every_format(bundle: str, status: int, form: str) -> None:
    answer = ask("diagnose", "--bundle", bundle, "--format", form)
    assert (answer.status, answer.err) == (status, "")
    assert answer.out.endswith("\n")


def test_json_is_all_of_standard_output() -> None:
    assert json.loads(ask("diagnose", "--bundle", WRONG_PORT, "--format", "json").out)["verdict"] == "problem"
    (line,) = ask("diagnose", "--bundle", WRONG_PORT, "--format", "jsonl").out.splitlines()
    assert json.loads(line)["verdict"] == "problem"


def test_jsonl_is_one_object_a_line_also_of_everything() -> None:
    (line,) = ask("explain", "--format", "jsonl").out.splitlines()
    assert json.loads(line) == json.loads(ask("explain", "--format", "json").out)


def test_quiet_is_the_verdict_alone_and_verbose_is_more() -> None:
    lengths = [len(ask("diagnose", "--bundle", WRONG_PORT, *option).out.splitlines()) for option in (["-q"], [], ["-v"])]
    assert lengths[0] <= 2 < lengths[1] < lengths[2]


def test_standard_input_is_a_log() -> None:
    answer = ask("diagnose", "--offline", "--log", "-", "--since", "2026-11-21T00:00Z", "--format", "json", stdin=REFUSED)
    assert (answer.status, answer.err) == (1, "")
    assert json.loads(answer.out)["findings"][0]["target"] == "127.0.0.1:3001"


def test_standard_input_is_a_bundle() -> None:
    answer = ask("diagnose", "--bundle", "-", stdin=Path(WRONG_PORT).read_bytes())
    assert answer.out == ask("diagnose", "--bundle", WRONG_PORT).out


def test_standard_input_is_a_configuration(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_bytes(REFUSED)
    config = b"events {}\nhttp { server { listen 80; server_name a; location / { proxy_pass http://127.0.0.1:3001; } } }\n"
    given = ("--offline", "--config", "-", "--log", str(log), "--since", "2026-11-21T00:00Z", "--format", "json")
    assert json.loads(ask("diagnose", *given, stdin=config).out)["findings"][0]["route"]["location"] == "/"


def test_offline_looks_at_nothing_but_the_files(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_bytes(REFUSED)
    out = json.loads(ask("diagnose", "--offline", "--log", str(log), "--since", "2026-11-21", "--format", "json").out)
    assert {check["id"] for check in out["checks"] if check["status"] != "skip"} == {"logs-readable", "no-failures"}
    assert {"source": "this machine", "reason": "not checked: --offline", "hint": ""} in out["gaps"]


def on_a_terminal(*argv: str, **changes: str) -> str:
    """Return the program's output on a terminal."""
    ours, its = pty.openpty()
    with subprocess.Popen([*PROGRAM, *argv], stdin=subprocess.DEVNULL, stdout=its, env=environment(**changes)) as process:
        os.close(its)
        parts = []
        try:
            while part := os.read(ours, 1 << 16):
                parts.append(part)
        except OSError:  # EIO: the other end is closed (pty(7))
            pass
        finally:
            os.close(ours)
        process.wait(30)
    return b"".join(parts).decode()


def test_colours_only_on_a_terminal_that_wants_them() -> None:
    show = ("diagnose", "--bundle", WRONG_PORT)
    colored = on_a_terminal(*show, TERM="xterm")
    assert "\x1b[1;31mPROBLEM" in colored
    plain = on_a_terminal(*show, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in plain
    assert plain == re.sub(r"\x1b\[[\d;]*m", "", colored)
    assert "\x1b" not in on_a_terminal(*show, TERM="dumb")
    assert "\x1b" not in run_program(*show, env=environment(TERM="xterm")).stdout


@pytest.mark.parametrize(
    "argv", [("schema",), ("diagnose", "--bundle", WRONG_PORT), ("--help",), ("collect", "--config", "/", "-o", "-")]
)
def test_a_closed_pipe_gives_no_traceback(argv: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = run_program(*argv, capture_output=False, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_ends_quietly() -> None:
    argv = [*PROGRAM, "diagnose", "--offline", "--log", "-"]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell's background job and its children ignore SIGINT (POSIX, 2.11); that is not tested here.
    with subprocess.Popen(argv, **streams, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:  # noqa: PLW1509
        assert process.stdin
        try:
            process.stdin.write(REFUSED * 2000)  # more than a pipe holds (pipe(7)): the write returns when the program reads
            process.stdin.flush()
            for _ in range(6):  # Python drops an interrupt that arrives in a finalizer; a user would press again
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                    break
            assert process.wait(30) == 130
            assert process.stdout and process.stderr
            assert (process.stdout.read(), process.stderr.read().strip()) == (b"", b"")  # the line with ^C is ended
        finally:
            process.kill()


@pytest.mark.thorough
def test_bytes_that_are_no_utf8_can_be_written_anywhere() -> None:
    given = ("diagnose", "--offline", "--log", "-", "--since", "2026-11-21T00:00Z")
    log = REFUSED.replace(b"GET /", b"GET /\xff\xc3\xa4")
    for encoding in ("ascii", "utf-8", "latin-1"):
        done = run_program(*given, text=False, stdin=None, input=log, env=environment(PYTHONIOENCODING=encoding))
        assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", sampled([pytest.param(()), *(pytest.param((name,)) for name in COMMANDS)], 4))
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    done = run_program(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ +Examples?: why502 ", done.stdout, re.MULTILINE)


def groups(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of every command that has further commands."""
    if isinstance(command, click.Group):
        yield path
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from groups(found, (*path, name))


@pytest.mark.parametrize("group", list(groups(cli)), ids=" ".join)
def test_summaries_fit_their_line(group: tuple[str, ...]) -> None:
    done = run_program(*group, "--help")
    listed = done.stdout.partition("\nCommands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of every command that does something."""
    if not isinstance(command, click.Group):
        yield path
        return
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        assert found is not None
        yield from leaves(found, (*path, name))


PROTOCOL = {("lsp",)}  # its output is for an editor, in the editor's own protocol


@pytest.mark.parametrize("command", [words for words in leaves(cli) if words not in PROTOCOL], ids=" ".join)
def test_every_command_has_the_options_of_all(command: tuple[str, ...]) -> None:
    found: click.Command | None = cli
    for name in command:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name)
    assert found is not None
    options = {option for parameter in found.params for option in parameter.opts}
    assert {"--format", "--quiet", "-q", "--verbose", "-v"} <= options
    assert "Example: why502 " in (found.help or "")


def test_collect_reports_its_result(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("events {}\n")
    bundle = tmp_path / "x.why502"
    given = ("collect", "--no-probe", "--config", str(tmp_path / "nginx.conf"), "-o", str(bundle))
    quiet, plain, verbose = (ask(*given, *more) for more in (("-q",), (), ("-v",)))
    assert [answer.out for answer in (quiet, plain, verbose)] == ["", "", ""]
    assert quiet.err == "" and f"--bundle {bundle}" in plain.err and len(verbose.err) > len(plain.err)
    said = json.loads(ask(*given, "--format", "json").out)
    assert (said["schema"], said["file"], said["bytes"]) == ("why502.collected/1", str(bundle), bundle.stat().st_size)
    assert said["gaps"] and set(said["gaps"][0]) == {"source", "reason", "hint"}


def test_version() -> None:
    assert run_program("--version").stdout == f"why502 {__version__}\n"


def test_without_a_command_it_lists_the_commands() -> None:
    done = run_program()
    assert (done.returncode, done.stdout) == (2, "")
    assert "diagnose" in done.stderr


@pytest.mark.parametrize(
    "module", ["msgspec", "rich", "jinja2", "dns", "why502.diagnosis.engine", "why502.collectors", "why502.lab"]
)
def test_help_loads_only_what_it_needs(module: str) -> None:
    program = f"import sys; from why502.cli.main import run; run(['--help']); sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    answer = ask("completion", shell)
    assert (answer.status, answer.err) == (0, "")
    assert "_WHY502_COMPLETE" in answer.out


def test_completion_knows_commands_and_options() -> None:
    def completed(line: str) -> list[str]:
        words = line.split()
        changes = {"_WHY502_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        return run_program(env=environment(**changes)).stdout.split()

    assert "plain,diagnose" in completed("why502 di")
    assert "plain,--format" in completed("why502 diagnose --for")
    assert "plain,markdown" in completed("why502 diagnose --format ma")
