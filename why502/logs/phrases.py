"""Phrase: one log message of a program and its meaning. The formats of application servers are tables of phrases."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from signal import Signals

from why502.logs import stamps
from why502.model.logs import ROUTINE, LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number

_LIMIT = 2048  # only this many characters of a line are read and kept
_COLOUR = lazy(r"\x1b\[[0-9;]*m")
_TUPLE = lazy(r"\(?'(?P<host>[^']*)', ?(?P<port>[0-9]{1,5})(?![0-9])")
_TEXTS = ("detail", "process", "unit", "file", "cgroup", "client", "request", "code", "level")
_NUMBERS = {"pid": "process_pid", "errno": "errno", "line": "line", "status": "status"}


class Phrase:
    """A message: `mark` is plain text that every matching line contains; `pattern` is searched.

    The named groups of `pattern` become fields of the record: detail process pid unit file line cgroup client request code level
    errno status as in LogRecord; `address` (any spelling), or `host` and `port`, or `path` is the target; `signal` (number or
    name) becomes `code`. A target with a port and an empty host means that the line contains no host.
    """

    def __init__(self, mark: str, pattern: str, symptom: Symptom | None, phase: Phase = Phase.PROCESS) -> None:
        self.mark = mark
        self.pattern = lazy(pattern)
        self.symptom = symptom
        self.phase = phase


_NOT_FATAL = r"^(?!.*(?:default|fallback|falling back|optional|ignor|skipp|WARN|warning)).*?"
_ABSENT = (
    " not set",
    " must be set",
    " is required",
    " is missing",
    " not defined",
    " is undefined",
    " not configured",
    " is unset",
)
_NAME = r"(?:^|\b\w*(?:Error|Exception): |(?:fatal|FATAL|Fatal|panic|critical|CRITICAL|ERROR|error)\b.{0,40}?[: ])"
_NAME += r"[\"'`$]?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+[\"'`]?"
ENVIRONMENT = (  # in any language
    *(
        Phrase(
            mark,
            _NOT_FATAL + rf"(?P<detail>{_NAME}(?: (?:is|was|must|variable|environment|env|has|been))*{mark}\b.*)",
            Symptom.START_FAILED,
            Phase.STARTUP,
        )
        for mark in _ABSENT
    ),
    Phrase(
        "nvironment variable",
        _NOT_FATAL
        + r"(?P<detail>(?:[Mm]issing|[Rr]equired|[Uu]ndefined|[Uu]nset|[Ii]nvalid) (?:required )?[Ee]nvironment variables?\b.*)",
        Symptom.START_FAILED,
        Phase.STARTUP,
    ),
    Phrase(
        "nvironment variable",
        _NOT_FATAL + r"(?P<detail>[Ee]nvironment variables? [\"'`$]?[A-Z][A-Z0-9_]*[\"'`]? (?:is |was |must be |has )?"
        r"(?:not |un|missing|required|be )?(?:been )?(?:set|defined|missing|required|found|specified)\b.*)",
        Symptom.START_FAILED,
        Phase.STARTUP,
    ),
)


def marks(phrases: Sequence[Phrase]) -> tuple[bytes, ...]:
    """Return byte strings; every relevant line contains at least one of them."""
    return tuple(sorted({phrase.mark.encode() for phrase in phrases}))


def read(line: str, phrases: Sequence[Phrase], format: str) -> LogRecord | None:
    """Return the record of the first phrase that matches; None if none does."""
    line = _COLOUR.sub("", line[:_LIMIT])
    for phrase in phrases:
        if phrase.mark in line and (match := phrase.pattern.search(line)):
            return record(line, format, phrase.symptom, phrase.phase, match.groupdict())
    return None


def record(line: str, format: str, symptom: Symptom | None, phase: Phase, groups: dict[str, str | None]) -> LogRecord:
    """Return the record of one line from the named groups of its pattern."""
    given = {name: text.strip() for name, text in groups.items() if text}
    fields: dict[str, object] = {name: given[name] for name in _TEXTS if name in given}
    fields |= {field: _int(given[name]) for name, field in _NUMBERS.items() if name in given}
    if "signal" in given:
        fields["code"] = signal_name(given["signal"])
    return LogRecord(
        format=format,
        program=format,
        at=stamps.find(line),
        symptom=symptom,
        phase=phase if symptom else None,
        is_gateway_failure=symptom is not None and symptom not in ROUTINE,
        message=line.strip()[:_LIMIT],
        target=_target(given),
        **fields,  # type: ignore[arg-type]
    )


def share(sample: Sequence[str], fits: Callable[[str], object]) -> float:
    """Return the share (0…1) of the non-blank lines for which `fits` returns something."""
    lines = [line for line in sample if line.strip()]
    return sum(1 for line in lines if fits(line)) / len(lines) if lines else 0.0


def signal_name(text: str) -> str:
    """Return `SIGSEGV` for `11`, `SEGV` or `SIGSEGV`; an unknown signal is returned unchanged (signal(7))."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return _BY_NUMBER.get(int(text) if len(text) < 4 else 0, text)
    return text if text.startswith("SIG") else f"SIG{text}"


_BY_NUMBER = {int(signal): signal.name for signal in Signals}


def signal_number(name: str) -> int | None:
    """Return 11 for `SIGSEGV`; None if the name is not a signal."""
    return next((value for value, known in _BY_NUMBER.items() if known == name), None)


def address(text: str) -> Target | None:
    """Return the target named in a line of any program: `0.0.0.0:80`, `:::80`, `*:80`, `('::', 80)`, `/run/x`, `http://…`."""
    text = text.strip().strip("\"'").replace(" ", "") if "'" not in text else text.strip()
    if match := _TUPLE.search(text):
        return _tcp(match["host"], match["port"])
    scheme, found, rest = text.partition("://")
    if found:
        text = rest
    if text.startswith(("unix:", "/")) or (found and scheme == "unix"):
        return Target(path=text.removeprefix("unix:").split("?")[0].rstrip(":")) if text.removeprefix("unix:") else None
    if whole_number(text, 5) is not None:
        return _tcp("", text)
    if match := re.match(r"\[(?P<host>[^\]]*)\]:(?P<port>[0-9]{1,5})", text) or _last_colon(text):
        return _tcp(match["host"], match["port"])
    if found and re.fullmatch(r"[\w.-]+/?", text):
        return Target(host=text.rstrip("/"), port=443 if scheme == "https" else 80)
    return None


def _last_colon(text: str) -> re.Match[str] | None:
    text = re.split(r"[/,;)?]", text, maxsplit=1)[0]
    return re.fullmatch(r"(?P<host>[\w.:*%-]*):(?P<port>[0-9]{1,5})", text)


def _tcp(host: str, port: str) -> Target | None:
    if not 0 < int(port) < 65536:
        return None
    host = "0.0.0.0" if host == "*" else host
    parsed = Target.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if host else None
    return parsed or Target(host=host, port=int(port))


def _target(given: dict[str, str]) -> Target | None:
    if "address" in given:
        return address(given["address"])
    if "path" in given:
        return Target(path=given["path"])
    if "port" in given and whole_number(given["port"], 5) is not None:
        return _tcp(given.get("host", ""), given["port"])
    return None


def _int(text: str) -> int | None:
    return whole_number(text, 11)
