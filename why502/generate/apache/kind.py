"""`why502 generate apache`: a virtual host in front of an application."""

from __future__ import annotations

from collections.abc import Iterator

from why502.generate import options, wishes
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, around, entrance
from why502.generate.options import Given, Option, refuse
from why502.generate.remark import Branch, Row, block, flat, row
from why502.generate.safe import Safe, bare, fill
from why502.generate.site import Method, Peer, Site, Speech, TlsMode
from why502.host.base import Host
from why502.model.errors import Why502Error

_METHODS = {Method.ROUND_ROBIN: "byrequests", Method.LEAST_CONN: "bybusyness", Method.RANDOM: "bybusyness"}
_OWN = (
    *wishes.only(*wishes.OF_EVERY_PROXY, "--websocket", "--no-error-pages", "--port", "--tls-port", "--acme-root"),
    Option(name="--log-dir", metavar="DIR", help="The directory of the logs. Default: /var/log/apache2."),
)
_MODULES = "proxy proxy_http proxy_balancer lbmethod_byrequests lbmethod_bybusyness slotmem_shm headers unique_id"


def emit(given: Given, host: Host) -> Made:
    """Return the virtual hosts. Raises Why502Error."""
    made = wishes.site(given, around(host))
    if made.speech not in (Speech.HTTP, Speech.HTTPS):
        raise refuse("--protocol", made.speech, "is not for apache", "Give http or https.")
    if made.group.method is Method.IP_HASH:
        raise refuse("--method", made.group.method, "is not for apache", "Give round-robin or least-conn.")
    if not made.domains:
        raise Why502Error("--domain is missing", "Apache chooses a virtual host by its name: --domain shop.example")
    logs = options.path("--log-dir", given.get("--log-dir", "/var/log/apache2"))
    has_tls = made.tls.mode is not TlsMode.OFF and made.tls.is_ready
    hosts = [block(f"<VirtualHost *:{made.port}>", _plain(made, logs, has_tls=has_tls), "</VirtualHost>")]
    if has_tls:
        hosts.append(block(f"<VirtualHost *:{made.tls_port}>", _secure(made, logs), "</VirtualHost>"))
    groups = [block(f'<Proxy "balancer://{made.name}">', _members(made), "</Proxy>")]
    if made.websockets:
        reason = "WebSockets: the same servers, with other limits"
        members = _members(made, f"timeout={made.times.long_read_s} upgrade=websocket")
        groups.append(block(f'<Proxy "balancer://{made.name}-websocket">', members, "</Proxy>", reason))
    body = fill("rows.j2", rows=tuple(flat([_log_format(made), *groups, *hosts], "    ")), mark=Safe("# "))
    modules = _MODULES + (" ssl" if has_tls or made.speech is Speech.HTTPS else "")
    notes = [f"it needs these modules: a2enmod {modules}"]
    if made.tls.mode is TlsMode.AUTO and not made.tls.is_ready:
        notes.append(f"the certificate {made.tls.certificate} does not exist yet: run the same command again when it does")
    document = Document(name=f"{made.file_name}.conf", body=body, places=("sites-available", "conf.d"), link="sites-enabled")
    return Made(documents=(document,), product="Apache 2.4", notes=tuple(notes), entrance=entrance(made))


def _log_format(made: Site) -> Row:
    fields = '%v %h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D %{BALANCER_WORKER_NAME}e %{UNIQUE_ID}e %L'
    return row(
        f'LogFormat "{fields}" {made.name}', "with the time, the server that answered, and the id that is also in the error log"
    )


def _members(made: Site, waits: str = "") -> Iterator[Row]:
    times, group = made.times, made.group
    waits = waits or f"timeout={times.read_s}"
    common = [f"connectiontimeout={times.connect_s}", waits, f"retry={group.health.fail_timeout_s}"]
    common.append(f"ttl={group.idle_s}" if group.idle_s else "disablereuse=On")
    for number, peer in enumerate(group.peers):
        words = [*common]
        words += [f"loadfactor={peer.weight}"] if peer.weight > 1 else []
        words += ["status=+H"] if peer.is_backup else []
        reason = made.reasons.get("idle", "") if not number else ""
        yield row(f'BalancerMember "{_address(made, peer)}" {" ".join(words)}', reason)
    if len(group.peers) > 1:
        yield row(f"ProxySet lbmethod={_METHODS[group.method]}")


