"""The kernel log, 2.6 to 6.18, in every form (dmesg, dmesg -T, journal, syslog, /dev/kmsg), and user-space OOM killers.

The victim is in `Killed process N (name)`; the process that "invoked oom-killer" only requested memory at the wrong moment
(mm/oom_kill.c). `oom-kill:constraint=…` has the cgroup (since 4.19). `process_pid` is a number in the host's pid namespace. Other
sources: mm/memory.c and arch/x86/mm/fault.c (segfault), arch/x86/kernel/traps.c, nf_conntrack_core.c, tcp_input.c,
nf_log_syslog.c, kernel/hung_task.c.
"""

from __future__ import annotations

import re

import msgspec

from why502.gateways.processes import as_gateway
from why502.logs import stamps
from why502.logs.phrases import Phrase, marks, read, share, signal_name
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target

NAME = "kernel"
_WHO = r"(?<!\S)(?P<process>[^\s\[\]]{1,32}(?: [^\s\[\]:]{1,15}){0,3}?)\[(?P<pid>\d{1,10})\]"
_HEAD = lazy(
    r"(?:^|\skernel: )\[ *\d+\.\d{6}\]|^\d+,\d+,\d+,-[^;]*;|\skernel: |^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}\] "
)
_KILLED = (
    r"(?P<detail>(?:Memory cgroup o|O)ut of [mM]emory(?: \([^)]*\))?: Kill(?:ed)? process (?P<pid>\d+) \((?P<process>[^)]*)\).*)"
)
_PACKET = lazy(r"IN=\S{0,32} OUT=\S{0,32} ")
_PAIR = lazy(r"(?<!\S)(SRC|DST|PROTO|DPT)=(\S{1,64})")
_KMSG = lazy(r"^\d+,\d+,\d+,-[^;]*;")  # /dev/kmsg: priority, sequence, microseconds since boot, flags
_REFUSES = lazy(r"drop|reject|den(?:y|ied)|block|refus|blacklist|ban\b", re.IGNORECASE)
PHRASES = (
    Phrase("Kill", _KILLED, Symptom.OOM_KILLED),
    Phrase("Killed process ", r"(?P<detail>Killed process (?P<pid>\d{1,20}) \((?P<process>[^)]{0,255})\),?(?: UID \d{1,20},)? (?:total-)?vm.*)", Symptom.OOM_KILLED),
    Phrase("Killed process ", r"Out of Memory: (?P<detail>Killed process (?P<pid>\d{1,20}) \((?P<process>[^)]{0,255})\))", Symptom.OOM_KILLED),
    Phrase("oom-kill:constraint=", r"(?P<detail>oom-kill:constraint=CONSTRAINT_\w{1,100}).{0,2048}?task_memcg=(?P<cgroup>[^,]{0,255}),task=(?P<process>[^,]{0,255}),pid=(?P<pid>\d+)", Symptom.OOM_KILLED),
    Phrase("oom_reaper: reaped process", r"(?P<detail>oom_reaper: reaped process (?P<pid>\d{1,20}) \((?P<process>[^)]{0,255})\).*)", Symptom.OOM_KILLED),
    Phrase("are going to be killed due to memory.oom.group", r"(?P<detail>Tasks in (?P<cgroup>\S{1,255}) are going to be killed due to memory\.oom\.group set)", Symptom.OOM_KILLED),
    Phrase("killed as a result of limit of", r"(?P<detail>Task in (?P<cgroup>\S{1,255}) killed as a result of limit of \S+)", Symptom.OOM_KILLED),
    Phrase("invoked oom-killer", r"(?P<process>\S{1,255}) (?P<detail>invoked oom-killer: .*)", None),
    Phrase("Killed /", r"(?P<detail>Killed (?P<cgroup>/\S{1,255}) due to memory (?:pressure|used) .*)", Symptom.OOM_KILLED),
    Phrase("earlyoom", r"(?P<detail>sending SIG(?:TERM|KILL) to process (?P<pid>\d{1,20}) (?:uid \d{1,20} )?\"(?P<process>[^\"]{0,255})\".*)", Symptom.OOM_KILLED),
    Phrase("sending SIG", r"(?P<detail>sending SIG(?:TERM|KILL) to process (?P<pid>\d{1,20}) uid \d{1,20} \"(?P<process>[^\"]{0,255})\": .{0,2048}VmRSS.*)", Symptom.OOM_KILLED),
    Phrase(": segfault at ", _WHO + r": (?P<detail>segfault at .*)", Symptom.PROCESS_CRASHED),
    Phrase(" general protection ", r"(?:traps: )?" + _WHO + r":? (?P<detail>general protection (?:fault )?(?:ip|rip):.*)", Symptom.PROCESS_CRASHED),
    Phrase(" trap ", r"(?:traps: )?" + _WHO + r":? (?P<detail>trap (?:invalid opcode|divide error|int3|stack segment|bounds|overflow|alignment check|invalid TSS|segment not present|SIMD exception).*)", Symptom.PROCESS_CRASHED),
    Phrase(": unhandled ", _WHO + r": (?P<detail>unhandled (?:level \d )?[a-z ]{0,255}(?:fault|exception|signal)[^(]{0,255}\(?(?P<signal>\d{1,20})\)?.*)", Symptom.PROCESS_CRASHED),
    Phrase("fatal signal", r"(?P<process>\S{1,255}): (?P<detail>potentially unexpected fatal signal (?P<signal>\d+))", Symptom.PROCESS_CRASHED),
    Phrase(": table full", r"(?P<detail>(?:nf|ip)_conntrack: table full, dropping packet)", Symptom.CONNTRACK_FULL),
    Phrase("Possible SYN flooding on port ", r"(?P<detail>Possible SYN flooding on port (?P<address>\[[^\]]{0,255}\]:\d{1,20}|[\d.]{0,255}:?\d{1,20})\. .*)", Symptom.SYN_FLOOD),
    Phrase("ut of ", r"(?P<detail>(?:TCP: out of memory -- consider tuning tcp_mem|[Oo]ut of socket memory).*)", Symptom.MEMORY_EXHAUSTED),
    Phrase("too many orphaned sockets", r"(?P<detail>(?:TCP: )?too many (?:of )?orphaned sockets)", Symptom.MEMORY_EXHAUSTED),
    Phrase("page allocation failure", r"(?P<process>\S{1,255}): (?P<detail>page allocation failure.*)", Symptom.MEMORY_EXHAUSTED),
    Phrase("file-max limit", r"(?P<detail>VFS: file-max limit \d{1,20} reached)", Symptom.FILES_EXHAUSTED),
    Phrase("blocked for more than", r"INFO: task (?P<process>\S{1,255}?):(?P<pid>\d{1,20}) (?P<detail>blocked for more than \d{1,20} seconds)", Symptom.IO_SLOW),
    Phrase("soft lockup", r"(?P<detail>BUG: soft lockup - CPU#\d{1,20} stuck for \d{1,20}s!) \[(?P<process>[^\]:]{0,255}):(?P<pid>\d{1,20})\]", Symptom.CPU_SHORT),
    Phrase("detected stall", r"(?P<detail>rcu: INFO: rcu_\w{1,100} (?:self-)?detected stalls? on CPU.*)", Symptom.CPU_SHORT),
    Phrase("not responding, still trying", r"(?P<detail>nfs: server \S{1,255} not responding, still trying)", Symptom.IO_SLOW),
    Phrase("not responding, timed out", r"(?P<detail>nfs: server \S{1,255} not responding, timed out)", Symptom.IO_FAILED),
    Phrase("I/O error", r"(?P<detail>(?:\w{1,100}: )?(?:Buffer )?I/O error,? (?:on )?dev(?:ice)? \S{1,255},? .*)", Symptom.IO_FAILED),
    Phrase("emounting filesystem read-only", r"(?P<detail>\S{1,255} \((?:device )?[^)]{0,255}\)?: [Rr]emounting filesystem read-only)", Symptom.IO_FAILED),
    Phrase("-fs error (device ", r"(?P<detail>[\w-]{1,255}-fs error \(device [^)]{0,255}\).*)", Symptom.IO_FAILED),
    Phrase("ilesystem has been shut down", r"(?P<detail>XFS \([^)]{0,255}\): .{0,2048}ilesystem has been shut down.*)", Symptom.IO_FAILED),
    Phrase("orced readonly", r"(?P<detail>BTRFS.{0,2048}: forced readonly)", Symptom.IO_FAILED),
    Phrase("fork rejected by pids controller", r"(?P<detail>cgroup: fork rejected by pids controller) in (?P<cgroup>\S+)", Symptom.START_FAILED),
)  # fmt: skip
_DROPPED = Phrase("PROTO=", r"(?P<detail>IN=\S{0,32} OUT=.*)", Symptom.FIREWALL_DROPPED)
MARKS = marks((*PHRASES, _DROPPED))
_TRAPS = {"invalid opcode": 4, "divide error": 8, "int3": 5, "SIMD exception": 8, "alignment check": 7, "stack segment": 7}


