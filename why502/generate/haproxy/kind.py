"""`why502 generate haproxy`: a whole haproxy.cfg, since HAProxy reads one."""

from __future__ import annotations

from collections.abc import Iterator

from why502.generate import wishes
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, around, entrance, exists
from why502.generate.options import Given, refuse
from why502.generate.remark import Branch, Row, block, flat, row
from why502.generate.safe import NOTHING, Safe, bare, fill
from why502.generate.site import Method, Peer, Site, Speech, TlsMode
from why502.host.base import Host

_BALANCE = {
    Method.ROUND_ROBIN: "roundrobin",
    Method.LEAST_CONN: "leastconn",
    Method.IP_HASH: "source",
    Method.RANDOM: "random(2)",
}
_OWN = wishes.only(
    *wishes.OF_EVERY_PROXY,
    "--max-fails",
    "--health",
    "--response-header",
    "--limit",
    "--no-error-pages",
    "--resolver",
    "--port",
    "--tls-port",
    "--no-ipv6",
)
_CERTIFICATES = "/etc/haproxy/certs"
_BUFFER = 16384  # tune.bufsize, and its part that a header may fill: all but tune.maxrewrite
_REWRITE = 1024


def emit(given: Given, host: Host) -> Made:
    """Return the configuration. Raises Why502Error."""
    made = wishes.site(given, around(host))
    if made.speech not in (Speech.HTTP, Speech.HTTPS):
        raise refuse("--protocol", made.speech, "is not for haproxy", "Give http or https.")
    certificate = _certificate(made, host)
    blocks = (
        block("global", _global(made)),
        block("defaults", _defaults(made)),
        *_resolvers(made),
        block(f"frontend {made.name}", _frontend(made, certificate)),
        block(f"backend {made.name}", _backend(made)),
    )
    body = fill("rows.j2", rows=tuple(flat(blocks, "    ")), mark=Safe("# "))
    notes = []
    if made.tls.mode is TlsMode.FILES:
        notes.append(f"HAProxy reads the key from {certificate}.key, or from {certificate} itself: link {made.tls.key} there")
    elif made.tls.mode is TlsMode.AUTO and not certificate:
        notes.append(
            f"there is no {_CERTIFICATES}/{made.file_name}.pem (certificate, chain, key in one file): HTTPS stays off until then"
        )
    return Made(
        documents=(Document(name="haproxy.cfg", body=body),), product="HAProxy", notes=tuple(notes), entrance=entrance(made)
    )


def _certificate(made: Site, host: Host) -> str:
    if made.tls.mode is TlsMode.FILES:
        return made.tls.certificate
    path = f"{_CERTIFICATES}/{made.file_name}.pem"
    return path if made.tls.mode is TlsMode.AUTO and exists(host, path) else ""


def _global(made: Site) -> Iterator[Row]:
    yield row("log /dev/log local0", "read by rsyslog and journald; without it nothing is logged")
    yield row("user haproxy", "root is only needed to bind the ports")
    yield row("group haproxy")
    yield row("maxconn 4096", "each proxied request uses two files; further requests wait instead of failing")
    yield row("stats socket /run/haproxy/admin.sock mode 660 level admin", "`why502` reads the state of the servers here")
    needed = made.limits.header_bytes + _REWRITE
    if needed > _BUFFER:
        reason = f"the application's response header has up to {made.limits.header_bytes} bytes"
        yield row(f"tune.bufsize {-(-needed // 4096) * 4096}", reason)


def _defaults(made: Site) -> Iterator[Row]:
    times = made.times
    yield row("mode http")
    yield row("log global")
    yield row("option httplog", "shows which server answered, and in which phase a request ended: `why502 logs` reads it")
    yield row("option dontlognull", "connections without a request are probes of load balancers")
    yield row(f"timeout connect {times.connect_s}s", "a server that is up accepts a connection at once")
    yield row("timeout client 30s", "these have no default: HAProxy would wait forever")
    yield row(
        f"timeout server {times.read_s}s",
        made.reasons.get("read") or "limits how long a hanging application occupies the connection",
    )
    yield row("timeout queue 5s", "a request that waits longer for a free server gets 503")
    yield row("timeout http-request 10s", "closes the connection of a client that sends its header too slowly")
    yield row("timeout http-keep-alive 15s", "frees the connections of idle clients")
    yield row(f"timeout tunnel {times.long_read_s}s", "WebSockets may be silent for this long")
    if len(made.group.peers) > 1:
        yield row("retries 2", "retries when a connection is not accepted")
        yield row("option redispatch 1", "each retry goes to another server")
    if made.has_error_pages:
        for status, text in ((502, "unavailable"), (503, "unavailable"), (504, "timeout")):
            after = f" hdr Retry-After {made.group.health.fail_timeout_s}" if status != 504 else ""
            body = f'{{"error":\\ "{text}",\\ "status":\\ {status}}}'.replace('"', '\\"')
            reason = "a client tries again after Retry-After; no cache keeps a failure" if status == 502 else ""
            line = f"http-error status {status} content-type application/json string {body}{after} hdr Cache-Control no-store"
            yield row(line, reason)


