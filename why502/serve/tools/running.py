"""Runs a tool in a process of its own, and receives what came of it. At most AT_ONCE run; a few more may wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

import why502
from why502.model.base import decode, encode
from why502.model.errors import Why502Error
from why502.render.words import safe
from why502.serve.security import Refused
from why502.serve.tools.orders import Answer, Content, Diagnosed, Failed, Linted, Order, Rejected, Reported, Work

AT_ONCE = 2
WAITING = 6
LIMIT_S = 35.0  # the process ends itself earlier
ANSWER_BYTES = 32 << 20
_ROOT = str(Path(why502.__file__).parent.parent)
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from why502.serve.tools.process import main; main()"
_LOG = logging.getLogger("why502.serve")
_BUSY = Refused(429, "too many files are being examined", "Try again in a minute.")
_HINT = "Use why502 on the command line instead, which has no such limit."


class ToolError(Exception):
    """A tool failed because of an error of ours; the log has its traceback."""


@dataclass(slots=True)
class Tools:
    """The processes that run. One object belongs to one event loop."""

    _begun: int = 0
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Keep a place for a file that is about to be received. Raises Refused if there is none."""
        if self._begun >= AT_ONCE + WAITING:
            raise _BUSY
        self._begun += 1
        try:
            yield
        finally:
            self._begun -= 1

    async def run(self, order: Order, contents: Sequence[Content]) -> Linted | Diagnosed | Reported:
        """Return the answer. Raises Why502Error for a bad input, Refused where it takes too long, ToolError."""
        async with self._slots:
            output = await _output(Work(order=order, contents=tuple(contents)))
        answer = await anyio.to_thread.run_sync(_decoded, output)
        match answer:
            case Rejected():
                raise Why502Error(answer.message, answer.hint)
            case Failed():
                _LOG.error("a tool failed:\n%s", "\n".join(map(safe, answer.trace.splitlines())))
                raise ToolError
            case _:
                return answer


def _decoded(output: bytes) -> Answer:
    return decode(output, Answer, "the answer of a tool")  # type: ignore[arg-type]  # a union is a type for msgspec


async def _output(work: Work) -> bytes:
    """Return what the process wrote. Raises Refused if it was ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _PROGRAM,
        _ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=[content.descriptor for content in work.contents],
        start_new_session=True,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output = await _talk(process, encode(work))
            if len(output) > ANSWER_BYTES:
                raise Refused(422, "the answer is too large for a page", _HINT)
            status = await process.wait()
    except TimeoutError:
        raise Refused(422, "examining it took too long", _HINT) from None
    finally:
        await asyncio.shield(_end(process))
    if status == -signal.SIGALRM:
        raise Refused(422, "examining it took too long", _HINT)
    if status:
        _LOG.error("a tool ended with status %d", status)
        raise Refused(422, "examining it took more time or memory than a page may use", _HINT)
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process with its session, unless it has ended. What it wrote is read, because asyncio waits for that, too."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        while await process.stdout.read(1 << 20):
            pass
        await process.wait()


async def _talk(process: asyncio.subprocess.Process, order: bytes) -> bytes:
    """Return what the process answers, at most a byte more than ANSWER_BYTES."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(order)
        await process.stdin.drain()
    process.stdin.close()
    found = bytearray()
    while len(found) <= ANSWER_BYTES and (part := await process.stdout.read(1 << 18)):
        found += part
    return bytes(found)
