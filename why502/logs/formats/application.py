"""Messages of any program, of the shell that starts it, and of the C and C++ libraries that abort it (glibc, libstdc++).

The wording is common, so the patterns are narrow, and this format never outranks one that is specific to the program.
"""

from __future__ import annotations

from why502.logs.phrases import ENVIRONMENT, Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom

NAME = "application"
_START = Phase.STARTUP
_ADDRESS = r"(?P<address>https?://\S{1,255}|\[?[\w.:*]{0,60}\]?:\d{2,5}|unix:/\S{1,108}|/\S{1,108}?\.sock\b)"
PHRASES = (
    *ENVIRONMENT,
    Phrase("std::", r"(?P<detail>terminate called (?:after throwing an instance of '[^']{0,255}'|without an active exception))", Symptom.PROCESS_CRASHED),
    Phrase("terminate called ", r"(?P<detail>terminate called .*)", Symptom.PROCESS_CRASHED),
    Phrase("(core dumped)", r"(?P<detail>(?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating point exception|Trace/breakpoint trap)\s{1,64}\(core dumped\))", Symptom.PROCESS_CRASHED),
    Phrase("Segmentation fault", r"(?:^|line \d{1,20}: +\d{1,20} )(?P<detail>Segmentation fault)\b", Symptom.PROCESS_CRASHED),
    Phrase("***", r"(?P<detail>\*\*\* (?:stack smashing detected|buffer overflow detected) \*\*\*)", Symptom.PROCESS_CRASHED),
    Phrase("): ", r"^(?P<detail>(?:double free or corruption|free\(\): (?:invalid|double)|malloc\(\): |corrupted ).*)", Symptom.PROCESS_CRASHED),
    Phrase("error while loading shared libraries", r"(?P<detail>error while loading shared libraries: .*)", Symptom.START_FAILED, _START),
    Phrase(": not found", r"^(?:/\S{0,255}/)?(?:sh|dash|ash): (?:\d{1,20}|line \d{1,20}): (?P<detail>.{0,2048}: not found)", Symptom.START_FAILED, _START),
    Phrase("command not found", r"(?P<detail>(?:line \d{1,9}: )?(?<!\S)\S{1,300}: command not found)$", Symptom.START_FAILED, _START),
    Phrase("No such file or directory", r"^(?:/\S{0,255}/)?(?:ba|da|a|z)?sh: (?:line )?\d{1,20}: (?P<detail>.{0,2048}No such file or directory)", Symptom.START_FAILED, _START),
    Phrase("Permission denied", r"^(?:/\S{0,255}/)?(?:ba|da|a|z)?sh: (?:line )?\d{1,20}: (?P<detail>.{0,2048}Permission denied)", Symptom.START_FAILED, _START),
    Phrase("env: ", r"^(?:/usr/bin/)?env: (?P<detail>.{0,2048}No such file or directory)", Symptom.START_FAILED, _START),
    Phrase("ddress already in use", r"(?<!\d: )(?<!\()(?P<detail>(?=.{0,440}[:(] ?[Aa]ddress already)(?:bind|listen|[Ff]ailed to (?:bind|listen|start)|[Cc]ould not (?:bind|listen)|[Cc]annot (?:bind|listen)|[Ee]rror).{0,120}?(?:" + _ADDRESS + r".{0,24}?)?[:(] ?[Aa]ddress already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase(" already in use", r"(?P<detail>\b[Pp]ort:? (?P<port>\d{2,5}) is (?:already )?in use\b.*)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("is in use", r"(?P<detail>\b[Pp]ort:? (?P<port>\d{2,5}) is in use\b.*)", Symptom.ADDRESS_IN_USE, _START),
    Phrase(" port ", r"\b(?:[Ll]istening|[Rr]unning|[Ss]tarted|[Ss]erving|[Ll]istens)(?: and \w{1,100})?(?: \w{1,100}){0,3} (?:on|at) port:? (?P<port>\d{2,5})\b", Symptom.LISTENS_ON, _START),
    Phrase("istening ", r"\b[Ll]istening(?: \w{1,100}){0,2} (?:on|at):? " + _ADDRESS, Symptom.LISTENS_ON, _START),
    Phrase("unning ", r"\b[Ss]erver(?: is)? running(?: \w{1,100}){0,2} (?:on|at):? " + _ADDRESS, Symptom.LISTENS_ON, _START),
    Phrase("started server on ", r"started server on (?P<address>[\w.:\[\]]{1,255}:\d+)", Symptom.LISTENS_ON, _START),
    # Monolog's LineFormatter
    *(Phrase(f".{level}: ", r"^\[\d{4}-\d\d-\d\d[T ][^\]]{8,40}\] [\w-]{1,64}\.[A-Z]{5,9}: (?P<detail>.{1,2048})", Symptom.APPLICATION_ERROR) for level in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")),
    # flask.logging.default_handler
    *(Phrase(f" {level} in ", r"^\[\d{4}-\d\d-\d\d [\d:,.]{8,16}\] [A-Z]{5,8} in [\w.]{1,100}: (?P<detail>.{1,2048})", Symptom.APPLICATION_ERROR) for level in ("ERROR", "CRITICAL")),
    Phrase("Local: ", r"^\s{0,64}(?:[-➜▲] +)?Local: +(?P<address>https?://\S{1,255})$", Symptom.LISTENS_ON, _START),
)  # fmt: skip
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return a third of the share of recognised lines, so that every program-specific format takes precedence."""
    return share(sample, parse) / 3


def parse(line: str) -> LogRecord | None:
    """Return the record of a crash, a failed start or a listen address; None for all other lines."""
    return read(line, PHRASES, NAME)
