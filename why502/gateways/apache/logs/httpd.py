"""The error log of Apache httpd 2.2 and 2.4.

A line is `[time] [module:level] [pid N:tid N] (errno)text: [client ip:port] AH01102: message`. 2.2 has `[time] [level]`, no
codes, and the errno after the client. Source: server/log.c, ErrorLogFormat; modules/proxy/*.c. A failed connection is logged in
two lines with the same pid and tid: the first has the reason and no client, the second a client and no reason. The second gets
the reason of the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from why502.gateways.apache.codes import BODY, CONNECT, PRODUCT, READ, SOCKET
from why502.gateways.codes import Code
from why502.gateways.codes import code as row
from why502.gateways.fastcgi_words import NO_SCRIPT
from why502.logs.coded import LIMIT, coded_record, iso
from why502.logs.native.described import Tail, Text
from why502.logs.pairing import Firsts, Pairing
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number

NAME = "apache"
MARKS = (
    *(b"AH0", b"AH1", b"proxy: ", b"proxy:", b"disabling worker", b"disabled connection", b"MaxClients", b"MaxRequestWorkers"),
    *(b"exit signal", b"make_sock", b"workers", b"AJP", b"ajp_", b"Error dispatching", b"[error] [client", b"SSL Proxy"),
    *(
        b"FastCGI: ",
        b"mod_fcgid: ",
        b"script headers",
        b"output before headers",
        b"header from script",
        b"lb method",
        b"perhaps misspelled",
    ),
    *(
        b"WSGI ",
        b"[wsgi:error]",
        b"mod_wsgi (pid=",
        b"Truncated or oversized",
        b"from daemon process",
        b"[php",
        b"PHP Fatal",
        b"PHP Parse",
        b"AH01215",
    ),
    *(b"[perl:error]", b"output from CGI script", b"cgi daemon", b"exec of '"),
    *(
        b"protocol handler was valid",
        b"reading status line",
        b"DNS lookup failure for",
        b"Error reading from remote server",
        b"temporary directory failed",
        b"emporary file",
    ),
)
HAS_SURE_FAILURES = True  # no other format writes a line with a time that means a failure to `parse`
_MONTHS = {name: at for at, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_LEVELS = "emerg|alert|crit|error|warn|notice|info|debug|trace[1-8]"
_HEAD = lazy(
    r"\[(?:[A-Z][a-z]{2} )?(?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?) (?P<year>\d{4})\] "
    rf"\[(?:(?P<module>[\w.-]{{0,40}}):)?(?P<level>{_LEVELS})\] ?(?:\[pid (?P<pid>\d{{1,10}})(?::tid (?P<tid>[^\]\s]{{1,30}}))?\] ?)?"
)
_SHORT = lazy(
    rf"\[(?P<module>[\w.-]{{0,40}}):(?P<level>{_LEVELS})\] (?:\[pid (?P<pid>\d{{1,10}})(?::tid (?P<tid>[^\]\s]{{1,30}}))?\] ?)?"
)
_PREFIX = lazy(
    r"\s*(?:(?P<source>[\w/.-]{1,60}\.c\(\d{1,6}\)): "
    r"|\((?P<errno>\d{1,10}|EAI \d{1,3})\)(?P<words>[^:\[\]]{0,100}?): "
    r"|[\[\]](?P<peer>client|remote) (?P<ip>[^\]\s]{1,100})\] "
    r"|(?P<code>AH\d{5}): ?|proxy: (?:HTTP: )?)"
)
_CODE = lazy(r"\b(AH\d{5})\b:? ?")
_REFERER = lazy(r", referer: (\S(?:(?!, referer: ).)*)\Z")
_TO = lazy(
    r"attempt to connect to (?:Unix domain socket (?P<path>/[^(]{1,500}?) \(|(?P<to>[^\s(]{1,255}))"
    r"|remote server (?P<server>[^\s,]{1,255})"
    r"|(?:failed to|failed from|error from|connection for|connection to) \(?(?P<ip>[\w.:\[\]-]{1,255}:\d{1,5})"
    r"|Error dispatching request to (?P<fcgi>[\w.\[\]-]{0,255}:\d{0,5})"
    r"|failed to make connection to backend: (?P<backend>[\w.:\[\]-]{1,255})"
    r"|Forcing worker \((?:https?|ajp|fcgi|uwsgi|scgi|h2c?|wss?)://(?P<member>[\w.:\[\]-]{1,255})"
    r"|connect to WSGI daemon process '[^']{0,255}' on '(?P<wsgi>/[^']{1,500})'"
)
_PORT = lazy(r"(?<=\.\d):\d{1,5}\Z|(?<=\.\d\d):\d{1,5}\Z|(?<=\.\d\d\d):\d{1,5}\Z")  # of an IPv4 address
_GROUP = lazy(r"balancer://([\w.-]{1,100})")
_RULE_FIELD = lazy(r"\[(id|msg) \"([^\"]{1,200})\"\]")
_DENIED = lazy(r"ModSecurity: Access denied with code (5\d\d)")
_RETURNED = lazy(r" returned by (\S{1,2000})|handler was valid for the URL (/\S{0,2000})")
_ERRNO_WORDS = {  # 2.2 and truncated lines: the text without the number
    "connection refused": 111,
    "the timeout specified has expired": 70007,
    "connection timed out": 110,
    "no route to host": 113,
    "network is unreachable": 101,
    "connection reset by peer": 104,
    "no such file or directory": 2,
    "permission denied": 13,
    "too many open files": 24,
    "no space left on device": 28,
    "address family not supported by protocol": 97,
    "internal error": 20014,
    "end of file found": 70014,
    "broken pipe": 32,
}
_WORDS = tuple(  # of 2.2, and of lines that lost their code
    (lazy(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"attempt to connect to Unix domain socket", "AH02454"),
        (r"attempt to connect to \S+ ?(?:\([^)]*\) )?failed", "AH00957"),
        (r"disabling worker for", "AH00959"),
        (r"disabled connection for", "AH00940"),
        (r"failed to make connection to backend", "AH01114"),
        (r"error reading status line from remote server", "AH01102"),
        (r"returned by /|Error reading from remote server|DNS lookup failure for", "AH00898"),
        (r"No protocol handler was valid for the URL", "AH01144"),
        (r"All workers are in error state", "AH01170"),
        (r"all workers are busy", "AH00934"),
        (r"No workers in balancer", "AH01171"),
        (r"Error dispatching request to", "AH01075"),
        (r"Failed to read FastCGI header", "AH01067"),
        (r"Got bogus version", "AH01068"),
        (r"Error parsing script headers", "AH01070"),
        (r"error reading response", "AH01110"),
        (r"bad HTTP/\S+ header returned by", "AH01106"),
        (r"pass request body failed to", "AH01084"),
        (r"prefetch request body failed|read request body failed", "AH01095"),
        (r"ajp_ilink_receive\(\) received bad header|got bad signature", "AH01080"),
        (r"ajp_ilink_receive\(\) can't receive header|ajp_read_header|read response failed from", "AH00878"),
        (r"cping/cpong failed", "AH00897"),
        (r"search for temporary directory failed", "AH01089"),
        (r"creation of temporary file in directory", "AH01090"),
        (r"write to temporary file \S+ failed", "AH01091"),
        (r"server reached (?:MaxClients|MaxRequestWorkers|ServerLimit) setting", "AH00484"),
        (r"exit signal", "AH00052"),
        (r"could not bind to address", "AH00072"),
        (r"Syntax error on line", "AH00526"),
        (r"SSL Proxy: Peer certificate does not match", "AH02411"),
        (r"SSL Proxy: Peer certificate CN mismatch", "AH02005"),
        (r"SSL Proxy: Peer certificate is expired", "AH02004"),
        (r"Certificate Verification: Error", "AH02276"),
        (r"SSL Proxy connect failed|SSL handshake failed: sending 502", "AH02003"),
        (r"Error during SSL Handshake with remote server", "AH00898"),
    )
)
_NO_CODE = tuple(  # of modules whose messages have no code, or had none in 2.2
    (lazy(pattern), code)
    for pattern, code in (
        (r"FastCGI: failed to connect to server", row("FastCGI", "mod_fastcgi could not connect", Symptom.CONNECT_FAILED, "backend-not-running unix-socket-missing php-fpm-socket-mismatch", "500")),
        (r"FastCGI: comm with .{0,300} aborted: (?:first read )?idle timeout|mod_fcgid: read data timeout|FastCGI: .{0,200}idle timeout", row("FastCGI", "the application did not answer in time", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short backend-hung", "500")),
        (r"FastCGI: comm with .{0,300}aborted: error parsing headers|malformed header from script", row("FastCGI", "what it sent is not a valid header", Symptom.HEADER_INVALID, "invalid-response application-error", "500")),
        (r"FastCGI: comm with .{0,300}aborted: read failed", row("FastCGI", "the connection broke off", Symptom.RESET_BEFORE_HEADER, "connection-reset backend-crashed", "500")),
        (r"FastCGI: incomplete headers \(|Premature end of script headers|End of script output before headers|mod_fcgid: error reading data", row("FastCGI", "it ended before a whole response header", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-crashed worker-timeout", "500")),
        (r"mod_fcgid: can't apply process slot|mod_fcgid: too (?:much|many) .{0,40}process", row("fcgid", "every process that is allowed is busy", Symptom.PEER_LIMIT, "upstream-connection-limit workers-exhausted", "503")),
        (r"^/\S{1,500}: Invalid command '[^']{1,60}', perhaps misspelled", row("htaccess", "a module that the .htaccess file needs is not loaded", Symptom.MODULE_MISSING, "proxy-module-missing proxy-config-invalid", "500")),
        (r"^/\S{0,500}/\.[\w.-]{1,60}: (?!Invalid command)(?=\S)", row("htaccess", "a directive in a .htaccess file is refused", Symptom.CONFIG_INVALID, "proxy-config-invalid proxy-module-missing", "500")),
        # Modules that run applications in httpd, or in processes that it starts (mod_wsgi.c, wsgi_daemon.c, mod_cgi.c,
        # mod_cgid.c).
        (r"Queue timeout expired for WSGI daemon process", row("mod_wsgi", "a request waited for a free thread of the WSGI daemons for longer than queue-timeout", Symptom.WORKERS_BUSY, "workers-exhausted backend-too-slow", "504")),
        (r"[Uu]nable to connect to (?:WSGI daemon process|cgi daemon)", row("mod_wsgi", "the socket of the daemons could not be connected to; the errno gives the reason", Symptom.CONNECT_FAILED, "unix-socket-permission unix-socket-missing backend-not-running listen-backlog-overflow", "503")),
        (r"Timeout when reading response headers from daemon process|Timeout waiting for output from CGI script", row("mod_wsgi", "the application did not answer in time", Symptom.READ_TIMED_OUT, "backend-too-slow workers-exhausted backend-hung", "504")),
        (r"Truncated or oversized response headers received from daemon process", row("mod_wsgi", "the daemon ended before a whole response header, or that is larger than header-buffer-size", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-crashed worker-timeout response-header-too-big", "500")),
        (r"Malformed header .{0,300} reading script headers from daemon process", row("mod_wsgi", "what the application sent is not a valid header", Symptom.HEADER_INVALID, "invalid-response application-error", "500")),
        (r"(?:request time limit exceeded|deadlock timer expired), stopping process", row("mod_wsgi", "a daemon was stopped because a request took longer than request-timeout, or its interpreter hung", Symptom.WORKER_TIMED_OUT, "worker-timeout")),
        (r"Failed to exec Python script file|WSGI script '.{0,300}' (?:cannot be loaded as Python module|does not contain WSGI application)", row("mod_wsgi", "the application's script cannot be loaded", Symptom.START_FAILED, "backend-startup-failure application-error", "500")),
        (r"mod_wsgi \(pid=\d{1,10}\): (?:Unable to (?:change working directory|set|lookup|create|initiali[sz]e|determine)|(?:Couldn't|Failure to|Failed to) (?:configure|bind|create|set|change))", row("mod_wsgi", "a daemon process of the application cannot be set up", Symptom.START_FAILED, "backend-startup-failure")),
        (r"Exception occurred processing WSGI script", row("mod_wsgi", "the application raised an exception", Symptom.APPLICATION_ERROR, "application-error", failure=False)),
        (r"exec of '[^']{1,300}' failed|couldn't (?:create|spawn) child process", row("cgi", "the script could not be run", Symptom.START_FAILED, "backend-startup-failure application-error", "500")),
        (r"ModSecurity: Access denied with code 5\d\d\b", row("ModSecurity", "a rule of ModSecurity denied the request", Symptom.OWN_STATUS, "denied-by-rule", "")),
        (r"ModSecurity: Access denied with (?:code|connection close|redirection)", row("ModSecurity", "a rule of ModSecurity denied the request", Symptom.DENIED_BY_RULE, "denied-by-rule", "", failure=False)),
        (r"mod_qos\(\d{3}\): access denied, QS_(?:Loc\w{0,20}Limit|Srv\w{0,20}Conn|Client\w{0,20}|Event\w{0,20}Limit|Cond\w{0,20}Limit)", row("mod_qos", "a limit of mod_qos rejected the request", Symptom.RATE_LIMITED, "rate-limited", "")),
        (r"Can't find '[^']{1,60}' lb method|Can't locate the .{1,60}lbmethod|Invalid command '(?:Proxy|Balancer|SSLProxy|JkMount|H2|ProxyWebsocket)\w*', perhaps misspelled", row("config", "a module that the configuration needs is not loaded", Symptom.MODULE_MISSING, "proxy-module-missing proxy-config-invalid", "500")),
    )
)  # fmt: skip
_SECOND = frozenset(
    {"AH01114", "AH01079", "AH00896", "AH10101", "AH02452", "AH00898", "AH01097", "AH00992", "AH00878", "AH01106"}
)
_NO_HEADER, _ENDED = "AH01067", "AH01075"
_PASSING = "(passing brigade to output filters)"
AT_ONCE_S = 0.05
_HOSTS = lazy(r"wsgi|php\d*(?:_module)?|cgid?|fcgid|perl|lua|")  # modules whose lines may be an application's standard error
_OWN_ERROR = lazy(
    r"(?P<detail>PHP (?:Fatal|Parse) error: .*|(?<![\w.])(?:[a-zA-Z_]\w{0,100}\.){0,8}[A-Z]\w{0,100}(?:Error|Exception)(?:: .+|\s*\Z))"
)
_FATAL = lazy(r"PHP (?:Fatal|Parse|Compile) error|Uncaught |Allowed memory size|Maximum execution")


def fits(sample: list[str]) -> float:
    """Return the share of lines that start like httpd's, or contain one of its codes."""
    return share(sample, lambda line: (_HEAD.match(line) and 1) or (_CODE.search(line[:500]) or parse(line)))


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if httpd did not write it. `at` is naive local time."""
    line = line[:LIMIT].rstrip("\r\n")
    match = _HEAD.match(line) or _SHORT.match(line)
    head = match.groupdict("") if match else {}
    rest = line[match.end() :] if match else line
    fields: dict[str, str] = {}
    while (prefix := _PREFIX.match(rest)) and prefix.end():
        fields |= {name: text for name, text in prefix.groupdict().items() if text}
        rest = rest[prefix.end() :]
    if "code" not in fields and (found := _CODE.search(rest[:300])):
        before = rest[: found.start()].lower()
        fields["words"] = fields.get("words") or next((words for words in _ERRNO_WORDS if words in before), "")
        fields["code"], rest = found[1], rest[found.end() :]
    code = _code(fields.get("code", ""), rest)
    if code is None:
        if "year" not in head:
            return None
        code = Code(code=fields.get("code", ""), message="", is_gateway_failure=False)
    if code.symptom is None and (words := _own_error(code, rest, head)):
        return replace(_record(_ITS_ERROR, rest, fields, head), detail=words)
    return _record(code, rest, fields, head)


_ITS_ERROR = row("stderr", "an application that httpd runs itself reported an error", Symptom.APPLICATION_ERROR, "application-error", failure=False)  # fmt: skip


def _own_error(code: Code, message: str, head: dict[str, str]) -> str:
    """Return the error in an application's standard error, which httpd writes to its own log; "" if there is none."""
    is_hosted = _HOSTS.fullmatch(head.get("module", "")) and code.code in ("", "AH01215")
    match = _OWN_ERROR.match(message.lstrip()) if is_hosted and head.get("level") == "error" else None
    return match["detail"].strip()[:200] if match else ""


