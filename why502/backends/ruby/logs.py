"""Uncaught Ruby exceptions (`file:line:in 'method': message (Class)`), and start errors of Bundler, Rails and Passenger (error.c,
bundler).
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "ruby"
_START = Phase.STARTUP
_IN = r"(?:^|\s)(?P<file>[^\s:]+):(?P<line>\d+):in [`'][^`']*': "
# Rails logs the message of an exception that no controller rescues (ActionDispatch::DebugExceptions); those below are
# responses,
# not errors.
_RAISED = (
    r"^(?:[EF], \[[^\]]{10,60}\] {1,3}(?:ERROR|FATAL) -- [^:]{0,64}: )?(?:\[[\w-]{1,64}\] ){0,4}"
    r"(?P<detail>(?!ActionController::RoutingError)[A-Z]\w{0,64}(?:::[A-Z]\w{0,64}){0,6}(?<=Error|ption|onBad) \(.{1,2048})"
)
# Sinatra (Sinatra::Base#dump_errors!): time, class, message; the stack follows on lines of its own.
_DUMPED = (
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - "
    r"(?P<detail>[A-Z]\w{0,64}(?:::[A-Z]\w{0,64}){0,6}(?<=Error|ption|onBad) - .{1,2048})"
)
_STACK = lazy(r"^\s+(?:from )?\S+\.(?:rb|ru):\d+:in [`']")
PHRASES = (
    Phrase(
        "(Errno::EADDRINUSE)",
        r"(?P<detail>Address already in use) - bind\(2\) for \"?(?P<host>[^\s\"]{1,255}?)\"?(?: port |:)(?P<port>\d+)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase(
        "(Errno::EADDRINUSE)",
        r"(?P<detail>Address already in use).{0,2048}?(?P<path>/[^\s\"')]{1,255})?",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase(
        "lready a server bound to", r"(?P<detail>[Aa]lready a server bound to): (?P<path>/\S+)", Symptom.ADDRESS_IN_USE, _START
    ),
    Phrase("(LoadError)", r"(?P<detail>cannot load such file -- .{0,2048}) \(LoadError\)", Symptom.START_FAILED, _START),
    Phrase("key not found: ", r'(?P<detail>key not found: "[A-Z][A-Z0-9_]{1,255}" \(KeyError\))', Symptom.START_FAILED, _START),
    Phrase("(SyntaxError)", _IN + r"(?P<detail>.{0,2048}) \(SyntaxError\)", Symptom.START_FAILED, _START),
    Phrase(
        "syntax error",
        r"^(?P<file>\S{1,255}\.r[bu]):(?P<line>\d{1,20}): (?P<detail>syntax errors? ?.*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        " in any of the sources", r"(?P<detail>Could not find .{0,2048} in any of the sources.*)", Symptom.START_FAILED, _START
    ),
    Phrase(
        "Your Ruby version is ",
        r"(?P<detail>Your Ruby version is .{0,2048}, but your Gemfile specified .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("A server is already running", r"(?P<detail>A server is already running\.? .*)", Symptom.START_FAILED, _START),
    Phrase("secret_key_base", r"(?P<detail>[Mm]issing .?secret_key_base.*)", Symptom.START_FAILED, _START),
    Phrase(
        "Could not spawn process for application",
        r"(?P<detail>Could not spawn process for application .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "Cannot checkout session because",
        r"(?P<detail>Cannot checkout session because a spawning error occurred)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "Blocked host",
        r"(?P<detail>Blocked hosts?: (?!localhost)[A-Za-z][\w-]{0,255}(?::\d{1,20})?)(?![\w.:-])",
        Symptom.WRONG_HOST,
        Phase.CLIENT,
    ),
    Phrase("equest queue ", r"(?P<detail>[Rr]equest queue (?:is )?full.*)", Symptom.QUEUE_FULL),
    Phrase("[BUG] ", r"(?P<detail>\[BUG\] .*)", Symptom.PROCESS_CRASHED),
    Phrase("in `", _IN + r"(?P<detail>.{0,2048} \([A-Z]\w{0,100}(?:::\w{1,100})*\))\s{0,64}$", Symptom.PROCESS_CRASHED),
    Phrase("in '", _IN + r"(?P<detail>.{0,2048} \([A-Z]\w{0,100}(?:::\w{1,100})*\))\s{0,64}$", Symptom.PROCESS_CRASHED),
    Phrase(
        "ActiveRecord::",
        r"(?P<detail>ActiveRecord::(?:ConnectionNotEstablished|ConnectionTimeoutError|NoDatabaseError|PendingMigrationError)\b.*)",
        Symptom.APPLICATION_ERROR,
    ),
    *(Phrase(f"{kind} - ", _DUMPED, Symptom.APPLICATION_ERROR) for kind in ("Error", "Exception", "ConnectionBad")),
    *(Phrase(f"{kind} (", _RAISED, Symptom.APPLICATION_ERROR) for kind in ("Error", "Exception", "ConnectionBad")),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _STACK)
