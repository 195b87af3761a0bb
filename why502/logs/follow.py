"""Follows one log as it grows: from a checkpoint to what was added since, and the next checkpoint. No line is lost or counted twice.

A path is only an address. A file is known by its device and inode, and by its content: a hash of its first bytes, and a hash of
the bytes right before the place up to which it was counted. That survives renaming, compression, copying with truncation (also
when the file has grown beyond the old size again), deletion, and a link that is switched. Names of rotated files are those of
logrotate(8).

Two limits. Lines that a server writes to a file after it was compressed are lost if the follower is stopped before it has counted
them: no file holds them any more. A compressed copy of less than 1000 bytes that lacks lines which were counted already is counted
again, if the original was deleted while the follower was stopped.

Files are looked at when asked: nothing waits for events of the file system, which get lost. [inotify(7): IN_Q_OVERFLOW]
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import io
import math
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from msgspec import structs

from why502.logs import window
from why502.logs.checkpoint import Checkpoint, Head, Place
from why502.logs.files import rotated_names
from why502.logs.held import Origin
from why502.logs.lines import Window
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.part import Session
from why502.logs.scan.reading import Carried, zone
from why502.logs.scan.work import Ask, Part
from why502.logs.split_lines import Lines
from why502.logs.window import LINE_BYTES, PROBE_BYTES, READ_ERRORS
from why502.logs.wrappers import PARTIAL
from why502.model.errors import HostError
from why502.model.logs import LogRecord

TURN_BYTES = 4 << 20  # read of a log at a time
MARKER_BYTES = 64
HEAD_BYTES = 1000
LINGER_S = 5.0  # a file that was replaced is left when nothing came for so long and nobody has it open for writing,
LONGEST_LINGER_S = 60.0  # or for so long
FRESH_S = 2.0  # a directory may change twice within one tick of its time, which is a second on some file systems
LEAST_FAST_BYTES = 1 << 18  # less is read in Python: making a compiled reader takes longer
LEAST_GIVEN_BYTES = 1 << 14  # the same for requests that are given to a sink, which costs more
MOST_SIBLINGS = 50
_ZEROS = 512
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 31  # the largest window, and a header as gzip writes it: zlib(3)
MOST_PARTS = 1000  # of a file with holes


class Sink(Protocol):
    """Takes the requests of an access log one by one, or many at once where the compiled reader counted them."""

    def begin(self, form: Form) -> None:
        """Learn how the lines of the requests that follow are read."""
        ...

    def request(self, record: LogRecord, at: int, line: str) -> None:
        """Take a request that ended in that second."""
        ...

    def requests(self, counts: Counts, lines: bytes) -> bool:
        """Take the requests that the compiled reader counted in these lines. False: they must be given one by one."""
        ...


@dataclass(slots=True)
class Step:
    """What was added since the last checkpoint, and the one that includes it. `left_bytes`: what was there and is not read yet."""

    added: Counts
    checkpoint: Checkpoint
    left_bytes: int = 0
    is_behind: bool = False  # a turn was not enough to read it
    reason: str = ""  # why the log cannot be read just now


@dataclass(slots=True)
class _File:
    """One file that is open."""

    stream: BinaryIO
    place: Place
    begin: bytes  # the first bytes of its content
    is_compressed: bool = False
    is_growing: bool = False  # it is compressed, and the server adds to it (`gzip` of access_log)
    is_left: bool = False  # nobody writes to it any more
    is_replaced: bool = False  # there is a newer one
    quiet_since: float = 0.0
    carried: Carried = field(default_factory=Carried)
    form: Form | None = None
    form_of_bytes: int = 0  # how much of it told the form
    form_since: int = 0  # what comes before this place has another form
    size_bytes: int = 0  # when it was looked at last
    changed: tuple[int, int] = (-1, -1)  # its size, and when it was written to, when its content was known to be the same
    is_short: bool = False  # it was shorter than what was counted of it when it was looked at last
    blocks: Iterator[bytes] | None = None  # of a compressed one, what is not read yet
    ahead: bytes = b""
    tail: bytes = b""  # and the last that was

    @property
    def identity(self) -> tuple[int, int]:
        """Return the device and the inode."""
        return self.place.device, self.place.inode


class Follower:
    """Follows one log. `form`: how its lines are read, where a configuration tells.

    Without a checkpoint it begins at the end of the log, or (`since`, seconds since the epoch) a little before that time in it.

    `oldest`: with a checkpoint, lines before that time (seconds since the epoch) are left out. `directories`: further ones that may
    have rotated files (`olddir`). `ask` is what is wanted of each line; `clock` tells seconds that only go forward.
    """

    def __init__(
        self,
        path: str,
        checkpoint: Checkpoint | None = None,
        *,
        ask: Ask | None = None,
        form: Form | None = None,
        since: float | None = None,
        oldest: float | None = None,
        directories: Sequence[str] = (),
        linger_s: float = LINGER_S,
        clock: Callable[[], float] = time.monotonic,
        sink: Sink | None = None,
    ) -> None:
        self.path = path
        self.sink = sink
        self.ask = ask or Ask()
        self.form = form
        self.oldest = oldest
        self.directories = directories
        self.linger_s = linger_s
        self.clock = clock
        self.lost_bytes = checkpoint.lost_bytes if checkpoint else 0
        self.index = 0
        self._files: list[_File] = []
        self._missing: list[Place] = []  # of a checkpoint, until it is known what became of them
        self._known: list[Head] = list(checkpoint.known) if checkpoint else []
        self._heads: dict[tuple[int, int, int], bytes] = {}
        self._places: tuple[str, ...] = ()  # the directories of the log and of its rotated files
        self._is_unsure = False  # whether a rotated file may be a copy of the log, or another
        self._state: tuple[object, ...] = ()  # of these, when they were looked into last
        self.rotations = 0
        self.skipped_bytes = 0  # what was older than `oldest`
        if checkpoint is None:
            self._begin(since)
        else:
            self._resume(checkpoint)

    def is_quiet(self) -> bool:
        """Return whether nothing happened since the last step: it costs three calls, and a step ten times as much."""
        if len(self._files) != 1 or not self._state or self._missing:
            return False
        file = self._files[0]
        try:
            status = os.fstat(file.stream.fileno())
            is_read = status.st_size == file.place.offset and (status.st_size, status.st_mtime_ns) == file.changed
            return is_read and self._look_around() == self._state
        except OSError:
            return False

    def step(self) -> Step:
        """Read what was added, at most some megabytes. Nothing is raised for a log that cannot be read."""
        added = Counts(is_exact=self.ask.is_exact)
        reason = ""
        try:
            self._look()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if error.errno == errno.ESTALE:
                self._reopen()
        except HostError as error:
            reason = error.reason
        except READ_ERRORS as error:
            reason = str(error)
        left_bytes = TURN_BYTES
        for file in list(self._files):
            try:
                left_bytes -= self._read(file, added, max(left_bytes, 0))
            except READ_ERRORS as error:
                reason = str(error)
        self._leave(added)
        waiting = sum(max(file.size_bytes - file.place.offset, 0) for file in self._files)
        return Step(added, self.checkpoint(), waiting, left_bytes <= 0, reason)

    def checkpoint(self) -> Checkpoint:
        """Return where the next one is to go on."""
        files = (*self._missing, *(file.place for file in self._files))
        return Checkpoint(path=self.path, files=files, known=tuple(self._known), lost_bytes=self.lost_bytes)

    def reform(self, form: Form | None) -> None:
        """Read the lines that come from now on as another configuration says."""
        self.form = form
        for file in self._files:
            file.form, file.form_since = None, file.place.offset

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.stream.close()
        self._files.clear()

    # where to begin

    def _begin(self, since: float | None) -> None:
        """Begin without a checkpoint: with rotated files everything is done, and with what the log holds now, if it is older."""
        with contextlib.suppress(OSError):
            file = self._add(self.path, 0)
            size_bytes = os.fstat(file.stream.fileno()).st_size
            self._move(
                file, _end_of_lines(file.stream, size_bytes) if since is None else self._first_since(file, size_bytes, since)
            )
        self._note()

    def _first_since(self, file: _File, size_bytes: int, since: float) -> int:
        parse = find(window.head(file.stream), self.form).parser()
        when = Window(-math.inf, math.inf, zone(self.ask.localtime))

        def time_of(line: bytes) -> float | None:
            record = parse(line.decode("utf-8", "surrogateescape"))
            return None if record is None or record.at is None else when.seconds(record.at)

        low = 0
        for start in _filled(file.stream, size_bytes)[1:]:
            first = window.first_time(os.pread(file.stream.fileno(), PROBE_BYTES, start), time_of)
            if first is None or first >= since - window.SLACK_S:
                break
            low = start
        found = window.seek(file.stream, size_bytes, since, time_of, low)
        if found or size_bytes <= PROBE_BYTES:
            return found
        is_timed = window.first_time(os.pread(file.stream.fileno(), PROBE_BYTES, 0), time_of) is not None
        return 0 if is_timed else _end_of_lines(file.stream, size_bytes)

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Find the files of a checkpoint again: by their numbers, else by their content."""
        names = list(dict.fromkeys([self.path, *(place.name for place in checkpoint.files), *reversed(self._siblings())]))
        heads = [*checkpoint.known, *(place.head for place in checkpoint.files if place.head)]
        for place in checkpoint.files:
            name = _found(place, names, self.path, heads)
            try:
                file = self._add(name, len(self._files)) if name else None
            except (OSError, HostError):
                file = None
            if file is None:
                self._missing.append(place)
            else:
                file.place = _moved(file.place, place.offset, place.marker, place.head)
                self._skip_old(file)

    def _skip_old(self, file: _File) -> None:
        """Go on where the lines begin that are young enough."""
        if self.oldest is None or file.is_compressed:
            return
        size_bytes = os.fstat(file.stream.fileno()).st_size
        first = self._first_since(file, size_bytes, self.oldest)
        if first > file.place.offset:
            self.skipped_bytes += first - file.place.offset
            self._move(file, first)

    # what happened to the files

    def _look(self) -> None:
        """Notice files that were replaced, truncated, copied. Raises OSError where the log itself cannot be looked at."""
        truncated = [file for file in self._files if not file.is_compressed and self._is_new_content(file)]
        if any(file.is_short for file in self._files):
            return
        state = self._look_around()
        is_quiet = bool(state) and state == self._state and not truncated and not self._missing
        self._state = state
        if is_quiet:
            return
        self._is_unsure = False
        self._take_rotated(truncated)
        if self._is_unsure:
            state = self._state = ()
        self.rotations += len(truncated)
        try:
            status = Path(self.path).stat()
        except FileNotFoundError:
            return  # not created again yet
        identity = status.st_dev, status.st_ino
        if all(file.identity != identity for file in self._files):
            self._state = ()
            self._add(self.path, len(self._files))
            self._state = state
            self.rotations += len(self._files) > 1
        for file in self._files:
            if file.identity != identity and not file.is_replaced:
                file.is_replaced, file.quiet_since = True, self.clock()
        self._note()

    def _look_around(self) -> tuple[object, ...]:
        """Return the state of the log's path and directories; nothing while they may change unnoticed, or cannot be seen."""
        if not self._places:
            return ()
        state: list[object] = []
        for place in (self.path, *self._places):
            try:
                status = os.stat(place)  # noqa: PTH116 - it is called all the time
            except OSError:
                return ()
            state.append((status.st_dev, status.st_ino))
            if place != self.path:
                state.append(status.st_mtime_ns)
                if time.time() - status.st_mtime < FRESH_S:
                    return ()
        return tuple(state)

    def _is_new_content(self, file: _File) -> bool:
        """Return whether what was counted of a file is no longer in it.

        A file server may tell an old size once: a file that seems truncated is looked at twice.
        """
        place = file.place
        status = os.fstat(file.stream.fileno())
        if (status.st_size, status.st_mtime_ns) == file.changed:
            return False
        size_bytes = status.st_size
        if size_bytes < place.offset and not file.is_short:
            file.is_short = True
            return False
        is_new = size_bytes < place.offset or _marker(file.stream, place.offset) != place.marker
        file.is_short = False
        file.size_bytes = max(file.size_bytes, place.offset) if is_new else size_bytes
        if not is_new and time.time() - status.st_mtime >= FRESH_S:
            file.changed = (status.st_size, status.st_mtime_ns)
        return is_new

    def _take_rotated(self, truncated: list[_File]) -> None:
        """Open rotated files that nobody has read: where one has the content of a file that is gone, at the place of that."""
        found: list[Place] = []
        gone = [*self._missing, *(file.place for file in truncated)]
        for name in self._unread(gone):
            owner = next((place for place in gone if _holds(name, place)), None)
            if owner in found:
                continue  # another copy of the same
            earlier = None if owner else next((place.head for place in gone if _ends_before(name, place)), None)
            if earlier:  # a copy, made before the last lines came
                self._known.append(earlier)
                continue
            first = min((self._files.index(file) for file in truncated), default=len(self._files))
            with contextlib.suppress(OSError, HostError):
                file = self._add(name, first)
                file.is_replaced, file.quiet_since = True, self.clock()
                if owner is not None:
                    found.append(owner)
                    file.place = _moved(file.place, owner.offset, owner.marker, owner.head)
        self._missing.clear()
        for file in truncated:
            if file.place not in found:
                self.lost_bytes += file.size_bytes - file.place.offset
            file.place = _moved(file.place, 0, "", None)
            file.size_bytes = os.fstat(file.stream.fileno()).st_size
            file.carried, file.form, file.form_of_bytes, file.form_since = Carried(), None, 0, 0

    def _reopen(self) -> None:
        """Open the files again, whose handles a file server no longer knows: stale, stale_handle in nfs(5)."""
        places = [file.place for file in self._files]
        self.close()
        self._resume(Checkpoint(path=self.path, files=(*self._missing, *places), known=tuple(self._known)))
        self._state = ()

    def _unread(self, gone: list[Place]) -> list[str]:
        """Return the rotated files whose content is neither known nor that of an open file, oldest first."""
        opened = {file.identity for file in self._files}
        begins = [_begin_of(file) for file in self._files]
        found = []
        for name, status in self._siblings().items():
            begin = b"" if (status.st_dev, status.st_ino) in opened else self._head_of(name, status)
            if not begin or any(_is_begin(begin, head) for head in self._known):
                continue
            if self.oldest is not None and status.st_mtime < self.oldest:
                self.skipped_bytes += status.st_size
                self._known.append(Head(len(begin), hashed(begin)))
                continue
            is_alike = any(_are_alike(begin, one) for one in begins)  # a copy that is being made, or an open file by another name
            if not is_alike or any(_holds(name, place) or _ends_before(name, place) for place in gone):
                found.append(name)
            elif min(len(begin), *(len(one) for one in begins if _are_alike(begin, one))) < HEAD_BYTES:
                self._is_unsure = True  # so short a begin may turn out to be another one
        return found

    def _siblings(self) -> dict[str, os.stat_result]:
        """Return the rotated files of the log, also of what its path links to, oldest first."""
        found: dict[str, os.stat_result] = {}
        paths = dict.fromkeys(Path(path) for path in (self.path, os.path.realpath(self.path)))
        places = dict.fromkeys((log.name, str(directory)) for log in paths for directory in (log.parent, *self.directories))
        self._places = tuple(dict.fromkeys(directory for _, directory in places))
        for base, directory in places:
            with contextlib.suppress(OSError):
                for name in rotated_names(base, (one.name for one in Path(directory).iterdir())):
                    full = Path(directory, name)
                    with contextlib.suppress(OSError):
                        if stat.S_ISREG((status := full.stat()).st_mode):
                            found[str(full)] = status
        return dict(sorted(found.items(), key=lambda item: (item[1].st_mtime_ns, item[0]))[-MOST_SIBLINGS:])

    def _note(self) -> None:
        """Remember which contents there are, so that files that are new later are told from these."""
        opened = {file.identity for file in self._files}
        begins = [_begin_of(file) for file in self._files if not _is_deleted(file)]
        known = []
        for name, status in self._siblings().items():
            begin = b"" if (status.st_dev, status.st_ino) in opened else self._head_of(name, status)
            is_known = any(_is_begin(begin, head) for head in self._known)
            if begin and (
                is_known or not any(_are_alike(begin, one) for one in begins)
            ):  # else it may be a copy that is being made
                known.append(Head(len(begin), hashed(begin)))
        self._known = known

    def _head_of(self, name: str, status: os.stat_result) -> bytes:
        """Return the first bytes of a rotated file, remembered until it changes; nothing where they cannot be read."""
        key = status.st_dev, status.st_ino, status.st_ctime_ns
        if key not in self._heads:
            if len(self._heads) > 4 * MOST_SIBLINGS:
                self._heads.clear()
            self._heads[key] = _first_bytes(name)
        return self._heads[key]

    # reading

    def _add(self, name: str, at: int) -> _File:
        """Open a file, to be read from its begin, at a place among the others. Raises OSError, HostError."""
        if not stat.S_ISREG(Path(name).stat().st_mode):
            raise OSError("is not a regular file")
        stream = open(name, "rb", buffering=0, opener=_opener)  # noqa: SIM115 - it stays open
        try:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError("is not a regular file")
            is_compressed = window.is_compressed(stream)
            is_growing = is_compressed and name == self.path
            begin = next(_growing(stream))[:HEAD_BYTES] if is_growing else window.head(stream, HEAD_BYTES)
        except BaseException:
            stream.close()
            raise
        place = Place(device=status.st_dev, inode=status.st_ino, name=str(Path(name).resolve()))
        file = _File(stream, place, begin, is_compressed, is_growing, is_left=is_compressed and not is_growing)
        self._files.insert(at, file)
        return file

    def _read(self, file: _File, added: Counts, most_bytes: int) -> int:
        """Count the whole lines that came to a file; return how many bytes were read."""
        data, begin = self._new(file, most_bytes)
        if not data:
            return 0
        place = file.place
        if not place.offset and not file.is_compressed and data.startswith(_GZIP):
            file.is_compressed = file.is_growing = True  # it was empty when it was opened
            data, begin = self._new(file, most_bytes)
            file.begin = data[:HEAD_BYTES]
        lines = data[place.offset - begin :]
        if (
            not file.is_compressed
            and not any(lines[:_ZEROS])
            and (next_ := _past_hole(file.stream, place.offset)) > place.offset + LINE_BYTES
        ):
            self._move(file, next_)  # the hole that a writer leaves who does not append: there is nothing to read
            return 0
        end = self._whole(file, lines)
        if not end:
            if len(lines) < TURN_BYTES or most_bytes < TURN_BYTES:
                return 0
            end = len(lines)  # no line is so long; what follows of it will be left out
            if data[: place.offset - begin][-1:] in (b"", b"\n"):  # else it began in an earlier turn, and was counted then
                added.skip((self.index, place.offset), f"{place.name} (byte {place.offset})", "")
        else:
            self._count(file, data[: place.offset - begin + end], begin, added)
        counted = data[: place.offset - begin + end]
        if file.is_compressed:
            file.ahead = lines[end:]
            counted = file.tail = counted[-MARKER_BYTES:]
        self._move(file, place.offset + end, hashed(counted[-MARKER_BYTES:]))
        file.quiet_since = self.clock()
        return len(lines)

    def _new(self, file: _File, most_bytes: int) -> tuple[bytes, int]:
        """Return new bytes together with some before them, and where those begin. Nothing where its content changes just now."""
        place = file.place
        back = MARKER_BYTES if file.carried.is_of_before else LINE_BYTES
        if file.is_compressed:
            data = self._decompressed(file, most_bytes)
            return (file.tail + data if data else b""), place.offset - len(file.tail)
        begin = max(place.offset - back, 0)
        data = os.pread(file.stream.fileno(), place.offset - begin + most_bytes, begin)
        before = data[: place.offset - begin]
        if len(data) <= place.offset - begin or (place.marker and hashed(before[-MARKER_BYTES:]) != place.marker):
            return b"", begin
        return data, begin

    def _decompressed(self, file: _File, most_bytes: int) -> bytes:
        if file.blocks is None:
            file.blocks = _growing(file.stream) if file.is_growing else window.blocks(file.stream)
            file.ahead, file.tail = _after(file.blocks, file.place.offset)
        data = file.ahead
        for block in file.blocks if len(data) < most_bytes else ():
            data += block
            if len(data) >= most_bytes or not block:
                break
        file.ahead = data
        file.size_bytes = file.place.offset + len(data)
        return data

    def _whole(self, file: _File, lines: bytes) -> int:
        """Return how much of the new bytes is whole lines, and whole messages where a container runtime cuts them."""
        end = lines.rfind(b"\n") + 1
        form = self._form(file, lines)
        if form.wrapper not in PARTIAL or not end:
            return end
        parts, safe, at = Lines(form.wrapper), 0, 0
        for raw in lines[:end].split(b"\n")[:-1]:
            parts.feed(at, raw)
            at += len(raw) + 1
            safe = safe if parts.is_open else at
        return safe or (end if end > 8 * LINE_BYTES else 0)

    def _form(self, file: _File, lines: bytes) -> Form:
        """Return how the lines of a file are read; while it is small, they are looked at again as it grows."""
        size = file.place.offset + len(lines)
        if file.form is None or (file.form_of_bytes < PROBE_BYTES and size > 2 * file.form_of_bytes):
            sample = lines[:PROBE_BYTES]
            if file.place.offset and not file.is_compressed:
                sample = os.pread(file.stream.fileno(), PROBE_BYTES, file.form_since)
            file.form, file.form_of_bytes = find(sample[: sample.rfind(b"\n") + 1] or sample, self.form), size
        return file.form

    def _count(self, file: _File, data: bytes, begin: int, added: Counts) -> None:
        place = file.place
        self.index += 1
        part = Part(path=place.name, form=self._form(file, b""), index=self.index, start=place.offset, end=begin + len(data))
        piece = _Piece(data, begin)
        if self.sink is not None and not part.form.is_error_log:
            self.sink.begin(part.form)
            self._give(file, part, piece, added, self.sink)
            return
        session = Session(self.ask if len(data) >= LEAST_FAST_BYTES else _in_python(self.ask))
        session.take(cast(BinaryIO, piece), part, origin=Origin(place.name), carried=file.carried)
        added.merge(session.total())

    def _give(self, file: _File, part: Part, piece: _Piece, added: Counts, sink: Sink) -> None:
        """Count a part of an access log minute by minute: a sink that takes many requests at once must know their minute."""
        end = piece.end if part.end is None else part.end
        while part.start < end:
            is_long = self.ask.is_fast and end - part.start >= LEAST_GIVEN_BYTES
            is_whole = part.form.wrapper in PARTIAL  # a message may go on in the next line
            cut = _minute_end(part.form, piece, part.start, end) if is_long and not is_whole else end
            self._give_minute(file, structs.replace(part, end=cut), piece, added, sink)
            part = structs.replace(part, start=cut)

    def _give_minute(self, file: _File, part: Part, piece: _Piece, added: Counts, sink: Sink) -> None:
        """Count lines of (mostly) one minute, and give their requests to the sink: in bulk if it takes them, else one by one."""
        end = piece.end if part.end is None else part.end
        size_bytes = end - part.start
        if self.ask.is_fast and size_bytes >= LEAST_GIVEN_BYTES and self._give_many(file, part, piece, added, sink):
            return
        middle = end if part.form.wrapper in PARTIAL else piece.after_line(part.start + size_bytes // 2)
        if self.ask.is_fast and size_bytes >= LEAST_FAST_BYTES and part.start < middle < end:
            self._give_minute(file, structs.replace(part, end=middle), piece, added, sink)
            self._give_minute(file, structs.replace(part, start=middle), piece, added, sink)
            return
        session = Session(_in_python(self.ask), each=sink.request)
        session.take(cast(BinaryIO, piece), part, origin=Origin(part.path), carried=file.carried)
        added.merge(session.total())

    def _give_many(self, file: _File, part: Part, piece: _Piece, added: Counts, sink: Sink) -> bool:
        """Count a part with the compiled reader; nothing is counted if the sink does not take the result."""
        single: list[tuple[LogRecord, int, str]] = []
        carried = copy.deepcopy(file.carried)
        session = Session(self.ask, each=lambda *request: single.append(request))
        session.take(cast(BinaryIO, piece), part, origin=Origin(part.path), carried=carried)
        read, compiled = session.apart()
        if not sink.requests(compiled, piece.between(part.start, part.end)):
            return False
        for request in single:
            sink.request(*request)
        file.carried = carried
        added.merge(read)
        added.merge(compiled)
        return True

    def _move(self, file: _File, offset: int, marker: str | None = None) -> None:
        place = file.place
        file.begin = _begin_of(file)
        head = Head(len(file.begin), hashed(file.begin)) if file.begin else None
        file.place = _moved(place, offset, _marker(file.stream, offset) if marker is None else marker, head)

    def _leave(self, added: Counts) -> None:
        """Leave files that were replaced and to which nobody writes any more; their last line may lack its end."""
        for file in [file for file in self._files if file.is_replaced]:
            quiet_s = self.clock() - file.quiet_since
            if not file.is_left and quiet_s < LONGEST_LINGER_S and (quiet_s < self.linger_s or is_written(*file.identity)):
                continue
            with contextlib.suppress(*READ_ERRORS):
                data, begin = self._new(file, TURN_BYTES)
                rest = data[file.place.offset - begin :]
                if b"\n" in rest:
                    continue
                if rest:
                    self._count(file, data + b"\n", begin, added)
            begins = _begin_of(file)
            if begins:
                self._known.append(Head(len(begins), hashed(begins)))
            file.stream.close()
            self._files.remove(file)


class _Piece(io.RawIOBase):
    """Some bytes of a file, at the places where they stand in it."""

    def __init__(self, data: bytes, begin: int) -> None:
        super().__init__()
        self._data, self._begin, self._at = data, begin, begin

    @property
    def end(self) -> int:
        """Return where the bytes end."""
        return self._begin + len(self._data)

    def between(self, start: int, end: int | None) -> bytes:
        """Return the bytes between two places."""
        return self._data[start - self._begin : None if end is None else end - self._begin]

    def line_begin(self, at: int) -> int:
        """Return where the line of a place begins."""
        return self._begin + self._data.rfind(b"\n", 0, at - self._begin) + 1

    def after_line(self, at: int) -> int:
        """Return where the line at a place ends; the begin if there is no end of a line."""
        return self._begin + self._data.find(b"\n", at - self._begin) + 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._begin + len(self._data)}[whence]
        return self._at

    def readinto(self, room: object) -> int:
        view = memoryview(room)  # type: ignore[arg-type]
        self._at = max(self._at, self._begin)
        found = self._data[self._at - self._begin : self._at - self._begin + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def _minute_end(form: Form, piece: _Piece, start: int, end: int) -> int:
    """Return where the lines of the first line's minute end, if they are in order; the end of all if their times cannot be read."""
    parse = form.parser()

    def minute(at: int) -> datetime | None:
        line = piece.between(at, piece.after_line(at)).decode("utf-8", "surrogateescape").rstrip("\r\n")
        record = parse(line)
        return None if record is None or record.at is None else record.at.replace(second=0, microsecond=0)

    low, high = start, piece.line_begin(end - 1)  # of the last line
    first = minute(start)
    if first is None or high <= low or minute(high) == first:
        return end
    while low < (middle := piece.after_line((low + high) // 2)) < high:
        if minute(middle) == first:
            low = middle
        else:
            high = middle
    return high


def is_written(device: int, inode: int) -> bool:
    """Return whether a process that can be looked at has a file open for writing: proc_pid_fdinfo(5)."""
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for link in directory.iterdir():
                with contextlib.suppress(OSError):
                    status = link.stat()
                    if (status.st_dev, status.st_ino) == (device, inode):
                        flags = (directory.parent / "fdinfo" / link.name).read_text().partition("flags:")[2].split()[0]
                        if int(flags, 8) & os.O_ACCMODE:
                            return True
    return False


def _opener(path: str, flags: int) -> int:
    """Open a file that may have become a pipe since it was looked at: that must not wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def hashed(data: bytes) -> str:
    """Return a hash of some bytes; "" of none."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


def _in_python(ask: Ask) -> Ask:
    return structs.replace(ask, is_fast=False)


def _moved(place: Place, offset: int, marker: str, head: Head | None) -> Place:
    return structs.replace(place, offset=offset, marker=marker, head=head)


def _marker(stream: BinaryIO, offset: int) -> str:
    begin = max(offset - MARKER_BYTES, 0)
    return hashed(os.pread(stream.fileno(), offset - begin, begin))


def _end_of_lines(stream: BinaryIO, size_bytes: int) -> int:
    """Return where the last whole line ends."""
    while size_bytes:
        begin = max(size_bytes - PROBE_BYTES, 0)
        if (found := os.pread(stream.fileno(), size_bytes - begin, begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        size_bytes = begin
    return 0


def _filled(stream: BinaryIO, size_bytes: int) -> list[int]:
    """Return where the parts of a file begin that are not holes, at most MOST_PARTS: lseek(2)."""
    found: list[int] = []
    at = 0
    with contextlib.suppress(OSError):  # ENXIO: nothing follows
        while at < size_bytes and len(found) < MOST_PARTS:
            found.append(os.lseek(stream.fileno(), at, os.SEEK_DATA))
            at = os.lseek(stream.fileno(), found[-1], os.SEEK_HOLE)
    return found


def _past_hole(stream: BinaryIO, offset: int) -> int:
    """Return where the next bytes are that are not in a hole; the same place if there are none, or it cannot be told."""
    try:
        return os.lseek(stream.fileno(), offset, os.SEEK_DATA)
    except OSError:
        return offset


def _growing(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a gzip file to which members are added; b"" whenever there is no more for now. Raises zlib.error."""
    at, left, engine = 0, b"", zlib.decompressobj(_GZIP_BITS)
    while True:
        if not left:
            left = os.pread(stream.fileno(), PROBE_BYTES, at)
            at += len(left)
        if not left:
            yield b""
            continue
        block = engine.decompress(left, window.BLOCK_BYTES)
        left = engine.unconsumed_tail
        if engine.eof:
            left, engine = engine.unused_data, zlib.decompressobj(_GZIP_BITS)
        if block:
            yield block


def _is_deleted(file: _File) -> bool:
    """Return whether a file that was read has no name any more: a copy of it is then complete, and found again by its content."""
    return file.place.offset > 0 and not os.fstat(file.stream.fileno()).st_nlink


def _begin_of(file: _File) -> bytes:
    return file.begin if file.is_compressed else os.pread(file.stream.fileno(), HEAD_BYTES, 0)


def _first_bytes(name: str) -> bytes:
    """Return the first bytes of a file's content; nothing where they cannot be read."""
    try:
        with open(name, "rb", buffering=0) as stream:
            return window.head(stream, HEAD_BYTES)
    except (OSError, HostError):
        return b""


def _are_alike(one: bytes, other: bytes) -> bool:
    """Return whether one content begins like the other, as far as both go."""
    size = min(len(one), len(other))
    return bool(size) and one[:size] == other[:size]


def _is_begin(begin: bytes, head: Head) -> bool:
    return len(begin) >= head.size_bytes and hashed(begin[: head.size_bytes]) == head.digest


def _begins_with(name: str, head: Head) -> bool:
    return _is_begin(_first_bytes(name), head)


def _ends_before(name: str, place: Place) -> bool:
    """Return whether a file holds only the first part of the content that was counted."""
    if place.head is None or not _begins_with(name, place.head):
        return False
    try:
        with open(name, "rb", buffering=0) as stream:
            if not window.is_compressed(stream):
                return os.fstat(stream.fileno()).st_size < place.offset
            return not _after(window.blocks(stream), place.offset)[1]
    except (HostError, *READ_ERRORS):
        return False


def _found(place: Place, names: list[str], path: str, heads: list[Head]) -> str:
    """Return the name of a file that was open; "" where it is gone. Another file may have got its number since."""
    for name in filter(lambda name: _is_at(name, place), names):
        if place.head and _begins_with(name, place.head):
            return name
        if place.head is None and not any(_begins_with(name, head) for head in heads):
            return name
    held = next(filter(lambda name: _holds(name, place), names), "")
    return held or (path if _is_at(path, place) else "")  # truncated


def _is_at(name: str, place: Place) -> bool:
    try:
        status = Path(name).stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (place.device, place.inode)


def _holds(name: str, place: Place) -> bool:
    """Return whether a file has the content that was counted, up to that place."""
    if not place.offset or place.head is None or not _begins_with(name, place.head):
        return False
    try:
        with open(name, "rb", buffering=0) as stream:
            if not window.is_compressed(stream):
                return os.fstat(stream.fileno()).st_size >= place.offset and _marker(stream, place.offset) == place.marker
            return hashed(_after(window.blocks(stream), place.offset)[1]) == place.marker
    except (HostError, *READ_ERRORS):
        return False


def _after(blocks: Iterator[bytes], offset: int) -> tuple[bytes, bytes]:
    """Return what follows a place in the block that holds it, and the bytes right before it; nothing where the content ends earlier."""
    before, at = b"", 0
    while at < offset:
        block = next(blocks, b"")
        if not block:
            return b"", b""
        at += len(block)
        before = (before + block[: len(block) - max(at - offset, 0)])[-MARKER_BYTES:]
        if at >= offset:
            return block[len(block) - (at - offset) :], before
    return b"", before
