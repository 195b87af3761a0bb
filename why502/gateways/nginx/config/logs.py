"""The logs in force at each level (src/http/modules/ngx_http_log_module.c, src/core/ngx_log.c)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from why502.gateways.nginx.config import units, variables
from why502.gateways.nginx.config.defaults import COMBINED, Build
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.scope import Settings
from why502.model.config import Escape, LogKind, LogPlace, LogTarget, Setting
from why502.model.proxy import ConfigProblem

_STREAMS = {
    **dict.fromkeys(
        ("/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1", "/proc/self/fd/2"), LogPlace.STDERR
    ),
    "/dev/null": LogPlace.OFF,
}
_UNFLUSHED_S = 600.0  # a buffer without `flush=` is written when it is full: nobody knows when
_ESCAPES = {f"escape={escape}": escape for escape in Escape}


class Logs:
    """Collects the logs of all levels, each once."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.formats: dict[str, tuple[str, Escape]] = {"combined": (COMBINED, Escape.DEFAULT)}  # by lower-case name: text, escape
        self.problems: list[ConfigProblem] = []
        self._found: dict[LogTarget, None] = {}
        # By identity; the value keeps the object alive so that its id is not reused
        self._inherited: dict[int, tuple[Setting, ...]] = {}

    @property
    def found(self) -> tuple[LogTarget, ...]:
        """Return the logs found so far."""
        return tuple(self._found)

    def define(self, directives: Iterable[Directive]) -> None:
        """Add the formats defined by `log_format` directives."""
        for directive in directives:
            if directive.name == "log_format" and len(directive.args) > 1:
                escape = _ESCAPES.get(directive.args[1])
                text = "".join(directive.args[2 if escape else 1 :])
                self.formats[directive.args[0].lower()] = (text, escape or Escape.DEFAULT)

    def main(self, settings: Settings) -> None:
        """Add the logs of the whole process. If none of them is a file, nginx opens the one set at build time."""
        targets = [self._error(setting, "") for setting in settings.get("error_log", ())]
        self._found.update(dict.fromkeys(targets))
        if self.build.is_known and not any(target.goes_to in (LogPlace.FILE, LogPlace.STDERR) for target in targets):
            path = self.build.error_log
            self._add(LogTarget(kind=LogKind.ERROR, path=path, goes_to=LogPlace.FILE if path else LogPlace.STDERR, level="error"))

    def level(self, settings: Settings, outer: Settings, server: str, *, is_stream: bool = False) -> None:
        """Add the logs in force at a level. `outer`: the settings around its server, which therefore belong to no server."""
        errors, around = settings.get("error_log", ()), outer.get("error_log", ())
        if not self._is_taken(errors, around):
            for setting in errors:
                self._add(self._error(setting, "" if setting in around else server))
        access, around = settings.get("access_log", ()), outer.get("access_log", ())
        if not self._is_taken(access, around):
            off = tuple(setting for setting in access if setting.args[:1] == ("off",))
            for target in _told_apart([self._access(setting, "" if setting in around else server) for setting in off or access]):
                self._add(target)
        if not access and not is_stream and self.build.access_log:
            self._add(LogTarget(kind=LogKind.ACCESS, path=self.build.access_log, format_name="combined", format=COMBINED))

    def _is_taken(self, found: tuple[Setting, ...], around: tuple[Setting, ...]) -> bool:
        """Return whether these are the same settings as those around the server, and were added before.

        Thousands of servers inherit them.
        """
        if found is not around or not found:
            return False
        is_taken = id(found) in self._inherited
        self._inherited[id(found)] = found
        return is_taken

    def _add(self, target: LogTarget) -> None:
        self._found[target] = None

    def _error(self, setting: Setting, server: str) -> LogTarget:
        where = setting.args[0] if setting.args else ""
        goes_to, path = self._place(where)
        if where == "stderr":
            goes_to, path = LogPlace.STDERR, ""
        elif where.startswith("memory:"):
            goes_to, path = LogPlace.OFF, ""
        level = setting.args[1] if len(setting.args) > 1 else "error"
        return LogTarget(kind=LogKind.ERROR, path=path, goes_to=goes_to, level=level, server=server, at=setting.at)

    def _access(self, setting: Setting, server: str) -> LogTarget:
        where = setting.args[0] if setting.args else ""
        if where == "off":
            return LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.OFF, server=server, at=setting.at)
        goes_to, path = self._place(where)
        if variables.is_in(where):
            goes_to = LogPlace.VARIABLE
        name = setting.args[1] if len(setting.args) > 1 else "combined"
        known = self.formats.get(name.lower())
        if known is None:
            self.problems.append(ConfigProblem(message=f'unknown log format "{name}"', at=setting.at))
        text, escape = known or ("", Escape.DEFAULT)
        return LogTarget(
            kind=LogKind.ACCESS,
            path=path,
            goes_to=goes_to,
            format_name=name,
            format=text,
            escape=escape,
            flush_s=_flush_s(setting.args),
            condition=next((arg.removeprefix("if=") for arg in setting.args[2:] if arg.startswith("if=")), ""),
            server=server,
            at=setting.at,
        )

    def _place(self, where: str) -> tuple[LogPlace, str]:
        """Return the meaning of a log's first argument: `goes_to`, and the path of a file (with its variables)."""
        if where.startswith("syslog:"):
            return LogPlace.SYSLOG, ""
        path = self.build.path(where)
        return (_STREAMS[path], "") if path in _STREAMS else (LogPlace.FILE, path)


def _told_apart(targets: list[LogTarget]) -> list[LogTarget]:
    """Return the access logs of one level: each has every request, unless it has a condition, so all but one are repetitions."""
    whole = [target for target in targets if not target.condition and target.goes_to is not LogPlace.OFF]
    if not whole or len(targets) < 2:
        return targets
    best = max(whole, key=lambda one: (one.goes_to in (LogPlace.FILE, LogPlace.VARIABLE), "$upstream_status" in one.format))
    return [target if target is best else replace(target, repeats=True) for target in targets]


def _flush_s(args: tuple[str, ...]) -> float:
    """Return how long a line may stay in the buffer of an access log, in seconds; 0 for a log without one."""
    options = dict(arg.split("=", 1) for arg in args[2:] if "=" in arg)
    if "flush" in options:
        return units.time(options["flush"]) or 0.0
    return _UNFLUSHED_S if "buffer" in options or any(arg.partition("=")[0] == "gzip" for arg in args[2:]) else 0.0
