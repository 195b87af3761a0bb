"""FastCGI 1.0: repeats the failing request if its script is known; otherwise sends FCGI_GET_VALUES, which runs no script.

A PHP-FPM child answers FCGI_GET_VALUES as soon as one is free, so a missing answer shows that all are busy.
"""

from __future__ import annotations

from why502.model.base import Value
from why502.model.errors import Expired, HostError
from why502.model.logs import AGENT, Symptom
from why502.probing.head import Head, parse, shown
from why502.probing.line import Failed, Line, number
from why502.probing.request import BODY_BYTES, GATEWAY, HEADER_BYTES, Answer, Request
from why502.probing.speech import identify

BEGIN, END, PARAMS, STDIN, STDOUT, STDERR, GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 1, 3, 4, 5, 6, 7, 9, 10, 11
SHORT_BYTES = 4096  # a header of this length is checked immediately; a longer one, once a complete line has arrived
NO_SCRIPT = b"Primary script unknown"


class Stream(Value, frozen=True, kw_only=True):
    """The content of the records received so far.

    `spans`: where parts of stdout begin, in stdout and in the raw bytes; `led_by`: bytes before them.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    spans: tuple[tuple[int, int], ...] = ()
    led_by: int = 0
    is_ended: bool = False

    def raw_size(self, size: int) -> int:
        """Return the number of raw bytes, record headers included, for the first `size` bytes of stdout: nginx buffers them
        all.
        """
        start, at = next(span for span in reversed(self.spans) if span[0] < size)
        return at + size - start - self.led_by


def record(kind: int, content: bytes, request_id: int = 1) -> bytes:
    """Return one record (3.3), padded to eight bytes."""
    padding = -len(content) % 8
    return bytes((1, kind, 0, request_id, *len(content).to_bytes(2), padding, 0)) + content + bytes(padding)


def pair(name: bytes, value: bytes) -> bytes:
    """Return a name-value pair (3.4)."""
    sizes = (bytes((len(x),)) if len(x) < 128 else (len(x) | 1 << 31).to_bytes(4) for x in (name, value))
    return b"".join(sizes) + name + value


LOOK = record(GET_VALUES, pair(b"FCGI_MAX_CONNS", b"") + pair(b"FCGI_MPXS_CONNS", b""), 0)


def ask(line: Line, request: Request) -> Answer:
    """Return the answer; without a known script only the fact that a FastCGI program answers. Raises Failed, HostError."""
    if request.script:
        line.send(compose(request))
        return _read(line, request)
    line.send(LOOK)
    data = b""
    while len(data) < 8:
        part = line.receive()
        data += part
        _check(data)
        if not part:
            raise Failed(Symptom.CLOSED_BEFORE_HEADER, f"the connection was closed after {len(data)} bytes", errno=line.broke)
    if data[1] not in (GET_VALUES_RESULT, UNKNOWN_TYPE):
        raise Failed(Symptom.HEADER_INVALID, f"unexpected FastCGI record {data[1]}")
    return Answer(detail="it answers FastCGI (FCGI_GET_VALUES)")


def compose(request: Request) -> bytes:
    """Return the records of a request without a body."""
    fields = {**dict(request.params), "HTTP_HOST": request.host, "HTTP_USER_AGENT": AGENT, "HTTP_X_WHY502_PROBE": "1"}
    params = b"".join(pair(name.encode("latin-1", "replace"), value.encode("utf-8", "replace")) for name, value in fields.items())
    begin = record(BEGIN, b"\x00\x01\x00\x00\x00\x00\x00\x00")
    return begin + record(PARAMS, params[:65535]) + record(PARAMS, b"") + record(STDIN, b"")


class Records:
    """Splits the incoming bytes into records, each byte once."""

    def __init__(self) -> None:
        self._data = bytearray()  # of the incomplete record
        self._size = 0  # number of bytes in all complete records
        self._out, self._err = bytearray(), bytearray()
        self._spans: list[tuple[int, int]] = []
        self._led_by = 0
        self.is_ended = False

    def __len__(self) -> int:
        return self._size + len(self._data)

    def feed(self, part: bytes) -> None:
        """Add received bytes. Raises Failed if they are not part of an answer."""
        self._data += part
        at = 0
        while not self.is_ended and at < len(self._data):
            _check(self._data[at : at + 64])
            if at + 8 > len(self._data):
                break
            if self._data[at + 1] == END:
                self.is_ended = True
                break
            size, padding = int.from_bytes(self._data[at + 4 : at + 6]), self._data[at + 6]
            if at + 8 + size + padding > len(self._data):
                break
            self._take(self._data[at + 1], self._data[at + 8 : at + 8 + size], self._size + at + 8, 8 + size + padding)
            at += 8 + size + padding
        del self._data[:at]
        self._size += at

    def _take(self, kind: int, content: bytearray, start: int, size_bytes: int) -> None:
        if kind == STDOUT:
            if content:
                self._spans.append((len(self._out), start))
            self._out += content
        elif kind == STDERR:
            self._err += content
            self._led_by += 0 if self._out else size_bytes
        else:
            raise Failed(Symptom.HEADER_INVALID, f"unexpected FastCGI record {kind}")

    def stream(self) -> Stream:
        """Return the content of the records, including the incomplete last one. Raises Failed if that is not part of an
        answer.
        """
        out, err, spans, led_by = bytes(self._out), bytes(self._err), tuple(self._spans), self._led_by
        if len(self._data) >= 8 and not self.is_ended:
            kind, size = self._data[1], int.from_bytes(self._data[4:6])
            content = bytes(self._data[8 : 8 + size])
            if kind == STDOUT:
                out, spans = out + content, (*spans, (len(out), self._size + 8)) if content else spans
            elif kind == STDERR:
                err, led_by = err + content, led_by + (0 if out else 8 + size + self._data[6])
            else:
                raise Failed(Symptom.HEADER_INVALID, f"unexpected FastCGI record {kind}")
        return Stream(stdout=out, stderr=err, spans=spans, led_by=led_by, is_ended=self.is_ended)


def unpack(data: bytes) -> Stream:
    """Return the content of the records, including the incomplete last one. Raises Failed if they are malformed."""
    records = Records()
    records.feed(data)
    return records.stream()


def _read(line: Line, request: Request) -> Answer:
    records, head = Records(), None
    while head is None:
        part = line.receive()
        records.feed(part)
        if part and b"\n" not in part and not records.is_ended and SHORT_BYTES < len(records) <= HEADER_BYTES:
            continue
        stream = records.stream()
        if stream.stdout:
            head = parse(stream.stdout, needs_status_line=False, is_strict=request.is_strict)
        if head is None and (stream.is_ended or not part):
            message = "the program ended its answer" if stream.is_ended else "the connection was closed"
            message = f"{message} before a complete header{_stderr_suffix(stream)}"
            raise Failed(Symptom.CLOSED_BEFORE_HEADER, message, errno=line.broke)
        if len(records) > HEADER_BYTES:
            message = f"the header takes more than {len(records)} bytes, the buffer holds {request.buffer_bytes}"
            raise Failed(Symptom.HEADER_TOO_BIG, message, header_bytes=len(records))
    size = stream.raw_size(head.size_bytes)
    if size > request.buffer_bytes:
        message = f"the header takes {size} bytes with its record headers, the buffer holds {request.buffer_bytes}"
        raise Failed(Symptom.HEADER_TOO_BIG, message, header_bytes=size)
    line.mark_header()
    if NO_SCRIPT in stream.stderr:
        message = f"the program cannot see {shown(request.script.encode(), 200)}"
        raise Failed(Symptom.SCRIPT_NOT_FOUND, message, status=head.status, header_bytes=size)
    if head.status in GATEWAY:
        raise Failed(Symptom.UPSTREAM_STATUS, f"answered {head.status}", status=head.status, header_bytes=size)
    return Answer(
        status=head.status, header_bytes=size, detail=_finish(line, records, head, request) or _stderr_suffix(stream).strip(": ")
    )


def _finish(line: Line, records: Records, head: Head, request: Request) -> str:
    """Read until the end of the request, or until enough has been read; return a remark. Raises Failed if the response is cut
    off.
    """
    try:
        while not records.is_ended and len(records) < BODY_BYTES:
            part = line.receive()
            records.feed(part)
            if not part:
                raise Failed(Symptom.CLOSED_IN_BODY, "the connection was closed before the end of the answer", status=head.status)
    except Expired:
        return f"the body was not complete after {request.answer_s:g} s"
    except HostError as error:
        message = "the connection broke before the end of the answer"
        raise Failed(Symptom.RESET_IN_BODY, message, errno=number(error), status=head.status) from error
    if not request.is_wanted(records.stream().stdout[head.size_bytes :]):
        message = f"the body does not contain {shown(request.wanted.encode())}"
        raise Failed(Symptom.HEALTH_CHECK_FAILED, message, status=head.status)
    return ""


def _check(data: bytes | bytearray) -> None:
    if data and data[0] != 1:  # "upstream sent unsupported FastCGI protocol version"
        raise Failed(
            Symptom.OTHER_PROTOCOL, f"the peer does not speak FastCGI: it sent {shown(bytes(data))}", speaks=identify(bytes(data))
        )


def _stderr_suffix(stream: Stream) -> str:
    return f": {shown(stream.stderr, 200)}" if stream.stderr else ""
