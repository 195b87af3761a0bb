"""probe(): one measured attempt, and a second one if the first suggests another protocol."""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from why502.host.base import Host
from why502.model.errors import Expired, HostError
from why502.model.file_kind import FileKind
from why502.model.logs import Symptom
from why502.model.probe import CONNECT, Probe
from why502.probing import fastcgi, http1, http2, memcached, scgi, uwsgi
from why502.probing.head import shown
from why502.probing.line import Failed, Line, connect, number
from why502.probing.request import PROXY_HEADERS, SECOND_LOOK_S, Answer, Request, Tls
from why502.probing.speech import identify
from why502.probing.tls import TlsLine, context, secure
from why502.probing.verification import cure
from why502.probing.x509 import validity

ASK: dict[str, Callable[[Line, Request], Answer]] = {
    "http": http1.ask,
    "https": http1.ask,
    "fastcgi": fastcgi.ask,
    "uwsgi": uwsgi.ask,
    "scgi": scgi.ask,
    "grpc": http2.ask,
    "grpcs": http2.ask,
    "memcached": memcached.ask,
}
SENT = {"fastcgi": "FCGI_GET_VALUES", "grpc": "PRI *", "grpcs": "PRI *", "memcached": "version"}
GREETED = ("http", "tls", "fastcgi", "uwsgi", "h2")
NONSENSE = b"\xff\xff\xff\xffwhy502\r\n\r\n"  # uWSGI reads this as the header of a 64 KiB packet with an unknown modifier
GREETING = {"fastcgi": fastcgi.LOOK, "h2": http2.PREFACE}
OWN = {"https": "tls", "grpcs": "tls", "grpc": "h2"}
# A silent peer may be waiting for this: a line-based server for the end of the line, uWSGI for the rest of a packet.
AFTER_SILENCE = {"http": ("uwsgi",), "https": ("http",), "fastcgi": ("http", "uwsgi"), "uwsgi": ("http",), "scgi": ("http",)}
SILENT = (Symptom.READ_TIMED_OUT, Symptom.TLS_TIMED_OUT)
SUSPECT = (
    *SILENT,
    Symptom.CLOSED_BEFORE_HEADER,
    Symptom.RESET_BEFORE_HEADER,
    Symptom.NO_STATUS_LINE,
    Symptom.HEADER_INVALID,
    Symptom.OTHER_PROTOCOL,
    Symptom.TLS_FAILED,
    Symptom.TLS_NOT_TLS,
)


CLOSED = (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.TLS_FAILED)
HEADER_LOOK_S = 1.0
BAD_REQUEST = 400
LEAST_ERROR = 400
OF_A_PATH = (401, 404)
SPEAKS_PROXY = "proxy"  # it accepts only connections that begin with a PROXY header


def probe(host: Host, request: Request) -> Probe:
    """Return the result of one attempt. Raises HostError if the attempt was not possible. Takes at most about 8 s."""
    found = _attempt(host, request).probe
    if request.preamble == PROXY_HEADERS["v1"] and found.symptom in CLOSED and _takes_only_longer(host, request):
        request = msgspec.structs.replace(request, preamble=PROXY_HEADERS["v2"])
        found = _attempt(host, request).probe
    if request.through_proxy or request.only_connects or request.protocol not in ("http", "https") or found.speaks:
        return found
    if request.preamble and (found.symptom in SUSPECT or found.status == BAD_REQUEST):
        status = _status(host, msgspec.structs.replace(request, preamble=""))
        if status is not None:
            response = f"answered {found.status}" if found.status else found.detail
            message = f"{response} to the PROXY header that the proxy sends first, and {status} without it"
            return msgspec.structs.replace(found, symptom=Symptom.OTHER_PROTOCOL, detail=message)
    elif not request.preamble and found.symptom in CLOSED:
        with_header = (_status(host, msgspec.structs.replace(request, preamble=header)) for header in PROXY_HEADERS.values())
        status = next((status for status in with_header if status is not None), None)
        if status is not None and (status < LEAST_ERROR or status in OF_A_PATH):  # other statuses may also be answers to nonsense
            message = f"{found.detail}; answered {status} after a PROXY header, which the proxy does not send"
            return msgspec.structs.replace(found, speaks=SPEAKS_PROXY, detail=message)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """An attempt with what a diagnosis does not read: seconds until it was connected and until TLS was set up, and the first
    and last moment at which the peer's certificate is valid.
    """

    probe: Probe
    connected_s: float | None = None
    secured_s: float | None = None
    valid: tuple[datetime, datetime] | None = None


def attempt(host: Host, request: Request) -> Measured:
    """Return one attempt, without the further requests that name another protocol or a setting that would help.

    For requests that are sent again and again. Raises HostError if the attempt was not possible.
    """
    return _attempt(host, request, is_last=True)


