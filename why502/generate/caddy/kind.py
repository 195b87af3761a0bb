"""`why502 generate caddy`: a Caddyfile."""

from __future__ import annotations

from collections.abc import Iterator

from why502.generate import options, wishes
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, around, entrance
from why502.generate.options import Given, Option, refuse
from why502.generate.remark import Branch, Row, block, flat, row
from why502.generate.safe import Safe, bare, fill, quoted
from why502.generate.site import Method, Peer, Site, Speech, TlsMode
from why502.host.base import Host
from why502.model.errors import Why502Error

_POLICIES = {
    Method.ROUND_ROBIN: "round_robin",
    Method.LEAST_CONN: "least_conn",
    Method.IP_HASH: "ip_hash",
    Method.RANDOM: "random_choose 2",
}
_OWN = (
    *wishes.only(
        *wishes.OF_EVERY_PROXY, "--root", "--max-fails", "--health", "--stream", "--no-error-pages", "--port", "--tls-port"
    ),
    Option(name="--log-dir", metavar="DIR", help="The directory of the log. Default: /var/log/caddy."),
)
_SCHEMES = {Speech.HTTP: "", Speech.HTTPS: "https://", Speech.GRPC: "h2c://"}


def emit(given: Given, host: Host) -> Made:
    """Return the Caddyfile. Raises Why502Error."""
    made = wishes.site(given, around(host))
    if made.speech is Speech.UWSGI:
        raise refuse("--protocol", made.speech, "is not for caddy", "Give http, https, fastcgi or grpc.")
    backups = len(made.group.peers) - len(made.group.mains)
    if backups and len(made.group.mains) > 1:
        raise Why502Error("--backup works with one --app only: Caddy uses the first server that is up", "Drop one of them.")
    logs = options.path("--log-dir", given.get("--log-dir", "/var/log/caddy"))
    head = f"{', '.join(_addresses(made))} {{"
    body = fill("rows.j2", rows=tuple(flat([block(head, _site(made, logs), "}")], "\t")), mark=Safe("# "))
    return Made(documents=(Document(name="Caddyfile", body=body),), product="Caddy 2", entrance=entrance(made))


def _addresses(made: Site) -> Iterator[str]:
    if not made.domains:
        yield f":{made.port if made.tls.mode is TlsMode.OFF else made.tls_port}"
    scheme = "http://" if made.tls.mode is TlsMode.OFF else ""
    port = f":{made.port}" if made.tls.mode is TlsMode.OFF and made.port != 80 else ""
    yield from (f"{scheme}{domain}{port}" for domain in made.domains)


def _site(made: Site, logs: str) -> Iterator[Row | Branch]:
    if made.tls.mode is TlsMode.FILES:
        yield row(f"tls {bare(made.tls.certificate)} {bare(made.tls.key)}")
    output = row(f"output file {bare(f'{logs}/{made.file_name}.log')}")
    yield block("log {", (output, row("format json")), "}")
    if made.limits.max_body_bytes:
        yield block("request_body {", (row(f"max_size {made.limits.max_body_bytes}"),), "}")
    if made.speech is Speech.FASTCGI:
        yield row(f"root * {bare(made.root)}")
        servers = " ".join(_address(made, peer) for peer in made.group.peers)
        yield block(f"php_fastcgi {servers} {{", _balancing(made, is_fastcgi=True), "}")
        yield row("file_server")
    else:
        for path in made.streams:
            yield from _proxy(made, f"{bare(path)}*", is_stream=True)
        yield from _proxy(made, "", is_stream=False)
    if made.has_error_pages:
        yield from _errors(made)


def _proxy(made: Site, path: str, *, is_stream: bool) -> Iterator[Branch]:
    servers = " ".join(_address(made, peer) for peer in made.group.peers)
    inner: list[Row | Branch] = [*_balancing(made, is_fastcgi=False)]
    if is_stream:
        inner.insert(0, row("flush_interval -1", "each event is sent at once"))
    head = " ".join(word for word in ("reverse_proxy", path, servers, "{") if word)
    inner.append(block("transport http {", _transport(made, is_stream=is_stream), "}"))
    yield block(head, inner, "}")


def _address(made: Site, peer: Peer) -> Safe:
    if peer.target.is_unix:
        prefix = {Speech.HTTPS: "https+unix/", Speech.GRPC: "unix+h2c/"}.get(made.speech, "unix/")
        return Safe(f"{prefix}{bare(peer.target.path)}")
    return Safe(f"{_SCHEMES.get(made.speech, '')}{bare(str(peer.target))}")


def _balancing(made: Site, *, is_fastcgi: bool) -> Iterator[Row]:
    group = made.group
    if len(group.peers) > 1:
        if len(group.mains) < len(group.peers):
            yield row("lb_policy first", "the second server gets requests only while the first is down")
        elif any(peer.weight > 1 for peer in group.peers):
            yield row(f"lb_policy weighted_round_robin {' '.join(str(peer.weight) for peer in group.peers)}")
        else:
            yield row(f"lb_policy {_POLICIES[group.method]}")
        yield row(f"fail_duration {group.health.fail_timeout_s}s", "without it, Caddy does not remember failures")
        yield row(f"max_fails {group.health.max_fails}")
    yield row(
        "lb_try_duration 5s",
        "without it, every request during a restart of the application gets 502; a POST that was sent is not repeated",
    )
    yield row("lb_try_interval 100ms")
    if group.health.path and not is_fastcgi:
        yield row(f"health_uri {bare(group.health.path)}")
        yield row("health_interval 5s")
        yield row("health_timeout 3s")


def _transport(made: Site, *, is_stream: bool) -> Iterator[Row]:
    times = made.times
    yield row(f"dial_timeout {times.connect_s}s")
    if not is_stream:
        yield row(f"response_header_timeout {times.read_s}s", made.reasons.get("read") or "without it, Caddy waits forever")
    if made.group.idle_s:
        yield row(f"keepalive {made.group.idle_s}s", made.reasons.get("idle", ""))
    else:
        yield row("keepalive off")
    if made.limits.header_bytes:
        yield row(f"max_response_header {made.limits.header_bytes + 4096}")
    if made.speech is Speech.HTTPS:
        yield row(f"tls_server_name {bare(made.trust.name)}")
        yield row(f"tls_trust_pool file {bare(made.trust.issuers)}")


def _errors(made: Site) -> Iterator[Branch]:
    for statuses, shown, word, text in (
        ("502 503", 503, "unavailable", "The application is not available at the moment. Please try again in a few seconds."),
        ("504", 504, "timeout", "The application took too long to answer. Please try again later."),
    ):
        rows = [row("header Cache-Control no-store")]
        if shown == 503:
            rows.append(row(f"header Retry-After {made.group.health.fail_timeout_s}"))
        json = quoted({"error": word, "status": shown})
        rows += [
            row("@json header Accept *application/json*"),
            row("header @json Content-Type application/json"),
            row(f"respond @json `{json}` {shown}"),
            row("header Content-Type text/html"),
            row(f'respond "<!doctype html><title>{shown}</title><p>{text}</p>" {shown}'),
        ]
        reason = "a client tries again after 503 and Retry-After" if shown == 503 else ""
        yield block(f"handle_errors {statuses} {{", rows, "}", reason)


KIND = Kind(
    name="caddy",
    help="Write a Caddyfile for one site.",
    example="why502 generate caddy --app 127.0.0.1:3000 --domain shop.example",
    options=_OWN,
    emit=emit,
    is_site=True,
    home="/etc/caddy",
    order=5,
)
