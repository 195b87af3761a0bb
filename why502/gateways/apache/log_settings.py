"""What Apache's configuration on this machine tells of its logs: their formats."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Mapping, Set
from pathlib import Path

from why502.gateways.apache.logs.log_format import is_one, of_logs
from why502.host.base import Host
from why502.logs.scan.job import LogSettings
from why502.logs.scan.line_format import of_format
from why502.model.errors import HostError
from why502.model.patterns import lazy

NAMED: dict[str, str] = {}
EXAMPLE = "of a LogFormat of Apache, '%h %t …'"
READS_UNRECOGNISED = False  # see nginx's
_PLACES = ("/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "/etc/apache2/httpd.conf")
_INCLUDED = ("*-enabled/*.conf", "conf.d/*.conf", "../conf.d/*.conf", "vhosts.d/*.conf")  # what distributions include
_VARIABLES = {"APACHE_LOG_DIR": "/var/log/apache2"}
_SERVER_ROOT = lazy(r"^[ \t]*ServerRoot[ \t]++\"?([^\"\n]++)\"?+[ \t]*+$", re.MULTILINE | re.IGNORECASE)
_MOST_BYTES = 16 << 20
_MOST_FILES = 200


def is_format(text: str) -> bool:
    """Return whether a text is a `LogFormat`."""
    return is_one(text)


def near(host: Host, directories: Set[str]) -> LogSettings | None:
    """Return the settings of a configuration in a usual place that has a log in one of the directories; None if there is none."""
    for main in _PLACES:
        with contextlib.suppress(HostError):
            texts = _texts(host, main)
            if directories & {posixpath.dirname(path) for path in texts}:
                return _settings(texts, main)
    return None


def read(host: Host, main: str) -> LogSettings:
    """Return the formats of the logs in a main file and the directories distributions include. Raises HostError."""
    return _settings(_texts(host, main), main)


def _texts(host: Host, main: str) -> dict[str, str]:
    """Return the text of the format of each log, by its path. Raises HostError."""
    directory = Path(main).parent
    included = [path for pattern in _INCLUDED for path in sorted(directory.glob(pattern))[:_MOST_FILES] if path.is_file()]
    texts = [host.read(str(path), limit_bytes=_MOST_BYTES).decode("utf-8", "replace") for path in (Path(main), *included)]
    root = _SERVER_ROOT.search(texts[0])
    return {posixpath.join(root[1] if root else str(directory), path): text for path, text in of_logs(texts, _VARIABLES).items()}


def _settings(texts: Mapping[str, str], main: str) -> LogSettings:
    forms = {}
    for path, text in texts.items():
        with contextlib.suppress(ValueError, re.error):
            forms[path] = of_format(text, format_source=f"LogFormat of {main}")
    return LogSettings(forms=forms)