def _takes_only_longer(host: Host, request: Request) -> bool:
    """Return whether our header of version 1 is what the peer rejects: it answers HEAD / after the one of version 2 alone.

    httpd rejects a header below 16 bytes, the length of version 2's (modules/metadata/mod_remoteip.c, AH03513). The addresses
    that would make ours longer are not known here, and HAProxy takes nothing else after UNKNOWN.
    """
    with_header = (_status(host, msgspec.structs.replace(request, preamble=header)) for header in PROXY_HEADERS.values())
    return [status is not None for status in with_header] == [False, True]


def _status(host: Host, request: Request) -> int | None:
    """Return the status of HEAD /, except 400; None if there is no valid answer."""
    short = {"connect_s": HEADER_LOOK_S, "answer_s": HEADER_LOOK_S}
    try:
        found = attempt(host, msgspec.structs.replace(request, method="HEAD", path="/", greets=False, **short)).probe
    except HostError:
        return None
    return found.status if found.symptom is None and found.status != BAD_REQUEST else None


def _attempt(host: Host, request: Request, *, is_last: bool = False) -> Measured:
    """Return one attempt, and whether the peer seems to use another protocol (unless `is_last`). Raises
    HostError.
    """
    if request.script and not _is_file(host, request.script):  # it is elsewhere, or nginx rewrote the path: do not guess
        request = msgspec.structs.replace(request, script="")
    began, at = time.monotonic(), datetime.now(UTC)
    line: Line | None = None
    failed: Failed | None = None
    answer = Answer()
    connected, secured, certificate = None, None, b""
    try:
        line = connect(host, request)
        connected = time.monotonic() - began
        _check_time(Symptom.CONNECT_TIMED_OUT, connected, request)
        if request.preamble:
            line.send(request.preamble.encode("ascii", "replace"))
        if request.tls:
            line = secure(host, line, request)
            certificate = line.certificate
            secured = time.monotonic() - began
            _check_time(Symptom.TLS_TIMED_OUT, secured, request)
        asked_at = time.monotonic()
        line.deadline = asked_at + request.answer_s
        answer = _ask(line, request)
        failed = _late(line, request, answer, asked_at)
    except Failed as error:
        failed = error
    finally:
        if line:
            line.close()
    ended = time.monotonic()
    first_at, seen = (line.first_at, line.seen) if line else (None, b"")
    speaks = _outer_protocol(request, failed.speaks or identify(seen), is_secured=secured is not None) if failed else ""
    if not speaks and not is_last and (answer.is_suspect or (failed and failed.symptom in SUSPECT)):
        speaks = second_look(host, request, is_silent=failed is not None and failed.symptom in SILENT)
    if answer.is_suspect and speaks and failed is None:
        how = f"answered {answer.status}" if answer.status else "answered a greeting"
        message = f"{how}, like a server that speaks {speaks}, not {request.protocol}"
        failed = Failed(Symptom.OTHER_PROTOCOL, message, status=answer.status, header_bytes=answer.header_bytes)
    result = Probe(
        target=request.target,
        protocol=request.protocol,
        through_proxy=request.through_proxy,
        url=request.url,
        host=request.host,
        request=_sent(request),
        repeats=request.repeats and _sent(request) not in SENT.values(),
        symptom=failed.symptom if failed else None,
        errno=failed.errno if failed else None,
        status=failed.status if failed else answer.status,
        detail=(failed.detail if failed else answer.detail).removeprefix(f"{request.target}: "),
        header_bytes=failed.header_bytes if failed else answer.header_bytes,
        certificate=failed.certificate if failed else "",
        verifies_with=cure(host, request) if failed and failed.symptom is Symptom.TLS_UNVERIFIED and not is_last else (),
        first_bytes=shown(seen)[1:-1],
        speaks=speaks,
        first_byte_s=first_at - began if first_at else None,
        total_s=ended - began,
        at=at,
        route_at=request.route_at,
        network=request.network_of.inode if request.network_of else "",
    )
    return Measured(result, connected, secured, validity(certificate))


def second_look(host: Host, request: Request, *, is_silent: bool) -> str:
    """Return the protocol that the peer uses, if it is not the proxy's; "" if none was detected. Sends only harmless
    greetings.
    """
    own, until = OWN.get(request.protocol, request.protocol), time.monotonic() + 2 * SECOND_LOOK_S
    for name in AFTER_SILENCE.get(request.protocol, ()) if is_silent else GREETED:
        if name == "h2" and request.only_connects:  # an HTTP/1 server takes it for a request
            continue
        if name != own and time.monotonic() < until and (found := _answer_to(name, host, request)) and found != own:
            return found
    return ""


