"""Values and blocks that nginx checks itself while it reads them: networks, addresses, levels, percentages, nested locations.

Sources: src/core/ngx_inet.c (ngx_ptocidr), src/core/ngx_log.c (ngx_log_set_levels), src/http/ngx_http_core_module.c
(ngx_http_core_location), src/http/modules/ngx_http_split_clients_module.c, src/http/ngx_http_variables.c (map).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_CACHED = ("proxy_cache_valid", "fastcgi_cache_valid", "uwsgi_cache_valid", "scgi_cache_valid")
_RATES = ("limit_rate", "limit_rate_after")
_CHECKED = (
    *("allow", "deny", "server", "listen", "error_log", "access_log", "alias", "split_clients", "map", "location"),
    *(*_CACHED, *_RATES, "keepalive_timeout"),
)
_LEVELS = frozenset("debug info notice warn error crit alert emerg".split())
_DEBUG = "debug_"
_MODIFIERS = frozenset({"=", "~", "~*", "^~"})
_IN_MAP = frozenset({"include", "volatile", "hostnames"})
_LOG_WORDS = ("buffer=", "flush=", "gzip", "if=")
_PERCENT = lazy(r"(\d{1,3})(?:\.(\d{1,2}))?%")


@rule(187, "content-refused", Severity.ERROR, "proxy-config-invalid")
def contents(deployment: Deployment) -> Iterator[Risk]:
    """A value has the right form, and nginx cannot use it: a network, address, time, log level or share, a nested location.

    nginx refuses the configuration: `invalid parameter`, `invalid host in upstream`, `invalid log level`, `percent total is
    greater than 100%`, `location … is outside location …`.
    """
    reported = {problem.at for problem in deployment.configuration.problems}
    severity = Severity.NOTE if deployment.is_piece else None  # a placeholder of an unknown form is as likely
    for level, directive in deployment.uses(*_CHECKED):
        found = _fault(directive, level)
        if found and directive.at not in reported:
            yield risk(found, directive.at, "correct it, then `nginx -t`", severity=severity)


def _fault(directive: Directive, level: Level) -> str:
    """Return what nginx cannot use in a directive; "" if there is nothing."""
    first = directive.args[0] if directive.args else ""
    match directive.name:
        case "allow" | "deny" if not _is_network(first):
            return f'"{first}" is not an address or a network'
        case "server" if level.name == "upstream" and ("://" in first or ("/" in first and not first.startswith("unix:"))):
            return f'"{first}" is a URL, not an address'
        case "listen" if "://" in first:
            return f'"{first}" is a URL, not an address'
        case "error_log" if any(not _is_level(word) for word in directive.args[1:]):
            return f'"{" ".join(directive.args[1:])}" is not a log level'
        case "access_log" if level.name != "" and any(not word.startswith(_LOG_WORDS) for word in directive.args[2:]):
            return f'access_log has no parameter "{" ".join(directive.args[2:])}"'
        case "alias" if level.name == "location" and level.own("root"):
            return "root and alias are both set here"
        case "split_clients" if _percent(directive.children or ()) > 10_000:
            return "the parts are more than 100%"
        case "map" if any(_is_odd(child) for child in directive.children or ()):
            return "a line of the map has not exactly two words"
        case "keepalive_timeout" if any(not _is_time(word) for word in directive.args):
            return f'"{" ".join(directive.args)}" is not a time'
        case name if name in _CACHED and directive.args and not _is_time(directive.args[-1]):
            return f'"{directive.args[-1]}" is not a time'
        case name if name in _RATES and "$" not in first and units.size(first) is None:
            return f'"{first}" is not a size'
        case "location":
            return _location_fault(directive, level)
    return ""


def _is_network(word: str) -> bool:
    if word in ("all", "unix:"):
        return True
    try:
        ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
    return True


def _is_time(word: str) -> bool:
    return "$" in word or units.time(word) is not None


def _is_level(word: str) -> bool:
    return word in _LEVELS or word.startswith(_DEBUG)


def _percent(parts: tuple[Directive, ...]) -> int:
    """Return the sum of the parts in hundredths of a percent."""
    found = (_PERCENT.fullmatch(part.name) for part in parts)
    return sum(int(one[1]) * 100 + int((one[2] or "0").ljust(2, "0")) for one in found if one)


def _is_odd(line: Directive) -> bool:
    return line.name not in _IN_MAP and len(line.args) != 1


def _location_fault(directive: Directive, level: Level) -> str:
    """Return why nginx refuses a location's modifier, or its place in another location."""
    if len(directive.args) == 2 and directive.args[0] not in _MODIFIERS:
        return f'"{directive.args[0]}" is not a modifier of a location'
    if level.name != "location" or len(directive.args) != 1 or len(level.args) not in (1, 2):
        return ""
    inner, outer = directive.args[0], level.args[-1]
    if level.args[0] == "=":
        return f'location "{inner}" is in the exact location "{outer}"'
    is_prefix = inner.startswith("/") and outer.startswith("/") and level.args[0] in (outer, "^~")
    return f'location "{inner}" is outside of location "{outer}"' if is_prefix and not inner.startswith(outer) else ""
