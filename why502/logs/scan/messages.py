"""The wording of a message that no rule knows: what is alike in all messages that one statement of a program writes.

What varies from message to message is cut out by its look, not learnt from the messages before: so any split of a log, in any order, gives
the same wordings.
"""

from __future__ import annotations

from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.redaction import clean, redact

_LONGEST = 400  # characters of a message that are looked at
_SEVERE = lazy(
    r"\b(?i:error|err|fail|failed|failure|fatal|panic|critical|crit|alert|emerg|severe|exception|refused|denied|unable|cannot"
    r"|could not|can't|unhandled|uncaught|aborted|killed|unreachable|timeout|timed out|no such|lost|broken|deadlock|exhausted|too many)\b"
    r"|[a-z](?:Error|Exception)\b"
)
_HARMLESS = lazy(r"\b(?:INFO|DEBUG|TRACE|NOTICE|info|debug|trace|notice)\b")
_LEVEL_WITHIN = 80  # characters, in which a line tells its level
_VARYING = lazy(
    r'"[^"]{0,200}"'  # quoted
    r"|(?<!\w)'[^']{0,200}'(?!\w)"
    r"|(?<![\w<])/[\w.@%+~/-]{1,200}"  # a path
    r"|[\w.:/@%+-]{0,60}\d[\w.:/@%+-]{0,200}"  # whatever has a digit
)
_EDGE = " \t*[](){}<>,:;|-"
_SEVERE_LEVELS = frozenset({"emerg", "alert", "crit", "critical", "error", "err", "fatal", "severe", "panic"})


def wording(record: LogRecord | None, text: str) -> str | None:
    """Return the message with `*` in place of what varies, without its time; None for one that does not sound like an error."""
    if text[:1].isspace():  # the line before goes on
        return None
    if record is not None and record.level:
        is_severe = record.level.lower() in _SEVERE_LEVELS
    else:
        is_severe = _SEVERE.search(text, 0, _LONGEST) is not None and _HARMLESS.search(text, 0, _LEVEL_WITHIN) is None
    if not is_severe:
        return None
    said = (record.message if record is not None else "") or text
    return _VARYING.sub("*", clean(redact(" ".join(said[:_LONGEST].split())))).lstrip(_EDGE).rstrip() or None
