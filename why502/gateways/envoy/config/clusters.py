"""Envoy's clusters as groups of peers, and how it connects to them: TLS, HTTP/2, limits.

Sources: api/envoy/config/cluster/v3/cluster.proto; api/envoy/extensions/transport_sockets/tls/v3/{tls,common}.proto;
api/envoy/extensions/upstreams/http/v3/http_protocol_options.proto; circuit_breaker.proto, outlier_detection.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from why502.config.yaml_text import NOTHING, Item
from why502.gateways.envoy.config.resources import Resources, kind_of
from why502.machine.trusted_issuers import BUNDLES
from why502.model.config import SENDS_PROXY, Peer, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.target import Target

CONNECT_S = 5.0  # Cluster.connect_timeout
IDLE_S = 3600.0  # HttpProtocolOptions.idle_timeout
HEADERS_KIB = 60  # HttpProtocolOptions.max_response_headers_kb
_DURATION = lazy(r"(\d{1,12}(?:\.\d{1,9})?)s")
_RESOLVED = ("STRICT_DNS", "LOGICAL_DNS")  # resolved again all the time
_HAS_HOSTS = (*_RESOLVED, "STATIC", "EDS")  # any other type finds its hosts from a request
_UNUSED = ("UNHEALTHY", "DRAINING", "TIMEOUT")  # a configured health status with which a host gets no request
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "UpstreamTlsContext"
_PROXY_PROTOCOL = "ProxyProtocolUpstreamTransport"
_MOST_PEERS = 10_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """What routes need of a cluster. `hostname`: the only name of its hosts. `is_open`: a request decides on its host."""

    upstream: Upstream
    is_open: bool = False
    protocol: str = "http"  # http, https; grpc, grpcs: HTTP/2
    connect_s: float = CONNECT_S
    headers_bytes: int = HEADERS_KIB << 10
    sni: str = ""
    verifies: bool = False
    hostname: str = ""
    settings: dict[str, tuple[Setting, ...]] = field(default_factory=dict)


def seconds(item: Item, default: float) -> float:
    """Return a duration in seconds; 0 for `0s`, which means no limit."""
    match = _DURATION.fullmatch(item.text)
    return float(match[1]) if match else default


def clusters(found: Resources) -> dict[str, Cluster]:
    """Return the clusters by name."""
    return {name: _cluster(item, found) for name, item in found.clusters.items()}


def _cluster(item: Item, found: Resources) -> Cluster:
    name = item["name"].text
    kind = _kind(item)
    assigned = item["load_assignment"] or _assigned(item, found)
    peers = tuple(_peers(assigned, resolves=kind in _RESOLVED))
    options = item["typed_extension_protocol_options"][_OPTIONS]
    socket, sent = _unwrapped(item["transport_socket"]["typed_config"])
    is_tls = kind_of(socket) == _TLS
    explicit = options["explicit_http_config"]
    is_h2 = "http2_protocol_options" in explicit or "http2_protocol_options" in item
    common = options["common_http_protocol_options"] or item["common_http_protocol_options"]
    upstream = Upstream(
        name=name,
        peers=peers,
        at=item["name"].at,
        method=(item["lb_policy"].text or "ROUND_ROBIN").lower().replace("_", "-"),
        keepalive=1,
        keepalive_timeout_s=seconds(common["idle_timeout"], IDLE_S),
        keepalive_at=common["idle_timeout"].at,
    )
    hosts = {peer.target.host for peer in peers if peer.target is not None and not peer.target.is_address and peer.target.host}
    headers_kib = common["max_response_headers_kb"].number
    return Cluster(
        upstream=upstream,
        is_open=kind not in _HAS_HOSTS,
        protocol=f"grpc{'s' * is_tls}" if is_h2 else f"http{'s' * is_tls}",
        connect_s=seconds(item["connect_timeout"], CONNECT_S),
        headers_bytes=int(headers_kib or HEADERS_KIB) << 10,
        sni=_sni(socket, options["upstream_http_protocol_options"]) if is_tls else "",
        verifies=is_tls and _verifies(socket),
        hostname=hosts.pop() if len(hosts) == 1 else "",
        settings={**_tls_settings(socket, options), **_sent(sent), **_limits(item)}
        if is_tls
        else {**_sent(sent), **_limits(item)},
    )


def _kind(item: Item) -> str:
    """Return the type of a cluster; for one that is an extension, its name."""
    custom = item["cluster_type"]
    if kind_of(custom["typed_config"]) == "DnsCluster":
        return "STRICT_DNS"
    return custom["name"].text or item["type"].text or "STATIC"


def _assigned(item: Item, found: Resources) -> Item:
    """Return the endpoints that discovery assigns to a cluster, as far as a file or the running configuration has them."""
    service = item["eds_cluster_config"]["service_name"].text
    return found.endpoints.get(service or item["name"].text, NOTHING)


def _peers(assigned: Item, *, resolves: bool) -> Iterator[Peer]:
    count = 0
    for locality in assigned["endpoints"]:
        for host in locality["lb_endpoints"]:
            count += 1
            if count > _MOST_PEERS:
                return
            place = host["endpoint"]["address"]
            socket, pipe = place["socket_address"], place["pipe"]["path"]
            target = target_of(place)
            yield Peer(
                name=str(target) if target else "",
                target=target,
                at=(socket["port_value"] or socket["address"] or pipe).at,
                is_backup=(locality["priority"].number or 0) > 0,
                is_down=host["health_status"].text in _UNUSED,
                resolves=resolves,
            )


def target_of(place: Item) -> Target | None:
    """Return the address in an `Address`; None if it has no port, or is of another kind."""
    if path := place["pipe"]["path"].text:
        return Target.unix(path)
    socket = place["socket_address"]
    port = socket["port_value"].number
    host = socket["address"].text
    return Target.parse(f"[{host}]:{port:.0f}" if ":" in host else f"{host}:{port:.0f}") if host and port else None


def _unwrapped(socket: Item) -> tuple[Item, Item]:
    """Return a transport socket without the one around it that sends the PROXY header, and that one's configuration."""
    if kind_of(socket) != _PROXY_PROTOCOL:
        return socket, NOTHING
    return socket["transport_socket"]["typed_config"], socket


