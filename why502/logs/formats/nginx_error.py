"""The error log of nginx: `2026/11/20 22:46:40 [error] 24569#24569: *2 MESSAGE (ERRNO: TEXT) while ACTION, client: …`.

Nothing is escaped in it, and a line ends after 2047 bytes without a mark, wherever that is (src/core/ngx_log.c,
src/http/ngx_http_request.c ngx_http_log_error_handler, src/event/ngx_event_openssl.c ngx_ssl_error). Times are local, without zone.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from why502.logs.formats import nginx_fields as fields
from why502.logs.formats.nginx_messages import ACTIONS, Meaning, look_up
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.target import Target

NAME = "nginx_error"
MARKS = (
    *(b"[emerg]", b"[alert]", b"[crit]", b"[error]", b"[warn]", b"[notice]", b"[info]"),
    *(b"failed", b"upstream", b"resolve", b"client", b"worker", b"nginx:"),  # of a line that lost its beginning
)
IS_UNMISTAKABLE = True  # no other format writes a line with a time that `parse` reads
LIMIT = 16384  # characters of an entry that are looked at; nginx itself writes 2047, OpenResty 4095

_LEVELS = "emerg|alert|crit|error|warn|notice|info|debug"
_HEAD = re.compile(rf"(\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) \[({_LEVELS})\] (\d+)#\d+: (?:\*(\d+) )?")
_ANY_HEAD = re.compile(
    rf"(?:nginx: )?(?:(\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) )?(?:\[({_LEVELS})\]:? )?(?:(\d+)#\d+: )?(?:\*(\d+) )?", re.IGNORECASE
)
_STARTS = re.compile(
    rf"\s*(?:\d{{4}}[/-]\d\d[/-]\d\d[ T]|\[(?:{_LEVELS})\]|nginx: |\*\d+ |[A-Z][a-z]{{2}} [ \d]\d \d\d:|<\d+>|\{{|\[\d|[\d.]+ - )",
    re.IGNORECASE,
)
_STDERR = re.compile(r'fastcgi sent in stderr: "(.*?)(?:" while ([a-z ]+)(?=, client: |\Z)|"?\Z)', re.DOTALL | re.IGNORECASE)
_ERRNO = re.compile(r" ?\((\d{1,3}): ?([A-Za-z][^():]{3,60})\)")
_NO_ERRNO = re.compile(r"could not be resolved|verify error:|OCSP response|DNS error")  # other numbers in parentheses
_SSL = re.compile(r" ?\(SSL: ?(.*?)\)?\Z", re.DOTALL)
_CONF = re.compile(r" in ((?:/|[A-Za-z]:[/\\])[^\s:\"]+|command line|[^\s:/\"]+\.conf)(?::(\d+))?\s*\Z")
_ERRNOS = {  # Linux numbers by text in lower case: other systems have other numbers, musl and the BSDs other words
    "operation not permitted": 1,
    "no such file or directory": 2,
    "no such process": 3,
    "resource temporarily unavailable": 11,
    "cannot allocate memory": 12,
    "out of memory": 12,
    "permission denied": 13,
    "too many open files in system": 23,
    "too many open files": 24,
    "no file descriptors available": 24,
    "no space left on device": 28,
    "broken pipe": 32,
    "protocol wrong type for socket": 91,
    "address already in use": 98,
    "address in use": 98,
    "cannot assign requested address": 99,
    "can't assign requested address": 99,
    "address not available": 99,
    "network is down": 100,
    "network is unreachable": 101,
    "network unreachable": 101,
    "connection reset by peer": 104,
    "no buffer space available": 105,
    "connection timed out": 110,
    "operation timed out": 110,
    "connection refused": 111,
    "host is down": 112,
    "no route to host": 113,
    "host is unreachable": 113,
}
_FATAL = re.compile(
    r"PHP (?:Fatal|Parse|Compile|Core) error|Uncaught |Fatal error|Allowed memory size|Maximum execution", re.IGNORECASE
)
_NO_SCRIPT = re.compile(r"Primary script unknown|Unable to open primary script|No input file|Access to the script", re.IGNORECASE)
_DETAIL = re.compile(
    r"^(.{1,255}?) could not be resolved|in upstream \"([^\"]+)|no resolver defined to resolve (\S+)|exited on (signal \d+)"
    r"|with (fatal code \d+)|by zone \"([^\"]+)|certificate verify error: \(\d+:([^)]*)|certificate does not match \"([^\"]+)"
    r"|upstream sent [a-z ]*header:? \"(.{1,200})|protocol version: (\d+)|http2 frame: (\d+)|with error (\d+)"
)
_CODE = re.compile(
    r"could not be resolved \((\d+)|verify error: \((\d+)|connect\(\) to (unix:\S+|/\S+|\[[^\]]+\]:\d+|[\d.]+:\d+)"
)
_VICTIM = re.compile(r"([a-z ]+process) (\d+) exited ")
_PATH = re.compile(r'"(/[^"]+)"')

_ZONES: dict[str, tuple[str, ...]] = {  # the parts of nginx that can have written a line
    "": (),
    "process": ("process", "startup", "config", "connection"),
    "request": ("request", "client", "connection"),
    "stream": ("request", "connection"),
}
# A client that leaves while its body is still read gets 400, not 499 (src/http/ngx_http_request_body.c)
_BODY_NOT_SENT = Meaning(symptom=Symptom.CLIENT_CLOSED, phase=Phase.CLIENT, status=400, causes=("client-closed-request",))


class _Said(NamedTuple):
    """What stands before the fields. The same again and again, so it is read once."""

    meaning: Meaning
    message: str
    errno: int | None
    action: str
    detail: str
    code: str
    target: Target | None
    file: str
    line: int | None
    process: str
    process_pid: int | None


def fits(sample: list[str]) -> float:
    """Return the share of lines that are of an nginx error log; lines that go on with an entry do not count, bare messages half."""
    counted = [line for line in sample if line.strip() and not line[0].isspace() and line[0] != "#"]
    return sum(map(_sureness, counted)) / len(counted) if counted else 0.0


def _sureness(line: str) -> float:
    match = _ANY_HEAD.match(line)
    if match and match[2] and (match[1] or match[3] or line.startswith("nginx:")):
        return 1.0
    record = parse(line)
    return 0.0 if record is None else 0.9 if record.level else 0.5


def continues(line: str) -> bool:
    """Return whether a line goes on with the entry before it: FastCGI's standard error holds line breaks, and people wrap lines."""
    return not _STARTS.match(line) and parse(line) is None


