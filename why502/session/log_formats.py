"""Log settings from a configuration. Each gateway that has some states them in `gateways/<product>/log_settings.py`."""

from __future__ import annotations

import posixpath
from pathlib import Path
from types import ModuleType

from why502 import registry
from why502.host.base import Host
from why502.logs.scan.job import LogSettings
from why502.logs.scan.line_format import Form, of_format
from why502.model.errors import HostError, Why502Error

PACKAGE = "why502.gateways"
PART = "log_settings"
_MOST_BYTES = 16 << 20


def given(text: str, escape: str) -> Form:
    """Return the form of the text of a log_format or LogFormat, or of `combined` or `main`. Raises Why502Error."""
    gateways = tuple(registry.parts(PACKAGE, PART))
    text = next((gateway.NAMED[text] for gateway in gateways if text in gateway.NAMED), text)
    if not any(gateway.is_format(text) for gateway in gateways):
        examples = ", or ".join(gateway.EXAMPLE for gateway in gateways)
        raise Why502Error(f"--log-format {text!r} contains no variable", f"Give the text {examples}.")
    return of_format(text, escape)


def near(paths: tuple[str, ...]) -> LogSettings:
    """Return the log settings of this machine's configuration if it names one of the directories; else none."""
    directories = {
        posixpath.dirname(posixpath.abspath(path)) if not Path(path).is_dir() else posixpath.abspath(path) for path in paths
    }
    host = _host()
    for gateway in registry.parts(PACKAGE, PART):
        found: LogSettings | None = gateway.near(host, directories)
        if found is not None:
            return found
    return LogSettings()


def read(path: str) -> LogSettings:
    """Return the log settings of a configuration. Raises Why502Error if it cannot be read."""
    main = str(Path(path).absolute())
    host = _host()
    try:
        settings: LogSettings = _gateway(host.read(main, limit_bytes=_MOST_BYTES)).read(host, main)
    except HostError as error:
        raise Why502Error(f"{path}: {error.reason}", error.hint or "Check the path and its permissions.") from error
    return settings


def _gateway(content: bytes) -> ModuleType:
    from why502.gateways.detect import kind

    name = kind(content.decode("utf-8", "replace"))
    found = registry.part(PACKAGE, name, PART) if name else None
    return found or next(module for module in registry.parts(PACKAGE, PART) if module.READS_UNRECOGNISED)


def _host() -> Host:
    from why502.host.local import LocalHost

    return LocalHost()
