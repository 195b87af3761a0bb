"""Every directive of nginx's own modules: the blocks in which it is allowed, and the versions that support it.

`directives.csv` was extracted from the command tables of nginx's release tags 1.0.0 to 1.31.4: name, places, first version,
first version without it, version since which it has no effect, `flag` where its only argument is on or off. Places are
letters: M main, E events, h http, s server, l location, S if in server, L if in location, x limit_except, u upstream, m mail,
t stream, r and v server and upstream in stream, * everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from why502.gateways.nginx.config.defaults import Version

PLUS = "nginx Plus"

# Modules that nginx.org does not include in the open source server, by the prefix of their directives' names.
_OTHERS = {
    PLUS: (
        "api", "auth_jwt", "auth_oidc", "f4f", "health_check", "health_check_timeout", "hls", "keyval", "mgmt", "ntlm", "oidc_",
        "otel_", "proxy_cache_purge", "queue", "status", "session_log", "state", "status_zone", "sync", "usage_report",
        "zone_sync", "internal_redirect", "proxy_pass_trailers", "license_token", "enforce_initial_report", "num_map",
    ),
    "nginx_upstream_check_module (a patched build)": ("check", "check_", "check_http_send", "check_http_expect_alive"),
    "lua-nginx-module": ("lua_", "access_by_lua", "balancer_by_lua", "body_filter_by_lua", "content_by_lua", "exit_worker_by_lua",
        "header_filter_by_lua", "init_by_lua", "init_worker_by_lua", "log_by_lua", "precontent_by_lua", "preread_by_lua",
        "rewrite_by_lua", "server_rewrite_by_lua", "set_by_lua", "ssl_certificate_by_lua", "ssl_client_hello_by_lua",
        "ssl_session_fetch_by_lua", "ssl_session_store_by_lua", "proxy_ssl_verify_by_lua"),
    "headers-more-nginx-module": ("more_",),
    "ngx_brotli": ("brotli",),
    "zstd-nginx-module": ("zstd",),
    "nginx-module-vts": ("vhost_traffic_", "stream_server_traffic_"),
    "ModSecurity-nginx": ("modsecurity",),
    "a third-party module": (
        "accesskey", "acme", "app_protect", "array_", "auth_digest", "auth_gss", "auth_ldap", "auth_pam", "auth_spnego", "aws_",
        "cache_purge", "client_certificate", "concat", "consul", "cookie_flag", "cors", "ct", "dav_ext", "drizzle", "dyups",
        "echo", "encrypted_session", "eval", "expires_by", "fair", "fancyindex", "fastcgi_cache_purge", "ftpclient", "geoip2",
        "graphite", "gridfs", "hashids", "http_dyn", "image", "include_shell", "influx", "jaeger", "jdomain", "js_", "kafka",
        "ldap", "let_", "live", "log_zmq", "naxsi", "nchan", "nsoc", "opentelemetry", "opentracing", "pagespeed", "passenger",
        "perl", "pinba", "postgres", "push_stream", "rds_", "redis", "req_status", "rtmp", "rails", "secure_token", "security_",
        "sentinel", "server_info", "set_", "shib", "slice_", "slowfs", "small_light", "srcache", "sts", "sub_filter_", "subs_",
        "sysguard", "testcookie", "thread", "tfs", "trim", "ttl", "unsecure", "upload", "uploadprogress", "upsync", "upstream_",
        "uwsgi_cache_purge", "vod", "waf", "webp", "xss", "xrlt", "xslt", "zip", "stream_lua", "wasm", "dynamic_", "user_agent",
        "session_sticky", "sticky", "sorted_querystring", "proxy_ssl_certificate_cache", "ajp_", "tcp", "rtsp", "hmux_",
        "MainRule", "BasicRule", "LearningMode", "SecRules", "DeniedUrl", "CheckRule", "LibInjection", "track_",
        "report_uploads", "google_", "mruby_", "untar", "bucket_", "limit_upload", "limit_traffic", "statsd", "syslog", "strip",
        "gunzip_", "jwt", "gslb", "nats", "etcd", "forward_proxy", "proxy_connect", "proxy_pass_protocol",
        "proxy_request_filter", "dubbo_", "mqtt", "coolkit", "cas_",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """One directive. Versions are () if not applicable: known since 1.0.0 or earlier, not removed, still effective."""

    name: str
    places: str
    since: Version
    removed: Version
    obsolete: Version
    is_flag: bool

    def may_stand(self, place: str) -> bool:
        """Return whether it is allowed in a place (a letter)."""
        return place in self.places or "*" in self.places


@cache
def table() -> dict[str, Known]:
    """Return all directives by name."""
    text = (resources.files("why502.gateways.nginx") / "directives.csv").read_text("ascii")
    found = {}
    for line in text.splitlines():
        name, places, since, removed, obsolete, flag = line.split(",")
        found[name] = Known(name, places, _version(since), _version(removed), _version(obsolete), flag == "flag")
    return found


@cache
def module_of(name: str) -> str:
    """Return the other module that a directive belongs to; "" if unknown."""
    for module, beginnings in _OTHERS.items():
        if any(name == start or (name.startswith(start) and (start.endswith("_") or len(start) > 3)) for start in beginnings):
            return module
    return ""


@lru_cache(1 << 12)
def place(path: tuple[str, ...]) -> str:
    """Return the letter of a block, from the names of the enclosing blocks and its own; "" if it has none."""
    if not path:
        return "M"
    inside = path[0]
    if inside in ("mail", "events"):
        return {"mail": "m", "events": "E"}[inside]
    is_stream = inside == "stream"
    if path[-1] == "if":
        return "L" if "location" in path else "S"
    letters = {"http": "h", "stream": "t", "server": "r" if is_stream else "s", "upstream": "v" if is_stream else "u"}
    return {**letters, "location": "l", "limit_except": "x"}.get(path[-1], "")


@cache
def nearest(name: str) -> str:
    """Return the directive meant by a misspelt name; "" if none, or several, are similar enough."""
    most = 1 if len(name) < 8 else 2
    found = sorted((distance, known) for known in table() if (distance := _distance(name, known, most)) <= most)
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        return ""
    return found[0][1]


def _distance(one: str, other: str, most: int) -> int:
    """Return how many letters must be changed, added, dropped or swapped with the next; some number above `most` if more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".")) if text else ()
