"""Envoy's listeners as routes: each route of each virtual host, with the cluster that it leads to.

Sources: api/envoy/config/listener/v3/listener.proto; api/envoy/config/route/v3/{route,route_components}.proto;
api/envoy/extensions/filters/network/http_connection_manager/v3 and tcp_proxy/v3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from why502.config.yaml_text import NOTHING, Item
from why502.gateways.envoy.config.access_logs import logs
from why502.gateways.envoy.config.clusters import Cluster, seconds, target_of
from why502.gateways.envoy.config.resources import Resources, kind_of
from why502.model.config import Answer, LogTarget, Peer, Position, Route, Setting
from why502.model.target import Target

ROUTE_S = 15.0  # RouteAction.timeout
STREAM_IDLE_S = 300.0  # HttpConnectionManager.stream_idle_timeout
MISSING = "missing cluster"  # `directive` of a route to a cluster that no file defines
_SERVICES = {"ExtAuthz": "ext_authz", "RateLimit": "ratelimit", "ExternalProcessor": "ext_proc"}
_ASKED_S = 0.2  # their usual time limit
_MANAGER, _TCP = "HttpConnectionManager", "TcpProxy"
_PATHS = {"prefix": "{}", "path_separated_prefix": "{}", "path": "= {}"}
_CONDITIONS = ("headers", "query_parameters", "runtime_fraction", "grpc", "dynamic_metadata", "filter_state", "cookies")
_RETRIES = {
    "5xx": ("error", "timeout"),
    "gateway-error": ("error", "timeout"),
    "reset": ("error", "timeout"),
    "reset-before-request": ("error",),
    "connect-failure": ("error",),
    "refused-stream": ("error",),
}


@dataclass(frozen=True, slots=True)
class Front:
    """What the routes of one listener share."""

    listens: tuple[str, ...]
    has_tls: bool
    stream_idle_s: float


@dataclass(slots=True)
class Fronts:
    """What the listeners lead to."""

    routes: list[Route]
    answers: list[Answer]
    logs: list[LogTarget]
    listens: list[Target]


def fronts(found: Resources, known: dict[str, Cluster], *, is_whole: bool) -> Fronts:
    """Return what the listeners lead to.

    `is_whole`: every cluster is known, so a route to another name leads nowhere.
    """
    made = Fronts([], [], [], [])
    for listener in found.listeners:
        target = target_of(listener["address"])
        if target is not None:
            made.listens.append(target)
        made.logs += logs(listener["access_log"])
        for chain in (*listener["filter_chains"], listener["default_filter_chain"]):
            words = f"{target or ''}{' ssl' if chain['transport_socket'] else ''}"
            for part in chain["filters"]:
                config = part["typed_config"]
                made.logs += logs(config["access_log"])
                front = Front(
                    (words,) if target else (),
                    bool(chain["transport_socket"]),
                    seconds(config["stream_idle_timeout"], STREAM_IDLE_S),
                )
                if kind_of(config) == _MANAGER:
                    made.routes += _asked(config, front, known)
                    _add_hosts(made, _table(config, found), front, known, is_whole=is_whole)
                elif kind_of(config) == _TCP:
                    made.routes += _tcp(config, front, known)
    for name, table in found.tables.items():
        if not any(name == part for part in _tables_used(found)):
            _add_hosts(made, table, Front((), has_tls=False, stream_idle_s=STREAM_IDLE_S), known, is_whole=is_whole)
    return made


def _table(config: Item, found: Resources) -> Item:
    return config["route_config"] or found.tables.get(config["rds"]["route_config_name"].text, NOTHING)


def _tables_used(found: Resources) -> Iterator[str]:
    """Yield the names of the tables that listeners have or name."""
    for listener in found.listeners:
        for chain in (*listener["filter_chains"], listener["default_filter_chain"]):
            for part in chain["filters"]:
                config = part["typed_config"]
                yield config["rds"]["route_config_name"].text or config["route_config"]["name"].text


def _add_hosts(made: Fronts, table: Item, front: Front, known: dict[str, Cluster], *, is_whole: bool) -> None:
    for host in table["virtual_hosts"]:
        names = tuple(dict.fromkeys(_host_name(domain.text) for domain in host["domains"] if domain.text))
        for written in host["routes"]:
            location = location_of(written["match"])
            direct = written["direct_response"]
            if status := direct["status"].number:
                made.answers.append(
                    Answer(server=names[0] if names else "", location=location, status=int(status), at=direct["status"].at)
                )
            elif written["route"]:
                made.routes += _routes(written, location, names, host, front, known, is_whole=is_whole)


def _host_name(domain: str) -> str:
    """Return the name in a domain of a virtual host, without its port."""
    name, colon, port = domain.rpartition(":")
    return (name if colon and (port.isdecimal() or port == "*") else domain).lower()


def location_of(match: Item) -> str:
    """Return the path of a match in the notation of routes; "" for one that is not by the path."""
    for name, form in _PATHS.items():
        if match[name]:
            return form.format(match[name].text)
    regex = match["safe_regex"]["regex"].text
    return f"~ {regex}" if regex else ""


def _conditions(match: Item) -> tuple[str, ...]:
    """Return what a request must have besides its path."""
    found = ((name, each) for name in _CONDITIONS for each in (*match[name], *((match[name],) if match[name].members else ())))
    return tuple(f"{name} {each['name'].text}".strip() for name, each in found)


def _routes(
    written: Item,
    location: str,
    names: tuple[str, ...],
    host: Item,
    front: Front,
    known: dict[str, Cluster],
    *,
    is_whole: bool,
) -> Iterator[Route]:
    """Yield a route for each cluster that a rule leads to."""
    action = written["route"]
    if "cluster_header" in action or "cluster_specifier_plugin" in action or "inline_cluster_specifier_plugin" in action:
        yield _route(written, action["cluster_header"], location, names, host, front, None, has_variables=True)
        return
    targets = [each["name"] for each in action["weighted_clusters"]["clusters"]] or [action["cluster"]]
    for name in targets:
        cluster = known.get(name.text)
        if cluster is not None or (is_whole and name.text):
            yield _route(written, name, location, names, host, front, cluster)


def _route(
    written: Item,
    name: Item,
    location: str,
    names: tuple[str, ...],
    host: Item,
    front: Front,
    cluster: Cluster | None,
    *,
    has_variables: bool = False,
) -> Route:
    action = written["route"]
    retry = action["retry_policy"] or host["retry_policy"]
    read_s, at = _limit(action, retry, front)
    protocol = cluster.protocol if cluster else "http"
    family = "grpc" if protocol.startswith("grpc") else "proxy"
    settings = {
        **(cluster.settings if cluster else {}),
        f"{family}_read_timeout": (Setting(args=(f"{read_s:g}s",), at=at),),
    }
    words = retry["retry_on"].text.replace(" ", "").split(",")
    retried = tuple(dict.fromkeys(kind for word in words for kind in _RETRIES.get(word, ())))
    rewrite = action["prefix_rewrite"]
    return Route(
        proxy="envoy",
        server=names[0] if names else "",
        server_names=names,
        listens=front.listens,
        listens_tls=front.has_tls,
        location=location,
        at=name.at,
        directive="cluster" if cluster or has_variables else MISSING,
        passes=name.text,
        protocol=protocol,
        uri=rewrite.text if rewrite and not has_variables else None,
        upstream=name.text if not has_variables else None,
        peers=cluster.upstream.peers if cluster else (),
        has_variables=has_variables or (cluster is not None and cluster.is_open),
        http_version="2" if family == "grpc" else "1.1",
        host_header=_host_header(action, cluster),
        settings=settings,
        sends_sni=bool(cluster and cluster.sni),
        verifies_tls=bool(cluster and cluster.verifies),
        has_client_certificate="cluster_ssl_certificate" in settings,
        connect_timeout_s=cluster.connect_s if cluster else 0.0,
        read_timeout_s=read_s,
        send_timeout_s=read_s,
        buffer_size_bytes=cluster.headers_bytes if cluster else 0,
        next_upstream=retried or ("off",),
        next_upstream_tries=int(retry["num_retries"].number or 1) + 1 if retried else 1,
        keepalive=cluster.upstream.keepalive if cluster else 0,
        keepalive_timeout_s=cluster.upstream.keepalive_timeout_s if cluster else 0.0,
        if_conditions=_conditions(written["match"]),
    )


def _limit(action: Item, retry: Item, front: Front) -> tuple[float, Position | None]:
    """Return the shortest of the limits for a response, and where it is set; 0 without one.

    With a limit of the whole response the idle limit counts only if it is shorter.
    """
    longest = action["max_stream_duration"]["max_stream_duration"]
    limits = [
        (seconds(action["timeout"], ROUTE_S), action["timeout"].at),
        (seconds(longest, 0.0), longest.at),
        (seconds(retry["per_try_timeout"], 0.0), retry["per_try_timeout"].at),
        (seconds(action["idle_timeout"], front.stream_idle_s), action["idle_timeout"].at),
    ]
    return min((limit for limit in limits if limit[0] > 0), key=lambda limit: limit[0], default=(0.0, None))


def _host_header(action: Item, cluster: Cluster | None) -> str:
    if literal := action["host_rewrite_literal"].text:
        return literal
    return cluster.hostname if action["auto_host_rewrite"].is_true and cluster and cluster.hostname else "$host"


def _asked(config: Item, front: Front, known: dict[str, Cluster]) -> Iterator[Route]:
    """Yield the routes to the services that are asked about each request: `directive` is the kind of filter."""
    for part in config["http_filters"]:
        given = part["typed_config"]
        kind = _SERVICES.get(kind_of(given), "")
        services = (given["grpc_service"], given["rate_limit_service"]["grpc_service"])
        name = next(
            (each["envoy_grpc"]["cluster_name"] for each in services if each), given["http_service"]["server_uri"]["cluster"]
        )
        cluster = known.get(name.text)
        if not kind or cluster is None:
            continue
        limit = given["timeout"] or given["grpc_service"]["timeout"] or given["http_service"]["server_uri"]["timeout"]
        yield Route(
            proxy="envoy",
            listens=front.listens,
            listens_tls=front.has_tls,
            location=f"@{kind}",
            at=name.at,
            directive=kind,
            passes=name.text,
            protocol=cluster.protocol,
            upstream=name.text,
            peers=cluster.upstream.peers,
            http_version="2" if cluster.protocol.startswith("grpc") else "1.1",
            host_header="$host",
            settings=cluster.settings,
            connect_timeout_s=cluster.connect_s,
            read_timeout_s=seconds(limit, _ASKED_S),
            buffer_size_bytes=cluster.headers_bytes,
        )


def _tcp(config: Item, front: Front, known: dict[str, Cluster]) -> Iterator[Route]:
    """Yield the routes of a listener that passes on connections."""
    written = [each["name"] for each in config["weighted_clusters"]["clusters"]] or [config["cluster"]]
    for name in written:
        if (cluster := known.get(name.text)) is None:
            continue
        peers: tuple[Peer, ...] = cluster.upstream.peers
        yield Route(
            proxy="envoy",
            listens=front.listens,
            listens_tls=front.has_tls,
            at=name.at,
            directive="cluster",
            passes=name.text,
            protocol="tcp",
            upstream=name.text,
            peers=peers,
            settings=cluster.settings,
            connect_timeout_s=cluster.connect_s,
            read_timeout_s=seconds(config["idle_timeout"], 3600.0),
            send_timeout_s=0.0,
        )
