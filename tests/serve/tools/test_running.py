"""The process of a tool: its answers are those of the function, and nothing that it reads harms the server."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from why502.bundle import load, redacted
from why502.diagnosis.engine import diagnose
from why502.model.errors import Why502Error
from why502.serve.security import Refused
from why502.serve.tools import running
from why502.serve.tools.orders import BundleOrder, Content, Diagnosed, Linted, LintOrder, LogsOrder, Order, Reported
from why502.serve.tools.running import AT_ONCE, WAITING, Tools

ROOT = Path(__file__).parents[3]
BUNDLE = ROOT / "tests" / "golden" / "wrong-port.why502"
LINE = (
    b"2026/11/21 01:17:00 [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
    b'127.0.0.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n'
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def content(stack: ExitStack, data: bytes, name: str = "a") -> Content:
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    file.write(data)
    file.flush()
    return Content(name=name, descriptor=file.fileno())


def run(order: Order, contents: Sequence[Content]) -> Any:
    async def one() -> Any:
        return await Tools().run(order, contents)

    return asyncio.run(one())


def test_a_bundle_is_diagnosed(stack: ExitStack) -> None:
    data = BUNDLE.read_bytes()
    assert run(BundleOrder(), [content(stack, data)]) == Diagnosed(diagnosis=diagnose(redacted(load(data, "a"))))


@pytest.mark.real
def test_several_logs_are_reported_together(stack: ExitStack) -> None:
    logs = [content(stack, LINE * 40, "error.log"), content(stack, gzip.compress(LINE * 2), "error.log.1.gz")]
    answer = run(LogsOrder(), logs)
    assert isinstance(answer, Reported)
    assert {file.path: file.lines for file in answer.report.files} == {"error.log": 40, "error.log.1.gz": 2}
    assert answer.report.causes[0].place.startswith("error.log")
    assert "/proc/" not in str(answer)


@pytest.mark.real
@pytest.mark.parametrize(
    ("order", "data"),
    [
        (BundleOrder(), b"\x1f\x8b not a bundle"),
        (BundleOrder(), gzip.compress(b"0" * (200 << 20))),  # a small file that unpacks to a large one
        (BundleOrder(), gzip.compress(b'{"a":' * 100_000)),
        (LogsOrder(log_format="nothing"), LINE),
    ],
)
def test_bad_input_is_rejected_with_two_lines(stack: ExitStack, order: Order, data: bytes) -> None:
    with pytest.raises(Why502Error) as error:
        run(order, [content(stack, data)])
    assert error.value.message
    assert error.value.hint


@pytest.mark.thorough
def test_a_bomb_in_a_log_ends_in_time(stack: ExitStack) -> None:
    """A few megabytes that unpack to many gigabytes are read for a while only."""
    begun = time.monotonic()
    member = gzip.compress(LINE * 100_000, compresslevel=9)
    answer = run(LogsOrder(), [content(stack, member * 400, "bomb.gz")])
    assert answer.report.is_partial
    assert 0 < answer.report.lines < 40_000_000
    assert time.monotonic() - begun < running.LIMIT_S


@pytest.mark.real
def test_a_process_that_hangs_is_ended(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PROGRAM", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    monkeypatch.setattr(running, "LIMIT_S", 1.0)
    with pytest.raises(Refused) as refused:
        run(LintOrder(), [content(stack, b"events {}")])
    assert refused.value.status == 422


@pytest.mark.real
@pytest.mark.parametrize(
    "program",
    [
        "import os; os.kill(os.getpid(), 11)",
        "import sys; sys.exit(3)",
        "import resource, signal, os; os.kill(os.getpid(), signal.SIGXCPU)",
        "while True: print('x' * 100000)",
    ],
)
def test_a_process_that_dies_or_floods_is_a_refusal(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(running, "_PROGRAM", program)
    with pytest.raises(Refused) as refused:
        run(LintOrder(), [content(stack, b"events {}")])
    assert refused.value.status == 422


def test_only_so_many_files_are_worked_on_at_once() -> None:
    async def crowd() -> int:
        tools = Tools()
        async with AsyncExitStack() as places:
            for _ in range(AT_ONCE + WAITING):
                await places.enter_async_context(tools.place())
            with pytest.raises(Refused) as refused:
                await places.enter_async_context(tools.place())
        async with tools.place():  # they are free again
            return refused.value.status

    assert asyncio.run(crowd()) == 429


PROBE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from why502.serve.tools import linting, process
from why502.serve.tools.orders import Linted
from why502.model.base import encode
from why502.render.lint.json import document
def look(order, files):
    found = {}
    for name, act in (("uid", lambda: os.getresuid()), ("shadow", lambda: len(open("/etc/shadow").read())),
                      ("kill", lambda: os.kill(os.getppid(), 0)), ("environment", lambda: dict(os.environ)),
                      ("write", lambda: open("/tmp/why502-tool-wrote", "w"))):
        try: found[name] = str(act())
        except OSError as error: found[name] = error.strerror
    return Linted(document=REAL({"a.conf": b"events {}"}), notices=(json.dumps(found),))
real = linting.lint
REAL = lambda files: real(__import__("why502.serve.tools.orders", fromlist=["x"]).LintOrder(), files).document
process.linting.lint = lambda order, files: look(order, files) if "probe" in files else real(order, files)
process.main()
"""


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_the_process_of_an_upload_has_no_rights(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PROGRAM", PROBE)
    monkeypatch.setenv("WHY502_SECRET", "x")
    answer = run(LintOrder(), [content(stack, b"events {}", "probe")])
    assert isinstance(answer, Linted)
    found = json.loads(answer.notices[0])
    assert found["uid"] == "(65534, 65534, 65534)"
    assert found["shadow"] == "Permission denied"
    assert found["kill"] == "Operation not permitted"
    assert "WHY502_SECRET" not in found["environment"]