def _code(name: str, message: str) -> Code | None:
    if name == "AH00526" and (found := _no_code(message)):
        return found
    if name in PRODUCT.codes:
        return PRODUCT.codes[name]
    if name:
        return _no_code(message) or Code(code=name, message="", is_gateway_failure=False)
    known = next((code for pattern, code in _WORDS if pattern.search(message[:1000])), None)
    return PRODUCT.codes[known] if known else _no_code(message)


def _no_code(message: str) -> Code | None:
    return next((code for pattern, code in _NO_CODE if pattern.search(message[:1000])), None)


def _record(code: Code, message: str, fields: dict[str, str], head: dict[str, str]) -> LogRecord:
    referrer = _REFERER.search(message)
    message = message[: referrer.start()] if referrer else message
    errno = _errno(fields, message)
    to = _TO.search(message[:1000])
    given = next((text for text in to.groups() if text), "") if to else ""
    returned = _RETURNED.search(message)
    # For a WSGI daemon the remote end is the client
    is_of_backend = fields.get("peer") == "remote" and head.get("module") != "wsgi"
    record = coded_record(
        code,
        _symptom(code, errno, fields.get("errno", ""), message),
        format=NAME,
        proxy="apache",
        program="httpd",
        at=_time(head["year"], head["month"], head["day"], head["clock"]) if head.get("year") else None,
        level=head.get("level", ""),
        pid=int(head["pid"]) if head.get("pid") else None,
        thread=head.get("tid", ""),
        errno=errno,
        message=message.strip(),
        detail=message.strip()[:200]
        if code.code in ("AH01071", "AH02276", "AH02039", "AH00898", "AH01144", "htaccess", "config")
        else _rule(message),
        target=_target(given),
        group=group[1] if (group := _GROUP.search(message)) else "",
        client=_PORT.sub("", fields["ip"]) if "peer" in fields and not is_of_backend else "",
        request=f"GET {returned[1] or returned[2]}" if returned else "",
        referrer=referrer[1] if referrer else "",
        upstream=given,
        protocol=_protocol(message, head.get("module", "")),
        status=int(denied[1]) if (denied := _DENIED.search(message[:1000])) else _status(code),
    )
    if is_of_backend and record.target is None:
        record = replace(record, target=Target.parse(fields["ip"]))
    if record.symptom is Symptom.TLS_FAILED and not record.causes:  # the line does not say what failed in the handshake
        record = replace(record, causes=PRODUCT.codes["AH02003"].causes)
    return record


