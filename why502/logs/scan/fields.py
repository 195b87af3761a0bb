"""A field of a line by name: of the record parsed from the line, or of the line itself, under the names in its format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from why502.gateways.nginx.logs.log_format import LineFormat
from why502.logs import wrappers
from why502.logs.scan.line_format import Form
from why502.logs.scan.routes import route
from why502.logs.verdicts import is_failure
from why502.model import foreign_json
from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.model.request_line import method_of, path_of

Read = Callable[[LogRecord, str], str]  # from a record and its line
LONGEST = 200  # characters of a value; the rest is cut off
_NAME = lazy(r"[\w@$.-]{1,100}")
_VERBATIM = lazy(r"[\w.:-]{1,200}", re.ASCII)  # a value that every log writes unchanged
_VALUE = lazy(r' ?(?:"([^"]*+)"|([^\s,;|]*+))')
_AS_WRITTEN = frozenset({"status", "client", "request_id", "host"})


class Condition(Value, frozen=True, kw_only=True):
    """A condition on a line: the field has the value, or, if `is_other`, a different one."""

    field: str
    value: str
    is_other: bool = False

    def __str__(self) -> str:
        return f"{self.field}{'!=' if self.is_other else '='}{self.value}"

    def needle(self, form: Form) -> bytes:
        """Return text that every line meeting the condition contains; b"" if no such text is certain.

        A line without the text need not be parsed.
        """
        if self.is_other or not _VERBATIM.fullmatch(self.value) or form.wrapper in wrappers.PARTIAL or not form.log_format:
            return b""
        return self.value.encode() if self.field in _AS_WRITTEN or self.field not in _OF_RECORD else b""


class Conditions:
    """The conditions for the lines of one log; all of them must be met. `seen`: their fields that a line may have, so far."""

    def __init__(self, conditions: Sequence[Condition], form: Form) -> None:
        self._needles = [needle for one in conditions if (needle := one.needle(form))]
        self._readers = [(reader(one.field, form), one) for one in conditions]
        names = {one.field for one in conditions}
        self.seen = {name for name in names if name in _OF_RECORD or _has_word(form.log_format, name) or name in (form.w3c or ())}
        self._unseen = names - self.seen

    def exclude(self, raw: bytes) -> bool:
        """Return whether the bytes of a line rule out that it meets the conditions."""
        if self._unseen:
            self._look_for_names(raw.decode("utf-8", "replace"))
        return any(needle not in raw for needle in self._needles)

    def hold(self, record: LogRecord, line: str) -> bool:
        """Return whether a line and its record meet the conditions."""
        if self._unseen:
            self._look_for_names(line)
        return all((read(record, line) == one.value) != one.is_other for read, one in self._readers)

    def _look_for_names(self, line: str) -> None:
        """Note the fields whose name is in a line, whole or as the last part of a path."""
        found = {name for name in self._unseen if _has_word(line, name.rpartition(".")[2])}
        self.seen |= found
        self._unseen -= found


def _has_word(line: str, word: str) -> bool:
    """Return whether a word is in a line, and not only as a part of a longer one."""
    at = line.find(word)
    while at >= 0:
        end = at + len(word)
        if not (
            line[max(at - 1, 0) : at].isalnum()
            or line[max(at - 1, 0) : at] == "_"
            or line[end : end + 1].isalnum()
            or line[end : end + 1] == "_"
        ):
            return True
        at = line.find(word, at + 1)
    return False


def is_of_record(name: str) -> bool:
    """Return whether a field belongs to every record, whatever its format."""
    return name in _OF_RECORD


def condition(text: str) -> Condition:
    """Return the condition in FIELD=VALUE or FIELD!=VALUE. Raises Why502Error."""
    name, equals, value = text.partition("=")
    is_other = name.endswith("!")
    name = name.removesuffix("!").strip().removeprefix("$")
    if not equals or not _NAME.fullmatch(name):
        raise Why502Error(f"--where {text!r} is not a condition", "Write FIELD=VALUE or FIELD!=VALUE, for example status=502.")
    return Condition(field=name, value=value.strip(), is_other=is_other)


def name_of(text: str) -> str:
    """Return a validated field name. Raises Why502Error for an invalid one."""
    name = text.removeprefix("$")
    if not _NAME.fullmatch(name):
        raise Why502Error(f"--by {text!r} is not the name of a field", hint())
    return name


def hint() -> str:
    """Return a hint that lists the fields."""
    known = ", ".join(sorted(_OF_RECORD))
    return f"Give one of {known}, a variable of the log_format, or the path of a JSON member (request.host)."


def reader(name: str, form: Form) -> Read:
    """Return a function that reads a field from the lines of a log; "" for a line without it."""
    known = _OF_RECORD.get(name)
    if known is not None:
        return lambda record, _: known(record)[:LONGEST]
    of_line = _of_line(name, form)
    remove = wrappers.REMOVERS.get(form.wrapper)

    def read(_: LogRecord, line: str) -> str:
        found = remove(line) if remove else None
        return of_line(line if found is None else found.line)[:LONGEST]

    return read


def _of_line(name: str, form: Form) -> Callable[[str], str]:
    """Return a function that reads a field by its name in the log's format."""
    if form.w3c:
        return _column(form.w3c.index(name)) if name in form.w3c else lambda _: ""
    if not form.log_format:
        return lambda line: _value(line, name)
    log_format = LineFormat(form.log_format, form.escape)
    return lambda line: (log_format.values(line) or {}).get(name, "") or _value(line, name)


