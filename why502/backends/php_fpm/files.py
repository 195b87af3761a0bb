"""Locations of PHP-FPM's configuration files in the distributions, and their includes."""

from __future__ import annotations

import fnmatch
import posixpath
from functools import partial

import msgspec

from why502.backends.php_fpm.config import Entry, full_path, parse
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights
from why502.model.errors import HostError
from why502.model.snapshot import Gap

# Debian, Ubuntu; Fedora, RHEL; Arch; Alpine; PHP's own build and container image; Software Collections; hosting panels.
PLACES = (
    "/etc/php/*/fpm/php-fpm.conf",
    "/etc/php-fpm.conf",
    "/etc/php/php-fpm.conf",
    "/etc/php[0-9]*/php-fpm.conf",
    "/usr/local/etc/php-fpm.conf",
    "/usr/local/php*/etc/php-fpm.conf",
    "/etc/opt/remi/*/php-fpm.conf",
    "/opt/remi/*/root/etc/php-fpm.conf",
    "/opt/plesk/php/*/etc/php-fpm.conf",
    "/opt/cpanel/*/root/etc/php-fpm.conf",
)
_DEPTH = 5  # of includes; FPM's own limit
_INCLUDES = 64
_FILES = 512
_FILE_BYTES = 1 << 20


def found(host: Host) -> list[str]:
    """Return the main configuration files in their usual locations, each file once."""
    seen: dict[tuple[int, int], str] = {}
    for place in PLACES:
        for path in expand(host, place):
            if stat := attempt(partial(host.stat, path)):
                seen.setdefault((stat.device, stat.inode), path)
    return list(seen.values())


def read(rights: Rights, path: str, prefix: str) -> tuple[tuple[Entry, ...], tuple[Gap, ...]]:
    """Return the entries of a configuration and all its includes, in FPM's order. Raises HostError for the main file.

    An included file continues the section open at that point, and leaves its own last section open (fpm_conf_load_ini_file).
    """
    entries: list[Entry] = []
    gaps: list[Gap] = []
    files = includes = 0

    def load(content: bytes, path: str, depth: int) -> None:
        nonlocal files, includes
        files += 1
        for entry in parse(content[:_FILE_BYTES], path):
            section = entries[-1].section if entry.name and entries else entry.section
            entries.append(msgspec.structs.replace(entry, section=section))
            if entry.name != "include":
                continue
            includes += 1
            for included in expand(rights.of(path), full_path(entry.value, prefix)) if includes <= _INCLUDES else ():
                if depth >= _DEPTH or files >= _FILES:
                    gaps.append(Gap(source=path, reason="it has too many includes to follow"))
                    return
                try:
                    load(rights.reading(path)[0](included), included, depth + 1)
                except HostError as error:
                    gaps.append(Gap(source=included, reason=error.reason, hint=error.hint))

    load(rights.read(path), path, 1)
    return tuple(entries), tuple(dict.fromkeys(gaps))


def expand(host: Host, pattern: str) -> list[str]:
    """Return the paths that match a glob(3) pattern, sorted; unreadable ones are left out."""
    paths = ["/"]
    for part in pattern.strip("/").split("/"):
        if any(mark in part for mark in "*?["):
            paths = [posixpath.join(path, name) for path in paths for name in _names(host, path) if _fits(name, part)][:_FILES]
        else:
            paths = [posixpath.join(path, part) for path in paths]
    return [path for path in paths if attempt(partial(host.stat, path))]


def default_prefix(config: str, exe: str) -> str:
    """Return the base of relative paths: FPM's build prefix, inferred from the path of its program or of its files."""
    if exe.startswith("/") and exe.count("/") > 2:
        return posixpath.dirname(posixpath.dirname(exe))
    above = config.partition("/etc/")[0]
    return above + "/usr" if not above or above.endswith("/root") else above


def _names(host: Host, path: str) -> list[str]:
    try:
        return host.list(path)
    except HostError:
        return []


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and (pattern[0] == "." or name[0] != ".")
