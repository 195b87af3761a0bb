"""Messages of Docker, podman, compose and Kubernetes about containers: `ps`, `inspect`, `events`, daemon errors, kubelet reasons.

Exit code 137 is 128 + SIGKILL: by the OOM killer, by `docker kill`, or after the grace time of `stop`; only OOMKilled tells
which.
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "docker"
_START = Phase.STARTUP
_HEAD = lazy(r"^CONTAINER ID +IMAGE|^time=\"[^\"]+\" level=\w+ msg=|^[0-9a-f]{12} +\S+ +\"")
_AGO = r" (?:Less than|About|\d+) .*ago"
PHRASES = (
    Phrase("OOMKilled", r"(?P<detail>\"?OOMKilled\"?: ?true)", Symptom.OOM_KILLED),
    Phrase("OOMKilled", r"(?P<detail>(?:Reason|reason)\"?:\s{1,64}\"?OOMKilled\b)", Symptom.OOM_KILLED),
    Phrase("container oom ", r"(?P<detail>container oom (?P<cgroup>[0-9a-f]{12,64}))", Symptom.OOM_KILLED),
    Phrase("Restarting (", r"(?P<detail>Restarting \((?P<code>\d{1,20})\)" + _AGO + ")", Symptom.RESTART_LOOP),
    Phrase("CrashLoopBackOff", r"(?P<detail>CrashLoopBackOff)", Symptom.RESTART_LOOP),
    Phrase("Back-off restarting failed container", r"(?P<detail>Back-off restarting failed container.*)", Symptom.RESTART_LOOP),
    Phrase("Exited (", r"(?P<detail>Exited \((?:0|143)\)" + _AGO + ")", Symptom.PROCESS_STOPPED),
    Phrase("Exited (", r"(?P<detail>Exited \((?P<code>12[5-7])\)" + _AGO + ")", Symptom.START_FAILED, _START),
    Phrase("Exited (", r"(?P<detail>Exited \((?P<code>13[0-9]|14[0-24-9]|15\d)\)" + _AGO + ")", Symptom.PROCESS_CRASHED),
    Phrase("Exited (", r"(?P<detail>Exited \((?P<code>\d{1,20})\)" + _AGO + ")", Symptom.PROCESS_EXITED),
    Phrase("exited with code ", r"^(?P<process>[\w.-]{1,255}) (?P<detail>exited with code (?:0|143))(?: \(restarting\))?\s{0,64}$", Symptom.PROCESS_STOPPED),
    Phrase("exited with code ", r"^(?P<process>[\w.-]{1,255}) (?P<detail>exited with code (?P<code>13[0-9])(?: \(restarting\))?)\s{0,64}$", Symptom.PROCESS_CRASHED),
    Phrase("exited with code ", r"^(?P<process>[\w.-]{1,255}) (?P<detail>exited with code (?P<code>\d{1,20})(?: \(restarting\))?)\s{0,64}$", Symptom.PROCESS_EXITED),
    Phrase("container die ", r"(?P<detail>container die (?P<cgroup>[0-9a-f]{12,64}) .{0,2048}exitCode=(?P<code>[1-9]\d*))", Symptom.PROCESS_EXITED),
    Phrase("port is already allocated", r"(?P<detail>Bind for (?P<address>\S{1,255}) failed: port is already allocated)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("address already in use", r"(?P<detail>(?:rootlessport|Error starting userland proxy|failed to bind (?:host )?port).{0,400}?listen (?:tcp|udp)[46]? (?P<address>\S{1,100}): bind: address already in use)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("executable file not found in $PATH", r"(?P<detail>exec: \\?\"[^\"]{0,255}\"?: executable file not found in \$PATH)", Symptom.START_FAILED, _START),
    Phrase("runtime create failed", r"(?P<detail>(?:OCI|oci) runtime create failed: .*)", Symptom.START_FAILED, _START),
    Phrase("exec user process", r"(?P<detail>exec user process caused:? .*)", Symptom.START_FAILED, _START),
    Phrase("no such file or directory", r"^(?P<detail>exec /\S{1,255}: no such file or directory)", Symptom.START_FAILED, _START),
    Phrase("permission denied", r"^(?P<detail>exec /\S{1,255}: permission denied)", Symptom.START_FAILED, _START),
    Phrase("exec format error", r"(?P<detail>exec \S{1,255} ?: exec format error|exec \S{1,255}: exec format error)", Symptom.START_FAILED, _START),
    Phrase("(unhealthy)", r"(?P<detail>Up .{1,60}? \(unhealthy\))", Symptom.HEALTH_CHECK_FAILED),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
