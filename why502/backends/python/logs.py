"""The last line of a Python traceback, and messages of the interpreter itself (Lib/traceback.py, Python/pylifecycle.c)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import ENVIRONMENT, Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "python_traceback"
_START = Phase.STARTUP
_SHAPE = lazy(r'^\s*File "[^"]+", line \d+(?:, in .*)?$|^Traceback \(most recent call last\):|^During handling of the above')
_LAST = r"(?:^|: |\] )(?P<detail>(?:[a-zA-Z_]\w*\.)*"
PHRASES = (
    Phrase("ModuleNotFoundError: ", _LAST + r"ModuleNotFoundError: No module named .*)", Symptom.START_FAILED, _START),
    Phrase("ImportError: ", _LAST + r"ImportError: .+)", Symptom.START_FAILED, _START),
    Phrase("KeyError: ", _LAST + r"KeyError: '[A-Z][A-Z0-9]{0,255}_[A-Z0-9_]{1,255}')\s{0,64}$", Symptom.START_FAILED, _START),
    Phrase("Error: ", _LAST + r"(?:IndentationError|TabError): .+)", Symptom.START_FAILED, _START),
    Phrase(
        "SyntaxError: ",
        _LAST + r"SyntaxError: (?:invalid|expected|unterminated|unmatched|unexpected (?:EOF|indent|character)|EOL|Missing|cannot"
        r"|'[^']{0,255}' (?:was never closed|outside)|positional|f-string|from __future__|Non-UTF-8|leading zeros).*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("ImproperlyConfigured", _LAST + r"ImproperlyConfigured\b.*)", Symptom.START_FAILED, _START),
    Phrase("validation error", r"(?:^|: )(?P<detail>(?:pydantic\S{0,255}\.)?ValidationError: \d{1,20} validation errors? for \w{0,100}(?:Settings|Config)\w*)", Symptom.START_FAILED, _START),
    Phrase("Invalid HTTP_HOST header: ", r"(?P<detail>Invalid HTTP_HOST header: '(?!localhost)(?:[A-Za-z][\w-]{0,255}(?::\d{1,20})?|/\S{1,255})'.*)", Symptom.WRONG_HOST, Phase.CLIENT),  # the name of a group or container: a scanner would send an address or a domain
    Phrase("can't open file ", r"(?P<detail>can't open file '[^']{0,255}': \[Errno (?P<errno>\d{1,20})\] .*)", Symptom.START_FAILED, _START),
    Phrase("No module named ", r"^\S{0,255}python[\d.]{0,255}: (?P<detail>No module named \S+)", Symptom.START_FAILED, _START),
    Phrase(
        "Address already in use",
        _LAST + r"(?:OSError|socket\.error|error): \[Errno (?P<errno>98|48)\] .*?(?P<address>\('[^']{0,255}', \d{1,20}\))?[^']{0,255}Address already in use.*)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase("address already in use", r"(?P<detail>\[Errno (?P<errno>98|48)\] .*bind on address (?P<address>\('[^']{0,255}', \d{1,20}\)).*)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("Too many open files", r"(?P<detail>\[Errno (?P<errno>23|24)\] Too many open files.*)", Symptom.FILES_EXHAUSTED),
    Phrase("No space left on device", r"(?P<detail>\[Errno (?P<errno>28)\] No space left on device.*)", Symptom.DISK_FULL),
    Phrase("Cannot allocate memory", r"(?P<detail>\[Errno (?P<errno>12)\] Cannot allocate memory.*)", Symptom.MEMORY_EXHAUSTED),
    Phrase("MemoryError", r"^(?P<detail>MemoryError)\b", Symptom.MEMORY_EXHAUSTED),
    Phrase("Fatal Python error: ", r"(?P<detail>Fatal Python error: .*)", Symptom.PROCESS_CRASHED),
    Phrase("over HTTPS, but it only supports HTTP", r"(?P<detail>accessing the development server over HTTPS, but it only supports HTTP)", Symptom.OTHER_PROTOCOL),
    Phrase("Bad request", r"code 400, message (?P<detail>Bad request (?:version|syntax) \('.{0,2048}\\x16\\x03.*)", Symptom.OTHER_PROTOCOL),
    Phrase("Serving HTTP on ", r"^Serving HTTP on (?P<host>\S{1,255}) port (?P<port>\d+)", Symptom.LISTENS_ON, _START),
    Phrase("Running on ", r"\* Running on (?:all addresses.{0,2048}|(?P<address>https?://\S+))", Symptom.LISTENS_ON, _START),
    # hypercorn/asyncio/run.py
    Phrase("Running on ", r"\] Running on (?:https?://(?=unix:))?(?P<address>(?:https?://|unix:)\S+) \((?:QUIC\) \()?CTRL \+ C to quit\)", Symptom.LISTENS_ON, _START),
    Phrase("Starting development server at ", r"Starting development server at (?P<address>\S+)", Symptom.LISTENS_ON, _START),
    *ENVIRONMENT,
    Phrase("Error: ", r"^(?P<detail>(?:[a-zA-Z_]\w{0,100}\.)*[A-Z]\w{0,100}Error: .+)", Symptom.APPLICATION_ERROR),
    Phrase("Exception: ", r"^(?P<detail>(?:[a-z_]\w{0,100}\.)*[A-Z]?\w{0,100}Exception: .+)", Symptom.APPLICATION_ERROR),
    Phrase(".errors.", r"^(?P<detail>(?:[a-z_]\w{0,100}\.){1,8}errors\.[A-Z]\w{0,100}: .+)", Symptom.APPLICATION_ERROR),  # psycopg, elasticsearch
    Phrase("Error", r"^(?P<detail>(?:[a-z_]\w{0,100}\.){1,8}[A-Z]\w{0,100}Error)\s{0,64}$", Symptom.APPLICATION_ERROR),
    Phrase("Error", r"^(?P<detail>(?:AssertionError|RecursionError|TimeoutError|NotImplementedError|ConnectionRefusedError))\s{0,64}$", Symptom.APPLICATION_ERROR),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _SHAPE, is_shared=True)
