"""PHP-FPM's own log and its slow log, 5.3 to 8 (sapi/fpm/fpm: fpm_process_ctl.c, fpm_children.c, fpm_request.c, fpm_sockets.c).

With pm=static a full pool is not logged at all. A child that ends by SIGTERM or SIGQUIT was told to by its master.
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "php_fpm"
_START = Phase.STARTUP
_POOL = r"\[pool (?P<process>[^\]]{1,255})\] "
_CHILD = r"(?:\[pool (?P<process>[^\]]{1,255})\] )?\bchild (?:(?P<pid>\d+)|[xX*#_<>.-]{1,12}|<\w{1,10}>)"
_HEAD = lazy(
    r"\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?\] (?:DEBUG|NOTICE|WARNING|ERROR|ALERT): |\[pool [^\]]{1,255}\] "
)
PHRASES = (
    Phrase("said into std", _CHILD + r".{0,2048}? said into std(?:err|out): \"(?P<detail>.{0,2048}PHP (?:Fatal|Parse) error.*)", Symptom.APPLICATION_ERROR),
    Phrase("said into std", _CHILD + r".{0,2048}? said into std(?:err|out): \"(?:NOTICE: PHP message: )?(?:ERROR: )?(?P<detail>Unable to open primary script: (?P<file>/\S{1,255}).{0,2048}|Primary script unknown|Access to the script '[^']{0,255}' has been denied.{0,2048}?)\"?$", Symptom.SCRIPT_NOT_FOUND),
    Phrase("said into std", _CHILD + r".{0,2048}? said into std(?:err|out): ", None),
    Phrase("max_children setting", _POOL + r"(?P<detail>server reached (?:pm\.)?max_children setting \(\d{1,20}\).*)", Symptom.PHP_MAX_CHILDREN),
    Phrase("'process.max'", r"(?P<detail>The maximum number of processes has been reached\..*)", Symptom.PHP_MAX_CHILDREN),
    Phrase("] seems busy (", _POOL + r"(?P<detail>seems busy \(.*)", Symptom.WORKERS_BUSY),
    Phrase("execution timed out", _CHILD + r", script '(?P<file>[^']{0,255})' (?:\(request: \"(?P<request>[^\"]{0,255})\"\) )?(?P<detail>execution timed out \([\d.]{1,255} sec\), terminating)", Symptom.WORKER_TIMED_OUT),
    Phrase("executing too slow", _CHILD + r", script '(?P<file>[^']{0,255})' (?:\(request: \"(?P<request>[^\"]{0,255})\"\) )?(?P<detail>executing too slow \([\d.]{1,255} sec\), logging)", Symptom.PHP_SLOW),
    Phrase("[pool ", r"^\[\d\d-\w{3}-\d{4} [\d:]{1,255}\] {2}" + _POOL + r"pid (?P<pid>\d{1,20})$", Symptom.PHP_SLOW),
    Phrase("exited on signal", _CHILD + r" (?P<detail>exited on signal (?:15|3|2) \(SIG\w{1,100}\).*)", None),
    Phrase("exited on signal", _CHILD + r" (?P<detail>exited on signal (?P<signal>\d{1,20}).*)", Symptom.PHP_CHILD_DIED),
    Phrase("exited with code", _CHILD + r" (?P<detail>exited with code (?P<code>[1-9]\d{0,20}) .*)", Symptom.PHP_CHILD_DIED),
    Phrase("unable to bind listening socket", r"(?P<detail>unable to bind listening socket for address '(?P<address>[^']{1,255})': Address already in use \((?P<errno>\d{1,20})\))", Symptom.ADDRESS_IN_USE, _START),
    Phrase("unable to bind listening socket", r"(?P<detail>unable to bind listening socket for address '(?P<address>[^']{1,255})': .{0,2048}? \((?P<errno>\d{1,20})\))", Symptom.START_FAILED, _START),
    Phrase("Another FPM instance seems to already listen", r"(?P<detail>Another FPM instance seems to already listen on (?P<path>/\S+))", Symptom.ADDRESS_IN_USE, _START),
    Phrase("in shared memory: ", r"(?P<detail>unable to allocate \d{1,20} bytes in shared memory: .*)", Symptom.START_FAILED, _START),
    Phrase("fork() failed: ", r"(?P<detail>fork\(\) failed: Cannot allocate memory \((?P<errno>12)\))", Symptom.MEMORY_EXHAUSTED),
    Phrase("fork() failed: ", r"(?:ERROR|WARNING|ALERT): (?P<detail>fork\(\) failed: .*)", Symptom.START_FAILED),
    Phrase("FPM initialization failed", r"(?P<detail>FPM initialization failed)", Symptom.START_FAILED, _START),
    Phrase("failed to load configuration file", r"(?P<detail>failed to load configuration file .*)", Symptom.START_FAILED, _START),
    Phrase("failed to post process the configuration", r"(?P<detail>failed to post process the configuration)", Symptom.START_FAILED, _START),
    Phrase("Unable to include ", r"(?P<detail>Unable to include \S{1,255} from \S{1,255} at line \d+)", Symptom.START_FAILED, _START),
    Phrase("ERROR: [/", r"ERROR: \[(?P<file>/[^:\]]{1,255}):(?P<line>\d{1,20})\] (?P<detail>.*)", Symptom.START_FAILED, _START),
    Phrase("ALERT: [pool ", r"ALERT: " + _POOL + r"(?P<detail>.*)", Symptom.START_FAILED, _START),
    Phrase("please specify user and group", r"ERROR: " + _POOL + r"(?P<detail>please specify user and group other than root)", Symptom.START_FAILED, _START),
    Phrase("cannot get ", r"ERROR: (?:\[pool (?P<process>[^\]]{1,255})\] )?(?P<detail>cannot get [ug]id for (?:user|group) '[^']{0,255}'.*)", Symptom.START_FAILED, _START),
    Phrase("failed to open error_log", r"(?P<detail>failed to open error_log \((?P<file>[^)]{0,255})\): .*)", Symptom.START_FAILED, _START),
    Phrase("fpm is running, pid", r"(?P<detail>fpm is running, pid (?P<pid>\d+))", Symptom.PROCESS_STARTED, _START),
    Phrase("Reloading in progress", r"NOTICE: (?P<detail>Reloading in progress)", Symptom.PROCESS_RELOADED),
    Phrase("exiting, bye-bye!", r"(?P<detail>exiting, bye-bye!)", Symptom.PROCESS_STOPPED),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
