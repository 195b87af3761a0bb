"""Reads the logs of a machine into a LogSummary for one time window."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from types import MappingProxyType, ModuleType
from typing import BinaryIO, NamedTuple

import msgspec

from why502 import registry
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs import error as nginx_error
from why502.logs import detect, pretty, wrappers
from why502.logs.correlation import correlate
from why502.logs.files import Files, Part, regular, rotated, unlinked
from why502.logs.held import Held, Origin
from why502.logs.join import Errors, suspects
from why502.logs.lines import Span, Window, entries
from why502.logs.native import ReaderError
from why502.logs.records import RecordLog
from why502.logs.scan import line_format, template
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form
from why502.logs.scan.part import Session
from why502.logs.scan.work import Ask
from why502.logs.scan.work import Part as ReadPart
from why502.logs.split_lines import whole_lines
from why502.logs.tallies import Tallies
from why502.logs.unwrap import unwrap
from why502.logs.verdicts import Fields
from why502.logs.window import PROBE_BYTES, SLACK_S, Chunk, begin, chunks, first_time, head, is_compressed
from why502.logs.zone import zone
from why502.model.base import Value
from why502.model.errors import HostError
from why502.model.logs import LogFile, LogRecord, LogSummary
from why502.model.snapshot import Gap
from why502.model.target import Target

PATIENCE_S = 60.0
SAMPLE_LINES = 200
FITTING = 0.8  # share of the sample that must match a format
_QUOTATION = " \t\"'`>"  # may surround a pasted line
MOST_CLOSE = 50_000  # access lines of failures that are examined individually
READ_BYTES = 4 << 30  # per file; of a plain file, its newest part


class LogInput(Value, frozen=True, kw_only=True):
    """One log to read. `kind`: access, error, or "" to detect it from the content.

    `format`: the text of a `log_format`, if known.
    """

    path: str  # as seen by the process; with `content`, the command that produced it
    content: bytes | None = None  # the lines themselves, if they are not in a file
    root: str = ""  # the root directory of that process, if different
    kind: str = ""
    format: str = ""
    escape: str = "default"
    candidates: tuple[tuple[str, str], ...] = ()  # possible formats: text, escape
    server: str = ""  # the only server that logs there
    proxy: str = "nginx"
    pid: int | None = None  # of the master process, for its TZ and open files
    is_mixed: bool = False  # the configuration sends requests and messages there
    is_rotated: bool = True  # include its rotated siblings
    is_given: bool = False  # named by the user: it may be a fragment, from several programs, without times
    owner_uid: int = 0  # the user, other than root, whose words it holds, and whose permissions are used to read it
    is_of_engine: bool = False  # written by root's container engine, which decides where: root reads it
    unread_because: str = ""  # reason why there are no lines from it


class _Reader(NamedTuple):
    """How to read the lines of one file. `name` is the format's name."""

    name: str
    is_access: bool
    parse: Callable[[str], LogRecord | None]
    continues: Callable[[str], bool] | None = None
    format: str = ""  # of an access log: its log_format, if known
    escape: str = "default"
    wrapper: str = ""
    has_comments: bool = False  # lines that start with "#" are comments


