"""The line format of one log: given by the user, taken from the configuration, or inferred from the content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import structs

from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs.log_format import LineFormat
from why502.logs import detect, formats, split_lines, wrappers
from why502.logs.scan import template
from why502.model.base import Value
from why502.model.config import LogKind, LogTarget
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

NGINX_ERROR = "nginx_error"
SAMPLE_LINES = 200
DETECTED_LINES = 50  # only this many lines are tried with every format
_FITTING = 0.5
_BLANK = " \t\r\v\f"
_OF_NGINX = lazy(r"\$upstream_(?:addr|status)\b")

Parse = Callable[[str], LogRecord | None]


class Form(Value, frozen=True, kw_only=True):
    """How to read a log: a plain value, so that another machine reads it identically.

    `name` is the format's name, "" for any format.

    `wrapper` is the text around (nearly) every line; it is removed before the line is parsed. It is detected once per log:

    - `docker`: `{"log":"LINE\\n","stream":"stdout","time":"2026-03-04T05:06:07.123Z"}`, the json-file driver. A `log` that does
      not end in a line feed continues in the next line of its stream (16 KiB each).
    - `cri`: `2026-03-04T05:06:07.123+02:00 stdout F LINE` of containerd and CRI-O. `P` in place of `F`: it continues in the next
      line.
    - `journal-json`: an entry of `journalctl -o json`, whose `MESSAGE` is a string or a list of bytes.
    - `rfc3164`: `<190>Mar  4 05:06:07 host program[123]: LINE`; priority, host and process number may be missing. The default of
      journalctl.
    - `rfc5424`: `<190>1 2026-03-04T05:06:07.123+02:00 host program 123 - - LINE`, with or without structured data.
    - `syslog-iso`: `2026-03-04T05:06:07.123+02:00 host program[123]: LINE` of rsyslog, and of `journalctl -o short-iso`.
    - `timestamp`: `2026-03-04T05:06:07.123Z LINE` of `kubectl logs --timestamps` and `docker logs -t`.
    - `compose`: `web-1  | LINE` of `docker compose logs`.
    - ``: none, or wrappers that differ from line to line; the general reader removes those.

    A line's own time has precedence; the wrapper's is used only if the line has none.
    """

    name: str = ""
    wrapper: str = ""
    log_format: str = ""  # the log_format of the lines, if known
    escape: str = "default"
    w3c: tuple[str, ...] = ()  # the fields named by a W3C log
    format_source: str = "its content"  # the source of this information
    has_comments: bool = False  # lines that start with "#" are comments, as in each W3C log

    @property
    def is_error_log(self) -> bool:
        """Return whether an entry may span several lines."""
        return self.name == NGINX_ERROR

    def parser(self) -> Parse:
        """Return the parser of one line (or entry of lines). Its result depends on the line alone."""
        return wrappers.within(self.wrapper, self._inner_parser()) if self.wrapper else self._inner_parser()

    def strict_parser(self) -> Parse:
        """Return the parser of lines in this format alone, which reads none of another format."""
        parse = self._only_parser()
        return wrappers.within(self.wrapper, parse) if self.wrapper else parse

    def continues(self) -> Callable[[str], bool] | None:
        """Return a function that detects lines that continue the previous entry; None if every line is an entry."""
        if not self.is_error_log:
            return None
        from why502.gateways.nginx.logs import error as nginx_error

        return wrappers.of_inner(self.wrapper, nginx_error.continues) if self.wrapper else nginx_error.continues

    def fits(self, lines: Sequence[str]) -> bool:
        """Return whether most of the lines have this form and contain a time."""
        parse = nginx_access.compile(self.log_format, self.escape).parse if self.log_format else self._inner_parser()
        return _share(wrappers.within(self.wrapper, parse) if self.wrapper else parse, lines) >= _FITTING

    def _only_parser(self) -> Parse:
        if self.log_format:
            return nginx_access.compile(self.log_format, self.escape).parse
        if self.w3c:
            return template.w3c(self.w3c)
        module = formats.named(self.name)
        return detect.parse_line if module is None else module.parse

    def _inner_parser(self) -> Parse:
        parse = self._only_parser()
        if self.log_format or self.w3c or self.is_error_log or self.wrapper:
            return or_any(parse)
        return parse if formats.named(self.name) is None else _with_time(parse)


def of_format(text: str, escape: str = "default", format_source: str = "--log-format") -> Form:
    """Return the form of an nginx `log_format` or an Apache LogFormat."""
    from why502.gateways.behaviour import read_as

    text, escape = read_as(text, escape)
    LineFormat(text, escape)
    return Form(name=nginx_access.NAME, log_format=text, escape=escape, format_source=format_source)


def of_targets(logs: Iterable[LogTarget], config: str) -> dict[str, Form]:
    """Return the formats of the access logs that a configuration names, by their paths."""
    return {
        log.path: Form(
            name=nginx_access.NAME,
            log_format=log.format,
            escape=log.escape,
            format_source=f"{log.format_name or 'log_format'} of {config}",
        )
        for log in logs
        if log.kind is LogKind.ACCESS and log.path and log.format
    }


def find(head: bytes, given: Form | None = None, known: Collection[tuple[str, str]] = ()) -> Form:
    """Return the form of a log from its first lines. `given` is used if the lines match it, or match nothing else.

    `known` are the inferred formats of other logs of the same run, with their `escape=`.
    """
    texts = head.decode("utf-8", "surrogateescape").split("\n", SAMPLE_LINES)[:SAMPLE_LINES]
    lines = [line.rstrip("\r") for line in texts if line.strip(_BLANK)]
    if head and not head.endswith(b"\n") and len(lines) > 1:
        lines.pop()
    if given is not None and not lines:
        return given
    if (fields := template.w3c_fields(lines)) is not None:
        return Form(name="w3c", w3c=fields)
    likely = {name: wrappers.removed(name, split_lines.joined(name, lines)) for name in wrappers.likely(lines)}
    inner = {name: _of_content(texts, given, known, is_timed=False) for name, texts in likely.items()}
    for name, form in inner.items():  # lines with a time of their own
        if form.name and form.fits(likely[name]):
            return structs.replace(form, wrapper=name)
    bare = _of_content(lines, given, known)
    for name, form in inner.items():  # lines with only the wrapper's time
        if form.name == bare.name and form.name and structs.replace(form, wrapper=name).fits(lines):
            return structs.replace(form, wrapper=name)
    if bare.name:
        return bare
    for name, form in inner.items():
        if form.name and (name in wrappers.STRICT or structs.replace(form, wrapper=name).fits(lines)):
            return structs.replace(form, wrapper=name)
    return Form(wrapper=next((name for name in inner if name in wrappers.PARTIAL), ""))


def _of_content(lines: list[str], given: Form | None, known: Collection[tuple[str, str]], *, is_timed: bool = True) -> Form:
    """Return the form of lines from their content. `is_timed`: the lines themselves must contain a time."""
    if given is not None and given.fits(lines):
        return given
    if given is None and (found := template.infer(lines, only_combined=True, known=known)) is not None:
        return Form(name=nginx_access.NAME, log_format=found[0], escape=found[1])
    from why502.gateways.nginx.logs import error as nginx_error

    sample = lines[:: max(1, len(lines) // DETECTED_LINES)]
    name = detect.by_looks(sample)
    found = template.infer(lines, known=known) if not name and given is None else None
    if found is not None and len({*_OF_NGINX.findall(found[0])}) == 2:
        return Form(name=nginx_access.NAME, log_format=found[0], escape=found[1])
    name = name or detect.detect(sample)
    if name == nginx_error.NAME and _share(nginx_error.parse, lines) > 0:
        return Form(name=name)
    if given is not None and name in ("", nginx_access.NAME):
        return given
    if name in ("", nginx_access.NAME) and (found := template.infer(lines, known=known)) is not None:
        text, escape = found
        return Form(name=nginx_access.NAME, log_format=text, escape=escape)
    if name == nginx_access.NAME and _share(nginx_access.parse, sample) >= _FITTING:
        return Form(name=name)
    module = formats.named(name)
    if module is None:
        return Form()
    fitting = _share(_with_time(module.parse), sample) if is_timed else _share(module.parse, sample, is_timed=False)
    return Form(name=name) if fitting >= _FITTING else Form()


def or_any(parse: Parse) -> Parse:
    """Return a parser for one format that passes all other lines to the general parser.

    A log may contain lines of several formats.
    """

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return record if record is not None else detect.parse_line(line)

    return read


def _with_time(parse: Parse) -> Parse:
    """Return a parser for one format that falls back to all others, and searches for a time if the format gives none."""

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return record if record is not None and record.at is not None else detect.parse_line(line)

    return read


def _share(parse: Parse, lines: Sequence[str], *, is_timed: bool = True) -> float:
    if not lines:
        return 0.0
    return sum(1 for line in lines if (record := parse(line)) is not None and (record.at or not is_timed)) / len(lines)
