"""Follows the entries of a unit in the journal, as `why502.logs.follow` follows a file.

journalctl is asked for everything from a cursor on, and the entry with that cursor is left out: with `--after-cursor`
and a filter systemd 252 leaves out one entry too many (systemd/systemd#30288), and with `--follow` it never updates a cursor file
(systemd/systemd#26746).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, cast

from msgspec import structs

from why502.logs.checkpoint import Checkpoint
from why502.logs.follow.step import TURN_BYTES, Sink, Step
from why502.logs.held import Origin
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.part import Session
from why502.logs.scan.reading import Carried
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.window import PROBE_BYTES
from why502.model import foreign_json
from why502.model.times import whole_number

FIELDS = "MESSAGE,N_DROPPED,_PID,SYSLOG_IDENTIFIER,_SOURCE_REALTIME_TIMESTAMP"
LONGEST_PAUSE_S = 60.0
MOST_WAITING = 2 * TURN_BYTES  # an entry that is longer is left out
STOP_S = 2.0
Start = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]


def begin(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start journalctl; its output is read without waiting. Raises OSError."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for stream in (child.stdout, child.stderr):
        number = cast(BinaryIO, stream).fileno()
        fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_NONBLOCK)
    return child


class JournalFollower:
    """Follows one unit. Without a checkpoint it begins at `since` (seconds since the epoch)."""

    def __init__(
        self,
        unit: str,
        checkpoint: Checkpoint | None = None,
        *,
        query: ScanQuery,
        form: Form | None = None,
        since: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sink: Sink | None = None,
        start: Start = begin,
    ) -> None:
        self.path = f"journalctl -u {unit}"
        self.unit = unit
        self.form = form
        self.lost_lines = 0
        self.rotations = 0
        self.query = structs.replace(query, is_fast=False)
        self._sink = sink
        self._clock = clock
        self._start = start
        self._since = since
        self._cursor = checkpoint.cursor if checkpoint else ""
        self._child: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._said = b""  # on standard error
        self._form: Form | None = None
        self._carried = Carried()
        self._index = 0
        self._pause_s = 0.0
        self._next_at = -LONGEST_PAUSE_S

    def step(self) -> Step:
        """Read what was added, at most some megabytes. Nothing is raised for a journal that cannot be read."""
        added = Counts()
        reason = self._keep_running()
        data = self._read()
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if len(self._rest) > MOST_WAITING:
            self._rest = b""
            added.skip((self._index, 0), self.path, "")
        if lines := b"".join(self._wanted(data[:end])):
            self._pause_s = 0.0
            self._count(lines, added)
        return Step(added, self.checkpoint(), is_behind=end >= TURN_BYTES, reason=reason)

    def checkpoint(self) -> Checkpoint:
        """Return where the next one is to go on."""
        return Checkpoint(path=self.path, cursor=self._cursor)

    def reform(self, form: Form | None) -> None:
        """Read the lines that come from now on as another configuration says."""
        self.form, self._form = form, None

    def close(self) -> None:
        """End journalctl."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for stream in (self._child.stdout, self._child.stderr):
            if stream is not None:
                stream.close()
        self._child = None

    def _keep_running(self) -> str:
        """Start journalctl if it does not run, later each time; return why it does not."""
        if self._child is not None and self._child.poll() is None:
            return ""
        if self._child is not None:
            self._said += _available(self._child.stderr)
            if not (data := _available(self._child.stdout)):
                self.close()
                self._next_at = self._clock() + self._pause_s
                self._pause_s = min(max(2 * self._pause_s, 1.0), LONGEST_PAUSE_S)
                self._rest = b""
                if b"cursor" in self._said and self._cursor:  # its entry is no longer kept
                    self._since, self._cursor = time_of(self._cursor), ""
            else:
                self._rest += data
        if self._child is None and self._clock() >= self._next_at:
            try:
                self._child = self._start(self._command())
            except OSError as error:
                self._next_at = self._clock() + LONGEST_PAUSE_S
                self._said = (error.strerror or str(error)).lower().encode()
        if self._child is not None:
            self._said = b""
            return ""
        said = self._said.decode("utf-8", "replace").strip().splitlines()
        return said[-1][:200] if said else "journalctl ended"

    def _command(self) -> list[str]:
        command = ["journalctl", "--no-pager", "--quiet", "--output=json", f"--output-fields={FIELDS}", "--lines=all", "--follow"]
        if self._cursor:
            command.append(f"--cursor={self._cursor}")
        elif self._since is not None:
            command.append(f"--since=@{int(self._since)}")
        return [*command, f"--unit={self.unit}"]

    def _read(self) -> bytes:
        data = self._rest
        while self._child is not None and len(data) < TURN_BYTES and (block := _available(self._child.stdout)):
            data += block
        return data

    def _wanted(self, data: bytes) -> Iterator[bytes]:
        """Yield the entries of the unit's own processes, each once; note what was suppressed."""
        for line in data.splitlines(keepends=True):
            try:
                entry: Any = foreign_json.decode(line)
            except ValueError:
                continue
            cursor = entry.get("__CURSOR") if isinstance(entry, dict) else None
            if not isinstance(cursor, str) or cursor == self._cursor:
                continue
            self._cursor = cursor
            if dropped := entry.get("N_DROPPED"):
                self.lost_lines += whole_number(str(dropped)) or 0
            elif str(entry.get("_PID")) != "1":  # systemd's words about the unit
                yield line

    def _count(self, lines: bytes, added: Counts) -> None:
        if self._form is None or not self._form.name:
            self._form = find(lines[:PROBE_BYTES], self.form)
        self._index += 1
        if self._sink is not None:
            self._sink.begin(self._form)
        session = Session(self.query, each=self._sink.request if self._sink else None)
        part = Part(path=self.path, form=self._form, index=self._index, start=0, end=len(lines))
        self._carried.is_of_before = True
        session.take(cast(BinaryIO, io.BytesIO(lines)), part, origin=Origin(self.path), carried=self._carried)
        added.merge(session.total())


def time_of(cursor: str) -> float | None:
    """Return the time in a cursor in seconds since the epoch: `t`, microseconds in hexadecimal. [sd_journal_get_cursor(3)]"""
    for part in cursor.split(";"):
        name, _, value = part.partition("=")
        if name == "t":
            with contextlib.suppress(ValueError):
                return int(value[:16], 16) / 1e6
    return None


def _available(stream: Any) -> bytes:
    """Return what a pipe holds now."""
    try:
        return os.read(stream.fileno(), 1 << 20)
    except BlockingIOError:
        return b""