def pairing(record: LogRecord) -> Pairing:
    """Return the part of a record in a pair of lines about one failure.

    mod_proxy_fcgi reports one exchange twice: once that no header came, then immediately how it ended.
    """
    begins = record.symptom is not None and record.is_gateway_failure
    if record.code in _SECOND:
        return Pairing(begins=begins, within_s=2.0)
    if record.code == _ENDED and _PASSING in record.message:  # what refused the answer has said so
        return Pairing(begins=begins, within_s=AT_ONCE_S)
    if record.code == _ENDED:
        return Pairing(begins=begins, within_s=AT_ONCE_S, after=_NO_HEADER)
    return Pairing(begins=begins, is_of_client=record.code == _NO_HEADER)


def stitcher() -> Callable[[LogRecord], LogRecord]:
    """Return the function that compares the records of one stream: the second line of a failure gets the first line's reason.

    Both lines are written by the same thread, and count once. Apache 2.2 logs no process: there, lines that name the same client
    belong to one request.
    """
    firsts = Firsts(pairing)

    def stitch(record: LogRecord) -> LogRecord:
        first = firsts.repeated(record)
        if first is None:
            return record
        return replace(
            record,
            symptom=first.symptom,
            causes=first.causes,
            phase=first.phase,
            is_repeat=True,
            errno=record.errno or first.errno,
            target=first.target or record.target,
        )

    return stitch


