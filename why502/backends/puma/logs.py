"""Puma's log, 3 to 6 (lib/puma/cluster.rb, launcher.rb, log_writer.rb, error_logger.rb)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "puma"
_START = Phase.STARTUP
_HEAD = lazy(
    r"^(?:\[\d+\] )?(?:\* (?:Puma version|Min threads|Max threads|Environment|Listening on)| ?- Worker \d+ \(|Puma starting in)"
)
PHRASES = (
    Phrase(
        "Terminating timed out worker",
        r"(?P<detail>Terminating timed out worker(?: \([^)]{0,255}\))?)(?:: (?P<pid>\d{1,20}))?",
        Symptom.WORKER_TIMED_OUT,
    ),
    Phrase("Unable to load application", r"! (?P<detail>Unable to load application: .*)", Symptom.START_FAILED, _START),
    Phrase("Early termination of worker", r"(?P<detail>Early termination of worker)", Symptom.START_FAILED, _START),
    Phrase(
        "SSL error, peer",
        r"SSL error, peer: (?P<client>[^,]{1,255}),.{0,2048}(?P<detail>SSLError: .{0,2048}(?:http request|wrong version number).{0,2048}?)>?$",
        Symptom.OTHER_PROTOCOL,
    ),
    Phrase(
        "SSL error, peer",
        r"SSL error, peer: (?P<client>[^,]{1,255}),.{0,2048}(?P<detail>SSLError: .{0,2048}?)>?$",
        Symptom.CLIENT_PROTOCOL,
    ),
    Phrase(
        "HTTP parse error",
        r"HTTP parse error, malformed request.{0,2048}?(?P<detail>Puma::HttpParserError(?:: .{0,2048})?)>?$",
        Symptom.CLIENT_BAD_REQUEST,
    ),
    Phrase(
        "Rack app",
        r'Rack app(?: error handling request \{|\s{0,64}\(")(?P<request>[A-Z]{1,16} [^"}]{0,255}+)"?.{0,300}?#<(?P<detail>[\w:]{1,255}(?:: .{0,400})?)>',
        Symptom.APPLICATION_ERROR,
    ),
    Phrase("Errno::ENOSPC", r"(?:Read|Write|Rack app)\b.{0,300}?#<(?P<detail>Errno::ENOSPC: [^>]{0,400})>", Symptom.DISK_FULL),
    Phrase("Puma caught this error", r"Puma caught this error: (?P<detail>.*)", Symptom.APPLICATION_ERROR),
    Phrase("* Listening on ", r"\* Listening on (?P<address>\S+)", Symptom.LISTENS_ON, _START),
    Phrase("Puma starting in ", r"(?P<detail>Puma starting in \w{1,100} mode)", Symptom.PROCESS_STARTED, _START),
    Phrase("puma startup: ", r"=== (?P<detail>puma startup): ", Symptom.PROCESS_STARTED, _START),
    Phrase("puma shutdown: ", r"=== (?P<detail>puma shutdown): ", Symptom.PROCESS_STOPPED),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