def _resolvers(made: Site) -> Iterator[Branch]:
    if made.names:
        servers = (one if ":" in one.rpartition("]")[2] else f"{one}:53" for one in made.resolvers)
        rows = [row(f"nameserver dns{number} {bare(server)}") for number, server in enumerate(servers, 1)]
        rows.append(row("hold valid 10s", "the name is resolved again after this time"))
        yield block("resolvers names", rows)


def _frontend(made: Site, certificate: str) -> Iterator[Row]:
    yield from _bind(made, made.port, "")
    if certificate:
        yield from _bind(made, made.tls_port, f" ssl crt {bare(certificate)} alpn h2,http/1.1")
        yield row("http-request redirect scheme https code 308 unless { ssl_fc }", "308 keeps the method of a POST")
    yield row("option forwardfor", "without these, the application sees the proxy instead of the client")
    yield row("http-request set-header X-Forwarded-Proto https if { ssl_fc }")
    yield row("http-request set-header X-Forwarded-Proto http unless { ssl_fc }")
    yield row("http-request set-header X-Request-ID %[uuid()] unless { req.hdr(X-Request-ID) -m found }")
    if made.limits.max_body_bytes:
        yield row(
            f"http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt {made.limits.max_body_bytes} }}",
            "the application must accept as much",
        )
    if rate := made.limits.rate:
        period = "1s" if rate.unit == "s" else "60s"
        yield row(f"stick-table type ipv6 size 100k expire 60s store http_req_rate({period})", "the requests of each client")
        yield row("http-request track-sc0 src")
        most = rate.count + rate.burst
        yield row(
            f"http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {most} }}",
            "a page with its images is a burst of requests",
        )
    if made.domains:
        yield row(
            f"http-request deny deny_status 421 unless {{ {' '.join(_hosts(made))} }}", "rejects requests for other host names"
        )
    yield row(f"default_backend {made.name}")


def _hosts(made: Site) -> Iterator[str]:
    plain = [domain for domain in made.domains if not domain.startswith("*.")]
    wild = [domain.removeprefix("*") for domain in made.domains if domain.startswith("*.")]
    if plain and wild:
        escaped = [domain.replace(".", "\\.") for domain in plain] + [
            f".*{domain}".replace(".", "\\.").replace("\\.*", ".*") for domain in wild
        ]
        yield f"req.hdr(host),field(1,:) -m reg -i ^({'|'.join(escaped)})$"
    else:
        yield (
            f"req.hdr(host),field(1,:) -i {' '.join(plain)}" if plain else f"req.hdr(host),field(1,:) -m end -i {' '.join(wild)}"
        )


def _bind(made: Site, port: int, more: str) -> Iterator[Row]:
    yield row(f"bind :{port}{more}")
    if made.has_ipv6:
        yield row(f"bind [::]:{port} v6only{more}")


def _backend(made: Site) -> Iterator[Row]:
    group = made.group
    if len(group.peers) > 1:
        yield row(f"balance {_BALANCE[group.method]}", "chosen by you, or by the number of servers")
        yield row("retry-on conn-failure empty-response", "if a server dies while handling a request, another one gets it")
        yield row("http-request disable-l7-retry unless METH_GET", "a POST is not sent twice")
    if not group.idle_s:
        yield row("option http-server-close", "--app-idle off: no connection is kept")
    if group.health.path:
        yield row("option httpchk", "a process may accept connections but never answer")
        host = f" hdr Host {made.domains[0].replace('*', 'www')}" if made.domains else ""
        yield row(f"http-check send meth GET uri {bare(group.health.path)}{host}")
    yield row(
        f"default-server check inter 2s fall {group.health.max_fails} rise 1 {_tls(made)}".rstrip(),
        "a dead server is found in seconds",
    )
    for number, peer in enumerate(group.peers, 1):
        yield row(f"server app{number} {_address(peer)}{_options(peer)}")


def _tls(made: Site) -> Safe:
    if made.speech is not Speech.HTTPS:
        return NOTHING
    name = bare(made.trust.name)
    return Safe(f"ssl verify required ca-file {bare(made.trust.issuers)} sni str({name}) verifyhost {name} check-sni {name}")


def _address(peer: Peer) -> Safe:
    return Safe(f"unix@{bare(peer.target.path)}") if peer.target.is_unix else bare(str(peer.target))


def _options(peer: Peer) -> str:
    words = [f"weight {peer.weight}"] if peer.weight > 1 else []
    words += ["backup"] if peer.is_backup else []
    words += ["resolvers names init-addr last,libc,none"] if peer.is_named else []
    return "".join(f" {word}" for word in words)


KIND = Kind(
    name="haproxy",
    help="Write a haproxy.cfg for one site.",
    example="why502 generate haproxy --app 10.0.0.5:3000 --app 10.0.0.6:3000 --domain shop.example --health /up",
    options=_OWN,
    emit=emit,
    is_site=True,
    home="/etc/haproxy",
    order=5,
)
