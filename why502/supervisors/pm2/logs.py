"""pm2's daemon log and the table of `pm2 list`, 2 to 7 (lib/God.js, lib/God/ActionMethods.js, lib/Worker.js, lib/API/UX).

"via signal [SIGINT]" is its text for an exit without a signal, and "code [0]" for an exit by one.
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "pm2"
_HEAD = lazy(r"PM2 (?:log|error): |\[PM2\]|^(?:PM2|\d+\|[\w.-]+) +\| ")
_ROW = r"[│|] *\d+ *[│|] *(?P<process>[\w@./-]+) *[│|](?:[^│|]*[│|])+? *"
_EXIT = r"App \[(?P<process>[^\]:]{1,255}):?\d{0,20}\].{0,2048}? (?P<detail>exited with code \["
PHRASES = (
    Phrase("exited with code [", _EXIT + r"(?P<code>\d{1,20})\] via signal \[SIG(?:SEGV|ABRT|BUS|ILL|FPE|TRAP)\])", Symptom.PROCESS_CRASHED),
    Phrase("exited with code [", _EXIT + r"0\] via signal \[SIG\w{1,100}\])", Symptom.PROCESS_STOPPED),
    Phrase("exited with code [", _EXIT + r"(?P<code>\d{1,20})\] via signal \[SIGKILL\])", Symptom.PROCESS_CRASHED),
    Phrase("exited with code [", _EXIT + r"(?P<code>\d{1,20})\] via signal \[SIG\w{1,100}\])", Symptom.PROCESS_EXITED),
    Phrase("too many unstable restarts", r"Script (?P<file>\S{1,255}) (?P<detail>had too many unstable restarts \((?P<code>\d{1,20})\)\. Stopped\. \"errored\")", Symptom.RESTART_LOOP),
    Phrase("exceeds --max-memory-restart", r"(?P<detail>Process \d{1,20} restarted because it exceeds --max-memory-restart value.*)", Symptom.MEMORY_SHORT),
    Phrase("] online", r"App \[(?P<process>[^\]:]{1,255}):?\d{0,20}\](?: with id \[\d{1,20}\])? (?P<detail>online)$", Symptom.PROCESS_STARTED, Phase.STARTUP),
    Phrase("PM2 error: ", r"PM2 error: (?:Trace: )?\[?(?P<detail>Error: (?:EACCES|EISDIR|EMFILE|ENOENT|ENOSPC|ENOTDIR|EPERM|EROFS)[,:] .{0,2048}?)(?:\] ?\{?)?$", Symptom.START_FAILED, Phase.STARTUP),
    Phrase("Stopping app:", r"(?P<detail>Stopping app:(?P<process>\S{1,255}) id:\d+)", Symptom.PROCESS_STOPPED),
    Phrase("errored", _ROW + r"(?P<detail>errored) *[│|]", Symptom.RESTART_LOOP),
    Phrase("waiting restart", _ROW + r"(?P<detail>waiting restart) *[│|]", Symptom.RESTART_LOOP),
    Phrase("stopped", _ROW + r"(?P<detail>stopped) *[│|]", Symptom.PROCESS_STOPPED),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