def parse(line: str) -> LogRecord | None:
    """Return what one entry says; None if nginx did not write it. `at` is naive local time. An entry may hold line breaks."""
    line = line[:LIMIT].rstrip("\r\n")
    match = _HEAD.match(line)
    if match:
        at, level, pid, connection = match.groups()
        return _record(line[match.end() :], _time(at), level, int(pid), int(connection) if connection else None)
    match = _ANY_HEAD.match(line)
    if match is None or match.end() == len(line):
        return None
    at, level, pid, connection = match.groups()
    record = _record(
        line[match.end() :],
        _time(at) if at else None,
        level.lower() if level else "",
        int(pid) if pid else None,
        int(connection) if connection else None,
    )
    is_sure = (
        (level and (at or pid))
        or line.startswith("nginx:")
        or record.symptom
        or (record.action and record.errno and record.message)
    )
    return record if is_sure else None


@lru_cache(256)
def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y/%m/%d %H:%M:%S")  # noqa: DTZ007 (the log tells no zone)
    except ValueError:
        return None


def _record(rest: str, at: datetime | None, level: str, pid: int | None, connection: int | None) -> LogRecord:
    """Return the record of what follows the connection number."""
    stderr = _STDERR.match(rest) if rest[:4] in ("Fast", "fast") else None
    if stderr is None and "\n" in rest:
        rest = " ".join(rest.split())
    cut = stderr.end() if stderr else fields.start(rest)
    tail = rest[cut:]
    found = fields.read(tail) if tail else fields.NO_FIELDS
    upstream = found.upstream
    protocol, target, kind = fields.address(upstream, upstream + '"' in tail) if upstream else fields.NO_ADDRESS
    if stderr:
        said = _said_by_php(stderr[1][:2048], stderr[2] or "")
    else:
        where = "process" if pid is not None or level == "emerg" else ""
        if connection is not None or found.client:
            where = "stream" if "bytes from/to" in tail else "request"
        said = _said(rest[:cut][:2048], level, kind, where)
    meaning, message, errno, action, detail, code, in_text, file, line, process, process_pid = said
    if meaning.status == 499 and not upstream and found.request.startswith(("POST ", "PUT ", "PATCH ")):
        meaning = _BODY_NOT_SENT
    group = ""
    if target is None:
        target = in_text
    elif meaning.symptom is Symptom.NO_LIVE_UPSTREAMS:
        group, target = str(target), None
    return LogRecord(
        format=NAME,
        proxy="nginx",
        is_gateway_failure=meaning.is_gateway_failure,
        at=at,
        level=level,
        pid=pid,
        connection=connection,
        errno=errno,
        action=action,
        phase=meaning.phase,
        symptom=meaning.symptom,
        causes=meaning.causes,
        code=code,
        message=message,
        detail=detail,
        target=target,
        group=group,
        client=found.client,
        server=found.server,
        request=found.request,
        subrequest=found.subrequest,
        host=found.host,
        referrer=found.referrer,
        upstream=upstream,
        protocol=protocol,
        status=meaning.status,
        process=process,
        process_pid=process_pid,
        file=file,
        line=line,
    )


