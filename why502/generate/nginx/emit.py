"""From a site to nginx's directives: what is written, why, and from which version on. The templates only lay it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from why502.generate.document import Document
from why502.generate.nginx.lines import Block, Dialect, Line
from why502.generate.options import written_size
from why502.generate.safe import Safe, comment, fill, nginx, quoted
from why502.generate.site import Method, Peer, Site, Speech, TlsMode
from why502.model.errors import Why502Error

# What each protocol's directives begin with, and what stands before the address.
_FAMILY = {
    Speech.HTTP: ("proxy", "http://"),
    Speech.HTTPS: ("proxy", "https://"),
    Speech.FASTCGI: ("fastcgi", ""),
    Speech.UWSGI: ("uwsgi", ""),
    Speech.GRPC: ("grpc", "grpc://"),
}
_METHODS = {
    Method.ROUND_ROBIN: (),
    Method.LEAST_CONN: (Safe("least_conn"),),
    Method.IP_HASH: (Safe("ip_hash"),),
    Method.RANDOM: (Safe("random"), Safe("two"), Safe("least_conn")),
}
_METHOD_REASONS = {
    Method.ROUND_ROBIN: "",
    Method.LEAST_CONN: "a slow server gets fewer requests",
    Method.IP_HASH: "a client stays with one server, for sessions that only that server has",
    Method.RANDOM: "the less busy of two random servers: workers count separately, and would all choose the same one",
}
_LOGGED = (
    ("time", "$time_iso8601"),
    ("request_id", "$request_id"),
    ("remote_addr", "$remote_addr"),
    ("host", "$host"),
    ("request", "$request"),
    ("status", "$status"),
    ("body_bytes_sent", "$body_bytes_sent"),
    ("request_time", "$request_time"),
    ("upstream_addr", "$upstream_addr"),
    ("upstream_status", "$upstream_status"),
    ("upstream_connect_time", "$upstream_connect_time"),
    ("upstream_header_time", "$upstream_header_time"),
    ("upstream_response_time", "$upstream_response_time"),
    ("upstream_cache_status", "$upstream_cache_status"),
    ("limit_req_status", "$limit_req_status"),  # since 1.17.6
    ("http_user_agent", "$http_user_agent"),
)
UPSTREAM_FIELDS = tuple(
    (field, variable) for field, variable in _LOGGED if field in ("request_id", "request_time") or field.startswith("upstream_")
)
_TEXTS = {
    503: ("unavailable", "The application is not available at the moment. Please try again in a few seconds."),
    504: ("timeout", "The application took too long to answer. Please try again later."),
}
_PLACES = ("sites-available", "http.d", "conf.d")
_CACHED_FAILURES = ("error", "timeout", "updating", "http_500", "http_503")
_HTTP_FAILURES = ("http_502", "http_504")  # FastCGI and uwsgi have no words for these
_DEFAULT_READ_S = 60
_PAGE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Directories of the machine: of the logs, and the parent of the caches."""

    logs: str
    caches: str


def documents(site: Site, language: Dialect, places: Places, whole: dict[str, str] | None = None) -> tuple[Document, ...]:
    """Return the files of a site: one, and a second for HTTPS. With `whole`, one complete nginx.conf. Raises Why502Error."""
    emitter = _Emitter(site, language, places)
    if whole is not None:
        servers = emitter.entry() + (emitter.secure() if site.tls.is_ready else "")
        body = fill(
            "nginx/whole.conf.j2",
            main=tuple(emitter.main(whole)), events=tuple(emitter.events(whole)), http=tuple(emitter.http(whole)),
            sites=Safe(_indented(emitter.shared() + servers)),
        )  # fmt: skip
        return (Document(name="nginx.conf", body=body),)
    body = emitter.shared() + emitter.entry()
    first = Document(name=f"{site.file_name}.conf", body=body, places=_PLACES, link="sites-enabled")
    if site.tls.mode is TlsMode.OFF:
        return (first,)
    second = Document(
        name=f"{site.file_name}.https.conf",
        body=emitter.secure(),
        places=_PLACES,
        link="sites-enabled",
        is_active=site.tls.is_ready,
    )
    return first, second


def _indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))