class _Opened(NamedTuple):
    log: LogInput
    path: str  # for display
    part: Part | None
    stream: BinaryIO
    reader: _Reader
    zone: tzinfo


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
        for one in opened:
            if not one.reader.is_access:
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
        self.tallies = Tallies()
        self.errors: Errors = Held()
        self.gaps: list[Gap] = []
        self.told: list[LogFile] = []
        self._seen: set[tuple[int, int]] = set()
        self._zones: dict[tuple[str, int | None], tzinfo] = {}

    def open(self, log: LogInput) -> Iterator[_Opened]:
        """Yield the files of a log that may hold lines of the window, oldest first, opened for reading."""
        if log.unread_because:
            self.told.append(LogFile(path=log.path, reason=log.unread_because))
            return
        if log.content is not None:
            yield _Opened(log, log.path, None, io.BytesIO(log.content), _reader(log, log.content[:PROBE_BYTES]), self._zone(log))
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
            if (log.is_given or log.is_mixed or one.reader.wrapper) and (other := _beside(one.reader, _lines(head(one.stream)))):
                opened.append(one._replace(reader=other, stream=part.files.open(part.opens)))
            if not found and self._begins_before(one):
                break
        yield from reversed(opened)

    def read_errors(self, one: _Opened) -> None:
        """Read an error log, including those of applications and the kernel."""
        is_nginx = one.reader.name == nginx_error.NAME
        reader = RecordLog(
            Window(self.since, self.until, one.zone),
            self.tallies,
            self.errors,
            parse=one.reader.parse,
            is_nginx=is_nginx,
            is_given=one.log.is_given,
            sockets=self.sockets,
            members=self.members,
        )
        cut: list[HostError] = []
        found = entries(whole_lines(self._chunks(one, cut), one.reader.wrapper), one.reader.continues)
        reader.read((each for each in found if not (one.reader.has_comments and each.text.startswith("#"))), one.path)
        self._tell(reader.span.value(one.path, one.reader.name, is_deleted=one.part is not None and one.part.is_deleted), cut)

    def finish(self, access: list[_Opened]) -> LogSummary:
        """Read the access logs and return the summary of all logs."""
        total = Counts()
        total.errors = self.errors
        fields: dict[str, Fields] = {}
        for index, one in enumerate(access):
            counts = self._access(index, one)
            fields[one.path] = Fields.of(one.reader.format) if one.reader.format else counts.fields
            total.merge(counts)
        correlate(total, self.tallies, fields)
        return self.tallies.value(tuple(self.told), has_access=bool(total.lines or self.tallies.requests))

    def _access(self, index: int, one: _Opened) -> Counts:
        """Return the counts of an access log in the window."""
        reader, log = one.reader, one.log
        ask = Ask(since=math.ceil(self.since), until=math.floor(self.until), most_held=MOST_CLOSE, is_summary=True)
        form = Form(name=reader.name, log_format=reader.format, escape=reader.escape, wrapper=reader.wrapper)
        doubtful = suspects(self.errors, only_in_body=Fields.of(reader.format).upstream)
        origin = Origin(one.path, log.server, log.proxy)
        cut: list[HostError] = []

        def read(ask: Ask, part: ReadPart) -> Counts:
            session = Session(ask, one.zone, doubtful)
            if reason := session.take(one.stream, part, self._patience, origin, reader.parse)[2]:
                cut.append(HostError(reason))
            return session.total()

        counts = Counts()
        try:
            start, end = self._range(one, cut)
            part = ReadPart(path=one.path, form=form, index=index, start=start, end=end)
            try:
                counts = read(ask, part)
            except ReaderError:  # a bug in the compiled reader costs only speed
                counts = read(msgspec.structs.replace(ask, is_fast=False), part)
            self._check_size(one)
        except HostError as error:
            cut.append(error)
        if counts.is_partial:
            cut.append(HostError("it is too large to read in full", "use a shorter time window with --since"))
        if counts.failed.is_full:
            cut.append(HostError(f"it holds more than {MOST_CLOSE} failures: later ones were only counted"))
        span = Span()
        span.lines, span.unread = counts.lines, counts.unparsed
        for at in (counts.first, counts.last):
            if at is not None:
                span.see(at)
        self._tell(span.value(one.path, reader.name, is_deleted=one.part is not None and one.part.is_deleted), cut)
        return counts

    def _range(self, one: _Opened, cut: list[HostError]) -> tuple[int, int | None]:
        """Return the bytes that may hold lines of the window; the end of a compressed file is None."""
        time_of, size_bytes = self._time_of(one), self._size_bytes(one)
        if is_compressed(one.stream):
            return 0, None
        start = begin(one.stream, size_bytes, self.since, time_of)
        end = min(begin(one.stream, size_bytes, self.until + 3 * SLACK_S, time_of) + 2 * PROBE_BYTES, size_bytes)
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
                reader = _reader(log, head(stream))
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

    def _chunks(self, one: _Opened, cut: list[HostError]) -> Iterator[Chunk]:
        """Yield the chunks that may be in the window; `cut` collects the reasons why the end or the start is missing."""
        time_of = self._time_of(one)
        size_bytes = self._size_bytes(one)
        try:
            start = begin(one.stream, size_bytes, self.since, time_of)
            if size_bytes - start > READ_BYTES:
                start = size_bytes - READ_BYTES
                cut.append(HostError(f"only the last {READ_BYTES >> 30} GiB were read", "use a shorter time window with --since"))
            for chunk in chunks(one.stream, start, self.since, self.until, time_of):
                if time.monotonic() > self.deadline or chunk.start - start > READ_BYTES:
                    cut.append(HostError("it is too large to read in full", "use a shorter time window with --since"))
                    return
                yield chunk
            self._check_size(one)
        except HostError as error:
            cut.append(error)

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

    def _tell(self, file: LogFile, cut: list[HostError]) -> None:
        for error in cut:
            self.gaps.append(Gap(source=file.path, reason=error.reason, hint=error.hint))
        self.told.append(file)

    def _gap(self, path: str, error: HostError, *, kind: str, is_deleted: bool = False) -> None:
        message = f"{kind} log: {error.reason}" if kind else error.reason
        self.gaps.append(Gap(source=path, reason=message, hint=error.hint))
        self.told.append(LogFile(path=path, reason=error.reason, is_deleted=is_deleted))


