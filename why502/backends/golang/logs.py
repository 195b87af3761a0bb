"""Messages of a Go program that panics or cannot listen (runtime/panic.go, net/http/server.go, net, fasthttp)."""

from __future__ import annotations

import re

from why502.logs import stamps
from why502.logs.coded import coded_record
from why502.logs.go_errors import understand
from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "golang"
_START = Phase.STARTUP
_STACK = lazy(r"^goroutine \d+ \[[\w ,]+\]:|^\t/\S+\.go:\d+|^\[signal SIG\w+: ")
_LINE = r"(?:^|\d\d:\d\d:\d\d(?:\.\d+)? )"  # the begin, or after log's own time
PHRASES = (
    Phrase("http: panic serving ", r"(?P<detail>http: panic serving (?P<client>\S{1,255}): .*)", Symptom.APPLICATION_ERROR),
    Phrase("bind: address already in use", r"(?P<detail>listen (?:tcp[46]?|unix) (?P<address>\S{1,255}): bind: address already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase(": bind: ", r"(?P<detail>listen (?:tcp[46]?|unix) (?P<address>\S{1,255}): bind: .*)", Symptom.START_FAILED, _START),
    Phrase("panic recovered", r"\[Recovery\] .{0,200}?(?P<detail>panic recovered):", Symptom.APPLICATION_ERROR),
    Phrase("panic: ", _LINE + r"(?P<detail>panic: .*)", Symptom.PROCESS_CRASHED),
    Phrase("fatal error: ", r"^(?P<detail>fatal error: (?:all goroutines|concurrent map|runtime|stack overflow|out of memory|unexpected signal|index out|sync|unlock of|newproc|schedule|morestack|malloc).*)", Symptom.PROCESS_CRASHED),
    Phrase("[signal SIG", r"^\[signal (?P<signal>SIG[A-Z]{1,255}): (?P<detail>.{0,2048})\]", Symptom.PROCESS_CRASHED),
    Phrase("runtime: out of memory", r"(?P<detail>runtime: out of memory.*)", Symptom.PROCESS_CRASHED),
    Phrase("Accept error: ", r"(?P<detail>http: Accept error: .{0,2048}too many open files.*)", Symptom.FILES_EXHAUSTED),
    Phrase("TLS handshake error from", r"TLS handshake error from (?P<client>\S{1,255}): (?P<detail>tls: first record does not look like a TLS handshake)", Symptom.OTHER_PROTOCOL),
    Phrase("client sent an HTTP request to an HTTPS", r"(?P<detail>client sent an HTTP request to an HTTPS server)", Symptom.TLS_REQUEST_EXPECTED),
    Phrase("when reading request headers", r"(?P<detail>error when reading request headers: .{0,2048}\\x16\\x03.*)", Symptom.OTHER_PROTOCOL),
    Phrase("when reading request headers", r"(?P<detail>error when reading request headers: (?:small read buffer|too big).*)", Symptom.REQUEST_HEADER_TOO_BIG),
    Phrase("isten", r"\bmsg=\"[^\"]{0,200}\b[Ll]isten[^\"]{0,200}\".{0,300}?\b(?:listen_?)?addr(?:ess)?=\"?(?P<address>\[?[\w.:]{0,255}\]?:\d{1,5})(?![\w:])", Symptom.LISTENS_ON, _START),
    Phrase("Listening and serving HTTP", r"\[GIN-debug\] Listening and serving HTTPS? on (?P<address>\S+)", Symptom.LISTENS_ON, _START),
)  # fmt: skip
MARKS = (*marks(PHRASES), b"roxy error")
_PROXY = lazy(
    r"\b[Pp]roxy error\b[\]\[:, ]{1,4}(?:[Ee]rror[:=] ?)?(?P<why>.{1,2000})", re.DOTALL
)  # net/http/httputil, ReverseProxy


def fits(sample: list[str]) -> float:
    """Return the share of lines of a goroutine's stack, or that only Go's runtime and servers write."""
    return share(sample, lambda line: _STACK.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of a panic, a failed start or a request; None for all other lines."""
    if (match := _PROXY.search(line)) and (found := understand(match["why"])):
        return coded_record(
            None,
            found.symptom,
            format=NAME,
            proxy="go",
            target=found.target,
            detail=found.detail,
            at=stamps.find(line),
            message=line,
        )
    return read(line, PHRASES, NAME)