class _Emitter:
    def __init__(self, site: Site, language: Dialect, places: Places) -> None:
        self.site = site
        self.language = language
        self.places = places
        self.line = language.line
        self.family, self.scheme = _FAMILY[site.speech]
        self.is_single = len(site.group.peers) == 1
        self.is_resolved = bool(site.names) and language.since(1, 27, 3)
        if site.names and not self.is_resolved and not self.is_single:
            raise Why502Error(
                f"--app {site.names[0].target}: several servers, given by name, need nginx 1.27.3, and this is {language.text}",
                "Give their addresses, or one name that has all addresses.",
            )
        self.by_variable = bool(site.names) and not self.is_resolved

    # --- http

    def shared(self) -> str:
        """Return what stands beside the servers: the group, maps, zones and the log format."""
        site = self.site
        blocks = []
        if not self.by_variable:
            blocks.append(Block(Safe(f"upstream {nginx(site.name)}"), tuple(self._group())))
        if site.websockets:
            lines = (Line(Safe("default upgrade")), Line(Safe("'' ''")))
            remark = self.language.remark("WebSocket: the header Connection of requests that ask for an upgrade")
            blocks.append(Block(Safe(f"map $http_upgrade ${site.name}_connection"), lines, remark))
        if self._has_error_pages:
            lines = (Line(Safe("default html")), Line(Safe("~*application/json json")))
            remark = self.language.remark("clients that accept JSON get errors as JSON")
            blocks.append(Block(Safe(f"map $http_accept ${site.name}_error"), lines, remark))
        return fill("nginx/shared.conf.j2", blocks=tuple(blocks), lines=tuple(self._zones()), log=self._log_format())

    def _group(self) -> Iterator[Line]:
        site, group = self.site, self.site.group
        yield from self.line("zone", site.name, Safe("64k"), reason=self._zone_reason())
        if _METHODS[group.method]:
            name, *words = _METHODS[group.method]
            yield from self.line(name, *words, reason=_METHOD_REASONS[group.method])
        for number, peer in enumerate(group.peers):
            yield from self._server(peer, has_reason=number == 0)
        if self.is_resolved:
            yield from self._resolver()
        if group.idle_s:
            if not self.language.since(1, 29, 7):  # the default since then
                yield from self.line("keepalive", 32, reason="idle connections that each worker keeps")
            yield from self.line("keepalive_timeout", Safe(f"{group.idle_s}s"), reason=site.reasons.get("idle", ""))

    def _zone_reason(self) -> str:
        if self.is_single:
            return "`why502 mitigate` needs a group; nginx never takes out the only server (max_fails)"
        return "shares the failure counts between all workers"

    def _server(self, peer: Peer, *, has_reason: bool) -> Iterator[Line]:
        words = [_word_of(peer)]
        if peer.weight > 1:
            words.append(Safe(f"weight={peer.weight}"))
        reason, accepted = "", ""
        if not self.is_single:
            health = self.site.group.health
            if health.max_fails != 1:
                words.append(Safe(f"max_fails={health.max_fails}"))
                reason = f"taken out after {health.max_fails} failures in {health.fail_timeout_s} s, not after one slow request"
            if health.fail_timeout_s != 10:
                words.append(Safe(f"fail_timeout={health.fail_timeout_s}s"))
        elif not peer.target.is_loopback:
            accepted = "why502: ignore single-server -- one server was given; add a second with --app, or a --backup"
        if self.is_resolved and peer.is_named:
            words.append(Safe("resolve"))
        if peer.is_backup:
            words.append(Safe("backup"))
        reason = "; ".join(filter(None, (self.site.reasons.get("app", ""), reason)))
        for made in self.line("server", *words, reason=reason if has_reason else ""):
            yield Line(made.text, comment(accepted)) if accepted else made  # the linter reads it: it stays without comments

    def _resolver(self) -> Iterator[Line]:
        words = [Safe(one) for one in self.site.resolvers]
        own = [Safe("valid=10s")] + ([] if self.site.has_ipv6 else [Safe("ipv6=off")])
        yield from self.line("resolver", *words, *own, reason="the name is resolved again, so a new address is used")

    def _zones(self) -> Iterator[Line]:
        site = self.site
        if rate := site.limits.rate:
            words = Safe("$binary_remote_addr"), Safe(f"zone={site.name}_limit:10m"), Safe(f"rate={rate.count}r/{rate.unit}")
            yield from self.line("limit_req_zone", *words, reason="10m holds 160,000 clients")
        if site.stale_s:
            # An entry that nobody asks for is dropped after `inactive`, so that is how long it can be served.
            stored = (
                nginx(f"{self.places.caches}/{site.name}"), Safe("levels=1:2"), Safe(f"keys_zone={site.name}_cache:10m"),
                Safe("max_size=1g"), Safe(f"inactive={site.stale_s}s"), Safe("use_temp_path=off"),
                *([Safe("min_free=100m")] if self.language.since(1, 19, 1) else ()),
            )  # fmt: skip
            yield from self.line(f"{self.family}_cache_path", *stored, reason="answers to serve while the application fails")

    def _log_format(self) -> tuple[Line, ...]:
        return tuple(json_format(self.language, f"{self.site.name}_json", has_limit=self.site.limits.rate is not None))

    # --- servers

    def entry(self) -> str:
        """Return the server for plain HTTP: the site, or the way to HTTPS once there is a certificate."""
        site = self.site
        head = [*self._listen(site.port), *self._names(), *self._logs()]
        locations = list(self._challenges())
        if site.tls.mode is not TlsMode.OFF and site.tls.is_ready:
            host = Safe("https://$host") if site.tls_port == 443 else Safe(f"https://$host:{site.tls_port}")
            to = self.line("return", 308, Safe(f"{host}$request_uri"), reason="308 keeps the method of a POST")
            locations.append(Block(Safe("location /"), tuple(to)))
        else:
            head += self._common()
            locations += self._locations()
        return fill("nginx/server.conf.j2", head=tuple(head), locations=tuple(locations))

    def secure(self) -> str:
        """Return the server for HTTPS."""
        site, tls = self.site, self.site.tls
        head = [*self._listen(site.tls_port, is_tls=True), *self._names()]
        head += self.line("ssl_certificate", tls.certificate, reason="includes the chain: many clients know only the root")
        head += self.line("ssl_certificate_key", tls.key)
        if not self.language.since(1, 27, 3):
            head += self.line("ssl_protocols", Safe("TLSv1.2 TLSv1.3"), reason="the default still includes insecure versions")
        head += self.line(
            "ssl_session_cache", Safe(f"shared:{site.name}_tls:10m"), reason="a returning client skips the full handshake"
        )
        head += [*self._logs(), *self._common()]
        return fill("nginx/server.conf.j2", head=tuple(head), locations=tuple(self._locations()))

    def _listen(self, port: int, *, is_tls: bool = False) -> Iterator[Line]:
        words = [Safe("default_server")] * self.site.is_default + [Safe("ssl")] * is_tls
        wants_http2 = is_tls or self.site.speech is Speech.GRPC
        if wants_http2 and not self.language.knows("http2"):
            words.append(Safe("http2"))
        yield from self.line("listen", port, *words)
        if self.site.has_ipv6:
            yield from self.line("listen", Safe(f"[::]:{port}"), *words)
        if wants_http2:
            yield from self.line("http2", Safe("on"))

    def _names(self) -> Iterator[Line]:
        yield from self.line("server_name", *(self.site.domains or (Safe("_"),)))

    def _logs(self) -> Iterator[Line]:
        base = f"{self.places.logs}/{self.site.file_name}"
        yield from self.line(
            "access_log", f"{base}.access.log", Safe(f"{self.site.name}_json"), reason="a separate log, in the format above"
        )
        yield from self.line(
            "error_log",
            f"{base}.error.log",
            Safe("warn"),
            reason="shows why an attempt failed; warn also shows answers buffered on disk",
        )

    def _challenges(self) -> Iterator[Block]:
        if self.site.tls.mode is TlsMode.AUTO:
            lines = [*self.line("root", self.site.acme_root), *self.line("default_type", Safe("text/plain"))]
            remark = self.language.remark("for the certificate: certbot, acme.sh or lego write their challenges here")
            yield Block(Safe("location ^~ /.well-known/acme-challenge/"), tuple(lines), remark)

    # --- what all servers of the site share

    @property
    def _has_error_pages(self) -> bool:
        return self.site.has_error_pages and self.site.speech is not Speech.GRPC  # gRPC has its own statuses

    def _common(self) -> Iterator[Line]:
        site, limits = self.site, self.site.limits
        if site.root:
            yield from self.line("root", site.root)
            yield from self.line("index", Safe("index.php"))
        if limits.max_body_bytes:
            yield from self.line("client_max_body_size", _size(limits.max_body_bytes), reason=_body_reason(site))
        if rate := limits.rate:
            yield from self.line(
                "limit_req", Safe(f"zone={site.name}_limit"), Safe(f"burst={rate.burst}"), Safe("nodelay"),
                reason="a page with its images is a burst of requests",
            )  # fmt: skip
            yield from self.line("limit_req_status", 429, reason="503, the default, looks like a failure of the application")
            if rate.is_dry_run:
                yield from self.line("limit_req_dry_run", Safe("on"), reason="only logs what it would reject")
        if self.by_variable:
            yield from self._resolver()
        if self._has_error_pages:
            page = f"/{site.name}-error"
            yield from self.line(
                "error_page", 502, 503, Safe("=503"), Safe(f"{page}/503.${site.name}_error"),
                reason="clients retry a 503 after Retry-After; the log keeps the original status in $upstream_status",
            )  # fmt: skip
            yield from self.line(
                "error_page",
                504,
                Safe(f"{page}/504.${site.name}_error"),
                reason="no Retry-After: it would be slow again",
            )
        yield from self._attempts()

    def _attempts(self) -> Iterator[Line]:
        """Yield timeouts, tries and buffers: they are inherited by every location."""
        site, family, times = self.site, self.family, self.site.times
        yield from self.line(
            f"{family}_connect_timeout", Safe(f"{times.connect_s}s"), reason="a server that is up accepts a connection at once"
        )
        if times.read_s != _DEFAULT_READ_S:
            reason = site.reasons.get("read") or "limits how long a hanging application occupies the connection"
            yield from self.line(f"{family}_read_timeout", Safe(f"{times.read_s}s"), reason=reason)
        if not self.is_single:
            reason = "tries one other server; a POST is not sent twice"
            yield from self.line(f"{family}_next_upstream_tries", 2, reason=reason)
            reason = "after this time the client gets an error instead of waiting for another server"
            yield from self.line(f"{family}_next_upstream_timeout", Safe(f"{times.tries_s}s"), reason=reason)
        if site.limits.header_bytes > _PAGE:
            buffer = -(-site.limits.header_bytes // _PAGE) * _PAGE
            part = max(_PAGE, -(-buffer // 4 // _PAGE) * _PAGE)
            reason = site.reasons.get("header") or f"the application's response header has up to {site.limits.header_bytes} bytes"
            yield from self.line(f"{family}_buffer_size", _size(buffer), reason=reason)
            yield from self.line(f"{family}_buffers", 8, _size(part))
            yield from self.line(f"{family}_busy_buffers_size", _size(max(buffer, 2 * part)))

    # --- locations

    def _locations(self) -> Iterator[Block]:
        site = self.site
        if site.speech is Speech.FASTCGI:
            yield from self._scripts()
        else:
            yield Block(Safe("location /"), (*self._pass(), *self._headers(), *self._cache()))
        for path in site.websockets:
            remark = self.language.remark("WebSocket: may be idle for up to an hour")
            yield Block(Safe(f"location {nginx(path)}"), (*self._pass(), *self._headers(is_upgrade=True), *self._long()), remark)
        for path in site.streams:
            off = self.line("proxy_buffering", Safe("off"), reason="sends each event at once")
            remark = self.language.remark("server-sent events")
            yield Block(Safe(f"location {nginx(path)}"), (*self._pass(), *self._headers(), *off, *self._long()), remark)
        if self._has_error_pages:
            yield from self._error_pages()

    def _pass(self) -> Iterator[Line]:
        site = self.site
        target = Safe(f"{self.scheme}{site.name}")
        if self.by_variable:
            variable = f"${site.name}_app"
            reason = f"nginx {self.language.text} resolves a name again only if it is in a variable; the path is kept"
            yield from self.line("set", Safe(variable), _word_of(site.names[0]), reason=reason)
            target = Safe(f"{self.scheme}{variable}")
        source = site.reasons.get("speech", "")
        yield from self.line(f"{self.family}_pass", target, reason=source and f"{source}: {site.speech}")
        if site.speech is Speech.HTTPS:
            yield from self.line(
                "proxy_ssl_server_name", Safe("on"), reason="the application selects its certificate by this name"
            )
            yield from self.line("proxy_ssl_name", site.trust.name)
            yield from self.line("proxy_ssl_verify", Safe("on"), reason="off, the default, accepts any certificate")
            yield from self.line("proxy_ssl_trusted_certificate", site.trust.issuers)

    def _headers(self, *, is_upgrade: bool = False) -> Iterator[Line]:
        """Yield the request's headers. A location that sets one loses those of the server, so each has them all."""
        site = self.site
        if site.speech is Speech.UWSGI:
            yield from self.line("include", Safe("uwsgi_params"))
            return
        if self.family == "proxy" and (is_upgrade or site.group.idle_s) and not self.language.since(1, 29, 7):
            reason = "HTTP/1.0, the default, has no upgrade" if is_upgrade else "HTTP/1.0, the default, closes each connection"
            yield from self.line("proxy_http_version", Safe("1.1"), reason=reason)
        name = f"{self.family}_set_header"
        if is_upgrade:
            yield from self.line(
                name, Safe("Upgrade"), Safe("$http_upgrade"), reason="nginx forwards these two headers only if they are set here"
            )
            yield from self.line(name, Safe("Connection"), Safe(f"${site.name}_connection"))
        elif self.family == "proxy" and site.group.idle_s and not self.language.since(1, 29, 7):
            yield from self.line(name, Safe("Connection"), Safe('""'), reason="keeps connections to the application open")
        elif self.family == "proxy" and not site.group.idle_s:
            yield from self.line(name, Safe("Connection"), Safe("close"), reason="--app-idle off: no connection is kept")
        reason = "without these, the application sees the proxy instead of the client"
        for header, value in (
            ("Host", "$host"), ("X-Real-IP", "$remote_addr"), ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
            ("X-Forwarded-Proto", "$scheme"), ("X-Request-ID", "$request_id"),
        ):  # fmt: skip
            yield from self.line(name, Safe(header), Safe(value), reason=reason if header == "Host" else "")

    def _long(self) -> Iterator[Line]:
        limit = Safe(f"{self.site.times.long_read_s}s")
        yield from self.line("proxy_read_timeout", limit, reason="a stream may be silent for a long time without a failure")
        yield from self.line("proxy_send_timeout", limit, reason="and so may its client")

    def _cache(self) -> Iterator[Line]:
        site, family = self.site, self.family
        if not site.stale_s:
            return
        yield from self.line(
            f"{family}_cache", f"{site.name}_cache", reason="serves the last good answer while the application fails"
        )
        yield from self.line(
            f"{family}_cache_key",
            Safe("$scheme$host$request_uri"),
            reason="the default key is the same for all host names of the site",
        )
        yield from self.line(f"{family}_cache_valid", 200, Safe("1s"), reason="if the application does not set a lifetime")
        failures = (*_CACHED_FAILURES, *(_HTTP_FAILURES if family == "proxy" else ()))
        yield from self.line(f"{family}_cache_use_stale", *map(Safe, failures), reason="off, the default, shows each failure")
        yield from self.line(f"{family}_cache_background_update", Safe("on"), reason="no client waits while an answer is renewed")
        yield from self.line(f"{family}_cache_lock", Safe("on"), reason="one request fills the cache; the others wait for it")
        personal = Safe("$http_cookie"), Safe("$http_authorization")
        yield from self.line(f"{family}_cache_bypass", *personal, reason="one user's answers are never given to another")
        yield from self.line(f"{family}_no_cache", *personal, reason="and are not stored either")

    def _scripts(self) -> Iterator[Block]:
        reason = "a file if it exists, otherwise the application"
        front = self.line("try_files", Safe("$uri"), Safe("$uri/"), Safe("/index.php$is_args$args"), reason=reason)
        yield Block(Safe("location /"), tuple(front))
        lines = [*self.line("try_files", Safe("$uri"), Safe("=404"), reason="a path of an upload is never run as a script")]
        lines += self.line("include", Safe("fastcgi_params"))
        lines += self.line("fastcgi_param", Safe("SCRIPT_FILENAME"), Safe("$document_root$fastcgi_script_name"))
        lines += self.line("fastcgi_param", Safe("HTTP_X_REQUEST_ID"), Safe("$request_id"))
        yield Block(Safe("location ~ \\.php$"), (*lines, *self._pass(), *self._cache()))

    def _error_pages(self) -> Iterator[Block]:
        for status, (word, sentence) in _TEXTS.items():
            for kind, media, body in (
                ("json", "application/json", str(quoted({"error": word, "status": status}))),
                ("html", "text/html", f"<!doctype html><title>{status}</title><p>{sentence}</p>"),
            ):
                lines = [*self.line("internal"), Line(Safe("types { }"))]
                lines += self.line("default_type", Safe(media))
                lines += self.line("add_header", Safe("Cache-Control"), Safe("no-store"), Safe("always"))
                if status == 503:
                    after = self.site.group.health.fail_timeout_s
                    lines += self.line("add_header", Safe("Retry-After"), after, Safe("always"))
                lines += self.line("return", status, Safe(f"'{body}'"))
                what = "while no server answers (never cached)" if status == 503 else "for a request that took too long"
                remark = self.language.remark(f"what clients get {what}, as {'JSON' if kind == 'json' else 'HTML'}")
                yield Block(Safe(f"location = /{self.site.name}-error/{status}.{kind}"), tuple(lines), remark)

    # --- a whole nginx.conf

    def main(self, whole: dict[str, str]) -> Iterator[Line]:
        """Yield the lines before all blocks."""
        files = files_of(int(whole["connections"]))
        yield from self.line("user", whole["user"])
        yield from self.line("worker_processes", Safe("auto"))
        yield from self.line("worker_rlimit_nofile", files, reason="each proxied request uses two, plus logs and caches")
        yield from self.line("pid", whole["pid"])
        yield from self.line("error_log", f"{self.places.logs}/error.log", Safe("warn"))

    def events(self, whole: dict[str, str]) -> Iterator[Line]:
        """Yield the lines of `events`."""
        yield from self.line(
            "worker_connections",
            whole["connections"],
            reason=whole["source"] or "shared by connections to clients and to servers",
        )

    def http(self, whole: dict[str, str]) -> Iterator[Line]:
        """Yield the lines of `http` before the site."""
        yield from self.line("include", f"{whole['home']}/mime.types")
        yield from self.line("default_type", Safe("application/octet-stream"))
        yield from self.line("sendfile", Safe("on"))
        yield from self.line("server_tokens", Safe("off"))
        if any(len(name) > 46 for name in self.site.domains):
            yield from self.line("server_names_hash_bucket_size", 512, reason="room for the longest name")


def files_of(connections: int) -> int:
    """Return how many files a worker with so many connections opens at most: two for each request, and logs and caches."""
    return 2 * connections + 1024


def _body_reason(site: Site) -> str:
    if site.speech is Speech.FASTCGI:
        return "PHP must accept as much: upload_max_filesize and post_max_size"
    return site.reasons.get("body", "") or "the application must accept as much"


def _word_of(peer: Peer) -> Safe:
    return nginx(str(peer.target))


def _size(size_bytes: int) -> Safe:
    return Safe(written_size(size_bytes))


def json_format(language: Dialect, name: str, *, has_limit: bool = False) -> Iterator[Line]:
    """Yield a log format of JSON that shows each attempt."""
    shown = [f'"{field}":"{value}"' for field, value in _LOGGED if field != "limit_req_status" or has_limit]
    rows: list[str] = [""]
    for number, part in enumerate(shown):
        if len(rows[-1]) + len(part) > 100:
            rows.append("")
        rows[-1] += part if number == len(shown) - 1 else f"{part},"
    text = "{" + "'\n    '".join(rows) + "}"
    reason = "shows for each attempt which server answered, how, and how fast; `why502 logs` reads it"
    yield language.own(f"log_format {nginx(name)} escape=json\n    '{text}'", reason)
