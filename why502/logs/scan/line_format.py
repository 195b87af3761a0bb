"""The line format of one log: given by the user, taken from the configuration, or inferred from the content."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from why502.gateways.apache.logs import log_format as apache_log_format
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs.log_format import LineFormat
from why502.logs.scan import template
from why502.model.base import Value
from why502.model.logs import LogRecord

NGINX_ERROR = "nginx_error"
SAMPLE_LINES = 200
_FITTING = 0.5

Parse = Callable[[str], LogRecord | None]


class Form(Value, frozen=True, kw_only=True):
    """The way a log is read; a plain value, so that another machine reads it alike. `name` is the format's, "" for any."""

    name: str = ""
    log_format: str = ""  # where the lines are known to be made by one
    escape: str = "default"
    w3c: tuple[str, ...] = ()  # the fields that a W3C log names
    said_by: str = "its content"  # who says so

    @property
    def is_error_log(self) -> bool:
        """Return whether entries may take several lines."""
        return self.name == NGINX_ERROR

    def parser(self) -> Parse:
        """Return what reads one line."""
        if self.log_format:
            return nginx_access.compile(self.log_format, self.escape).parse
        if self.w3c:
            return template.w3c(self.w3c)
        if self.name == nginx_access.NAME:
            return nginx_access.parse
        from why502.logs import detect

        module = detect.named(self.name)
        if self.is_error_log and module is not None:
            return module.parse
        return parse_any if module is None else _with_time(module.parse)


def of_format(text: str, escape: str = "default", said_by: str = "--log-format") -> Form:
    """Return the form of a `log_format`, or of a LogFormat of Apache."""
    if apache_log_format.is_one(text):
        text, escape = apache_log_format.as_nginx(text), apache_log_format.APACHE
    LineFormat(text, escape)
    return Form(name=nginx_access.NAME, log_format=text, escape=escape, said_by=said_by)


def find(head: bytes, given: Form | None = None) -> Form:
    """Return the form of a log by its first lines; `given` counts where they fit it, or where they fit nothing else either."""
    lines = [line.decode("utf-8", "surrogateescape").rstrip("\r") for line in head.split(b"\n")[:SAMPLE_LINES] if line.strip()]
    if head and not head.endswith(b"\n") and len(lines) > 1:
        lines.pop()
    if given is not None and (not lines or _share(given.parser(), lines) >= 0.5):
        return given
    if (fields := template.w3c_fields(lines)) is not None:
        return Form(name="w3c", w3c=fields)
    if given is None and (found := template.infer(lines, only_combined=True)) is not None:  # the usual case, and the quickest
        return Form(name=nginx_access.NAME, log_format=found[0], escape=found[1])
    from why502.gateways.nginx.logs import error as nginx_error
    from why502.logs import detect

    name = detect.detect(lines)
    if name == nginx_error.NAME and _share(nginx_error.parse, lines) > 0:
        return Form(name=name)
    if given is not None and name in ("", nginx_access.NAME):
        return given
    if name in ("", nginx_access.NAME) and (found := template.infer(lines)) is not None:
        text, escape = found
        return Form(name=nginx_access.NAME, log_format=text, escape=escape)
    if name == nginx_access.NAME and _share(nginx_access.parse, lines) >= _FITTING:
        return Form(name=name)
    module = detect.named(name)
    return Form(name=name) if module is not None and _share(_with_time(module.parse), lines) >= _FITTING else Form()


def parse_any(line: str) -> LogRecord | None:
    """Return what a line of any format says; of one that means nothing, its time alone."""
    from why502.logs import summary

    return summary.parse_line(line)


def _with_time(parse: Parse) -> Parse:
    """Return a parser of one format which falls back on any other, and finds a time where the format tells none."""

    def read(line: str) -> LogRecord | None:
        record = parse(line)
        return record if record is not None and record.at is not None else parse_any(line)

    return read


def _share(parse: Parse, lines: Sequence[str]) -> float:
    if not lines:
        return 0.0
    return sum(1 for line in lines if (record := parse(line)) is not None and record.at is not None) / len(lines)
