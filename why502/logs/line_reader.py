"""How the lines of a log are read: by the configuration, or by their content. Also of a fragment that a person gives."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from why502 import registry
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs import error as nginx_error
from why502.logs import detect, wrappers
from why502.logs.scan import line_format, template
from why502.logs.scan.line_format import Form
from why502.logs.unwrap import unwrap
from why502.model.base import Value
from why502.model.errors import HostError
from why502.model.logs import LogRecord

SAMPLE_LINES = 200
FITTING = 0.8  # share of the sample that must match a format


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
    is_wrapped: bool = False  # its `content` has the journal's time, host and program before each line
    is_rotated: bool = True  # include its rotated siblings
    is_given: bool = False  # named by the user: it may be a fragment, from several programs, without times
    owner_uid: int = 0  # the user, other than root, whose words it holds, and whose permissions are used to read it
    is_of_engine: bool = False  # written by root's container engine, which decides where: root reads it
    unread_because: str = ""  # reason why there are no lines from it
    errors_of: int | None = None  # the process whose standard error it holds, or what that sends to syslog, all of it
    errors_from: str = ""  # only one of the two: `stderr`, `syslog`


class LineReader(NamedTuple):
    """How to read the lines of one file. `name` is the format's name."""

    name: str
    is_access: bool
    parse: Callable[[str], LogRecord | None]
    continues: Callable[[str], bool] | None = None
    format: str = ""  # of an access log: its log_format, if known
    escape: str = "default"
    wrapper: str = ""
    has_comments: bool = False  # lines that start with "#" are comments


def line_reader(log: LogInput, sample: bytes) -> LineReader:
    """Return the reader of a log, from the configuration or else from its content. Raises HostError for binary content."""
    lines = sample_lines(sample)
    if log.kind == "access" and log.format:
        known = Form(name=nginx_access.NAME, log_format=log.format, escape=log.escape)
        return _wrapped(lines, known) or _by_format(log.format, log.escape)
    if log.is_wrapped and (within := _wrapped_in_form(log, lines)) is not None:
        return within
    if log.kind == "error" and behaviour(log.proxy).error_format == nginx_error.NAME:
        return LineReader(nginx_error.NAME, False, nginx_error.parse, nginx_error.continues)
    product = registry.part("why502.gateways", log.proxy, "log_format")
    if product is not None:
        if (own := _of_product(product, log, lines)) is not None:
            return own
    elif log.candidates and log.kind != "error":
        readers = [_by_format(*candidate) for candidate in log.candidates]
        fitting = [sum(1 for line in lines if reader.parse(line)) for reader in readers]
        if max(fitting) > (0 if log.kind == "access" or log.is_mixed else FITTING * len(lines)):
            return readers[fitting.index(max(fitting))]
    is_file = log.content is None or log.is_given  # output that collectors assemble has the form that they chose
    if is_file and (within := _wrapped(lines)) is not None:
        return within
    name = detect.detect(lines)
    if not name and b"\0" in sample:
        raise HostError("contains binary data, not log lines", "give the log file itself")
    has_time = any(_has_time(nginx_error.parse(line)) for line in lines)
    is_undated = log.is_given and not any(_has_time(detect.parse_line(line)) for line in lines)  # as people paste it
    if name == nginx_error.NAME and (has_time or is_undated):
        if not log.is_given:
            return LineReader(name, False, nginx_error.parse, nginx_error.continues)
        return LineReader(name, False, _parse_mixed, _continues)
    if name == nginx_error.NAME and log.is_given:  # inside a wrapper
        return LineReader(name, False, _parse_mixed, _continues)
    if name in ("", nginx_access.NAME) and len(lines) > 1 and (form := line_format.find(sample)).log_format and not form.wrapper:
        return _of_form(form)
    if name == nginx_access.NAME and any(_has_time(nginx_access.parse(line)) for line in lines):
        return LineReader(name, True, nginx_access.parse)
    is_access = name == nginx_access.NAME
    fields = template.w3c_fields(lines)
    if fields is not None and not is_access:
        return LineReader(name, False, _but_access(_or_columns(detect.parse_line, template.w3c(fields))), has_comments=True)
    parse = detect.parser_of(name)
    return LineReader(name, is_access, parse if is_access else _but_access(parse))


