"""Values that a module of nginx refuses when it reads them or merges its settings.

Sources: ngx_http_proxy_module.c (proxy_redirect), ngx_http_headers_filter_module.c, ngx_http_upstream_keepalive_module.c,
ngx_http_upstream_zone_module.c, ngx_http_ssl_module.c, ngx_http_file_cache.c, ngx_http_fastcgi_module.c, ngx_hash.c, nginx.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.deployment.variants import alternatives
from why502.gateways.nginx.config import units
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.match import compiled
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_LEVELS = lazy(r"[12](?::[12]){0,2}")
_PLUS = ("slow_start=", "route=", "service=")
_SMALLEST_ZONE = 8 * 4096  # bytes
_CACHE_LINE = 64  # bytes: what a hash bucket is a multiple of
_INSIDE_HTTP = frozenset({"conf.d", "http.d", "sites-available", "sites-enabled", "vhosts.d"})  # of the packages and images
_LATE = ("events", "http", "stream", "mail")


@rule(212, "value-refused-by-its-module", Severity.ERROR, "proxy-config-invalid", depends_on_build=True)
def refused(deployment: Deployment) -> Iterator[Risk]:
    """A value has the right form, and the module refuses it or misses another setting.

    nginx refuses the configuration. Typical: `proxy_redirect default` beside a variable target, a header's value without
    quotation marks, a comma between name servers, a certificate without its key, a map key that is longer than a hash bucket.
    """
    for name, problem in _PROBLEMS.items():
        for level, directive in deployment.uses(name):
            if found := problem(level, directive):
                severity = Severity.NOTE if deployment.is_piece or found.endswith("nginx Plus") else None
                yield risk(found, directive.at, "correct it, then `nginx -t`", severity=severity)
    if deployment.is_whole:
        yield from _main(deployment.levels[0])


def _main(top: Level) -> Iterator[Risk]:
    if top.own("http") and not top.own("events") and top.is_known:
        at = top.own("http")[0].at
        if directory := next((name for name in at.file.split("/")[:-1] if name in _INSIDE_HTTP), ""):
            message = f'"http" is not allowed here: nginx.conf includes the files of {directory} inside its http block'
            yield risk(message, at, "remove `http {` and its `}`")
        else:
            yield risk("there is no events block", at, "add `events {}`")
    late = next((number for number, line in enumerate(top.directives) if line.name in _LATE), len(top.directives))
    for line in top.directives[late:]:
        if line.name == "load_module":
            yield risk("load_module comes after a block", line.at, "move it to the top of nginx.conf")


def _redirect(level: Level, directive: Directive) -> str:
    if directive.args != ("default",):
        return ""
    passes = level.own("proxy_pass")
    if passes and "$" in "".join(passes[0].args):
        return '"proxy_redirect default" does not work with a variable in proxy_pass'
    if passes and level.directives.index(directive) < level.directives.index(passes[0]):
        return '"proxy_redirect default" must come after proxy_pass'
    return ""


def _header(_: Level, directive: Directive) -> str:
    is_on_one_line = not any("\n" in word for word in directive.args)  # else a quotation mark was lost
    if len(directive.args) == 3 and directive.args[2] != "always" and is_on_one_line:
        return f'"{directive.args[2]}" is not part of the value without quotation marks'
    return ""


def _resolver(_: Level, directive: Directive) -> str:
    return next((f'"{word}" has a comma' for word in directive.args if "=" not in word and word.endswith(",")), "")


def _server(level: Level, directive: Directive) -> str:
    words = directive.args[1:] if level.name == "upstream" else ()
    return next((f"{word} is of nginx Plus" for word in words if word.startswith(_PLUS) or word == "drain"), "")


def _keepalive(level: Level, directive: Directive) -> str:
    return "keepalive must be at least 1" if level.name == "upstream" and directive.args == ("0",) else ""


def _zone(level: Level, directive: Directive) -> str:
    size = units.size(directive.args[1]) if level.name == "upstream" and len(directive.args) > 1 else None
    return f"a zone of {directive.args[1]} is too small, it needs 32k" if size is not None and size < _SMALLEST_ZONE else ""


def _sessions(_: Level, directive: Directive) -> str:
    shared = (word for word in directive.args if word.startswith("shared:"))
    return next((f"{word} has no size" for word in shared if units.size(word.split(":", 2)[-1]) is None), "")


def _cache_path(_: Level, directive: Directive) -> str:
    levels = next((word[7:] for word in directive.args if word.startswith("levels=")), "1")
    return "" if _LEVELS.fullmatch(levels) or "$" in levels else f'"{levels}" are no levels: at most three, of 1 or 2'


def _split(_: Level, directive: Directive) -> str:
    found = compiled(directive.args[0], False) if directive.args else None
    return "fastcgi_split_path_info needs two groups" if found is not None and found.groups != 2 else ""


def _certificate(level: Level, directive: Directive) -> str:
    has_key = f"{directive.name}_key" in level.settings or not level.is_known
    return "" if has_key or directive.args[:1] == ("",) else f"{directive.name} has no {directive.name}_key"


def _verify(level: Level, directive: Directive) -> str:
    if directive.args[:1] not in (("on",), ("optional",)) or level.name != "server" or not level.is_known:
        return ""
    known = {"ssl_client_certificate", "ssl_trusted_certificate"} & level.settings.keys()
    is_tls = any({"ssl", "quic"} & set(listen.args) for listen in level.own("listen"))
    return "" if known or not is_tls else "ssl_verify_client needs ssl_client_certificate"


def _map(level: Level, directive: Directive) -> str:
    if level.name != "http" or not level.is_known:
        return ""
    size = units.size(level.first("map_hash_bucket_size") or str(_CACHE_LINE)) or _CACHE_LINE
    bucket = -(-size // _CACHE_LINE) * _CACHE_LINE
    for line in directive.children or ():
        needed = 16 + -(-(len(line.name.encode()) + 2) // 8) * 8  # NGX_HASH_ELT_SIZE, and the pointer at the end of a bucket
        if needed > bucket and not line.name.startswith(("~", "*", ".")) and len(line.args) == 1 and line.name != "include":
            return f"{line.name} is too long for map_hash_bucket_size {bucket}"
    return ""


_PROBLEMS = {
    "proxy_redirect": _redirect, "add_header": _header, "add_trailer": _header, "resolver": _resolver, "server": _server,
    "keepalive": _keepalive, "zone": _zone, "ssl_session_cache": _sessions, "fastcgi_split_path_info": _split,
    "proxy_ssl_certificate": _certificate, "grpc_ssl_certificate": _certificate, "uwsgi_ssl_certificate": _certificate,
    "ssl_verify_client": _verify, "map": _map, "proxy_cache_path": _cache_path, "fastcgi_cache_path": _cache_path,
    "uwsgi_cache_path": _cache_path, "scgi_cache_path": _cache_path,
}  # fmt: skip


_DEFINING = (
    "limit_req_zone", "limit_conn_zone", "log_format", "ssl_session_cache", "proxy_cache_path", "fastcgi_cache_path",
    "uwsgi_cache_path", "scgi_cache_path",
)  # fmt: skip


@rule(213, "defined-twice", Severity.ERROR, "proxy-config-invalid")
def defined_twice(deployment: Deployment) -> Iterator[Risk]:
    """Two lines define the same zone, cache, session cache of another size, or log format.

    nginx refuses the configuration: `is already bound`, `duplicate "log_format" name`, `conflicts with already declared size`.
    """
    seen: dict[tuple[str, str], Directive] = {}
    for level, directive in deployment.uses(*_DEFINING):
        kind = (level.path[:1] or ("",))[0] + ("cache" if directive.name.endswith("_path") else directive.name)
        name, size = _defined(directive)
        if not name:
            continue
        other = seen.setdefault((kind, name), directive)
        is_same_size = directive.name == "ssl_session_cache" and _defined(other)[1] == size
        if other.at != directive.at and not is_same_size and not alternatives(other.at, directive.at):
            severity = Severity.NOTE if other.at.file != directive.at.file and not deployment.is_here else None
            yield risk(f"{name} is also defined at {other.at}", directive.at, "rename or remove one", severity=severity)


def _defined(directive: Directive) -> tuple[str, str]:
    """Return the name of what a line defines, and its size as written."""
    if directive.name == "log_format":
        return (directive.args[0] if directive.args else ""), ""
    begin = {"ssl_session_cache": "shared:"}.get(directive.name, "keys_zone=" if directive.name.endswith("_path") else "zone=")
    word = next((word.removeprefix(begin) for word in directive.args if word.startswith(begin)), "")
    name, _, size = word.partition(":")
    return ("" if "$" in name else name), size
