"""supervisord's log and the lines of `supervisorctl status`, 3 to 4.3 (supervisor/process.py, supervisorctl.py)."""

from __future__ import annotations

from why502.gateways.processes import as_gateway
from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "supervisord"
_START = Phase.STARTUP
_HEAD = lazy(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:CRIT|ERRO|WARN|INFO|DEBG|TRAC|BLAT) |^[\w:.-]+ +(?:RUNNING|STOPPED|STARTING|FATAL|BACKOFF|EXITED|STOPPING) "
)
_LOG = r"(?:CRIT|ERRO|WARN|INFO) "
_NAME = r"(?P<process>[\w:.@-]+)"
PHRASES = (
    Phrase("exited: ", _LOG + r"exited: " + _NAME + r" \((?P<detail>terminated by (?P<signal>SIG\w{1,100})(?: \(core dumped\))?; not expected)\)", Symptom.PROCESS_CRASHED),
    Phrase("exited: ", _LOG + r"exited: " + _NAME + r" \((?P<detail>exit status (?P<code>78|126|127); not expected)\)", Symptom.START_FAILED, _START),  # 78: EX_CONFIG (sysexits.h), PHP-FPM's own
    Phrase("exited: ", _LOG + r"exited: (?P<process>[\w:.@-]{0,255}php[\w.]{0,255}-?fpm[\w:.@-]{0,255}) \((?P<detail>exit status (?P<code>64|70); not expected)\)", Symptom.START_FAILED, _START),
    Phrase("exited: ", _LOG + r"exited: " + _NAME + r" \((?P<detail>exit status (?P<code>\d{1,20}); not expected)\)", Symptom.PROCESS_EXITED),
    Phrase("exited: ", _LOG + r"exited: " + _NAME + r" \((?P<detail>.{0,2048}; expected)\)", Symptom.PROCESS_STOPPED),
    Phrase("gave up: ", _LOG + r"gave up: " + _NAME + r" (?P<detail>entered FATAL state, too many start retries too quickly)", Symptom.RESTART_LOOP),
    Phrase("spawnerr: ", _LOG + r"spawnerr: (?P<detail>.*)", Symptom.START_FAILED, _START),
    Phrase("stopped: ", _LOG + r"stopped: " + _NAME + r" \((?P<detail>.{0,2048})\)", Symptom.PROCESS_STOPPED),
    Phrase("success: ", _LOG + r"success: " + _NAME + r" (?P<detail>entered RUNNING state).*", Symptom.PROCESS_STARTED, _START),
    Phrase("spawned: ", _LOG + r"spawned: '(?P<process>[^']{0,255})' with pid (?P<pid>\d+)", None),
    Phrase(" FATAL ", r"^" + _NAME + r" +(?P<detail>FATAL +(?:can't find command|couldn't |command at|no permission|unknown error).*)", Symptom.START_FAILED, _START),
    Phrase(" FATAL ", r"^" + _NAME + r" +(?P<detail>FATAL +Exited too quickly.*)", Symptom.RESTART_LOOP),
    Phrase(" BACKOFF ", r"^" + _NAME + r" +(?P<detail>BACKOFF +\S.*)", Symptom.RESTART_LOOP),
    Phrase(" EXITED ", r"^" + _NAME + r" +(?P<detail>EXITED +[A-Z][a-z]{2} \d\d \d\d:\d\d.*)", Symptom.PROCESS_EXITED),
    Phrase(" STOPPED ", r"^" + _NAME + r" +(?P<detail>STOPPED +(?:Not started|[A-Z][a-z]{2} \d\d \d\d:\d\d).*)", Symptom.PROCESS_STOPPED),
)  # fmt: skip
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that begin as supervisord's do."""
    return share(sample, lambda line: _HEAD.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of a program's event (`process`); `code` is a signal or exit code. None for all other lines."""
    return as_gateway(read(line, PHRASES, NAME))
