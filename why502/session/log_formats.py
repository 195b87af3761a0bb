"""Log settings from a configuration: nginx's log formats, groups and timeouts; Apache's formats."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from why502.gateways.apache.logs.log_format import of_logs
from why502.gateways.nginx.logs.access import NAME
from why502.host.base import Host
from why502.logs.scan.job import LogSettings
from why502.logs.scan.line_format import Form, of_format
from why502.logs.scan.targets import Known
from why502.model.config import LogKind, LogTarget
from why502.model.errors import HostError, Why502Error
from why502.model.patterns import lazy
from why502.model.target import Target

USUAL = ("/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf")
APACHE_USUAL = ("/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "/etc/apache2/httpd.conf")
APACHE_DIRECTORIES = ("*-enabled/*.conf", "conf.d/*.conf", "../conf.d/*.conf", "vhosts.d/*.conf")
_SERVER_ROOT = lazy(r"^[ \t]*ServerRoot[ \t]++\"?([^\"\n]++)\"?+[ \t]*+$", re.MULTILINE | re.IGNORECASE)
_MOST_BYTES = 16 << 20


def given(text: str, escape: str) -> Form:
    """Return the form of the text of a log_format or LogFormat, or of `combined` or `main`. Raises Why502Error."""
    from why502.gateways.apache.logs.log_format import is_one
    from why502.gateways.nginx.logs.log_format import COMBINED, MAIN

    text = {"combined": COMBINED, "main": MAIN}.get(text, text)
    if "$" not in text and not is_one(text):
        raise Why502Error(
            f"--log-format {text!r} contains no variable",
            "Give the text of a log_format of nginx, '$remote_addr [$time_local] …', or of a LogFormat of Apache, '%h %t …'.",
        )
    return of_format(text, escape)


def near(paths: tuple[str, ...]) -> LogSettings:
    """Return the log settings of this machine's configuration if it names one of the directories; else none."""
    directories = {
        posixpath.dirname(posixpath.abspath(path)) if not Path(path).is_dir() else posixpath.abspath(path) for path in paths
    }
    for main in APACHE_USUAL:
        with contextlib.suppress(HostError):
            forms = _apache(main)
            if directories & {posixpath.dirname(path) for path in forms}:
                return LogSettings(forms=forms)
    for main in USUAL:
        with contextlib.suppress(OSError, HostError, Why502Error):
            text = _read(main)
            included = [*Path(main).parent.glob("*.d/*"), *Path(main).parent.glob("sites-enabled/*")]
            text += b"".join(_read(str(path)) for path in included[:200] if path.is_file())
            if any(os.fsencode(directory) in text for directory in directories):
                return read(main)
    return LogSettings()


def read(path: str) -> LogSettings:
    """Return the log settings of a configuration. Raises Why502Error if it cannot be read."""
    from why502.gateways.detect import kind
    from why502.gateways.nginx.config.load import load
    from why502.machine.suppliers import Rights

    main = str(Path(path).absolute())
    try:
        if kind(_read(main).decode("utf-8", "replace")) == "apache":
            return LogSettings(forms=_apache(main))
        rights = Rights(_host(), 0)  # the user named the file, or it is in root's place; its writer controls its includes
        found = load(_read, _list, main, version="", rights=rights.reading)
    except HostError as error:
        raise Why502Error(f"{path}: {error.reason}", error.hint or "Check the path and its permissions.") from error
    known: dict[str, Known] = {}
    for route in found.routes:
        for peer in route.peers:
            for target in _as_logged(peer.target):
                before = known.get(target, Known())
                reads = [route.read_timeout_s, *(one for one in before[2:] if one is not None)]
                known[target] = Known(
                    route.upstream or before.group,
                    min(route.connect_timeout_s, before.connect_timeout_s or route.connect_timeout_s),
                    min(reads),
                    max(reads),
                )
    return LogSettings(forms=of_targets(found.logs, path), known=known)


def of_targets(logs: Iterable[LogTarget], config: str) -> dict[str, Form]:
    """Return the formats of the access logs that a configuration names, by their paths."""
    return {
        log.path: Form(
            name=NAME, log_format=log.format, escape=log.escape, format_source=f"{log.format_name or 'log_format'} of {config}"
        )
        for log in logs
        if log.kind is LogKind.ACCESS and log.path and log.format
    }


def _apache(main: str) -> dict[str, Form]:
    """Return the formats of the logs in Apache's configuration: its main file, and the directories distributions include."""
    directory = Path(main).parent
    included = [path for pattern in APACHE_DIRECTORIES for path in sorted(directory.glob(pattern))[:200]]
    texts = [_read(str(path)).decode("utf-8", "replace") for path in (Path(main), *included) if path.is_file()]
    root = _SERVER_ROOT.search(texts[0]) if texts else None
    logs = of_logs(texts, {"APACHE_LOG_DIR": "/var/log/apache2"})
    forms = {}
    for path, text in logs.items():
        with contextlib.suppress(ValueError, re.error):
            forms[posixpath.join(root[1] if root else str(directory), path)] = of_format(
                text, format_source=f"LogFormat of {main}"
            )
    return forms


def _as_logged(target: Target | None) -> list[str]:
    """Return a target as $upstream_addr shows it: addresses. Of names only `localhost` is known without a query (RFC 6761,
    6.3).
    """
    if target is None:
        return []
    if target.host == "localhost":
        return [f"127.0.0.1:{target.port}", f"[::1]:{target.port}"]
    return [str(target)]


def _host() -> Host:
    from why502.host.local import LocalHost

    return LocalHost()


def _read(path: str) -> bytes:
    return _host().read(path, limit_bytes=_MOST_BYTES)


def _list(directory: str) -> list[str]:
    return _host().list(directory)