@lru_cache(4096)
def _said(head: str, level: str, kind: str, where: str) -> _Said:
    """Return what the part before the fields says. `kind` is that of the address in the fields, `where` a key of _ZONES."""
    message, action = _action(head)
    file, line, reason, errno = "", None, "", None
    if match := _CONF.search(message):
        message, file, line = message[: match.start()], match[1], int(match[2]) if match[2] else None
    is_conf = bool(file)
    if match := _SSL.search(message):
        message, reason = message[: match.start()], _reason(match[1])
    if not message.endswith('"') and (match := _ERRNO.search(message)) and not _NO_ERRNO.search(message):
        errno = _ERRNOS.get(match[2].strip().lower(), int(match[1]))
        message = message[: match.start()] + message[match.end() :]
    message = message.rstrip(" ,")
    code, in_text = "", None
    if match := _CODE.search(message):
        code = match[1] or match[2] or ""
        in_text = Target.parse(match[3]) if match[3] else None
    if in_text and not kind:
        kind = "unix" if in_text.is_unix else "ip"
    zones = ("config", "startup") if is_conf else ("resolver",) if action == "resolving" else _ZONES[where]
    meaning = look_up(message, errno, action, kind=kind, reason=reason, level=level, zones=zones, stream=where == "stream")
    if meaning is None:
        phase = Phase.CONFIG if is_conf else ACTIONS.get(action)
        meaning = Meaning(phase=phase)
        if is_conf and level in ("", "emerg"):
            meaning = Meaning(symptom=Symptom.CONFIG_INVALID, phase=phase, causes=("proxy-config-invalid",))
    process, process_pid = "", None
    if match := _VICTIM.search(message):
        process, process_pid = match[1].strip(), int(match[2])
    if not file and (match := _PATH.search(message)):
        file = match[1]
    detail = reason
    if not detail and (match := _DETAIL.search(message)):
        detail = match[match.lastindex or 0]
    return _Said(meaning, message, errno, action, detail, code, in_text, file, line, process, process_pid)


def _action(head: str) -> tuple[str, str]:
    """Return message and action; the latter completed where the line was cut in it."""
    before, found, after = head.rpartition(" while ")
    if not found and head.startswith("while "):
        before, found, after = "", "while", head.removeprefix("while ")
    after = after.rstrip(" .,:")
    if found:
        if after in ACTIONS:
            return before, after
        whole = [action for action in ACTIONS if len(after) > 3 and action.lower().startswith(after.lower())]
        if whole:
            return before, whole[0]
    return head, ""


def _reason(text: str) -> str:
    """Return why, of an OpenSSL error: `error:0A00010B:SSL routines::wrong version number[:SSL alert number 40]`."""
    parts = text.split(":")
    reasons = [part for part in parts[4:5] if part.strip()]
    return reasons[0].strip().replace("_", " ").lower() if reasons and parts[0].strip() == "error" else ""


@lru_cache(1024)
def _said_by_php(text: str, action: str) -> _Said:
    """Return what the application wrote to FastCGI's standard error: no failure of the gateway, but often its reason."""
    symptom = Symptom.SCRIPT_NOT_FOUND if _NO_SCRIPT.search(text) else Symptom.APPLICATION_ERROR if _FATAL.search(text) else None
    causes: tuple[str, ...] = ("application-error", "upstream-error-status")
    if symptom is Symptom.SCRIPT_NOT_FOUND:
        causes = ("fastcgi-script-not-found",)
    phase = ACTIONS.get(action, Phase.READ_HEADER)
    meaning = Meaning(symptom=symptom, phase=phase, causes=causes)
    return _Said(meaning, f'FastCGI sent in stderr: "{text}"', None, action, text[:512], "", None, "", None, "", None)