def _reader(log: LogInput, sample: bytes) -> _Reader:
    """Return the reader of a log, from the configuration or else from its content. Raises HostError for binary content."""
    lines = _lines(sample)
    if log.kind == "access" and log.format:
        known = Form(name=nginx_access.NAME, log_format=log.format, escape=log.escape)
        return _wrapped(lines, known) or _by_format(log.format, log.escape)
    if log.kind == "error" and log.proxy == "nginx":
        return _Reader(nginx_error.NAME, False, nginx_error.parse, nginx_error.continues)
    product = registry.part("why502.gateways", log.proxy, "log_format")
    if product is not None:
        if (own := _of_product(product, log, lines)) is not None:
            return own
    elif log.candidates and log.kind != "error":
        readers = [_by_format(*candidate) for candidate in log.candidates]
        fitting = [sum(1 for line in lines if reader.parse(line)) for reader in readers]
        if max(fitting) > (0 if log.kind == "access" else FITTING * len(lines)):
            return readers[fitting.index(max(fitting))]
    is_file = log.content is None or log.is_given  # output that collectors assemble has the form that they chose
    if is_file and (within := _wrapped(lines)) is not None:
        return within
    name = detect.detect(lines, is_pasted=log.is_given)
    if not name and b"\0" in sample:
        raise HostError("contains binary data, not log lines", "give the log file itself")
    has_time = any(_has_time(nginx_error.parse(line)) for line in lines)
    is_undated = log.is_given and not any(_has_time(_parse_pasted(line)) for line in lines)  # as people paste it
    if name == nginx_error.NAME and (has_time or is_undated):
        if not log.is_given:
            return _Reader(name, False, nginx_error.parse, nginx_error.continues)
        return _Reader(name, False, _parse_mixed, _continues)
    if name == nginx_error.NAME and log.is_given:  # inside a wrapper
        return _Reader(name, False, _parse_mixed, _continues)
    if name in ("", nginx_access.NAME) and len(lines) > 1 and (form := line_format.find(sample)).log_format and not form.wrapper:
        return _of_form(form)
    if name == nginx_access.NAME and any(_has_time(nginx_access.parse(line)) for line in lines):
        return _Reader(name, True, nginx_access.parse)
    parse = _parse_pasted if log.is_given else detect.parse_line
    is_access = name == nginx_access.NAME
    fields = template.w3c_fields(lines)
    if fields is not None and not is_access:
        return _Reader(name, False, _but_access(_or_columns(parse, template.w3c(fields))), has_comments=True)
    return _Reader(name, is_access, parse if is_access else _but_access(parse))


