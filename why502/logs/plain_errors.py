"""Errors that an application prints in a format of its own: only the words are common.

The level of a line (Python's logging, Logback, Zap, Pino, logfmt), the class of an exception before its message, a message of
PostgreSQL as libpq passes it on, and the text of errno ENOSPC (strerror(3)). These words are everywhere, so they count only in
the log of a program that is known to serve a target, and only in lines that no format knows.
"""

from __future__ import annotations

from why502.logs.phrases import Phrase, marks, read
from why502.model.logs import LogRecord, Symptom

NAME = "plain"
_TEXT = r"(?P<detail>\S.{0,2000})"
_PATH = r"(?:[A-Za-z_]\w{0,60}(?:\.|::|\\)){0,8}"  # of a class
_FIRST = r"[A-Z]\w{0,60}"  # of its name
_WORST = r"(?:error|err|fatal|critical|crit|panic|alert|emerg|emergency|severe)"
_JSON_TEXT = r'.{0,2000}?"(?:msg|message|error|err|exception|event)" ?: ?"(?P<detail>(?:[^"\\]|\\.){1,1500})'
_JSON_LEVEL = rf'(?=.{{0,2000}}"(?:level|severity|levelname|log\.level|lvl)" ?: ?"(?i:{_WORST})")'
_PAIR_TEXT = r'.{0,2000}?\b(?:msg|message|err|error)="?(?P<detail>[^"]{1,1500})'
_ERROR = Symptom.APPLICATION_ERROR
PHRASES = (
    *(
        Phrase(mark, rf"(?:^|\] )(?P<detail>[^\]]{{0,600}}{mark}.{{0,600}})", Symptom.DISK_FULL)
        for mark in ("No space left on device", "no space left on device", "ENOSPC", "Disk quota exceeded")
    ),
    *(
        Phrase(
            f"{kind}: ",
            rf"(?:^|[\s\[(\"'])(?P<detail>{_PATH}{first}{kind}: [^\]\s].{{0,1500}}?)\]?\s{{0,8}}$",
            _ERROR,
        )
        for first, kind in (("", "Error"), (_FIRST, "Error"), (_FIRST, "Exception"), (_FIRST, "Reply"))
    ),
    Phrase("Uncaught ", r"(?P<detail>\bUncaught (?:Error|Exception)\b.{0,1500})", _ERROR),
    Phrase("ERROR:  ", r"(?P<detail>\bERROR:  .{1,1500})", _ERROR),
    Phrase("FATAL:  ", r"(?P<detail>\bFATAL:  .{1,1500})", _ERROR),
    *(
        Phrase(f'"{level}"', rf"^{_JSON_LEVEL}{_JSON_TEXT}", _ERROR)
        for level in ("error", "ERROR", "Error", "fatal", "FATAL", "critical", "CRITICAL", "panic")
    ),
    *(
        Phrase(f'"level":{level}', rf'^(?=.{{0,2000}}"level":{level}\b){_JSON_TEXT}', _ERROR)  # Pino, Bunyan
        for level in (50, 60)
    ),
    *(
        Phrase(f"level={level}", rf"^(?=.{{0,2000}}\blevel={level}\b){_PAIR_TEXT}", _ERROR)
        for level in ("error", "fatal", "panic", "ERROR")
    ),
    *(
        Phrase(level, rf"^.{{0,100}}?(?<![^\s\[|(<-]){level}(?:[\]|)>:-]|\s|:[\w.]{{1,60}}:)[\s:|-]{{0,16}}{_TEXT}", _ERROR)
        for level in ("ERROR", "CRITICAL", "FATAL", "SEVERE")
    ),
    *(
        Phrase(f"{level}:", rf"^{level}: {{1,4}}{_TEXT}", _ERROR)
        for level in ("error", "fatal", "panic", "fail")
    ),
    Phrase("[error] ", rf"^(?:\S{{1,40}} ){{0,3}}\[error\] {{1,4}}{_TEXT}", _ERROR),
)  # fmt: skip
MARKS = marks(PHRASES)


def parse(line: str) -> LogRecord | None:
    """Return the record of a line that is an error by its own words; None for all other lines."""
    return read(line, PHRASES, NAME)
