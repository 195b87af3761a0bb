"""PHP's own error log (main/main.c, php_error_cb).

Lines forwarded by nginx or PHP-FPM (`PHP message: …`) belong to those formats.
"""

from __future__ import annotations

from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "php"
_HEAD = lazy(
    r"^(?:\[\d\d-[A-Z][a-z]{2}-\d{4} [\d:]+ [\w/+:-]+\] )?PHP (?:Fatal error|Parse error|Warning|Notice|Deprecated|Stack trace|Recoverable)"
)
_OWN = r"(?<!message: )(?P<detail>PHP "
_AT = r"(?: in (?P<file>/\S+?)(?:\(\d+\))?(?: on line |:)(?P<line>\d+))?"
PHRASES = (
    Phrase("PHP Fatal error:", _OWN + r"Fatal error: +Allowed memory size of \d{1,20} bytes exhausted.{0,2048}?)" + _AT + "$", Symptom.APPLICATION_ERROR),
    Phrase("PHP Fatal error:", _OWN + r"Fatal error: +Maximum execution time of \d{1,20} seconds? exceeded.{0,2048}?)" + _AT + "$", Symptom.WORKER_TIMED_OUT),
    Phrase("PHP Fatal error:", _OWN + r"Fatal error: .{0,2048}(?:Failed opening required|Class \S{1,255} not found|undefined function).{0,2048}?)" + _AT + "$", Symptom.APPLICATION_ERROR),
    Phrase("PHP Fatal error:", _OWN + r"Fatal error: .{0,2048}?)" + _AT + "$", Symptom.APPLICATION_ERROR),
    Phrase("PHP Parse error:", _OWN + r"Parse error: .{0,2048}?)" + _AT + "$", Symptom.APPLICATION_ERROR),
    Phrase("PHP Warning:", _OWN + r"Warning: +(?:[\w\\\\]{1,64}(?:::|->))?\w{0,64}(?i:connect|construct|fsockopen|socket_client)\w{0,16}\(.{0,512}?(?i:no such file|refused|timed out|failed|denied|gone away|getaddrinfo).{0,512}?)" + _AT + "$", Symptom.APPLICATION_ERROR),
    Phrase("Unable to load dynamic library", r"(?P<detail>Unable to load dynamic library '[^']{0,255}'.*)", Symptom.START_FAILED, Phase.STARTUP),
    Phrase("Development Server (", r"PHP [\d.]{1,255} Development Server \((?P<address>\S{1,255}?)\) started", Symptom.LISTENS_ON, Phase.STARTUP),
)  # fmt: skip
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that begin as PHP's do."""
    return share(sample, lambda line: _HEAD.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of an error in a script, with its file and line; None for all other lines."""
    if "FastCGI sent in stderr" in line or "AH01071" in line:
        return None
    return read(line, PHRASES, NAME)
