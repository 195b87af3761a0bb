"""`why502 generate traefik`: the routers, services and middlewares of a site, for the file provider."""

from __future__ import annotations

from typing import Any

from why502.generate import wishes
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, around, entrance
from why502.generate.options import Given, Option, refuse
from why502.generate.remark import Branch, Row, block, flat, row
from why502.generate.safe import Safe, fill, quoted
from why502.generate.site import Method, Site, Speech, TlsMode
from why502.host.base import Host
from why502.model.errors import Why502Error

_OWN = (
    *wishes.only(*wishes.OF_EVERY_PROXY, "--health", "--limit", "--max-fails"),
    Option(name="--entry-point", metavar="NAME", help="The entry point for plain HTTP. Default: web."),
    Option(name="--tls-entry-point", metavar="NAME", help="The entry point for HTTPS. Default: websecure."),
    Option(name="--resolver-name", metavar="NAME", help="The certificate resolver, for --tls auto. Default: letsencrypt."),
)
_ATTEMPTS = 4  # the pauses between them double: together almost a second, for a restart
_REASONS = {
    "retry": "repeats only requests that did not reach a server, so no POST is sent twice",
    "healthCheck": "Traefik considers a server up until a check fails",
    "passHostHeader": "the application sees the name that the client asked for",
    "strategy": "the less busy of two servers gets the request",
    "forwardingTimeouts": "without them, Traefik waits 30 s for a connection, and forever for an answer",
    "idleConnTimeout": "the proxy must close an idle connection before the application does",
    "rateLimit": "requests above the rate get 429",
    "failover": "the backup gets requests only while all others are down",
}


def emit(given: Given, host: Host) -> Made:
    """Return the dynamic configuration. Raises Why502Error."""
    made = wishes.site(given, around(host))
    if made.speech not in (Speech.HTTP, Speech.HTTPS, Speech.GRPC):
        raise refuse("--protocol", made.speech, "is not for traefik", "Give http, https or grpc.")
    if any(peer.target.is_unix for peer in made.group.peers):
        raise Why502Error("--app: Traefik cannot connect to unix sockets", "Let the application listen on a port.")
    if made.group.method is Method.IP_HASH:
        raise refuse("--method", made.group.method, "is not for traefik", "Give round-robin, or use a cookie in the application.")
    if len(made.group.mains) < len(made.group.peers) and not made.group.health.path:
        raise Why502Error("--backup needs --health: Traefik detects a down server only by checks", "Add --health /up.")
    notes = [] if made.group.health.path else ["without --health Traefik never detects that a server is down"]
    tree: dict[str, Any] = {"http": _http(made, given)}
    if made.tls.mode is TlsMode.FILES:
        tree["tls"] = {"certificates": [{"certFile": made.tls.certificate, "keyFile": made.tls.key}]}
    body = fill("rows.j2", rows=tuple(flat(_lines(tree), "  ")), mark=Safe("# "))
    document = Document(name=f"{made.file_name}.yaml", body=body, places=("dynamic", "conf.d"))
    return Made(documents=(document,), product="Traefik 3", notes=tuple(notes), entrance=entrance(made))


def _http(made: Site, given: Given) -> dict[str, Any]:
    middlewares = _middlewares(made)
    own: dict[str, Any] = {"rule": _rule(made), "service": made.name}
    if middlewares:
        own["middlewares"] = list(middlewares)
    plain = {**own, "entryPoints": [given.get("--entry-point", "web")]}
    routers = {made.name: plain}
    if made.tls.mode is not TlsMode.OFF:
        tls: dict[str, Any] = {}
        if made.tls.mode is TlsMode.AUTO:
            tls = {"certResolver": given.get("--resolver-name", "letsencrypt")}
        routers[f"{made.name}_tls"] = {**own, "entryPoints": [given.get("--tls-entry-point", "websecure")], "tls": tls}
        middlewares[f"{made.name}_https"] = {"redirectScheme": {"scheme": "https", "permanent": True}}
        plain["middlewares"] = [f"{made.name}_https"]
    found: dict[str, Any] = {"routers": routers}
    if middlewares:
        found["middlewares"] = middlewares
    found["services"] = _services(made)
    found["serversTransports"] = {made.name: _transport(made)}
    return found