# For a client, paths and numbers of processes a message means the same
_SAME = "sentence message [client |returned by /|: /"
_STYLE: dict[str, Any] = {"clock": "apache", "flags": ("said",), "asks": ("text key", _SAME), "pairing": pairing}
LAYOUTS = (
    Text(template="[{time}] [{key}] [pid {thread}] {message}", tails=(Tail(name="_", begin=", referer: "),), **_STYLE),
)  # fmt: skip


def _errno(fields: dict[str, str], message: str) -> int | None:
    text = fields.get("errno", "")
    if (errno := whole_number(text, 9)) is not None:
        return errno
    words = fields.get("words", "").strip().lower() or message[:60].lower()
    return next((number for known, number in _ERRNO_WORDS.items() if words.startswith(known)), None)


def _symptom(code: Code, errno: int | None, written: str, message: str) -> Symptom | None:
    """Return the symptom of a code, refined by the errno or the text."""
    match code.code:
        case "FastCGI" | "mod_wsgi" if code.symptom is Symptom.CONNECT_FAILED:
            return CONNECT.get(errno or 0)
        case "AH00957":
            return CONNECT.get(errno or 0)
        case "AH00952":
            return SOCKET.get(errno or 0, Symptom.PROXY_INTERNAL) if errno else None
        case "AH02454":
            if errno is None and re.search(r"socket \S+ [^(]", message):  # a path with spaces in it is not a valid path
                return Symptom.SOCKET_PATH_MISSING
            return CONNECT.get(errno or 0)
        case "AH01102" | "AH10404" | "AH01030" | "AH00992" | "AH00878":
            return READ.get(errno or 0)
        case "AH01084" | "AH01097":
            return Symptom.TLS_FAILED if errno == 20014 else None
        case "AH01110":
            return BODY.get(errno or 0)
        case "AH01075" if "reading input brigade" in message:  # about the request body, so on the client's side
            return Symptom.CLIENT_TIMED_OUT if errno == 70007 else Symptom.CLIENT_CLOSED
        case "AH01075":
            if "response body" in message or "writing brigade" in message:
                return Symptom.CLIENT_CLOSED if errno == 32 else BODY.get(errno or 0, Symptom.CLOSED_IN_BODY)
            return READ.get(errno or 0)
        case "AH00898":
            message = message.partition(" returned by ")[0]  # what a client asked for may hold any word
            if "DNS lookup failure" in message:
                return Symptom.NAME_SERVER_FAILED if written.endswith(" 3") else Symptom.NAME_NOT_FOUND
            if "SSL Handshake" in message:
                return Symptom.TLS_FAILED
            if "Corrupt status line" in message or "Invalid status" in message:
                return Symptom.HEADER_INVALID
            return Symptom.READ_TIMED_OUT if "Timeout" in message else None
        case "AH01071":
            if NO_SCRIPT.search(message):
                return Symptom.SCRIPT_NOT_FOUND
            return Symptom.APPLICATION_ERROR if _FATAL.search(message) else None
        case "AH01090" | "AH01091":
            return Symptom.DISK_FULL if errno == 28 else None
    return None


