"""Messages that Node.js and npm write to standard error when a process dies or cannot start (lib/internal/errors.js, lib/net.js,
V8).

A stack of an uncaught exception ends with the line `Node.js v20…` (from Node 17 on): only it, or the line before the stack, says
that the process ended. `Error: …` alone may have been caught and logged.
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import ENVIRONMENT, Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "nodejs"
_START = Phase.STARTUP
_STACK = lazy(
    r"^\s+at .*\((?:node:|internal/|/|file:|<anonymous>)|^\s+at (?:node:|/|async |internal/)|^Node\.js v\d|^npm (?:ERR!|error) "
)
PHRASES = (
    Phrase(
        " EADDRINUSE",
        r"(?P<detail>(?:listen|bind) EADDRINUSE\b:?(?: address already in use:?)?) ?(?P<address>[^\s].{0,2048})?$",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase("EADDRINUSE", r"code: '(?P<detail>EADDRINUSE)'", Symptom.ADDRESS_IN_USE, _START),
    Phrase(
        "listen E",
        r"(?P<detail>listen E(?:ACCES|ADDRNOTAVAIL|PERM|INVAL|NOENT|NOTSUP)\b:?[a-z ]{0,255}) ?(?P<address>\S{1,255})?$",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("Cannot find module '", r"(?P<detail>Cannot find module '[^']{0,255}')", Symptom.START_FAILED, _START),
    Phrase("Cannot find package '", r"(?P<detail>Cannot find package '[^']{0,255}'.*)", Symptom.START_FAILED, _START),
    Phrase(
        "ERR_",
        r"Error \[(?P<detail>ERR_(?:MODULE_NOT_FOUND|REQUIRE_ESM|UNKNOWN_FILE_EXTENSION|DLOPEN_FAILED)\]: .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("SyntaxError: ", r"(?:^|\s)(?P<detail>SyntaxError: .{0,2048}\bJSON\b.*)", Symptom.APPLICATION_ERROR),
    Phrase(
        "SyntaxError: ",
        r"(?:^|\s)(?P<detail>SyntaxError: (?:Unexpected |Invalid or unexpected |Cannot use import |missing \) |Identifier '"
        r"|await is only |Invalid regular |The requested module |Named export |Missing initializer).*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("Environment variable not found: ", r"(?P<detail>Environment variable not found: \w+)", Symptom.START_FAILED, _START),
    Phrase(
        "Could not find a production build",
        r"(?P<detail>Could not find a production build in the .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("issing script: ", r"^npm (?:ERR!|error) (?P<detail>[Mm]issing script: .*)", Symptom.START_FAILED, _START),
    Phrase("npm ", r"^npm (?:ERR!|error) (?P<detail>(?:errno|code) (?P<code>\d{1,20}))\s{0,64}$", Symptom.PROCESS_EXITED),
    Phrase(
        "JavaScript heap out of memory",
        r"(?P<detail>FATAL ERROR: .{0,2048}JavaScript heap out of memory)",
        Symptom.PROCESS_CRASHED,
    ),
    Phrase(
        "FATAL ERROR: ", r"(?P<detail>FATAL ERROR: (?:v8::|node::|Committing|Scavenger|invalid|Zone).*)", Symptom.PROCESS_CRASHED
    ),
    Phrase("// Unhandled 'error' event", r"throw er; // (?P<detail>Unhandled 'error' event)", Symptom.PROCESS_CRASHED),
    Phrase("triggerUncaughtException(", r"(?P<detail>triggerUncaughtException\()", Symptom.PROCESS_CRASHED),
    Phrase("UnhandledPromiseRejection", r"(?P<detail>UnhandledPromiseRejectionWarning: .*)", Symptom.APPLICATION_ERROR),
    Phrase("UnhandledPromiseRejection", r"^\s{0,64}(?:\[?UnhandledPromiseRejection\b)(?P<detail>.*)", Symptom.PROCESS_CRASHED),
    Phrase("ERR_UNHANDLED_", r"\[(?P<detail>ERR_UNHANDLED_(?:REJECTION|ERROR)\]: .*)", Symptom.PROCESS_CRASHED),
    Phrase("Node.js v", r"(?P<detail>^Node\.js v\d{1,20}\.\d{1,20}\.\d{1,20})\s{0,64}$", Symptom.PROCESS_CRASHED),
    Phrase("app crashed", r"\[nodemon\] (?P<detail>app crashed)", Symptom.PROCESS_CRASHED),
    Phrase("HPE_HEADER_OVERFLOW", r"(?P<detail>HPE_HEADER_OVERFLOW.*)", Symptom.REQUEST_HEADER_TOO_BIG),
    Phrase("EMFILE", r"(?P<detail>EMFILE: too many open files.*)", Symptom.FILES_EXHAUSTED),
    Phrase("ENOSPC", r"(?P<detail>ENOSPC: (?:no space left on device|System limit for).*)", Symptom.DISK_FULL),
    Phrase(  # programs also log the message without its class
        "connect E",
        r"(?:^|[\s:])(?P<detail>connect E(?:CONNREFUSED|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOENT|ACCES) .*)",
        Symptom.APPLICATION_ERROR,
    ),
    Phrase("Error: ", r"Error: (?P<detail>(?:getaddrinfo|read|write|queryA) E[A-Z]{1,255}\b.*)", Symptom.APPLICATION_ERROR),
    *ENVIRONMENT,
    Phrase("Error: ", r"^(?P<detail>Error: .+)", Symptom.APPLICATION_ERROR),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _STACK, is_shared=True)
