"""A variable that nothing defines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib import resources

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.directives import module_of, table
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_ALIKE = 0.85  # of two names, of 1 (difflib)
_USED = lazy(r"\$(?:\{([a-z]\w*)\}|([a-z]\w*))", re.IGNORECASE)
_CAPTURED = lazy(r"\(\?P?<(\w+)>")
_OPEN = ("http_", "sent_http_", "sent_trailer_", "arg_", "cookie_", "upstream_http_", "upstream_cookie_", "upstream_trailer_",
    "proxy_protocol_tlv_", "jwt_", "geoip2_", "lua_", "limit_", "date_", "time_", "ssl_", "geoip_", "upstream_")  # fmt: skip
_IN_PLACE = frozenset({"set", "map", "geo", "split_clients", "perl_set", "auth_request_set"})
_READ = frozenset({"proxy_set_header", "proxy_pass", "fastcgi_param", "uwsgi_param", "add_header", "log_format", "return",
    "rewrite", "proxy_cache_key", "map", "set", "access_log", "if", "try_files", "root", "alias"})  # fmt: skip


@cache
def _known() -> frozenset[str]:
    return frozenset((resources.files("why502.gateways.nginx") / "variables.txt").read_text("ascii").split())


@rule(167, "variable-not-defined", Severity.ERROR, "proxy-config-invalid", depends_on_build=True)
def undefined(deployment: Deployment) -> Iterator[Risk]:
    """A variable is used that neither nginx nor the configuration defines.

    nginx refuses the configuration: `unknown "…" variable`, unless a module that is built in brings it: so it is only a note if
    no known variable has nearly its name. Configurations that load modules of others are not checked.
    """
    if not deployment.is_whole or not all(level.is_known for level in deployment.levels):
        return
    if any(name == "load_module" or (module_of(name) and name not in table()) for name in deployment.directives):
        return
    directives = [directive for level in deployment.levels for directive in level.directives]
    defined = {word.lstrip("$").lower() for _, directive in deployment.uses(*_IN_PLACE) for word in directive.args}
    words = (word for directive in directives for word in directive.args if "(?" in word)
    defined |= {name.lower() for word in words for name in _CAPTURED.findall(word)}
    defined |= {name.lower() for server in deployment.servers for word in server.names for name in _CAPTURED.findall(word)}
    reported = set()
    for directive in directives:
        if directive.name not in _READ:
            continue
        for word in directive.args:
            for found in _USED.finditer(word) if "$" in word else ():
                name = (found[1] or found[2]).lower()
                if name not in defined and name not in _known() and not name.startswith(_OPEN) and name not in reported:
                    reported.add(name)
                    severity = None if get_close_matches(name, _known(), 1, _ALIKE) else Severity.NOTE
                    yield risk(
                        f"nothing defines ${found[1] or found[2]}",
                        directive.at,
                        "correct its name, or define it with `set` or `map`",
                        severity=severity,
                    )
