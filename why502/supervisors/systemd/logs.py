"""Messages of systemd (PID 1, systemd-coredump) about units, 219 to 257, and `systemctl status` (core/service.c, core/unit.c,
exit-status.c).

`code` of "Scheduled restart job" is the counter, which counts since the unit was last started by hand: one such line is not a loop.
"""

from __future__ import annotations

from why502.gateways.processes import as_gateway
from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "systemd"
_START = Phase.STARTUP
_UNIT = r"(?<![\w@.:\\-])(?P<unit>[\w@.:\\-]{1,256}\.(?:service|socket|scope|mount|slice|target))"
_OF = r"(?:" + _UNIT + r": )?"
_HEAD = lazy(
    r"\bsystemd(?:-coredump)?(?:\[\d+\])?: |^(?:Started|Stopped|Starting|Stopping|Reloaded|Failed to start) \S+\.(?:service|socket)\b|^[\w@.\\-]+\.service: "
)
_BY_SYSTEMD = r"(?:systemd(?:\[\d+\])?: "
PHRASES = (
    Phrase("killed by the OOM killer", _OF + r"(?P<detail>A process of this unit has been killed by the OOM killer)", Symptom.OOM_KILLED),
    Phrase("systemd-oomd killed", _OF + r"(?P<detail>systemd-oomd killed .*)", Symptom.OOM_KILLED),
    Phrase("'oom-kill'", _OF + r"(?P<detail>Failed with result 'oom-kill')", Symptom.OOM_KILLED),
    Phrase("start-limit", _OF + r"(?P<detail>Failed with result 'start-limit(?:-hit)?')", Symptom.RESTART_LOOP),
    Phrase("repeated too quickly", _OF + r"(?P<detail>Start request repeated too quickly)", Symptom.RESTART_LOOP),
    Phrase("repeated too quickly", r"(?P<detail>start request repeated too quickly) for " + _UNIT, Symptom.RESTART_LOOP),
    Phrase("restart counter is at", _OF + r"(?P<detail>Scheduled restart job, restart counter is at (?P<code>\d{2,}|[3-9]))\b", Symptom.RESTART_LOOP),
    Phrase("restart counter is at", _OF + r"(?P<detail>Scheduled restart job, restart counter is at (?P<code>\d+))", Symptom.PROCESS_STARTED),
    Phrase("scheduling restart", _UNIT + r" (?P<detail>holdoff time over, scheduling restart)", Symptom.PROCESS_STARTED),
    Phrase("scheduling restart", _OF + r"(?P<detail>Service (?:hold-off time over|RestartSec=\S{1,255} expired), scheduling restart)", Symptom.PROCESS_STARTED),
    Phrase("status=2", _OF + r"(?P<detail>[\w ]{0,255}process exited, code=exited,? status=(?P<code>2[0-4]\d)/[A-Z][A-Z0-9_]+)", Symptom.START_FAILED, _START),
    Phrase("rocess exited, code=", _OF + r"(?P<detail>[Cc]ontrol process exited, code=(?:exited|killed|dumped),? status=(?P<code>(?!0/)\d{1,20}/?\S*))", Symptom.START_FAILED, _START),
    Phrase("ain process exited, code=", _OF + r"(?P<detail>[Mm]ain process exited, code=(?:killed|dumped),? status=(?:15|2|1)/(?:TERM|INT|HUP))", Symptom.PROCESS_STOPPED),
    Phrase("ain process exited, code=", _OF + r"(?P<detail>[Mm]ain process exited, code=(?:killed|dumped),? status=(?P<signal>\d{1,20})/\w+)", Symptom.PROCESS_CRASHED),
    Phrase("ain process exited, code=", _OF + r"(?P<detail>[Mm]ain process exited, code=exited,? status=(?:0/SUCCESS|143/n/a|143))", Symptom.PROCESS_STOPPED),
    Phrase("ain process exited, code=", _OF + r"(?P<detail>[Mm]ain process exited, code=exited,? status=(?P<code>78)(?:/\S{1,255})?)(?!\d)", Symptom.START_FAILED, _START),
    Phrase("ain process exited, code=", _OF + r"(?P<detail>[Mm]ain process exited, code=exited,? status=(?P<code>\d{1,20})\S*)", Symptom.PROCESS_EXITED),
    Phrase("Failed with result '", _OF + r"(?P<detail>Failed with result '(?:signal|core-dump|watchdog)')", Symptom.PROCESS_CRASHED),
    Phrase("Failed with result '", _OF + r"(?P<detail>Failed with result '(?:resources|protocol|exec-condition)')", Symptom.START_FAILED, _START),
    Phrase("Failed with result '", _OF + r"(?P<detail>Failed with result '(?:exit-code|timeout)')", Symptom.PROCESS_EXITED),
    Phrase("entered failed state", r"(?:Unit )?" + _UNIT + r":? (?P<detail>(?:Unit )?entered failed state)", Symptom.PROCESS_EXITED),
    Phrase("Failed at step ", _OF + r"(?P<detail>Failed at step [A-Z_0-9]{1,255} spawning .*)", Symptom.START_FAILED, _START),
    Phrase("ailed to load environment files", _OF + r"(?P<detail>Failed to load environment files: .*)", Symptom.START_FAILED, _START),
    Phrase("Failed to run 'start", _OF + r"(?P<detail>Failed to run 'start[\w-]{0,255}' task: .*)", Symptom.START_FAILED, _START),
    Phrase("ocate executable", _OF + r"(?P<detail>(?:Failed to|Unable to) locate executable .*)", Symptom.START_FAILED, _START),
    Phrase("Failed to execute ", _UNIT + r": (?P<detail>Failed to execute .*)", Symptom.START_FAILED, _START),
    Phrase("requested working directory", _OF + r"(?P<detail>Changing to the requested working directory failed: .*)", Symptom.START_FAILED, _START),
    Phrase("Failed to determine ", _OF + r"(?P<detail>Failed to determine (?:user|group) credentials: .*)", Symptom.START_FAILED, _START),
    Phrase("mount namespacing", _OF + r"(?P<detail>Failed to set up mount namespacing: .*)", Symptom.START_FAILED, _START),
    Phrase("has a bad unit file setting", r"(?:Unit )?" + _UNIT + r" (?P<detail>has a bad unit file setting)", Symptom.START_FAILED, _START),
    Phrase("operation timed out. Terminating", _OF + r"(?P<detail>[Ss]tart(?:-pre|-post)? operation timed out\. Terminating)", Symptom.START_FAILED, _START),
    Phrase("timed out. Killing", _OF + r"(?P<detail>State '(?:final|stop)-\w{1,100}' timed out\. Killing)", Symptom.PROCESS_STOPPED),
    Phrase("Watchdog timeout", _OF + r"(?P<detail>Watchdog timeout \(limit [^)]{0,255}\)!.*)", Symptom.PROCESS_CRASHED),
    Phrase("dumped core", r"Process (?P<pid>\d{1,20}) \((?P<process>[^)]{0,255})\) of user \d{1,20} (?P<detail>dumped core)", Symptom.PROCESS_CRASHED),
    Phrase("terminated abnormally", r"Process (?P<pid>\d{1,20}) \((?P<process>[^)]{0,255})\) of user \d{1,20} (?P<detail>terminated abnormally.*)", Symptom.PROCESS_CRASHED),
    Phrase("Active: failed", r"Active: (?P<detail>failed \(Result: (?:start-limit-hit|start-limit)\))", Symptom.RESTART_LOOP),
    Phrase("Active: failed", r"Active: (?P<detail>failed \(Result: oom-kill\))", Symptom.OOM_KILLED),
    Phrase("Active: failed", r"Active: (?P<detail>failed \(Result: (?:signal|core-dump|watchdog)\))", Symptom.PROCESS_CRASHED),
    Phrase("Active: failed", r"Active: (?P<detail>failed\b(?: \(Result: [\w-]{1,255}\))?)", Symptom.PROCESS_EXITED),
    Phrase("Active: activating (auto-restart)", r"Active: (?P<detail>activating \(auto-restart\)(?: \(Result: [\w-]{1,255}\))?)", Symptom.RESTART_LOOP),
    Phrase("Active: inactive (dead)", r"Active: (?P<detail>inactive \(dead\))", Symptom.PROCESS_STOPPED),
    Phrase("(code=exited, status=2", r"(?P<detail>(?:Main PID|Process): (?P<pid>\d{1,20}) .{0,2048}\(code=exited, status=(?P<code>2[0-4]\d)/[A-Z_]{1,255}\))", Symptom.START_FAILED, _START),
    Phrase("(code=", r"(?P<detail>(?:Main PID|Process): (?P<pid>\d{1,20}) .{0,2048}\(code=(?:killed|dumped), signal=(?P<signal>(?!TERM)[A-Z]{1,255})\))", Symptom.PROCESS_CRASHED),
    Phrase("(code=exited, status=", r"(?P<detail>(?:Main PID|Process): (?P<pid>\d{1,20}) .{0,2048}\(code=exited, status=(?P<code>(?!0/)\d{1,20})\S{0,255}\))", Symptom.PROCESS_EXITED),
    Phrase("Failed to start ", _BY_SYSTEMD + r"|^)(?P<detail>Failed to start " + _UNIT + r"(?: - .{0,2048})?)", Symptom.START_FAILED, _START),
    Phrase("Failed to start ", r"systemd(?:\[\d{1,20}\])?: (?P<detail>Failed to start .*)", Symptom.START_FAILED, _START),
    Phrase("Starting ", _BY_SYSTEMD + r"|^)(?P<detail>Starting " + _UNIT + r"(?: - .{0,2048})?(?:\.\.\.|…)$)", None),
    Phrase("Starting ", r"systemd\[\d{1,20}\]: (?P<detail>Starting .{1,2048}(?:\.\.\.|…))$", None),
    Phrase("Started ", _BY_SYSTEMD + r"|^)(?P<detail>Started " + _UNIT + r"(?: - .{0,2048})?\.?$)", Symptom.PROCESS_STARTED, _START),
    Phrase("Started ", r"systemd\[\d{1,20}\]: (?P<detail>Started .+)", Symptom.PROCESS_STARTED, _START),
    Phrase("Reloading ", _BY_SYSTEMD + r"|^)(?P<detail>Reloading " + _UNIT + r"(?: - .{0,2048})?(?:\.\.\.|…)$)", Symptom.PROCESS_RELOADED),
    Phrase("Stopped ", _BY_SYSTEMD + r"|^)(?P<detail>Stopped " + _UNIT + r"(?: - .{0,2048})?\.?$)", Symptom.PROCESS_STOPPED),
    Phrase("Stopped ", r"systemd\[\d{1,20}\]: (?P<detail>Stopped .+)", Symptom.PROCESS_STOPPED),
    Phrase("Stopping ", _BY_SYSTEMD + r"|^)(?P<detail>Stopping " + _UNIT + r"(?: - .{0,2048})?(?:\.\.\.|…)$)", Symptom.PROCESS_STOPPED),
    Phrase("Deactivated successfully", _UNIT + r": (?P<detail>Deactivated successfully)", Symptom.PROCESS_STOPPED),
)  # fmt: skip
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that systemd writes."""
    return share(sample, lambda line: _HEAD.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of a unit's event; `code` is a signal, an exit code or a restart counter. None for all other lines."""
    return as_gateway(read(line, PHRASES, NAME))