def _status(code: Code) -> int | None:
    return int(code.status[:3]) if code.status[:3].isdigit() and code.is_gateway_failure else None


def _rule(message: str) -> str:
    """Return the number of the rule of ModSecurity that a message names, and its text; "" if it names none."""
    fields = dict(_RULE_FIELD.findall(message[:4000])) if message.startswith("ModSecurity: ") else {}
    return " ".join(text for text in (fields.get("id") and f"rule {fields['id']}", fields.get("msg")) if text)


_SCHEMES = {"fcgi": "fastcgi", "ws": "http", "wss": "https", "hctcp": "tcp"}


def _protocol(message: str, module: str) -> str:
    if match := re.search(r"handler was valid for the URL .{0,2000}\(scheme '(\w{1,20})'\)", message):
        return _SCHEMES.get(match[1].lower(), match[1].lower())
    if match := re.match(r"(HTTPS?|FCGI|AJP|uwsgi|scgi|wss?|HCTCP)\b", message, re.IGNORECASE):
        return _SCHEMES.get(match[1].lower(), match[1].lower())
    return {"proxy_fcgi": "fastcgi", "proxy_ajp": "ajp", "proxy_uwsgi": "uwsgi", "proxy_http": "http"}.get(module, "")


def _target(text: str) -> Target | None:
    if text.startswith("/"):
        return Target(path=text.strip())
    found = Target.parse(text) if text and not text.startswith(":") else None
    return found if found and (found.port or found.path) else None


@lru_cache(256)
def _time(year: str, month: str, day: str, clock: str) -> datetime | None:
    return iso(f"{year}-{_MONTHS.get(month, 0):02d}-{int(day):02d}T{clock}")