def _address(made: Site, peer: Peer) -> Safe:
    scheme = "https" if made.speech is Speech.HTTPS else "http"
    if peer.target.is_unix:
        return Safe(f"unix:{bare(peer.target.path)}|{scheme}://{peer.target.path.rpartition('/')[2].replace('.', '-')}")
    return Safe(f"{scheme}://{bare(str(peer.target))}")


def _names(made: Site, logs: str) -> Iterator[Row]:
    first, *others = made.domains
    yield row(f"ServerName {first.replace('*', 'www')}")
    aliases = [name for name in made.domains if name.startswith("*.") and name == first] + others
    if aliases:
        yield row(f"ServerAlias {' '.join(aliases)}")
    base = f"{logs}/{made.file_name}"
    yield row(f"ErrorLog {bare(f'{base}.error.log')}")
    yield row(f"CustomLog {bare(f'{base}.access.log')} {made.name}", "in the format above")


def _plain(made: Site, logs: str, *, has_tls: bool) -> Iterator[Row | Branch]:
    yield from _names(made, logs)
    if made.tls.mode is TlsMode.AUTO:
        home = f"{made.acme_root.rstrip('/')}/.well-known/acme-challenge/"
        yield row(
            f'Alias "/.well-known/acme-challenge/" "{bare(home)}"', "for the certificate: certbot, acme.sh or lego write here"
        )
        yield block(f'<Directory "{bare(home)}">', (row("Require all granted"),), "</Directory>")
        yield row('ProxyPass "/.well-known/acme-challenge/" "!"', "not passed to the application")
    if has_tls:
        port = "" if made.tls_port == 443 else f":{made.tls_port}"
        first = made.domains[0].replace("*", "www")
        yield row(
            f'RedirectMatch 308 "^/(?!\\.well-known/acme-challenge/)(.*)" "https://{first}{port}/$1"',
            "308 keeps the method of a POST",
        )
    else:
        yield from _proxied(made)


def _secure(made: Site, logs: str) -> Iterator[Row | Branch]:
    yield from _names(made, logs)
    yield row("SSLEngine on")
    yield row(
        f"SSLCertificateFile {bare(made.tls.certificate)}",
        "includes the chain: many clients know only the root",
    )
    yield row(f"SSLCertificateKeyFile {bare(made.tls.key)}")
    yield row("SSLProtocol -all +TLSv1.2 +TLSv1.3", "older versions are no longer secure")
    yield from _proxied(made)


def _proxied(made: Site) -> Iterator[Row | Branch]:
    yield row("ProxyPreserveHost On", "the application sees the name that the client asked for")
    yield row('RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"', "without it, the application generates http: links")
    yield row('RequestHeader set X-Request-ID "%{UNIQUE_ID}e"', "lets the application log the same id")
    if made.speech is Speech.HTTPS:
        yield row("SSLProxyEngine on")
        yield row("SSLProxyVerify require", "none, the default, accepts any certificate")
        yield row(f"SSLProxyCACertificateFile {bare(made.trust.issuers)}")
    if made.limits.max_body_bytes:
        yield row(f"LimitRequestBody {made.limits.max_body_bytes}", "the application must accept as much")
    for path in made.websockets:
        yield row(
            f'ProxyPass "{bare(path)}" "balancer://{made.name}-websocket{bare(path)}"', "WebSocket: may be idle for a long time"
        )
    yield row(f'ProxyPass "/" "balancer://{made.name}/"')
    yield row(f'ProxyPassReverse "/" "balancer://{made.name}/"')
    if made.has_error_pages:
        yield row(
            'ErrorDocument 502 "The application is not available at the moment. Please try again in a few seconds."',
            "Apache's own pages do not help a client",
        )
        yield row('ErrorDocument 503 "The application is not available at the moment. Please try again in a few seconds."')
        yield row('ErrorDocument 504 "The application took too long to answer. Please try again later."')
        after = made.group.health.fail_timeout_s
        only = "expr=%{REQUEST_STATUS} in { '502', '503' }"
        yield row(f'Header always set Retry-After {after} "{only}"', "when clients and crawlers should try again")


KIND = Kind(
    name="apache",
    help="Write a virtual host for Apache.",
    example="why502 generate apache --app 127.0.0.1:3000 --domain shop.example",
    options=_OWN,
    emit=emit,
    is_site=True,
    home="/etc/apache2",
    order=5,
)
