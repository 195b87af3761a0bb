"""Follows one log as it grows: from a checkpoint to what was added since, and the next checkpoint.

No line is lost or counted twice.

A path is only an address. A file is known by its device and inode, and by its content: a hash of its first bytes, and a hash of
the bytes right before the place up to which it was counted. That survives renaming, compression, copying with truncation (also
when the file has grown beyond the old size again), deletion, and a link that is switched. Names of rotated files are those of
logrotate(8).

Two limits. Lines that a server writes to a file after it was compressed are lost if the follower is stopped before it has
counted them: no file holds them any more. A compressed copy of less than 1000 bytes that lacks lines which were counted already
is counted again, if the original was deleted while the follower was stopped.

Files are looked at when asked: nothing waits for events of the file system, which get lost. [inotify(7): IN_Q_OVERFLOW]
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from why502.logs.checkpoint import Checkpoint, Head, Place
from why502.logs.follow.beginning import end_of_lines, first_since, has_requests
from why502.logs.follow.content import HEAD_BYTES, MARKER_BYTES, are_alike, ends_before, hashed, holds, is_begin, name_of
from why502.logs.follow.counting import Counter
from why502.logs.follow.open_file import OpenFile, is_written, opened
from why502.logs.follow.rotated import Siblings
from why502.logs.follow.step import TURN_BYTES, Sink, Step
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form
from why502.logs.scan.work import ScanQuery
from why502.logs.window import READ_ERRORS
from why502.model.errors import HostError

LINGER_S = 5.0  # a file that was replaced is left when nothing came for so long and nobody has it open for writing,
LONGEST_LINGER_S = 60.0  # or for so long


class Follower:
    """Follows one log. `form`: how its lines are read, where a configuration tells.

    Without a checkpoint it begins at the end of the log, or (`since`, seconds since the epoch) a little before that time in it.

    `oldest`: with a checkpoint, lines before that time (seconds since the epoch) are left out. `directories`: further ones that
    may have rotated files (`olddir`). `query` is what is wanted of each line; `clock` tells seconds that only go forward.
    """

    def __init__(
        self,
        path: str,
        checkpoint: Checkpoint | None = None,
        *,
        query: ScanQuery | None = None,
        form: Form | None = None,
        since: float | None = None,
        oldest: float | None = None,
        directories: Sequence[str] = (),
        linger_s: float = LINGER_S,
        clock: Callable[[], float] = time.monotonic,
        sink: Sink | None = None,
    ) -> None:
        self.path = path
        self.counter = Counter(query or ScanQuery(), form, sink)
        self.oldest = oldest
        self.linger_s = linger_s
        self.clock = clock
        self.lost_bytes = checkpoint.lost_bytes if checkpoint else 0
        self._files: list[OpenFile] = []
        self._missing: list[Place] = []  # of a checkpoint, until it is known what became of them
        self._known: list[Head] = list(checkpoint.known) if checkpoint else []
        self._siblings = Siblings(path, directories)
        self._is_unsure = False  # whether a rotated file may be a copy of the log, or another
        self._state: tuple[object, ...] = ()  # of these, when they were looked into last
        self.rotations = 0
        self.skipped_bytes = 0  # what was older than `oldest`
        if checkpoint is None:
            self._begin(since)
        else:
            self._resume(checkpoint)

    @property
    def query(self) -> ScanQuery:
        """What is wanted of the lines that come from now on."""
        return self.counter.query

    @query.setter
    def query(self, query: ScanQuery) -> None:
        self.counter.query = query

    def is_quiet(self) -> bool:
        """Return whether nothing happened since the last step: it costs three calls, and a step ten times as much."""
        if len(self._files) != 1 or not self._state or self._missing:
            return False
        try:
            return self._files[0].is_unchanged() and self._siblings.look_around() == self._state
        except OSError:
            return False

    def has_requests(self) -> bool:
        """Return whether the log begins with requests: it is an access log. A log that is empty or cannot be read is not known
        to be one.
        """
        return any(has_requests(file.stream, self.counter.form) for file in self._files)

    def step(self) -> Step:
        """Read what was added, at most some megabytes. Nothing is raised for a log that cannot be read."""
        added = Counts(is_exact=self.query.is_exact)
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
        self.counter.form = form
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
            file.move(end_of_lines(file.stream, size_bytes) if since is None else self._first_since(file, size_bytes, since))
        self._note()

    def _first_since(self, file: OpenFile, size_bytes: int, since: float) -> int:
        return first_since(file.stream, size_bytes, since, self.counter.form, self.query.localtime)

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Find the files of a checkpoint again: by their numbers, else by their content."""
        names = list(dict.fromkeys([self.path, *(place.name for place in checkpoint.files), *reversed(self._siblings.found())]))
        heads = [*checkpoint.known, *(place.head for place in checkpoint.files if place.head)]
        for place in checkpoint.files:
            name = name_of(place, names, self.path, heads)
            try:
                file = self._add(name, len(self._files)) if name else None
            except (OSError, HostError):
                file = None
            if file is None:
                self._missing.append(place)
            else:
                file.resume(place)
                self._skip_old(file)

    def _skip_old(self, file: OpenFile) -> None:
        """Go on where the lines begin that are young enough."""
        if self.oldest is None or file.is_compressed:
            return
        size_bytes = os.fstat(file.stream.fileno()).st_size
        first = self._first_since(file, size_bytes, self.oldest)
        if first > file.place.offset:
            self.skipped_bytes += first - file.place.offset
            file.move(first)

    # what happened to the files

    def _look(self) -> None:
        """Notice files that were replaced, truncated, copied. Raises OSError where the log itself cannot be looked at."""
        truncated = [file for file in self._files if not file.is_compressed and file.is_new_content()]
        if any(file.is_short for file in self._files):
            return
        state = self._siblings.look_around()
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

    def _take_rotated(self, truncated: list[OpenFile]) -> None:
        """Open rotated files that nobody has read: where one has the content of a file that is gone, at the place of that."""
        found: list[Place] = []
        gone = [*self._missing, *(file.place for file in truncated)]
        for name in self._unread(gone):
            owner = next((place for place in gone if holds(name, place)), None)
            if owner in found:
                continue  # another copy of the same
            earlier = None if owner else next((place.head for place in gone if ends_before(name, place)), None)
            if earlier:  # a copy, made before the last lines came
                self._known.append(earlier)
                continue
            first = min((self._files.index(file) for file in truncated), default=len(self._files))
            with contextlib.suppress(OSError, HostError):
                file = self._add(name, first)
                file.is_replaced, file.quiet_since = True, self.clock()
                if owner is not None:
                    found.append(owner)
                    file.resume(owner)
        self._missing.clear()
        for file in truncated:
            if file.place not in found:
                self.lost_bytes += file.size_bytes - file.place.offset
            file.restart()

    def _reopen(self) -> None:
        """Open the files again, whose handles a file server no longer knows: stale, stale_handle in nfs(5)."""
        places = [file.place for file in self._files]
        self.close()
        self._resume(Checkpoint(path=self.path, files=(*self._missing, *places), known=tuple(self._known)))
        self._state = ()

    def _unread(self, gone: list[Place]) -> list[str]:
        """Return the rotated files whose content is neither known nor that of an open file, oldest first."""
        opened = {file.identity for file in self._files}
        begins = [file.first_bytes() for file in self._files]
        found = []
        for name, status in self._siblings.found().items():
            begin = b"" if (status.st_dev, status.st_ino) in opened else self._siblings.head_of(name, status)
            if not begin or any(is_begin(begin, head) for head in self._known):
                continue
            if self.oldest is not None and status.st_mtime < self.oldest:
                self.skipped_bytes += status.st_size
                self._known.append(Head(len(begin), hashed(begin)))
                continue
            is_alike = any(are_alike(begin, one) for one in begins)  # a copy that is being made, or an open file by another name
            if not is_alike or any(holds(name, place) or ends_before(name, place) for place in gone):
                found.append(name)
            elif min(len(begin), *(len(one) for one in begins if are_alike(begin, one))) < HEAD_BYTES:
                self._is_unsure = True  # so short a begin may turn out to be another one
        return found

    def _note(self) -> None:
        """Remember which contents there are, so that files that are new later are told from these."""
        opened = {file.identity for file in self._files}
        begins = [file.first_bytes() for file in self._files if not file.is_deleted()]
        known = []
        for name, status in self._siblings.found().items():
            begin = b"" if (status.st_dev, status.st_ino) in opened else self._siblings.head_of(name, status)
            is_known = any(is_begin(begin, head) for head in self._known)
            if begin and (
                is_known or not any(are_alike(begin, one) for one in begins)
            ):  # else it may be a copy that is being made
                known.append(Head(len(begin), hashed(begin)))
        self._known = known

    # reading

    def _add(self, name: str, at: int) -> OpenFile:
        """Open a file, to be read from its begin, at a place among the others. Raises OSError, HostError."""
        file = opened(name, self.path)
        self._files.insert(at, file)
        return file

    def _read(self, file: OpenFile, added: Counts, most_bytes: int) -> int:
        """Count the whole lines that came to a file; return how many bytes were read."""
        data, begin = file.new_bytes(most_bytes)
        if not data:
            return 0
        place = file.place
        lines = data[place.offset - begin :]
        if file.skip_hole(lines):
            return 0
        end = self.counter.whole(file, lines)
        if not end:
            if len(lines) < TURN_BYTES or most_bytes < TURN_BYTES:
                return 0
            end = len(lines)  # no line is so long; what follows of it will be left out
            if data[: place.offset - begin][-1:] in (b"", b"\n"):  # else it began in an earlier turn, and was counted then
                added.skip((self.counter.index, place.offset), f"{place.name} (byte {place.offset})", "")
        else:
            self.counter.count(file, data[: place.offset - begin + end], begin, added)
        counted = data[: place.offset - begin + end]
        if file.is_compressed:
            file.ahead = lines[end:]
            counted = file.tail = counted[-MARKER_BYTES:]
        file.move(place.offset + end, hashed(counted[-MARKER_BYTES:]))
        file.quiet_since = self.clock()
        return len(lines)

    def _leave(self, added: Counts) -> None:
        """Leave files that were replaced and to which nobody writes any more; their last line may lack its end."""
        for file in [file for file in self._files if file.is_replaced]:
            quiet_s = self.clock() - file.quiet_since
            if not file.is_left and quiet_s < LONGEST_LINGER_S and (quiet_s < self.linger_s or is_written(*file.identity)):
                continue
            with contextlib.suppress(*READ_ERRORS):
                data, begin = file.new_bytes(TURN_BYTES)
                rest = data[file.place.offset - begin :]
                if b"\n" in rest:
                    continue
                if rest:
                    self.counter.count(file, data + b"\n", begin, added)
            begins = file.first_bytes()
            if begins:
                self._known.append(Head(len(begins), hashed(begins)))
            file.stream.close()
            self._files.remove(file)
