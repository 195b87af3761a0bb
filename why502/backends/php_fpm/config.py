"""PHP-FPM's configuration: text → entries with their positions → pools, and pool settings → edits.

The syntax is that of PHP's ini files (Zend/zend_ini_scanner.l). The rules for sections, `$pool`, the prefix of relative paths
and ports are from sapi/fpm/fpm/fpm_conf.c and fpm_sockets.c. If a setting occurs twice, the last one counts. A pool's `chroot`
applies only to its children: the master listens first, so `listen` is never below it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from why502.model.base import Value
from why502.model.config import Position, Setting
from why502.model.patterns import lazy
from why502.model.remedy import Edit
from why502.model.service import PhpPool
from why502.model.target import Target

GLOBAL = "global"
_SECTION = lazy(rb"\s*\[([^\]\r\n]*)\]")
_ENTRY = lazy(
    rb"\s*(?P<name>[A-Za-z_][\w.]*(?:\[[^\]\r\n]*\])?)\s*=[ \t]*(?P<value>\"(?:\\.|[^\"\\\r\n])*\"|'[^'\r\n]*'|[^;\r\n]*)"
)
_VARIABLE = lazy(r"\$\{(\w+)\}")
# Only FPM's own settings of a pool are kept. Others may hold secrets (env[DB_PASSWORD]), or the file may not be FPM's at all.
_KEPT = lazy(
    r"(?:listen|pm|ping|access|process|security)(?:\.\w+)?|user|group|prefix|chroot|chdir|slowlog|(?:request|rlimit)_\w+"
    r"|(?:catch|decorate)_workers_output|clear_env|php_(?:admin_)?value\[(?:memory_limit|max_execution_time|error_log)\]"
)
_OPENS_SECTION = lazy(rb"^[ \t]*\[[^\]\n]+\]", re.MULTILINE)
_OF_POOL = lazy(rb"^[ \t]*pm(?:\.\w+)?[ \t]*=", re.MULTILINE)
_LISTENS = lazy(rb"^[ \t]*listen[ \t]*=", re.MULTILINE)
_PLACE = lazy(r"/(?:[^/]*fpm[^/]*|pool\.d)(?:/|$)")
_TIME = lazy(r"(\d+)\s*([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Entry(Value, frozen=True, kw_only=True):
    """One setting, or with an empty name a section header. `value` is unquoted, `raw` as written; `at` spans `raw`.

    `line_end` is the byte offset of the end of its line, before the line break.
    """

    section: str
    name: str
    value: str
    raw: str
    at: Position
    line_end: int


def is_pool_file(path: str, content: bytes) -> bool:
    """Return whether a file belongs to PHP-FPM. Other programs have sections and `listen =`, too."""
    if not _OPENS_SECTION.search(content):
        return False
    return bool(_OF_POOL.search(content) or (_LISTENS.search(content) and _PLACE.search(path)))


def parse(content: bytes, file: str, section: str = GLOBAL) -> tuple[Entry, ...]:
    """Return the entries of one file in order. `section` is the section open at the point of inclusion.

    Positions are byte offsets, so that an edit leaves the rest of the file untouched. Lines that are neither section nor entry
    are skipped: FPM itself refuses such a file and logs the reason.
    """
    entries = []
    start = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        end = start + len(line.rstrip(b"\r\n"))
        if match := _SECTION.match(line):
            section = _text(match[1]).strip()
            at = Position(file=file, line=number, column=match.start(1), start=start + match.start(), end=start + match.end())
            entries.append(Entry(section=section, name="", value="", raw=_text(match[0]), at=at, line_end=end))
        elif match := _ENTRY.match(line):
            raw = match["value"].rstrip()
            first = start + match.start("value")
            at = Position(file=file, line=number, column=match.start("name") + 1, start=first, end=first + len(raw))
            name, text = _text(match["name"]), _text(raw)
            entries.append(Entry(section=section, name=name, value=_unquoted(text), raw=text, at=at, line_end=end))
        start += len(line)
    return tuple(entries)


def pools(entries: Iterable[Entry], prefix: str = "/usr", environment: Mapping[str, str] | None = None) -> tuple[PhpPool, ...]:
    """Return the pools defined by the entries of all files, in the order in which FPM reads them.

    `prefix` is the base of relative paths (FPM's -p, else its build prefix); `environment` is the master's, for `${NAME}`.
    """
    sections: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        sections.setdefault(entry.section.lower() if entry.section.lower() == GLOBAL else entry.section, {})[entry.name] = entry
    common = sections.pop(GLOBAL, {})
    log = full_path(common["error_log"].value, prefix) if "error_log" in common else ""
    found = (_pool(name, section, prefix, log, environment or {}) for name, section in sections.items())
    return tuple(pool for pool in found if pool.settings)


def listen_target(listen: str, prefix: str = "/usr") -> Target | None:
    """Return the address in a `listen` or `pm.status_listen`: `9000` is that port on every address, a relative path is below
    `prefix`.

    A host name is kept as one. None if nothing can listen there: `:9000` passes FPM's own test, but then FPM does not start.
    """
    listen = listen.strip()
    if not listen:
        return None
    if listen.isdecimal():
        return Target(host="::", port=int(listen)) if len(listen) < 6 and 0 < int(listen) < 65536 else None
    if ":" in listen:
        target = Target.parse(listen)
        return target if target and target.port else None
    return Target(path=full_path(listen, prefix))


def full_path(path: str, prefix: str) -> str:
    """Return a path of the configuration as an absolute one (fpm_evaluate_full_path). Words for other destinations are kept:
    syslog.
    """
    path = path.removeprefix("$prefix/")
    if path in {"", "syslog"} or path.startswith("/"):
        return path
    return posixpath.normpath(posixpath.join(prefix, path))


def seconds(value: str) -> float | None:
    """Return a time of the configuration (`30`, `30s`, `5m`, `1h`, `2d`) in seconds; None if it is invalid. 0 is off."""
    match = _TIME.fullmatch(value.strip())
    return float(int(match[1]) * _SECONDS[match[2]]) if match else None


def edits(pool: PhpPool, values: Mapping[str, str]) -> tuple[Edit, ...]:
    """Return the edits that give a pool these settings, in file order: existing settings are replaced, others added."""
    return tuple(sorted(_edits(pool, values), key=lambda edit: (edit.file, edit.start)))


def _edits(pool: PhpPool, values: Mapping[str, str]) -> Iterator[Edit]:
    added = []
    for name, value in values.items():
        if (setting := pool.written.get(name)) is None or setting.at is None:
            added.append(f"\n{name} = {value}")
        elif setting.args != (value,):
            yield _edit(setting.at, setting.args[0], value)
    if added and pool.ends_at is not None:
        yield _edit(pool.ends_at, "", "".join(added))


def _edit(at: Position, before: str, after: str) -> Edit:
    return Edit(file=at.file, line=at.line, start=at.start, end=at.end, before=before, after=after)


def _pool(name: str, section: Mapping[str, Entry], prefix: str, log: str, environment: Mapping[str, str]) -> PhpPool:
    def meant(value: str) -> str:
        value = _VARIABLE.sub(lambda match: environment.get(match[1], match[0]), value)
        return value.replace("$pool", name)

    settings = {key: meant(entry.value) for key, entry in section.items() if _KEPT.fullmatch(key)}
    below = full_path(settings.get("prefix", ""), prefix) or prefix
    listen = section.get("listen")
    last = max(section.values(), key=lambda entry: (entry.at.file == (listen or entry).at.file, entry.at.start))
    return PhpPool(
        name=name,
        file=last.at.file,
        target=listen_target(settings.get("listen", ""), below),
        listen_at=listen.at if listen else None,
        owner=settings.get("listen.owner", ""),
        group=settings.get("listen.group", ""),
        mode=settings.get("listen.mode", ""),
        acl_users=settings.get("listen.acl_users", ""),
        pm=settings.get("pm", ""),
        max_children=_number(settings.get("pm.max_children", "")),
        settings=settings,
        log=log,
        slowlog=full_path(settings.get("slowlog", ""), below),
        written={key: Setting(args=(entry.raw,), at=entry.at) for key, entry in section.items() if key in settings},
        ends_at=Position(file=last.at.file, line=last.at.line, start=last.line_end, end=last.line_end),
    )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
