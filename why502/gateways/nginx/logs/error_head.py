"""The part of an nginx error line before its fields: `MESSAGE (ERRNO: TEXT) while ACTION`, or `MESSAGE in FILE:LINE`.

The same text repeats often, so it is parsed once (src/core/ngx_log.c ngx_log_errno, src/core/ngx_conf_file.c ngx_conf_log_error,
src/event/ngx_event_openssl.c ngx_ssl_error).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from why502.gateways.fastcgi_words import NO_SCRIPT
from why502.gateways.nginx.logs.lua_messages import meaning as lua_meaning
from why502.gateways.nginx.logs.messages import ACTIONS, Meaning, look_up
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target

FORMAT = "nginx_error"
LIMIT = 2048  # only this many characters of a message are read
_ERRNO = lazy(r" ?\((\d{1,3}): ?([A-Za-z][^():]{3,60})\)")
_ERRNO_CUT = lazy(r" failed \((\d{1,3}): ([A-Z][a-z]+ [a-z ]{2,40})[^()]*\Z")  # the rest is missing, including the parenthesis
_ERRNO_WORDS = lazy(r" ?\(([A-Za-z][a-z']*(?: [a-z']+){1,7})\)", re.IGNORECASE)  # of a line quoted without its number
_SPREAD = lazy(r"(?<=\w) (?=\(\))|(?<=\bunix:) (?=/)")  # spaces added by a translator or an editor
_NO_ERRNO = lazy(r"could not be resolved|verify error:|OCSP response|DNS error")  # other numbers in parentheses
_SSL = lazy(r" ?\(SSL: ?(.*?)\)?\Z", re.DOTALL)
_CONF = lazy(r" in ((?:/|[A-Za-z]:[/\\])[^\s:\"]+|command line|[^\s:/\"]+\.conf)(?::(\d{1,9}))?\s*\Z")
_ERRNOS = {  # Linux numbers by lower-case text: other systems use other numbers, musl and the BSDs other texts
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
    "protocol not supported": 93,
    "address family not supported by protocol": 97,
    "address family not supported by protocol family": 97,
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
_FATAL = lazy(
    r"PHP (?:Fatal|Parse|Compile|Core) error|Uncaught |Fatal error|Allowed memory size|Maximum execution", re.IGNORECASE
)
_CONNECT = lazy(r"connect\(\) to (unix:\S+|/\S+|\[[^\]]+\]:\d+|[\d.]+:\d+)")
_VICTIM = lazy(r"([a-z ]{1,60}process) (\d{1,10}) exited ")
_PATH = lazy(r'"(/[^"]+)"')
_ZONE = lazy(r"by zone \"([^\"]+)|in .{0,300}zone \"([^\"]+)")
_SENT = lazy(r"(?:header(?: line)?:? |status |length |Encoding\": |protocol version: |frame: |record type: )\"?(.{1,200})")
_NAME = lazy(r"\A(?:service )?(.{1,255}?) could not be resolved|upstream \"([^\"]+)|to resolve (\S+)")
_DETAIL = {  # the part of the text that gives the reason
    Symptom.NAME_NOT_FOUND: _NAME,
    Symptom.NAME_SERVER_FAILED: _NAME,
    Symptom.NO_RESOLVER: _NAME,
    Symptom.PROXY_WORKER_DIED: lazy(r"exited on (signal \d+)|with (fatal code \d+)"),
    Symptom.RATE_LIMITED: _ZONE,
    Symptom.SHARED_MEMORY: _ZONE,
    Symptom.TLS_UNVERIFIED: lazy(r"verify error: \(\d+:([^)]*)|does not match (\"[^\"]+)"),
    Symptom.HEADER_INVALID: _SENT,
    Symptom.BODY_INVALID: _SENT,
    Symptom.OTHER_PROTOCOL: _SENT,
    Symptom.STREAM_RESET: lazy(r"with error (\d+)"),
}
_CODE = lazy(r"(?:could not be resolved|verify error:) \((\d+)")
_ZONES: dict[str, tuple[str, ...]] = {  # the parts of nginx that can have written a line
    "": (),
    "stderr": ("stderr", "process", "startup", "config"),
    "process": ("process", "startup", "config", "connection"),
    "request": ("request", "client", "connection"),
    "client": ("client", "connection"),
    "stream": ("request", "connection"),
}


@lru_cache(4096)
def template(head: str, level: str, kind: str, where: str) -> LogRecord:
    """Return the record of a head, without the parts around it.

    `kind` is that of the address in the fields ("unix", "ip", ""); `where` is "request", "client" (before any request), "stream",
    "process", "stderr", or "" if unknown.
    """
    message, action = _action(_SPREAD.sub("", head) if " ()" in head or "unix: /" in head else head)
    file, line, reason, errno = "", None, "", None
    if " in " in message and (match := _CONF.search(message)):
        message, file, line = message[: match.start()], match[1], int(match[2]) if match[2] else None
    is_conf = bool(file)
    if "(SSL:" in message and (match := _SSL.search(message)):
        message, reason = message[: match.start()], _reason(match[1])
    if "(" in message and message[-1] != '"' and (match := _ERRNO.search(message)) and not _NO_ERRNO.search(message):
        errno = _ERRNOS.get(match[2].strip().lower(), int(match[1]))
        message = message[: match.start()] + message[match.end() :]
    elif " failed (" in message and (match := _ERRNO_CUT.search(message)):
        errno = int(match[1])
        message = message[: match.start()] + " failed"
    elif "failed (" in message and (match := _ERRNO_WORDS.search(message)) and match[1].lower() in _ERRNOS:
        errno = _ERRNOS[match[1].lower()]
        message = message[: match.start()] + message[match.end() :]
    message = message.rstrip(" ,")
    target = Target.parse(match[1]) if "connect()" in message and (match := _CONNECT.search(message)) else None
    if target and not kind:
        kind = "unix" if target.is_unix else "ip"
    zones = (
        ("config", "startup")
        if is_conf and where not in ("request", "client")
        else ("resolver",)
        if action == "resolving"
        else _ZONES[where]
    )
    if where == "client" and action.endswith("upstream"):  # the request was removed from the text
        zones = _ZONES["request"]
    meaning = look_up(message, errno, action, kind=kind, reason=reason, level=level, zones=zones, stream=where == "stream")
    if message.startswith("[lua] "):
        meaning = lua_meaning(message) or Meaning(phase=ACTIONS.get(action))
    if meaning is None:
        meaning = Meaning(phase=ACTIONS.get(action))
        if is_conf and level in ("", "emerg"):
            meaning = Meaning(symptom=Symptom.CONFIG_INVALID, phase=Phase.CONFIG, causes=("proxy-config-invalid",))
    detail = reason
    if not detail and meaning.symptom in _DETAIL and (match := _DETAIL[meaning.symptom].search(message)):
        detail = match[match.lastindex or 0].strip('"')
    victim = _VICTIM.search(message) if " exited " in message else None
    if not file and (match := _PATH.search(message)):
        file = match[1]
    return _record(
        meaning,
        message=message,
        action=action,
        errno=errno,
        code=match[1] if (match := _CODE.search(message)) else "",
        detail=detail,
        target=target,
        file=file,
        line=line,
        process=victim[1].strip() if victim else "",
        process_pid=int(victim[2]) if victim else None,
    )


@lru_cache(1024)
def stderr_template(text: str, action: str) -> LogRecord:
    """Return the record of an application's output on FastCGI's standard error.

    It is not a gateway failure, but often the reason for one.
    """
    symptom: Symptom | None = None
    causes: tuple[str, ...] = ("application-error", "upstream-error-status")
    if NO_SCRIPT.search(text):
        symptom, causes = Symptom.SCRIPT_NOT_FOUND, ("fastcgi-script-not-found",)
    elif _FATAL.search(text):
        symptom = Symptom.APPLICATION_ERROR
    meaning = Meaning(symptom=symptom, phase=ACTIONS.get(action, Phase.READ_HEADER), causes=causes)
    return _record(meaning, message=f'FastCGI sent in stderr: "{text}"', action=action, detail=text[:512])


def _record(meaning: Meaning, **values: Any) -> LogRecord:
    return LogRecord(
        format=FORMAT,
        proxy="nginx",
        is_gateway_failure=meaning.is_gateway_failure,
        phase=meaning.phase,
        symptom=meaning.symptom,
        causes=meaning.causes,
        status=meaning.status,
        **values,
    )


def _action(head: str) -> tuple[str, str]:
    """Return message and action; an action cut off with the line is completed."""
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
    """Return the reason in an OpenSSL error: `error:0A00010B:SSL routines::wrong version number[:SSL alert number 40]`."""
    parts = text.split(":")
    reasons = [part for part in parts[4:5] if part.strip()]
    return reasons[0].strip().replace("_", " ").lower() if reasons and parts[0].strip() == "error" else ""
