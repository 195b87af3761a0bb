"""The systemd units of `why502 watch`, and writing them."""

from __future__ import annotations

import grp
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import why502
from why502.model.errors import Why502Error

DIRECTORY = Path("/etc/systemd/system")
SERVICE, ONCE, TIMER = "why502-watch.service", "why502-watch-once.service", "why502-watch-once.timer"
MITIGATE, MITIGATE_TIMER = "why502-watch-mitigate.service", "why502-watch-mitigate.timer"
GROUPS = ("adm", "systemd-journal")  # who may read /var/log and the journal on Debian and most other distributions

# A user of its own that exists only while it runs (systemd.exec(5), DynamicUser=).
_OWN_USER = """\
DynamicUser=yes
User=why502
SupplementaryGroups={groups}
AmbientCapabilities=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE
"""

# The capabilities let it read logs, and which process has them open; it can change nothing but its own state directory. Exit
# status 2 is bad input (settings, a second daemon): a restart would not change it.
_SANDBOX = """\
{user}CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE
StateDirectory=why502-watch
StateDirectoryMode=0750
UMask=0027
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=no
NoNewPrivileges=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
MemoryMax=256M
Nice=10
"""

_SERVICE = """\
# Written by `why502 watch install`.
[Unit]
Description=why502: watch the reverse proxies of this machine
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} watch{options}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=60
Restart=always
RestartSec=5
RestartPreventExitStatus=2
TimeoutStopSec=20
{sandbox}
[Install]
WantedBy=multi-user.target
"""

_ONCE = """\
# Written by `why502 watch install --timer`.
[Unit]
Description=why502: check the reverse proxies of this machine once
After=network.target
Conflicts=why502-watch.service

[Service]
Type=oneshot
ExecStart={command} watch --once{options}
TimeoutStartSec=300
{sandbox}"""

_TIMER = """\
# Written by `why502 watch install --timer`.
[Unit]
Description=why502: check the reverse proxies of this machine every minute

[Timer]
OnCalendar=minutely
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

# It changes the gateway's configuration, so that it runs as root and outside of the daemon, which can change nothing.
_MITIGATE = """\
# Written by `why502 watch install --mitigate`.
[Unit]
Description=why502: temporarily take out a member that keeps failing
After=network.target

[Service]
Type=oneshot
ExecStart={command} watch mitigate{options}
TimeoutStartSec=300
Nice=10
"""

_MITIGATE_TIMER = """\
# Written by `why502 watch install --mitigate`.
[Unit]
Description=why502: look for members that keep failing

[Timer]
OnActiveSec=30s
OnUnitInactiveSec=30s
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """The files that were written, and the commands that put them to use."""

    paths: tuple[Path, ...]
    commands: tuple[str, ...]


def texts(
    *, is_timer: bool, settings: str | None, mitigates: bool = False, program: tuple[str, ...] | None = None
) -> dict[str, str]:
    """Return the text of each unit by its file name. `settings`: the path of a settings file, None for the usual one."""
    command = " ".join(_quoted(word) for word in program or own_command())
    options = f" --settings {_quoted(settings)}" if settings else ""
    user = _OWN_USER.format(groups=" ".join(name for name in GROUPS if _exists(name))) if others_can_run() else ""
    sandbox = _SANDBOX.format(user=user)
    if is_timer:
        found = {ONCE: _ONCE.format(command=command, options=options, sandbox=sandbox), TIMER: _TIMER}
    else:
        found = {SERVICE: _SERVICE.format(command=command, options=options, sandbox=sandbox)}
    if mitigates:
        found |= {MITIGATE: _MITIGATE.format(command=command, options=options), MITIGATE_TIMER: _MITIGATE_TIMER}
    return found


def install(directory: Path, *, is_timer: bool, settings: str | None, mitigates: bool = False) -> Installed:
    """Write the units into a directory. Raises Why502Error."""
    found = texts(is_timer=is_timer, settings=settings, mitigates=mitigates)
    paths = []
    for name, text in found.items():
        path = directory / name
        try:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        except OSError as error:
            raise Why502Error(
                f"{path}: {(error.strerror or str(error)).lower()}",
                "Run it as root on a machine with systemd, or give --directory.",
            ) from error
        paths.append(path)
    started = [TIMER if is_timer else SERVICE, *((MITIGATE_TIMER,) if mitigates else ())]
    return Installed(tuple(paths), ("systemctl daemon-reload", f"systemctl enable --now {' '.join(started)}"))


def own_command() -> tuple[str, ...]:
    """Return the command that starts this program again."""
    script = Path(sys.argv[0])
    if script.name == "why502" and script.is_absolute() and script.exists():
        return (str(script),)
    if Path(sys.executable).with_name("why502").exists():
        return (str(Path(sys.executable).with_name("why502")),)
    found = shutil.which("why502")
    return (found,) if found else (sys.executable, "-m", "why502")


def others_can_run() -> bool:
    """Return whether another user can run this program: root may have installed it below a home that only root can enter.

    Then the service runs as root, with the same few capabilities.
    """
    places = (Path(sys.executable).resolve(), Path(sys.prefix), Path(why502.__file__).resolve())
    return all(path.stat().st_mode & stat.S_IXOTH for place in places for path in place.parents)


def _exists(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _quoted(word: str) -> str:
    """Return a word of ExecStart= (systemd.service(5), COMMAND LINES)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == word and not any(character.isspace() for character in word) else f'"{escaped}"'
