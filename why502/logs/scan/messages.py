"""The wording of a message that no rule matches: the constant text of the program statement that writes it.

The variable parts are removed by their form, not learnt from earlier messages, so every split and order of a log gives the same
wordings.
"""

from __future__ import annotations

from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.redaction import clean, redact

_LONGEST = 400  # only this many characters of a message are read
_SEVERE = lazy(
    r"\b(?i:error|err|fail|failed|failure|fatal|panic|critical|crit|alert|emerg|severe|exception|refused|denied|unable|cannot"
    r"|could not|can't|unhandled|uncaught|aborted|killed|unreachable|timeout|timed out|no such|lost|broken|deadlock|exhausted|too many)\b"
    r"|[a-z](?:Error|Exception)\b"
)
_HARMLESS = lazy(r"\b(?:INFO|DEBUG|TRACE|NOTICE|info|debug|trace|notice)\b")
_LEVEL_WITHIN = 80  # characters at the start of a line that are searched for its level
_VARYING = lazy(
    r'"[^"]{0,200}"'  # quoted
    r"|(?<!\w)'[^']{0,200}'(?!\w)"
    r"|(?<![\w<])/[\w.@%+~/-]{1,200}"  # a path
    r"|[\w.:/@%+-]{0,60}\d[\w.:/@%+-]{0,200}"  # any word with a digit
)
_EDGE = " \t*[](){}<>,:;|-"
_SEVERE_LEVELS = frozenset({"emerg", "alert", "crit", "critical", "error", "err", "fatal", "severe", "panic"})


def wording(record: LogRecord | None, text: str) -> str | None:
    """Return the message with `*` for each variable part, without its time; None if it does not look like an error."""
    if text[:1].isspace():  # a continuation of the previous line
        return None
    if record is not None and record.level:
        is_severe = record.level.lower() in _SEVERE_LEVELS
    else:
        is_severe = _SEVERE.search(text, 0, _LONGEST) is not None and _HARMLESS.search(text, 0, _LEVEL_WITHIN) is None
    if not is_severe:
        return None
    words = (record.message if record is not None else "") or text
    return _VARYING.sub("*", clean(redact(" ".join(words[:_LONGEST].split())))).lstrip(_EDGE).rstrip() or None