def _outer_protocol(request: Request, found: str, *, is_secured: bool) -> str:
    """Return the protocol that the peer uses on the wire: HTTP within TLS is TLS, and a uwsgi or SCGI answer looks like HTTP."""
    if is_secured and found == "http" and request.protocol == "https":
        return "tls"
    return "" if found == "http" and request.protocol in ("uwsgi", "scgi") else found


def _check_time(symptom: Symptom, took_s: float, request: Request) -> None:
    """Raise Failed if the proxy would have given up by now: one timer covers its connection and TLS handshake."""
    if took_s > request.route_connect_s:
        what = "connected" if symptom is Symptom.CONNECT_TIMED_OUT else "the TLS handshake ended"
        raise Failed(symptom, f"{what} after {took_s:.2f} s; the route waits {request.route_connect_s:g} s")


def _late(line: Line, request: Request, answer: Answer, asked_at: float) -> Failed | None:
    """Return the result the proxy would have seen, if its timeout is shorter than ours."""
    took = (line.header_at or line.first_at or asked_at) - asked_at
    if request.through_proxy or took <= request.route_read_s:
        return None
    message = f"answered {answer.status or 'only'} after {took:.2f} s; the route waits {request.route_read_s:g} s"
    return Failed(Symptom.READ_TIMED_OUT, message, status=answer.status, header_bytes=answer.header_bytes)


def _sent(request: Request) -> str:
    """Return the request in a few words, without its query."""
    if request.protocol not in ASK or request.only_connects:
        return CONNECT
    asked = f"{request.method} {request.path.partition('?')[0]}"
    return asked if request.script else SENT.get(_spoken(request), asked)


def _is_file(host: Host, path: str) -> bool:
    try:
        return host.stat(path).kind is FileKind.FILE
    except HostError:
        return False


def _spoken(request: Request) -> str:
    return "grpc" if request.http_version == "2" else request.protocol


def _ask(line: Line, request: Request) -> Answer:
    """Return the answer; a connection that breaks before a complete header is the target's fault."""
    if request.only_connects:
        return Answer(detail="connected; no request was sent", is_suspect=request.greets)
    if request.protocol not in ASK:
        return Answer(detail="connected; nothing was sent")
    try:
        return ASK[_spoken(request)](line, request)
    except Expired as error:
        begun = f"; it began with {shown(line.seen)}" if line.seen else ""
        raise Failed(Symptom.READ_TIMED_OUT, request.silence + begun) from error
    except HostError as error:
        met = number(error)
        symptom = Symptom.RESET_BEFORE_HEADER if met in (errno.ECONNRESET, errno.EPIPE) else Symptom.CONNECTION_DIED
        raise Failed(symptom, f"the connection broke before a complete header: {error.reason}", errno=met) from error


def _answer_to(name: str, host: Host, request: Request) -> str:
    """Return the protocol shown by the peer's answer to a greeting; "" if none."""
    line: Line | None = None
    try:
        line = connect(host, msgspec.structs.replace(request, connect_s=SECOND_LOOK_S))
        line.deadline = time.monotonic() + SECOND_LOOK_S
        if name == "tls":
            return _answer_to_hello(TlsLine(line, context(host, Tls()), ""))
        plain = msgspec.structs.replace(request, method="HEAD", path="/")
        line.send(GREETING.get(name) or (uwsgi if name == "uwsgi" else http1).compose(plain))
        data = line.receive()
        if name == "uwsgi" and http1.UNDERSTOOD.match(data):  # to an HTTP server, that packet is nonsense
            return "http" if _answers_nonsense(host, request) else "uwsgi"
        # A TLS server often answers plain HTTP with a 400: that does not show that it serves HTTP.
        return "" if request.tls and http1.BAD_REQUEST.match(data) else identify(data)
    except (Failed, HostError):
        return ""
    finally:
        if line:
            line.close()


def _answers_nonsense(host: Host, request: Request) -> bool:
    """Return whether the peer answers nonsense bytes the way an HTTP server does: some send 403 or 404 to any bytes, uWSGI
    nothing.
    """
    line: Line | None = None
    try:
        line = connect(host, msgspec.structs.replace(request, connect_s=SECOND_LOOK_S))
        line.deadline = time.monotonic() + SECOND_LOOK_S
        line.send(NONSENSE)
        return identify(line.receive()) == "http"
    except (Failed, HostError):
        return False
    finally:
        if line:
            line.close()


def _answer_to_hello(line: TlsLine) -> str:
    try:
        line.handshake()
    except (ssl.SSLError, HostError):
        pass  # only the first bytes matter
    return identify(line.raw)