def fits(sample: list[str]) -> float:
    """Return the share of lines that start like the kernel's, or contain a message that only the kernel writes."""
    return share(sample, lambda line: _HEAD.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None for all other lines.

    `code` is the signal of a crash. A packet logged by a firewall has its destination as `target`; it counts as dropped only if
    the rule's own prefix says so.
    """
    head, found_head, rest = line[:200].partition("kernel: ")
    if found_head:  # syslog, the journal
        inner = parse(rest + line[200:])
        return inner and _changed(inner, at=inner.at or stamps.find(head), message=line.strip()[:2048])
    line = _KMSG.sub("", line)
    if "apparmor=" in line or "avc: " in line:
        return None  # handled by the audit format
    if "PROTO=" in line and (packet := _PACKET.search(line[:1024])):
        return _packet(line[:1024], packet.start())
    found = read(line, PHRASES, NAME)
    if found is None or found.symptom is not Symptom.PROCESS_CRASHED or found.code:
        return as_gateway(found)
    number = next((number for name, number in _TRAPS.items() if name in found.detail), 11)
    return as_gateway(_changed(found, code=signal_name(str(number))))


def _packet(line: str, start: int) -> LogRecord | None:
    given = dict(_PAIR.findall(line[start:]))
    found = read(line, (_DROPPED,), NAME)
    if found is None or "SRC" not in given or "DST" not in given:
        return None
    prefix = re.sub(r"^\[ *[\d.]+\] *", "", line[:start].rsplit("kernel:", 1)[-1].strip()).strip("[] ")
    refused = bool(_REFUSES.search(prefix))
    return _changed(
        found,
        symptom=Symptom.FIREWALL_DROPPED if refused else None,
        is_gateway_failure=refused,
        target=_address(given["DST"], given["DPT"]) if "DPT" in given else None,
        client=given["SRC"],
        protocol=given.get("PROTO", "").lower(),
        code=prefix[:64],
    )


def _address(host: str, port: str) -> Target | None:
    return Target.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _changed(record: LogRecord, **fields: object) -> LogRecord:
    return msgspec.structs.replace(record, **fields)