def _column(number: int) -> Callable[[str], str]:
    def read(line: str) -> str:
        values = line.split("\t") if "\t" in line else line.split()
        return "" if number >= len(values) or values[number] == "-" else values[number]

    return read


def _value(line: str, name: str) -> str:
    """Return a value by name from the text of a line.

    The value is a member of its JSON, or follows the name as in `name=value`, `name="value"` or `name:value`.
    """
    return _member(line, name) if line.lstrip().startswith("{") else _pair(line, name)


def _pair(line: str, name: str) -> str:
    at = -1
    while (at := line.find(name, at + 1)) >= 0:
        after = at + len(name)
        if line[after : after + 1] in ("=", ":") and (at == 0 or line[at - 1] in " \t,;|[{"):
            match = _VALUE.match(line, after + 1)
            value = (match[1] if match[1] is not None else match[2]) if match else ""
            return "" if value == "-" else value
    return ""


def _member(line: str, path: str) -> str:
    """Return a member of a JSON object as text, by its full name or by a path of names separated by dots."""
    try:
        entry = foreign_json.decode(line)
    except (ValueError, RecursionError):
        return ""
    if isinstance(entry, dict) and path in entry:
        return _text(entry[path])
    for key in path.split("."):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return _text(entry)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _path(record: LogRecord) -> str:
    return path_of(record.request) or record.request  # not each request is one of HTTP


def _target(record: LogRecord) -> str:
    last = record.attempts[-1] if record.attempts else record
    return str(last.target) if last.target is not None else last.group


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


_OF_RECORD: dict[str, Callable[[LogRecord], str]] = {
    "attempts": lambda record: _number(len(record.attempts)),
    "cause": lambda record: record.causes[0] if record.causes else "",
    "client": lambda record: record.client,
    "code": lambda record: record.code,
    "failed": lambda record: "true" if is_failure(record.status) else "false",
    "host": lambda record: record.host,
    "level": lambda record: record.level,
    "method": lambda record: method_of(record.request),
    "path": _path,
    "program": lambda record: record.program,
    "protocol": lambda record: record.protocol,
    "proxy": lambda record: record.proxy or "",
    "referrer": lambda record: record.referrer,
    "request_id": lambda record: record.request_id,
    "route": lambda record: route(record.request) if record.request else "",
    "server": lambda record: record.server or record.host,
    "status": lambda record: _number(record.status),
    "symptom": lambda record: record.symptom.value if record.symptom else "",
    "target": _target,
    "upstream_status": lambda record: _number(record.attempts[-1].status if record.attempts else record.upstream_status),
}
