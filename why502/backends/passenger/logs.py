"""Phusion Passenger's log, which is httpd's or nginx's own unless PassengerLogFile names another.

`[ E 2026-11-22 21:23:33.2270 209/T5 age/Cor/Con/CheckoutSession.cpp:285 ]: [Client 1-1] MESSAGE` (src/cxx_supportlib/LoggingKit,
src/agent/Core/Controller), and the applications' own standard output and error as `App 209 output: TEXT`.
"""

from __future__ import annotations

from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "passenger"
_START = Phase.STARTUP
_HEAD = lazy(
    r"\[ [A-Z]\d? \d{4}-\d\d-\d\d [\d:.]{8,15} \d{1,10}/T\w{1,8} [\w./]{1,100}:\d{1,6} \]: |App \d{1,10} (?:output|std(?:out|err)): "
)
_APP = r"^App (?P<pid>\d{1,10}) (?:output|std(?:out|err)): "
PHRASES = (
    Phrase("because a spawning error occurred", r"(?P<detail>Cannot checkout session because a spawning error occurred)", Symptom.START_FAILED, _START),
    Phrase("Could not spawn process for application", r"(?P<detail>Could not spawn process for application (?P<file>/\S{1,500}): .{1,300})", Symptom.START_FAILED, _START),
    Phrase("Request queue full", r"(?P<detail>Returning HTTP (?P<status>\d{3}) due to: Request queue full.*)", Symptom.WORKERS_BUSY),
    Phrase("did not send a complete response", r"(?P<detail>Sending (?P<status>\d{3}) response: application did not send a complete response)", Symptom.CLOSED_BEFORE_HEADER, Phase.READ_HEADER),
    Phrase("application socket", r"(?P<detail>Sending (?P<status>\d{3}) response: application socket .{1,200})", Symptom.RESET_BEFORE_HEADER, Phase.READ_HEADER),
    Phrase("error parsing application response", r"(?P<detail>(?:Sending (?P<status>\d{3}) response: )?error parsing application response.{0,200})", Symptom.HEADER_INVALID, Phase.READ_HEADER),
    Phrase("App ", _APP + r"(?P<detail>.{0,200}(?:cannot load such file -- |No module named |Cannot find module ).{1,200})", Symptom.START_FAILED, _START),
    Phrase("App ", _APP + r"(?P<detail>(?:\S{1,300}: )?(?:[A-Za-z_]\w{0,100}(?:\.|::)){0,8}[A-Z]\w{0,100}(?:Error|Exception)\b.{0,200})", Symptom.APPLICATION_ERROR),
    Phrase("App ", _APP + r"(?P<detail>.{1,300}\((?:[A-Z]\w{0,100}::){0,8}[A-Z]\w{0,100}(?:Error|Exception)\))\s*$", Symptom.APPLICATION_ERROR),
)  # fmt: skip
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that only Passenger writes."""
    return share(sample, _HEAD.match)


def parse(line: str) -> LogRecord | None:
    """Return the record of a request, a start or an application's error; None for all other lines."""
    return read(line, PHRASES, NAME) if _HEAD.match(line) else None
