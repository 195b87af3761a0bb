"""Configuration lines of application servers that set their listen address: people paste them next to logs.

PHP-FPM pool files (`listen = …`), uWSGI's ini (`socket = …`, `http-socket = …`), gunicorn's Python file (`bind = "…"`).
"""

from __future__ import annotations

from msgspec.structs import replace

from why502.logs.phrases import address, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target

NAME = "application_settings"
MARKS = (b"listen = ", b"listen=", b"socket = ", b"socket=", b"bind = ", b"bind=", b"http = ", b"--bind ", b"pm = ", b"pm.")
_SETTING = lazy(
    r"\A\s*+(?P<name>listen|(?:uwsgi-|http-|fastcgi-)?socket|http|bind)\s*+=\s*+[\[\"']{0,4}(?P<address>(?:unix:)?/[^\s\"',;]{1,255}|[\w.*:\[\]-]{0,255}:\d{1,5}|\d{2,5})[\"'\]]{0,4}\s*+(?:[;#].*)?$"
)
_NEIGHBOUR = lazy(
    r"^\s*(?:(?:pm|pm\.\w+|listen\.\w+|processes|workers|threads|module|wsgi-file|chdir|harakiri|master|vacuum|chmod-socket|timeout|user|group)\s*=|\[[\w.-]+\]\s*$)"
)
_PROGRAMS = {"listen": "php-fpm", "bind": "gunicorn"}
_DATABASES = lazy(r"mysql|maria|postgres|pgsql|redis|memcache")


def fits(sample: list[str]) -> float:
    """Return the share of lines that are such settings or belong to the same file."""
    return share(sample, lambda line: parse(line) is not None or _NEIGHBOUR.match(line))


def parse(line: str) -> LogRecord | None:
    """Return the address in a setting; None for all other lines."""
    match = _SETTING.match(line[:512])
    if match is None or _DATABASES.search(match["address"]):
        return None
    target = address(match["address"])
    if target is None:
        return None
    if not target.host and not target.path:  # all addresses: for PHP-FPM including IPv6, for the others IPv4 only
        target = replace(target, host="::" if match["name"] == "listen" else "0.0.0.0")
    return LogRecord(
        format=NAME,
        program=_PROGRAMS.get(match["name"], "uwsgi"),
        symptom=Symptom.LISTENS_ON,
        phase=Phase.STARTUP,
        target=Target(host=target.host, port=target.port, path=target.path),
        message=line.strip(),
    )
