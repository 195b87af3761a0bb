"""The files that nginx writes: logs, pid file, and the directories for temporary files and caches."""

from __future__ import annotations

import posixpath
import re

from why502.gateways.nginx.build import build_option
from why502.model.patterns import lazy
from why502.model.proxy import Proxy

_NAMED = lazy(r"^[^#\n]*?\b(\w+_(?:temp|cache)_path)\s+([^\s;{}]+)", re.MULTILINE)
# Directive, configure option without "--http-" and "-temp-path", directory below the prefix (auto/options of nginx).
_TEMP = (
    ("client_body_temp_path", "client-body", "client_body_temp"),
    ("proxy_temp_path", "proxy", "proxy_temp"),
    ("fastcgi_temp_path", "fastcgi", "fastcgi_temp"),
    ("uwsgi_temp_path", "uwsgi", "uwsgi_temp"),
    ("scgi_temp_path", "scgi", "scgi_temp"),
)


def written_files(proxy: Proxy) -> tuple[str, ...]:
    """Return the absolute paths of its logs and pid file."""
    paths = (*(log.path for log in proxy.logs), proxy.pid_file)
    return tuple(dict.fromkeys(path for path in paths if path))


def written_directories(proxy: Proxy, *, all_built_in: bool = False) -> tuple[str, ...]:
    """Return the absolute paths of its temporary directories and caches.

    Built-in ones count if no directive names another; with `all_built_in` always. The files' text is searched, since a refused
    configuration has no routes.
    """
    named: dict[str, set[str]] = {}
    for file in proxy.files:
        for directive, path in _NAMED.findall(file.text):
            named.setdefault(directive, set()).add(path.strip("\"'"))
    paths = [path for found in named.values() for path in sorted(found) if path != "off"]
    for directive, option, directory in _TEMP:
        if all_built_in or directive not in named:
            paths.append(build_option(proxy.build, f"http-{option}-temp-path") or directory)
    return tuple(dict.fromkeys(posixpath.join(proxy.prefix, path) for path in paths))
