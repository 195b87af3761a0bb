"""`why502 generate systemd`: a unit that restarts the application, and gives its requests time to end."""

from __future__ import annotations

import posixpath

from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, read
from why502.generate.nginx import installed
from why502.generate.options import Given, Option
from why502.generate.program import OPTIONS, Program, program, user
from why502.generate.remark import Row, Section, row
from why502.generate.safe import Safe, fill, ini
from why502.host.base import Host
from why502.model.errors import Why502Error

_TYPES = ("exec", "simple", "notify", "forking")
_NO_FILES = 65536


def emit(given: Given, host: Host) -> Made:
    """Return the unit. Raises Why502Error."""
    made = program(given)
    proxy = ""
    if made.target and made.target.is_unix:
        proxy = user("--proxy-user", given.get("--proxy-user") or installed.user(host))
    elif given.has("--proxy-user"):
        raise Why502Error("--proxy-user applies only to a socket", "Drop it, or give --app unix:/run/…")
    type_ = options.choice("--type", given.get("--type", "exec"), _TYPES)
    sections = (
        Section(Safe("[Unit]"), tuple(_unit(made))),
        Section(Safe("[Service]"), tuple(_service(made, type_, proxy, read(host, "/etc/group")))),
        Section(Safe("[Install]"), (row("WantedBy=multi-user.target"),)),
    )
    notes = [] if made.user else ["without --user the application runs as root: give it a separate user"]
    if not made.memory_bytes:
        notes.append("without --memory a leak can use up the memory of the machine: set a maximum")
    body = fill("sections.j2", sections=sections, mark=Safe("# "))
    pinned = (("--proxy-user", proxy),) if proxy and not given.has("--proxy-user") else ()
    return Made(
        documents=(Document(name=f"{made.name}.service", body=body),), product="systemd", notes=tuple(notes), pinned=pinned
    )


def _unit(made: Program) -> list[Row]:
    return [
        row(f"Description={ini(made.name)}"),
        row("After=network-online.target", "the address must exist before it can be bound"),
        row("Wants=network-online.target"),
        row("StartLimitIntervalSec=60", "these two belong here: in [Service] systemd ignores them"),
        row("StartLimitBurst=10", "with the default, systemd gives up after five restarts"),
    ]


def _service(made: Program, type_: str, proxy: str, groups: str) -> list[Row]:
    reason = {
        "notify": "the start is complete when the application reports it (sd_notify)",
        "exec": "a missing program fails at the start, not later",
    }
    rows = [row(f"Type={type_}", reason.get(type_, ""))]
    rows.append(row(f"ExecStart={' '.join(map(word, made.words))}", made.reason("--exec")))
    if made.user:
        rows.append(row(f"User={ini(made.user)}", made.reason("--user", "an intruder gets only the rights of this user")))
    if made.directory:
        rows.append(row(f"WorkingDirectory={_plain(made.directory)}", made.reason("--directory")))
    rows += [row(f"Environment={word(pair)}") for pair in made.variables]
    if made.variables_file:
        rows.append(row(f"EnvironmentFile={_plain(made.variables_file)}"))
    rows += _socket(made)
    rows += _for_proxy(made, proxy, groups)
    rows += [
        row("Restart=on-failure", "the default, no, leaves it down after a crash"),
        row("RestartSec=1", "the default, 100 ms, restarts faster than most applications can bind their port"),
        row(f"TimeoutStopSec={made.stop_s}", "longer than the proxy waits for an answer: requests in progress are finished"),
        row("KillMode=mixed", "the main process ends its workers; remaining ones are killed"),
        row(f"LimitNOFILE={_NO_FILES}", "each connection uses a file descriptor"),
    ]
    if made.memory_bytes:
        rows.append(row(f"MemoryMax={made.memory_bytes}", made.reason("--memory", "a memory leak restarts only this service")))
    rows.append(row("NoNewPrivileges=yes", "no program it starts can become root"))
    if not _is_in_tmp(made):
        rows.append(row("PrivateTmp=yes", "gives it a private /tmp"))
    return rows


def _socket(made: Program) -> list[Row]:
    """Return what makes the directory of a socket below /run: it is gone after each boot."""
    if made.target is None or not made.target.is_unix:
        return []
    directory = posixpath.dirname(made.target.path)
    if not directory.startswith("/run/"):
        return []
    return [
        row(
            f"RuntimeDirectory={_plain(directory.removeprefix('/run/'))}",
            "/run is empty after a boot: systemd creates this directory again",
        ),
    ]


def _for_proxy(made: Program, proxy: str, groups: str) -> list[Row]:
    """Return what lets the proxy's workers open the socket: it belongs to their group, and the group may write to it.

    `groups`: the text of group(5). A group named like the user is its first one on most machines, and is kept.
    """
    if not proxy or made.user == proxy:
        return []
    own = [row(f"SupplementaryGroups={ini(made.user)}", "the group that Group= replaces")]
    return [
        row(f"Group={ini(proxy)}", "the socket belongs to the group of the proxy's workers, who must open it"),
        *(own if made.user and f"\n{made.user}:" in f"\n{groups}" else []),
        row("UMask=0007", "the default, 0022, lets the group read the socket, but not connect to it"),
    ]


def _is_in_tmp(made: Program) -> bool:
    return made.target is not None and made.target.path.startswith(("/tmp/", "/var/tmp/"))


def _plain(path: str) -> Safe:
    """Return a path for a setting that takes one: `%` begins a specifier (systemd.unit(5))."""
    return ini(path.replace("%", "%%"))


def word(text: str) -> Safe:
    """Return one word of a command (systemd.service(5), command lines): quoted, without specifiers and variables."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = escaped == text and not any(character in text for character in " '\";") and text
    return ini(text if plain else f'"{escaped}"')


KIND = Kind(
    name="systemd",
    help="Write a systemd unit for the application.",
    example="why502 generate systemd --exec '/usr/bin/node /srv/shop/server.js' --user shop --memory 512m",
    options=(
        *OPTIONS,
        Option(
            name="--proxy-user",
            metavar="USER",
            help="The user of the proxy's workers, who must open the socket. Default: that of the installed nginx.",
        ),
        Option(name="--type", metavar="TYPE", choices=_TYPES, help="exec, simple, notify or forking. Default: exec."),
    ),
    emit=emit,
    home="/etc/systemd/system",
    order=1,
)
