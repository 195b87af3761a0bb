"""The test of nginx's configuration: `nginx -t`.

It writes: it creates missing log files, pid file and directories, and gives temporary directories to the workers' user
(ngx_init_cycle, ngx_create_paths).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.gateways.nginx.build import build_option
from why502.gateways.nginx.effective import option
from why502.gateways.nginx.writes import written_directories, written_files
from why502.gateways.running import Texts
from why502.gateways.testing import parents
from why502.host.base import Host
from why502.model.config import LogPlace, Position
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy

COMMAND = "nginx -t"
_SINCE_E = (1, 19, 5)  # first version with option -e
# "nginx: [emerg] …" on a terminal, "2026/11/21 00:43:15 [emerg] 5300#5300: …" if the error log is stderr
_MESSAGE = lazy(
    r"(?:nginx: |[0-9/]{1,20} [0-9:]{1,20} )\[(?:emerg|alert|crit|error)\] (?:[0-9]{1,20}#[0-9]{1,20}: )?(?P<says>[^\n]*)",
)
_IN = lazy(r" in (?P<file>/[^\n]*):(?P<line>[0-9]{1,9})")
_TEST_S = 20.0
_LINES = 1000  # maximum lines of the test's output, and maximum characters per line
# Directives that make the test run code from other files or modules (lua-nginx-module, ngx_http_perl_module).
RUNS_CODE = lazy(r"^[ \t]*(init_by_lua(?:_block|_file)?|perl_require|perl_modules|passenger_root)\b", re.MULTILINE)
_MODULE = lazy(r"^[ \t]*load_module[ \t]+[\"']?([^\s;\"'{}]+)", re.MULTILINE)


def arguments(proxy: Proxy, process: Process | None) -> tuple[str, ...]:  # noqa: ARG001 - its options are known
    """Return its command-line options with absolute paths, and without an error log of its own."""
    return ("-t", *_options(proxy))


def is_accepted(host: Host, main: str) -> bool | None:
    """Return whether the nginx on the PATH accepts a main configuration; None if it cannot be tested."""
    try:
        return host.run("nginx", "-t", "-q", "-c", main, timeout_s=_TEST_S).status == 0
    except HostError:
        return None


def modules(proxy: Proxy, texts: Texts) -> Iterator[str]:
    """Yield the paths of `load_module`."""
    for _, text in texts:
        for match in _MODULE.finditer(text):
            yield posixpath.join(proxy.prefix, match[1])


def variables(texts: Texts) -> frozenset[str]:  # noqa: ARG001 - nginx's files read none
    """Return none: nginx's files read no variable of the environment."""
    return frozenset()


def made(proxy: Proxy) -> tuple[str, ...]:
    """Return its logs, pid file, temporary directories and caches."""
    return (*written_files(proxy), *written_directories(proxy))


def problems(output: str) -> tuple[ConfigProblem, ...]:
    """Return the errors that `nginx -t` printed. Warnings, and lines of modules in other formats, are not errors."""
    found = []
    for line in output[: _LINES * _LINES].splitlines()[:_LINES]:
        if match := _MESSAGE.match(line[: 4 * _LINES]):
            message, has_place, rest = match["says"].rpartition(" in /")
            place = _IN.fullmatch(f" in /{rest}") if has_place else None
            at = Position(file=place["file"], line=int(place["line"])) if place else None
            found.append(ConfigProblem(message=message if at else match["says"], at=at, source=COMMAND))
    return tuple(dict.fromkeys(found))


def directories(proxy: Proxy) -> tuple[str, ...]:
    """Return the directories that a test writes to, outer ones first."""
    paths = {*written_files(proxy), *written_directories(proxy, all_built_in=True)}
    paths.add(_built_in_log(proxy))
    return parents(posixpath.normpath(path) for path in paths if path.startswith("/"))


def files(proxy: Proxy) -> tuple[str, ...]:
    """Return the log files that a test opens: those of the configuration, and the built-in one."""
    named = (log.path for log in proxy.logs if log.goes_to is LogPlace.FILE and log.path.startswith("/"))
    return tuple(dict.fromkeys((*named, _built_in_log(proxy))))


def _built_in_log(proxy: Proxy) -> str:
    return posixpath.join(proxy.prefix, build_option(proxy.build, "error-log-path") or "logs/error.log")


def _options(proxy: Proxy) -> Iterator[str]:
    """Yield its command-line options with absolute paths, and without an error log of its own."""
    if option(proxy, "-c"):
        yield from ("-c", proxy.config)
    if option(proxy, "-p"):
        yield from ("-p", proxy.prefix + "/")
    if directives := option(proxy, "-g"):
        yield from ("-g", directives)
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", proxy.version)
    if numbers and tuple(int(number) for number in numbers.groups()) >= _SINCE_E:
        yield from ("-e", "stderr")
