"""The files into which this machine's syslog daemon writes the messages of one program.

Sources: rsyslog.conf(5), "Selectors" and "Property-based filters"; its documentation of RainerScript (`if`, `include`, omfile);
syslog.conf(5) of sysklogd and of BusyBox.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.patterns import lazy

MAIN = ("/etc/rsyslog.conf", "/etc/syslog.conf")
MOST_FILES = 32
MOST_BYTES = 1 << 18
_SEVERITIES = ("debug", "info", "notice", "warning", "err", "crit", "alert", "emerg")
_ALIASES = {"warn": "warning", "error": "err", "panic": "emerg"}
_INCLUDE = lazy(r"^(?:\$IncludeConfig\s+(\S+)|include\s*\(.{0,200}?file=\"([^\"]{1,300})\")", re.IGNORECASE)
_FILTER = lazy(r"^:(programname|syslogtag),\s*(isequal|startswith|contains),\s*\"([^\"]{1,100})\"\s+(\S.*)$", re.IGNORECASE)
_IF = lazy(r"^if\s+\(?\s*\$(programname|syslogtag)\s*(==|startswith|contains)\s*['\"]([^'\"]{1,100})['\"]\s*\)?\s+then\b(.*)$")
_OMFILE = lazy(r"\bfile=\"(/[^\"]{1,300})\"", re.IGNORECASE)
_PLAIN = lazy(r"^-?(/[^\s;{}\"]{1,300})")
_SELECTOR = lazy(r"^([a-z0-9_,*]{1,200}\.[a-z0-9_,*=!.;]{1,300})\s+(\S.*)$", re.IGNORECASE)
_STOPS = lazy(r"(?:^|[\s;{])(?:stop|~)(?:$|[\s;}])")


def files(host: Host, facility: str, program: str, severity: str = "err") -> tuple[str, ...]:
    """Return the files, as far as the rules of the daemon are known, in order of the rules; () if it has none for them.

    `facility`: of the messages, such as `local1`. `program`: their tag without the process id.
    """
    found: list[str] = []
    for line in _lines(host):
        if taken := _taken(line, facility, program, severity):
            path, is_last = taken
            found.extend([path] if path and path not in found else [])
            if is_last:
                break
    return tuple(found)


def _taken(line: str, facility: str, program: str, severity: str) -> tuple[str, bool] | None:
    """Return the file of a rule that takes such messages, "" if it has none, and whether no later rule sees them; None else."""
    named = _FILTER.match(line) or _IF.match(line)
    if named is not None:
        action, value = named[4].strip(), named[3].rstrip("[:")
        is_it = {"isequal": program == value, "==": program == value, "startswith": program.startswith(value)}
        return (_file(action), bool(_STOPS.search(action))) if is_it.get(named[2].lower(), value in program) else None
    selected = _SELECTOR.match(line)
    if selected is None or not _selects(selected[1].lower(), facility.lower(), severity):
        return None
    return _file(selected[2]), bool(_STOPS.search(selected[2]))


def _file(action: str) -> str:
    match = _PLAIN.match(action.lstrip("{ ")) or _OMFILE.search(action)
    return match[1] if match and not match[1].startswith("/dev/") else ""


def _selects(selector: str, facility: str, severity: str) -> bool:
    """Return whether a selector (`*.info;mail.none`) takes messages of a facility and severity: its last fitting part decides."""
    is_taken = False
    for part in selector.split(";"):
        names, _, level = part.rpartition(".")
        if not {"*", facility} & set(names.split(",")):
            continue
        level = level.removeprefix("!").removeprefix("=")
        level = _ALIASES.get(level, level)
        if level in ("*", "none"):
            is_taken = level == "*"
        elif level in _SEVERITIES:
            own, least = _SEVERITIES.index(severity), _SEVERITIES.index(level)
            fits = own == least if "=" in part else own >= least
            is_taken = (not fits and is_taken) if "!" in part else fits
    return is_taken


def _lines(host: Host) -> Iterator[str]:
    """Yield the lines of the daemon's configuration, those of included files in their place, each block in one line."""
    for main in MAIN:
        if (text := _text(host, main)) is not None:
            yield from _with_included(host, text, [main])
            return


def _with_included(host: Host, text: str, read: list[str]) -> Iterator[str]:
    for line in _joined(text):
        match = _INCLUDE.match(line)
        if match is None:
            yield line
            continue
        for path in _matching(host, match[1] or match[2]):
            if path not in read and len(read) < MOST_FILES and (own := _text(host, path)) is not None:
                read.append(path)
                yield from _with_included(host, own, read)


def _joined(text: str) -> Iterator[str]:
    """Yield the rules of a file: without comments, a block in braces in one line, and `&` with the rule before it."""
    rule, depth = "", 0
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if depth or line.startswith("&"):
            rule = f"{rule} {line.removeprefix('&').strip()}"[:2000]
        else:
            if rule:
                yield rule
            rule = line[:2000]
        depth = max(0, depth + line.count("{") - line.count("}"))
    if rule:
        yield rule


def _matching(host: Host, pattern: str) -> list[str]:
    directory, name = posixpath.split(pattern)
    if not any(mark in name for mark in "*?["):
        return [pattern]
    names = attempt(partial(host.list, directory)) or []
    return [posixpath.join(directory, each) for each in sorted(names) if fnmatchcase(each, name)][:MOST_FILES]


def _text(host: Host, path: str) -> str | None:
    content = attempt(partial(host.read, path, limit_bytes=MOST_BYTES))
    return None if content is None else content.decode("utf-8", "replace")
