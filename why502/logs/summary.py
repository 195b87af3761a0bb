"""Reads the logs of a machine into a LogSummary for one time window."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import msgspec

from why502.gateways.nginx.logs import error as nginx_error
from why502.logs import pretty, window
from why502.logs.correlation import summary
from why502.logs.files import Files, Part, regular, rotated, unlinked
from why502.logs.held import Origin
from why502.logs.join import Suspects, suspects
from why502.logs.line_reader import LineReader, LogInput, line_reader, reader_of_the_rest, sample_lines
from why502.logs.lines import Window
from why502.logs.native import ReaderError
from why502.logs.scan.counts import Counts
from why502.logs.scan.details import Details
from why502.logs.scan.line_format import Form
from why502.logs.scan.part import Session
from why502.logs.scan.reading import Carried
from why502.logs.scan.work import Part as ReadPart
from why502.logs.scan.work import ScanQuery
from why502.logs.stitching import Records, Stitch
from why502.logs.verdicts import Fields
from why502.logs.window import PROBE_BYTES, SLACK_S, begin, first_time, head, is_compressed
from why502.logs.zone import moment, zone
from why502.model.errors import HostError
from why502.model.logs import LogFile, LogSummary
from why502.model.snapshot import Gap
from why502.model.target import Target

PATIENCE_S = 60.0
MOST_CLOSE = 50_000  # access lines of failures that are examined individually
READ_BYTES = 4 << 30  # per file; of a plain file, its newest part


class _Opened(NamedTuple):
    log: LogInput
    path: str  # for display
    part: Part | None
    stream: BinaryIO
    reader: LineReader
    zone: tzinfo

    def described(self, counts: Counts) -> LogFile:
        """Return what was read of it."""
        return LogFile(
            path=self.path,
            format=self.reader.name,
            lines=counts.lines,
            unread=counts.unparsed,
            first=None if counts.first is None else moment(counts.first),
            last=None if counts.last is None else moment(counts.last),
            is_deleted=self.part is not None and self.part.is_deleted,
            errors_of=self.log.errors_of,
            errors_from=self.log.errors_from,
        )


def summarise(
    files: Files,
    logs: Sequence[LogInput],
    since: datetime,
    until: datetime,
    *,
    patience_s: float = PATIENCE_S,
    sockets: Sequence[str] = (),
    members: Mapping[str, Target] = MappingProxyType({}),
) -> tuple[LogSummary, tuple[Gap, ...]]:
    """Return the summary of the logs in the window, and a gap for each log that could not be read.

    A bad log never raises an exception.

    Error logs and other logs are read first, then access logs, whose lines are matched with the error lines of their requests.
    `sockets` are the paths of the configured unix sockets, `members` the addresses of servers that a log identifies by name.
    """
    run = _Run(files, since.timestamp(), until.timestamp(), time.monotonic() + patience_s, sockets, members)
    opened: list[_Opened] = []
    try:
        for log in logs:
            opened.extend(run.open(log))
        others = (one for one in opened if not one.reader.is_access)
        for one in sorted(others, key=lambda one: one.part is not None):  # what programs print has their errors
            run.read_errors(one)
        return run.finish([one for one in opened if one.reader.is_access]), tuple(run.gaps)
    finally:
        for one in opened:
            one.stream.close()


class _Run:
    """One call of summarise."""

    def __init__(
        self,
        files: Files,
        since: float,
        until: float,
        deadline: float,
        sockets: Sequence[str] = (),
        members: Mapping[str, Target] = MappingProxyType({}),
    ) -> None:
        self.files = files
        self.since = since
        self.until = until
        self.deadline = deadline
        self.sockets = sockets
        self.members = members
        self.total = Counts()
        self.shared: dict[str, Stitch | None] = {}
        self.gaps: list[Gap] = []
        self.log_files: list[LogFile] = []
        self._read = 0  # logs
        self._seen: set[tuple[int, int]] = set()
        self._zones: dict[tuple[str, int | None], tzinfo] = {}

    def open(self, log: LogInput) -> Iterator[_Opened]:
        """Yield the files of a log that may hold lines of the window, oldest first, opened for reading."""
        if log.unread_because:
            self.log_files.append(LogFile(path=log.path, reason=log.unread_because))
            return
        if log.content is not None:
            sample = log.content[:PROBE_BYTES]
            whole = _Opened(log, log.path, None, io.BytesIO(log.content), line_reader(log, sample), self._zone(log))
            yield whole
            if log.is_mixed and (other := reader_of_the_rest(whole.reader, sample_lines(sample), is_mixed=True)):
                yield whole._replace(reader=other, stream=io.BytesIO(log.content))
            return
        files = self._inside(log)
        found = list(unlinked(self.files, log.path, log.pid)) if log.pid is not None else []
        try:
            found.append(Part(files, log.path, regular(files, log.path)))
        except HostError as error:
            if not found:
                self._gap(log.root + log.path, error, kind=log.kind)
        older = rotated(files, log.path, self.since - SLACK_S) if log.is_rotated else iter(())
        opened = []
        while part := (found.pop(0) if found else next(older, None)):
            one = self._open(log, part)
            if one is None:
                continue
            if log.is_given and (content := _spread(one)) is not None:
                one.stream.close()
                yield from self.open(msgspec.structs.replace(log, content=content))
                continue
            opened.append(one)
            is_mixed = log.is_mixed or log.errors_of is not None  # the first lines may be requests alone
            if (log.is_given or log.is_mixed or one.reader.wrapper) and (
                other := reader_of_the_rest(one.reader, sample_lines(head(one.stream)), is_mixed=is_mixed)
            ):
                opened.append(one._replace(reader=other, stream=part.files.open(part.opens)))
            if not found and self._begins_before(one):
                break
        yield from reversed(opened)

    def read_errors(self, one: _Opened) -> None:
        """Read an error log, including those of applications and the kernel, and the logs of gateways that hold both."""
        self.total.merge(self._counts(one, Suspects()))

    def finish(self, access: list[_Opened]) -> LogSummary:
        """Read the access logs and return the summary of all logs."""
        fields: dict[str, Fields] = {}
        doubtful = [suspects(self.total.errors, only_in_body=only) for only in (False, True)]
        lines = self.total.lines
        for one in access:
            counts = self._counts(one, doubtful[Fields.of(one.reader.format).upstream])
            if one.log.server:
                counts.paths = counts.paths.of_server(one.log.server)
            if counts.failed.is_full:
                self._cut(one, HostError(f"it holds more than {MOST_CLOSE} failures: later ones were only counted"))
            fields[one.path] = Fields.of(one.reader.format) if one.reader.format else counts.fields
            self.total.merge(counts)
        return summary(self.total, fields, self.log_files, has_access=self.total.lines > lines)

    def _counts(self, one: _Opened, doubtful: Suspects) -> Counts:
        """Return the counts of a log in the window."""
        reader, log = one.reader, one.log
        ask = ScanQuery(since=math.ceil(self.since), until=math.floor(self.until), most_held=MOST_CLOSE, is_summary=True)
        form = Form(
            name=reader.name,
            log_format=reader.format,
            escape=reader.escape,
            wrapper=reader.wrapper,
            has_comments=reader.has_comments,
        )
        origin = Origin(one.path, log.server, log.proxy)
        cut: list[HostError] = []
        self._read += 1

        def read(query: ScanQuery, part: ReadPart) -> Counts:
            details, carried, parse = None, None, reader.parse
            if not reader.is_access:
                details = Details(is_given=log.is_given, sockets=self.sockets, members=self.members)
                carried = Carried(records=Records(self.shared))
                parse = details.parser(reader.parse, is_nginx=reader.name == nginx_error.NAME)
            session = Session(query, one.zone, doubtful, details=details)
            if reason := session.take(one.stream, part, self._patience, origin, parse, carried)[2]:
                cut.append(HostError(reason))
            counts = session.total()
            if details is not None:
                details.finish(counts, reader.name)
            return counts

        counts = Counts()
        try:
            start, end = self._range(one, cut)
            part = ReadPart(path=one.path, form=form, index=self._read, start=start, end=end)
            try:
                counts = read(ask, part)
            except ReaderError:  # a bug in the compiled reader costs only speed
                counts = read(msgspec.structs.replace(ask, is_fast=False), part)
            self._check_size(one)
        except HostError as error:
            cut.append(error)
        if counts.is_partial:
            cut.append(HostError("it is too large to read in full", "use a shorter time window with --since"))
        for reason in {error.reason: error for error in cut}.values():
            self._cut(one, reason)
        self.log_files.append(one.described(counts))
        return counts

    def _range(self, one: _Opened, cut: list[HostError]) -> tuple[int, int | None]:
        """Return the bytes that may hold lines of the window; the end of a compressed file is None."""
        time_of, size_bytes = self._time_of(one), self._size_bytes(one)
        if is_compressed(one.stream):
            return 0, None
        start = begin(one.stream, size_bytes, self.since, time_of)
        end = window.end(one.stream, size_bytes, self.until, time_of)
        if end - start > READ_BYTES:
            start = end - READ_BYTES
            cut.append(HostError(f"only the last {READ_BYTES >> 30} GiB were read", "use a shorter time window with --since"))
        return start, end

    def _patience(self, _size_bytes: int) -> None:
        if time.monotonic() > self.deadline:
            raise KeyboardInterrupt

    def _size_bytes(self, one: _Opened) -> int:
        return one.part.status.size_bytes if one.part else len(one.log.content or b"")

    def _check_size(self, one: _Opened) -> None:
        if one.part and one.part.files.stat(one.part.opens).size_bytes < self._size_bytes(one):
            raise HostError("it was truncated while being read", "run it again")

    def _open(self, log: LogInput, part: Part) -> _Opened | None:
        """Return a file with its reader; None if it was read already or cannot be read (recorded as a Gap)."""
        path = log.root + (log.path if part.is_deleted else part.opens)
        key = (part.status.device, part.status.inode)
        if key != (0, 0) and key in self._seen:
            return None
        self._seen.add(key)
        try:
            stream = part.files.open(part.opens)
            try:
                reader = line_reader(log, head(stream))
            except BaseException:
                stream.close()
                raise
        except HostError as error:
            self._gap(path, error, kind=log.kind, is_deleted=part.is_deleted)
            return None
        return _Opened(log, path, part, stream, reader, self._zone(log))

    def _begins_before(self, one: _Opened) -> bool:
        """Return whether a file's first line is older than the window, so that no older file is needed."""
        try:
            first = first_time(head(one.stream), self._time_of(one))
        except HostError:
            return False
        return first is not None and first < self.since

    def _time_of(self, one: _Opened) -> Callable[[bytes], float | None]:
        window = Window(self.since, self.until, one.zone)

        def time_of(line: bytes) -> float | None:
            record = one.reader.parse(line.decode("utf-8", "surrogateescape"))
            return None if record is None or record.at is None else window.seconds(record.at)

        return time_of

    def _inside(self, log: LogInput) -> Files:
        return self.files.inside(log.root) if log.root else self.files

    def _zone(self, log: LogInput) -> tzinfo:
        key = (log.root, log.pid)
        if key not in self._zones:
            found = zone(self.files, self._inside(log), log.pid)
            if found is None:
                reason = "the machine's time zone is unknown; UTC is assumed"
                self.gaps.append(Gap(source=f"{log.root}/etc/localtime", reason=reason))
            self._zones[key] = found or UTC
        return self._zones[key]

    def _cut(self, one: _Opened, error: HostError) -> None:
        """Record why some of a log is missing."""
        self.gaps.append(Gap(source=one.path, reason=error.reason, hint=error.hint))

    def _gap(self, path: str, error: HostError, *, kind: str, is_deleted: bool = False) -> None:
        message = f"{kind} log: {error.reason}" if kind else error.reason
        self.gaps.append(Gap(source=path, reason=message, hint=error.hint))
        self.log_files.append(LogFile(path=path, reason=error.reason, is_deleted=is_deleted))


def _spread(one: _Opened) -> bytes | None:
    """Return the content of a file with multi-line JSON objects, with each on one line; None for all other files."""
    try:
        if not pretty.is_spread(head(one.stream)):
            return None
        content = head(one.stream, pretty.MOST_BYTES)
    except HostError:
        return None
    return pretty.joined(content) if len(content) < pretty.MOST_BYTES else None
