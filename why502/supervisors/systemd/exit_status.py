"""The meaning of exit statuses from 200 in systemd (systemd.exec(5), src/shared/exit-status.c), and of a unit's Result."""

from __future__ import annotations

from why502.logs.phrases import signal_name

_NAMES = (
    "CHDIR NICE FDS EXEC MEMORY LIMITS OOM_ADJUST SIGNAL_MASK STDIN STDOUT CHROOT IOPRIO TIMERSLACK SECUREBITS SETSCHEDULER"
    " CPUAFFINITY GROUP USER CAPABILITIES CGROUP SETSID CONFIRM STDERR - PAM NETWORK NAMESPACE NO_NEW_PRIVILEGES SECCOMP"
    " SELINUX_CONTEXT PERSONALITY APPARMOR_PROFILE ADDRESS_FAMILIES RUNTIME_DIRECTORY - CHOWN SMACK_PROCESS_LABEL KEYRING"
    " STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY NUMA_POLICY CREDENTIALS - BPF"
).split()
_MEANINGS = {
    "CHDIR": "its WorkingDirectory does not exist or is not accessible",
    "EXEC": "its program could not be executed: missing, not executable, or of another architecture",
    "USER": "its User does not exist",
    "GROUP": "its Group does not exist",
    "NAMESPACE": "its mount namespace could not be set up: a path of its sandbox is missing",
    "STDOUT": "its standard output could not be opened",
    "STDERR": "its standard error could not be opened",
    "STDIN": "its standard input could not be opened",
    "CHROOT": "its RootDirectory does not exist",
    "LIMITS": "its resource limits could not be set",
    "CAPABILITIES": "its capabilities could not be set",
    "RUNTIME_DIRECTORY": "its RuntimeDirectory could not be created",
    "STATE_DIRECTORY": "its StateDirectory could not be created",
    "LOGS_DIRECTORY": "its LogsDirectory could not be created",
    "CREDENTIALS": "its credentials could not be set up",
    "SECCOMP": "its system call filter could not be set",
    "PAM": "its PAM session could not be opened",
    "NETWORK": "its network namespace could not be set up",
    "CHOWN": "a file could not be given to its user",
}
_RESULTS = {
    "oom-kill": "killed for lack of memory",
    "timeout": "did not start or stop within its time limit",
    "watchdog": "did not notify its watchdog in time",
    "protocol": "did not behave as its Type requires (no notification, no PID file)",
    "resources": "could not be started: a file or resource that its unit names is missing",
    "start-limit-hit": "was started too often in too short a time",
}


def exit_message(code: int, status: int, result: str) -> str:
    """Return a sentence about the exit of a unit's main process.

    `code` is ExecMainCode: CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3 (wait(2)).
    """
    reason = _RESULTS.get(result, "")
    if code in (2, 3):
        name = signal_name(str(status))
        how = f"{status}/{name.removeprefix('SIG')}: killed by {name}" + (", core dumped" if code == 3 else "")
    elif code == 1 and 200 <= status < 200 + len(_NAMES) and _NAMES[status - 200] != "-":
        name = _NAMES[status - 200]
        how = f"{status}/{name}: {_MEANINGS.get(name, 'it could not be set up before its start')}"
    elif code == 1 and status:
        how = f"exited with status {status}"
    else:
        how = ""
    return "; ".join(part for part in (how, reason) if part)
