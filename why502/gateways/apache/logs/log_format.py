"""Converts an Apache LogFormat to an nginx `log_format` for the same lines, with `escape` APACHE.

Source: mod_log_config, Custom Log Formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from why502.gateways.nginx.logs.log_format import APACHE
from why502.model.patterns import lazy

_DIRECTIVE = lazy(r"%(?:[<>]|!?\d{3}(?:,\d{3}){0,20}+){0,4}+(?:\{([^}]{0,200})\})?(\^[A-Za-z]{2}|[A-Za-z%])")
_VARIABLES = {
    "h": "remote_addr",
    "a": "remote_addr",
    "u": "remote_user",
    "r": "request",
    "m": "request_method",
    "U": "request_uri",
    "s": "status",
    "b": "body_bytes_sent",
    "B": "body_bytes_sent",
    "O": "bytes_sent",
    "D": "request_time_us",
    "T": "request_time",
    "v": "server_name",
    "V": "server_name",
    "L": "request_id",
}
_HEADERS = {"referer": "http_referer", "user-agent": "http_user_agent", "host": "host", "x-forwarded-for": "http_x_forwarded_for"}
_ENVIRONMENT = {"BALANCER_WORKER_NAME": "upstream_addr"}  # mod_proxy_balancer: the member that handled the request
_TIMES = {  # of strftime(3), as far as `log_format` has a variable of the same form
    "%Y-%m-%dT%H:%M:%S%z": "$time_iso8601",
    "%FT%T%z": "$time_iso8601",
    "%d/%b/%Y:%H:%M:%S %z": "$time_local",
    "%d/%b/%Y:%T %z": "$time_local",
}
_UNITS = {"ms": "request_time_ms", "us": "request_time_us", "s": "request_time", "": "request_time"}
_FORMAT = lazy(r"^[ \t]*LogFormat[ \t]+\"((?:[^\"\\]|\\.)*)\"[ \t]+(\S+)", re.MULTILINE | re.IGNORECASE)
_LOG = lazy(r"^[ \t]*CustomLog[ \t]+\"?([^\"|\s]+)\"?[ \t]+(?:\"((?:[^\"\\]|\\.)*)\"|(\S+))", re.MULTILINE | re.IGNORECASE)
_KNOWN = {"common": r"%h %l %u %t \"%r\" %>s %b", "combined": r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""}


def is_one(text: str) -> bool:
    """Return whether a format is Apache's rather than nginx's."""
    return "$" not in text and len(_DIRECTIVE.findall(text)) > 1


def read_as(text: str, escape: str) -> tuple[str, str]:
    """Return the equivalent `log_format` of a LogFormat with its escape, and another format as it is."""
    return (as_nginx(text), APACHE) if is_one(text) else (text, escape)


def as_nginx(text: str) -> str:
    """Return the equivalent `log_format`. A directive without a counterpart becomes a variable without meaning."""
    seen: set[str] = set()

    def variable(match: re.Match[str]) -> str:
        argument, letter = match[1], match[2]
        if letter == "%":
            return "%"
        if letter == "t" and not argument:
            return "[$time_local]"
        if letter == "t" and argument in _TIMES:
            return _TIMES[argument]
        name = _VARIABLES.get(letter, "")
        if letter == "i":
            name = _HEADERS.get((argument or "").lower(), "")
        elif letter == "e":
            name = _ENVIRONMENT.get((argument or "").upper(), "")
        elif letter == "T":
            name = _UNITS.get(argument or "", "")
        elif argument and letter != "a":  # %{c}a and similar are addresses too
            name = ""
        name = name if name and name not in seen else f"unknown_{len(seen)}"
        seen.add(name)
        return f"${{{name}}}"

    return _DIRECTIVE.sub(variable, text.replace('\\"', '"').replace("\\t", "\t"))


def of_logs(texts: Iterable[str], variables: dict[str, str]) -> dict[str, str]:
    """Return the LogFormat of each log in the configuration texts, by its path as written; `variables` replace `${NAME}`."""
    named, logs = dict(_KNOWN), {}
    whole = "\n".join(texts)
    named.update({nickname: text for text, nickname in _FORMAT.findall(whole)})
    for path, text, nickname in _LOG.findall(whole):
        if format := text or named.get(nickname, ""):
            logs[re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), path)] = format
    return logs