def _sent(socket: Item) -> dict[str, tuple[Setting, ...]]:
    if not socket:
        return {}
    version = "v2" if socket["config"]["version"].text == "V2" else "v1"
    return {SENDS_PROXY: (Setting(args=(version,), at=socket.at),)}


def _sni(socket: Item, http: Item) -> str:
    """Return the server name that is sent, in the notation of routes; "" for none."""
    return "$host" if http["auto_sni"].is_true else socket["sni"].text


def _context(socket: Item) -> Item:
    common = socket["common_tls_context"]
    return common["validation_context"] or common["combined_validation_context"]["default_validation_context"]


def _verifies(socket: Item) -> bool:
    """Return whether the server's certificate must be issued by a trusted issuer."""
    context = _context(socket)
    is_named = bool(context["trusted_ca"]) or "system_root_certs" in context or "ca_certificate_provider_instance" in context
    return is_named and context["trust_chain_verification"].text != "ACCEPT_UNTRUSTED"


def _tls_settings(socket: Item, options: Item) -> dict[str, tuple[Setting, ...]]:
    """Return the TLS settings under the names that probes use."""
    context, common = _context(socket), socket["common_tls_context"]
    trusted = context["trusted_ca"]["filename"]
    pair = next(iter(common["tls_certificates"]), NOTHING)
    chain, key = pair["certificate_chain"]["filename"], pair["private_key"]["filename"]
    http = options["upstream_http_protocol_options"]
    name = "$host" if http["auto_sni"].is_true else socket["sni"].text
    values = {
        "trusted_certificate": (trusted.text or (BUNDLES[0] if "system_root_certs" in context else ""), trusted.at),
        "name": (name, socket["sni"].at),
        "verified_name": (_verified(context) or (name if http["auto_san_validation"].is_true else ""), context.at),
        "certificate": (chain.text, chain.at),
        "certificate_key": (key.text, key.at),
    }
    return {f"cluster_ssl_{name}": (Setting(args=(value,), at=at),) for name, (value, at) in values.items() if value}


def _verified(context: Item) -> str:
    """Return the name that a certificate must have; "" if any, or one of several."""
    names = [each["matcher"]["exact"].text for each in context["match_typed_subject_alt_names"] if each["san_type"].text == "DNS"]
    names += [each["exact"].text for each in context["match_subject_alt_names"]]
    return names[0] if len(names) == 1 else ""


def _limits(item: Item) -> dict[str, tuple[Setting, ...]]:
    """Return the limits of the cluster's circuit breakers, its health check and its outlier detection, under their own names."""
    found: dict[str, tuple[Setting, ...]] = {}
    for threshold in item["circuit_breakers"]["thresholds"]:
        if threshold["priority"].text in ("", "DEFAULT"):
            for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries"):
                if threshold[name]:
                    found[name] = (Setting(args=(threshold[name].text,), at=threshold[name].at),)
    for check in item["health_checks"]:
        path = check["http_health_check"]["path"]
        found["health_check"] = (Setting(args=(path.text or "tcp",), at=path.at or check.at),)
        break
    if "outlier_detection" in item:
        ejection = item["outlier_detection"]
        found["outlier_detection"] = (Setting(args=(ejection["base_ejection_time"].text or "30s",), at=ejection.at),)
    return found