def _rule(made: Site) -> str:
    if not made.domains:
        return "PathPrefix(`/`)"
    return " || ".join(
        f"HostRegexp(`^[a-z0-9-]+{domain[1:].replace('.', chr(92) + '.')}$`)" if domain.startswith("*.") else f"Host(`{domain}`)"
        for domain in made.domains
    )


def _middlewares(made: Site) -> dict[str, Any]:
    found: dict[str, Any] = {f"{made.name}_retry": {"retry": {"attempts": _ATTEMPTS, "initialInterval": "100ms"}}}
    if rate := made.limits.rate:
        period = {"period": "1m"} if rate.unit == "m" else {}
        found[f"{made.name}_limit"] = {"rateLimit": {"average": rate.count, **period, "burst": rate.burst}}
    if made.limits.max_body_bytes:
        found[f"{made.name}_body"] = {"buffering": {"maxRequestBodyBytes": made.limits.max_body_bytes}}
    return found


def _services(made: Site) -> dict[str, Any]:
    backups = [peer for peer in made.group.peers if peer.is_backup]
    mains = {f"{made.name}_main" if backups else made.name: _balancer(made, [*made.group.mains])}
    if not backups:
        return mains
    failover = {"failover": {"service": f"{made.name}_main", "fallback": f"{made.name}_backup"}}
    return {made.name: failover, **mains, f"{made.name}_backup": _balancer(made, backups)}


def _balancer(made: Site, peers: list[Any]) -> dict[str, Any]:
    scheme = {Speech.HTTPS: "https", Speech.GRPC: "h2c"}.get(made.speech, "http")
    servers = [{"url": f"{scheme}://{peer.target}", **({"weight": peer.weight} if peer.weight > 1 else {})} for peer in peers]
    found: dict[str, Any] = {"servers": servers, "serversTransport": made.name, "passHostHeader": True}
    if made.group.method in (Method.LEAST_CONN, Method.RANDOM) and len(peers) > 1:
        found["strategy"] = "p2c"
    if made.group.health.path:
        found["healthCheck"] = {"path": made.group.health.path, "interval": "5s", "timeout": "3s"}
        if made.domains:
            found["healthCheck"]["hostname"] = made.domains[0].replace("*", "www")
    return {"loadBalancer": found}


def _transport(made: Site) -> dict[str, Any]:
    times = {
        "dialTimeout": f"{made.times.connect_s}s",
        "responseHeaderTimeout": f"{made.times.read_s}s",
        "idleConnTimeout": f"{made.group.idle_s}s",
    }
    found: dict[str, Any] = {"forwardingTimeouts": times if made.group.idle_s else {**times, "idleConnTimeout": "1s"}}
    if not made.group.idle_s:
        found["maxIdleConnsPerHost"] = -1
    if made.speech is Speech.HTTPS:
        found |= {"serverName": made.trust.name, "rootCAs": [made.trust.issuers]}
    return found


def _lines(tree: dict[str, Any]) -> list[Row | Branch]:
    """Return a tree as YAML: objects as blocks, everything else as JSON, which YAML includes."""
    found: list[Row | Branch] = []
    for name, value in tree.items():
        reason = _REASONS.get(name, "")
        if isinstance(value, dict) and value:
            found.append(block(f"{name}:", _lines(value), reason=reason))
        else:
            found.append(row(f"{name}: {quoted(value)}", reason))
    return found


KIND = Kind(
    name="traefik",
    help="Write a site for Traefik's file provider.",
    example="why502 generate traefik --app 10.0.0.5:3000 --app 10.0.0.6:3000 --domain shop.example --health /up",
    options=_OWN,
    emit=emit,
    is_site=True,
    home="/etc/traefik",
    order=5,
)