def _of_product(product: ModuleType, log: LogInput, lines: list[str]) -> LineReader | None:
    """Return the reader of a log in a format that another gateway's configuration gives; None if no line has one of them."""
    found = [product.compile(*candidate) for candidate in log.candidates]
    counts = {parse: sum(1 for line in lines if parse(line)) for parse in found if parse is not None}
    best = max(counts, key=lambda parse: counts[parse], default=None)
    if best is None or not counts[best]:
        return None
    return LineReader(product.NAME, False, _but_access(line_format.or_any(best)))


def _wrapped(lines: list[str], known: Form | None = None) -> LineReader | None:
    """Return the reader of a log whose lines all have the same wrapper; None for every other log."""
    if not wrappers.likely(lines):
        return None
    form = line_format.find("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"), known)
    return _of_form(form) if form.wrapper and form.name else None


def _wrapped_in_form(log: LogInput, lines: list[str]) -> LineReader | None:
    """Return the reader of a log whose lines have the same wrapper: in the form that most of those lines have which have one
    of the configuration's, else in the form that its content shows.
    """
    forms = [
        Form(name=nginx_access.NAME, wrapper=wrapper, log_format=text, escape=escape)
        for wrapper in wrappers.likely(lines)[:1]
        for text, escape in log.candidates
    ]
    fitting = [sum(1 for line in lines if parse(line)) for parse in (form.strict_parser() for form in forms)]
    if max(fitting, default=0):
        return _of_form(forms[fitting.index(max(fitting))])
    return _wrapped(lines)


def _of_form(form: Form) -> LineReader:
    is_access = form.name == nginx_access.NAME
    parse = _only_access(form.parser()) if is_access else _but_access(form.parser())
    return LineReader(form.name, is_access, parse, form.continues(), form.log_format, form.escape, form.wrapper)


def sample_lines(sample: bytes) -> list[str]:
    """Return the first lines of a log that are not empty."""
    return [line.decode("utf-8", "surrogateescape") for line in sample.split(b"\n")[:SAMPLE_LINES] if line.strip()]


def reader_of_the_rest(reader: LineReader, lines: list[str], *, is_mixed: bool = False) -> LineReader | None:
    """Return a reader for the lines that the reader of a given log cannot read: access lines among others, or the reverse.

    None: there are no such lines. `is_mixed`: there may be such lines after these first ones.
    """
    parse = _left_by(reader.parse, _parse_other if reader.is_access else _parse_access)
    if not is_mixed and not any(record.format for line in lines if (record := parse(line)) is not None):
        return None
    return LineReader("" if reader.is_access else nginx_access.NAME, not reader.is_access, parse, wrapper=reader.wrapper)


def _parse_mixed(line: str) -> LogRecord | None:
    record = nginx_error.parse(line)
    if record is not None and record.level:
        return record
    other = _parse_other(line)  # a line of nginx may be inside a wrapper
    return other if record is None or (other is not None and other.symptom is not None) else record


def _continues(line: str) -> bool:
    """Return whether a line continues nginx's entry before it, and is not from another program or inside a wrapper."""
    is_bare = unwrap(line).line.strip() == line.strip()
    return is_bare and nginx_error.continues(line) and detect.parse_line(line) is None


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


_parse_access = _only_access(detect.parse_line)
_parse_other = _but_access(detect.parse_line)


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


def _by_format(format: str, escape: str) -> LineReader:
    return LineReader(nginx_access.NAME, True, nginx_access.compile(format, escape).parse, format=format, escape=escape)
