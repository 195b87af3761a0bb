"""uWSGI's log, 1.9 to 2.0 (core/master_utils.c, core/socket.c, core/protocol.c, proto/uwsgi.c, plugins/python)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "uwsgi"
_START = Phase.STARTUP
# The size in a uwsgi packet is bytes 2 and 3, little-endian: of an HTTP request they are the 2nd and 3rd letter of its method.
_HTTP_SIZES = "|".join(
    str(ord(method[1]) + 256 * ord(method[2])) for method in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
)
_HEAD = lazy(r"\[pid: \d+\|app: -?\d+\|req: |uWSGI|^\*\*\* .* \*\*\*$|^(?:WSGI app \d+|spawned uWSGI|mapped \d+ bytes)")
PHRASES = (
    Phrase(
        "_parser() -> client closed connection",
        r"(?P<detail>uwsgi_proto_(?:http|uwsgi|fastcgi|scgi)_parser\(\) -> client closed connection)",
        Symptom.PROTOCOL_TOLD,
    ),
    Phrase("HARAKIRI ON WORKER", r"(?P<detail>HARAKIRI ON WORKER \d{1,20}) \(pid: (?P<pid>\d+)", Symptom.WORKER_TIMED_OUT),
    Phrase(
        "DAMN ! worker",
        r"(?P<detail>DAMN ! worker \d{1,20} \(pid: (?P<pid>\d{1,20})\) died(?:, killed by signal (?P<signal>\d{1,20}))?)",
        Symptom.PROCESS_CRASHED,
    ),
    Phrase("!!! uWSGI process", r"!!! uWSGI process (?P<pid>\d{1,20}) (?P<detail>got .{0,2048}?) !!!", Symptom.PROCESS_CRASHED),
    Phrase(
        "uWSGI listen queue of socket",
        r'uWSGI (?P<detail>listen queue of socket "(?P<address>[^"]{0,255})" \(fd: \d{1,20}\) full !!! \(\d{1,20}/\d{1,20}\))',
        Symptom.QUEUE_FULL,
    ),
    Phrase(
        "invalid request block size",
        r"(?P<detail>invalid request block size: (?:" + _HTTP_SIZES + r") \(max \d{1,20}\))",
        Symptom.OTHER_PROTOCOL,
    ),
    Phrase(
        "invalid request block size",
        r"(?P<detail>invalid request block size: \d{1,20} \(max \d{1,20}\))",
        Symptom.REQUEST_HEADER_TOO_BIG,
    ),
    Phrase(
        "invalid HTTP request size", r"(?P<detail>invalid HTTP request size \(max \d{1,20}\))", Symptom.REQUEST_HEADER_TOO_BIG
    ),
    Phrase(
        "another instance of uWSGI",
        r"(?P<detail>probably another instance of uWSGI is running on the same address) \((?P<address>[^)]{1,255})\)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase("bind(): Address already in use", r"(?P<detail>bind\(\): Address already in use) \[", Symptom.ADDRESS_IN_USE, _START),
    Phrase(
        "(): ",
        r"(?P<detail>(?:bind|listen|socket|chdir|chown|setgid|setuid|open|execvp)\(\): [A-Z].{0,2048}?) \[[a-z]{1,255}/[\w/.]{1,255} line \d{1,20}\]",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "no app loaded. ", r"(?P<detail>no app loaded\. (?:GAME OVER|going in full dynamic mode))", Symptom.START_FAILED, _START
    ),
    Phrase(
        "unable to load app",
        r"(?P<detail>unable to load app \d{1,20} \(mountpoint='[^']{0,255}'\).*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("no python application found", r"(?P<detail>no python application found)", Symptom.START_FAILED, _START),
    Phrase("callable in file", r'(?P<detail>unable to find "[^"]{0,255}" callable in file .*)', Symptom.START_FAILED, _START),
    Phrase(
        "UNABLE to load uWSGI plugin", r"(?P<detail>UNABLE to load uWSGI plugin: .{0,2048}?) !!!", Symptom.START_FAILED, _START
    ),
    Phrase(
        "greater than the system max net.core.somaxconn",
        r"(?P<detail>Listen queue size is greater than the system max net\.core\.somaxconn.*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "probably the client disconnected",
        r"(?P<detail>(?:SIGPIPE|SIGABRT): .{0,2048}\(probably the client disconnected\).*)",
        Symptom.CLIENT_CLOSED,
    ),
    Phrase(
        "uwsgi socket",
        r"uwsgi socket \d{1,20} (?:bound|inherited).{0,2048}? (?:TCP|UNIX) address (?P<address>\S+)",
        Symptom.LISTENS_ON,
        _START,
    ),
    Phrase(
        "=> generated ",
        r"(?P<request>[A-Z]{3,8} \S{1,255}) => generated \d{1,20} bytes in \d{1,20} msecs \((?P<detail>HTTP/[\d.]{1,255} (?P<status>5\d\d))\)",
        Symptom.APPLICATION_ERROR,
    ),
    Phrase("Starting uWSGI ", r"\*\*\* (?P<detail>Starting uWSGI \S+)", Symptom.PROCESS_STARTED, _START),
    Phrase("killing workers...", r"(?P<detail>SIGINT/SIG\w{1,100} received\.\.\.killing workers)", Symptom.PROCESS_STOPPED),
    Phrase("killing workers...", r"(?P<detail>\.\.\.(?:gracefully|brutally) killing workers)", Symptom.PROCESS_RELOADED),
    Phrase("goodbye to uWSGI", r"(?P<detail>goodbye to uWSGI)", Symptom.PROCESS_STOPPED),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