def _of_product(product: ModuleType, log: LogInput, lines: list[str]) -> _Reader | None:
    """Return the reader of a log in a format that another gateway's configuration gives; None if no line has one of them."""
    found = [product.compile(*candidate) for candidate in log.candidates]
    counts = {parse: sum(1 for line in lines if parse(line)) for parse in found if parse is not None}
    best = max(counts, key=lambda parse: counts[parse], default=None)
    if best is None or not counts[best]:
        return None
    return _Reader(product.NAME, False, _but_access(line_format.or_any(best)))


def _wrapped(lines: list[str], known: Form | None = None) -> _Reader | None:
    """Return the reader of a log whose lines all have the same wrapper; None for every other log."""
    if not wrappers.likely(lines):
        return None
    form = line_format.find("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"), known)
    return _of_form(form) if form.wrapper and form.name else None


def _of_form(form: Form) -> _Reader:
    is_access = form.name == nginx_access.NAME
    parse = _only_access(form.parser()) if is_access else _but_access(form.parser())
    return _Reader(form.name, is_access, parse, form.continues(), form.log_format, form.escape, form.wrapper)


def _lines(sample: bytes) -> list[str]:
    return [line.decode("utf-8", "surrogateescape") for line in sample.split(b"\n")[:SAMPLE_LINES] if line.strip()]


def _spread(one: _Opened) -> bytes | None:
    """Return the content of a file with multi-line JSON objects, with each on one line; None for all other files."""
    try:
        if not pretty.is_spread(head(one.stream)):
            return None
        content = head(one.stream, pretty.MOST_BYTES)
    except HostError:
        return None
    return pretty.joined(content) if len(content) < pretty.MOST_BYTES else None


def _beside(reader: _Reader, lines: list[str]) -> _Reader | None:
    """Return a reader for the lines that the reader of a given log cannot read: access lines among others, or the reverse.

    None: there are no such lines.
    """
    parse = _left_by(reader.parse, _parse_other if reader.is_access else _parse_access)
    if not any(record.format for line in lines if (record := parse(line)) is not None):
        return None
    return _Reader("" if reader.is_access else nginx_access.NAME, not reader.is_access, parse, wrapper=reader.wrapper)


def _parse_mixed(line: str) -> LogRecord | None:
    record = nginx_error.parse(line)
    if record is not None and record.level:
        return record
    other = _parse_other(line)  # a line of nginx may be inside a wrapper
    return other if record is None or (other is not None and other.symptom is not None) else record


def _continues(line: str) -> bool:
    """Return whether a pasted line continues nginx's entry before it, and is not from another program or inside a wrapper."""
    is_bare = unwrap(line, is_pasted=True).line.strip(_QUOTATION) == line.strip(_QUOTATION)
    return is_bare and nginx_error.continues(line) and _parse_pasted(line) is None


def _only_access(parse: line_format.Parse) -> line_format.Parse:
    """Return a parser of access lines only."""

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return record if record is not None and record.format == nginx_access.NAME else None

    return read


def _but_access(parse: line_format.Parse) -> line_format.Parse:
    """Return a parser of every line except access lines, for which it returns only the time."""

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return LogRecord(at=record.at) if record is not None and record.format == nginx_access.NAME else record

    return read


_parse_pasted = partial(detect.parse_line, is_pasted=True)
_parse_access = _only_access(_parse_pasted)
_parse_other = _but_access(_parse_pasted)


def _left_by(mine: line_format.Parse, parse: line_format.Parse) -> line_format.Parse:
    """Return a parser for the lines that another parser cannot read; for lines that it can read, only the time is returned."""

    def read(line: str) -> LogRecord | None:
        record = mine(line)
        return LogRecord(at=record.at) if record is not None and record.format else parse(line)

    return read


def _or_columns(parse: line_format.Parse, of_columns: line_format.Parse) -> line_format.Parse:
    """Return a parser that uses the column names for the lines that the first parser cannot read."""

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return record if record is not None and record.at is not None else of_columns(line)

    return read


def _has_time(record: LogRecord | None) -> bool:
    """Return whether a line was parsed without a wrapper: the time inside a wrapper is not found."""
    return record is not None and record.at is not None


def _by_format(format: str, escape: str) -> _Reader:
    return _Reader(nginx_access.NAME, True, nginx_access.compile(format, escape).parse, format=format, escape=escape)
