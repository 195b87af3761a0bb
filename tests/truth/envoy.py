"""Envoy's default text, and Istio's text and JSON.

The format strings are of Envoy's and Istio's documentation. The time is the request's start. 0 is the status when the client went
away before an answer (flag DC). The flags name the failure: UF, UH and UC are 503, UT is 504; a 502 is the upstream's own (`-`).
"""

from functools import partial

from .product import HOST, Format, Lines, json_text, port_of, same, target_texts, utc_times, uuid_of
from .scene import NO_TARGET, NOBODY, Memo, Row, Scene

CLUSTER = "outbound|8080||shop.default.svc.cluster.local"
LOCAL = "10.244.0.9:8443"


def flags_of(row: Row) -> tuple[str, str]:
    """`%RESPONSE_FLAGS%` and `%RESPONSE_CODE_DETAILS%`."""
    if row.target == NOBODY:
        return "UH", "no_healthy_upstream"
    if row.status == 503:
        return (
            ("UF", "upstream_reset_before_response_started{connection_failure}")
            if row.serial % 2
            else ("UC", "upstream_reset_before_response_started{connection_termination}")
        )
    if row.status == 504:
        return "UT", "response_timeout"
    if row.status == 0:
        return "DC", "downstream_remote_disconnect"
    return ("-", "direct_response") if row.target == NO_TARGET else ("-", "via_upstream")


def is_answered(row: Row) -> bool:
    """Whether the upstream sent an answer, so that its service time is known."""
    return row.target >= 0 and row.status not in (0, 503, 504)


def peer_text(address: str, port: int) -> str:
    """`address:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def text(scene: Scene) -> Lines:
    """Envoy's default format string; the client is in X-Forwarded-For."""
    times, client, requests = utc_times(), scene.client, scene.request_line
    target = target_texts(scene.targets, nobody="-", none="-")
    agents = [agent or "-" for agent in scene.agents]

    def line(row: Row) -> str:
        total = row.us // 1000
        return (
            f'[{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}Z] "{requests[row.request]}" {row.status} {flags_of(row)[0]} 0 {row.size} {total} '
            f'{total if is_answered(row) else "-"} "{client[row.client]}" "{agents[row.agent]}" "{uuid_of(row)}" "{HOST}" "{target(row.target)}"'
        )

    return Lines(line)


def istio_text(scene: Scene) -> Lines:
    """Istio's default format string; the client is the remote address, and is forwarded by a gateway."""
    times, client, requests = utc_times(), scene.client, scene.request_line
    target = target_texts(scene.targets, nobody="-", none="-")
    agents = [agent or "-" for agent in scene.agents]

    def line(row: Row) -> str:
        total, (flags, details), who = row.us // 1000, flags_of(row), client[row.client]
        reason = "delayed_connect_error:_Connection_refused" if flags == "UF" else "-"
        return (
            f'[{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}Z] "{requests[row.request]}" {row.status} {flags} {details} - "{reason}" 0 {row.size} '
            f'{total} {total if is_answered(row) else "-"} "{who}" "{agents[row.agent]}" "{uuid_of(row)}" "{HOST}" "{target(row.target)}" '
            f"{CLUSTER} {'10.244.0.9:41234' if row.target >= 0 else '-'} {LOCAL} {peer_text(who, port_of(row))} {HOST} default"
        )

    return Lines(line)


def istio_json(scene: Scene) -> Lines:
    """Istio's JSON: keys sorted, numbers as numbers, null for what is missing."""
    times, client = utc_times(), scene.client
    target = target_texts([f'"{address}"' for address in scene.targets], nobody="null", none="null")
    paths = Memo(lambda number: json_text(scene.uri[number]))
    agents = [json_text(agent) if agent else "null" for agent in scene.agents]

    def line(row: Row) -> str:
        total, (flags, details), who = row.us // 1000, flags_of(row), client[row.client]
        reason = '"delayed_connect_error:_Connection_refused"' if flags == "UF" else "null"
        service = f'"{total}"' if is_answered(row) else "null"
        return (
            f'{{"authority":"{HOST}","bytes_received":0,"bytes_sent":{row.size},"connection_termination_details":null,'
            f'"downstream_local_address":"{LOCAL}","downstream_remote_address":"{peer_text(who, port_of(row))}","duration":{total},'
            f'"method":"{scene.method(row.request)}","path":{paths[row.request]},"protocol":"HTTP/1.1","request_id":"{uuid_of(row)}",'
            f'"requested_server_name":null,"response_code":{row.status},"response_code_details":"{details}","response_flags":"{flags}",'
            f'"route_name":"default","start_time":"{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}Z","upstream_cluster":"{CLUSTER}",'
            f'"upstream_host":{target(row.target)},"upstream_local_address":null,"upstream_service_time":{service},'
            f'"upstream_transport_failure_reason":{reason},"user_agent":{agents[row.agent]},"x_forwarded_for":"{who}"}}'
        )

    return Lines(line)


ACCESS = partial(Format, tag="envoy", aborted=0, step_us=1000, stamps_start=True, has_static=True, target=same, nobody_status=503)

FORMATS = (
    ACCESS(name="envoy-text", prepare=text),
    ACCESS(name="istio-text", prepare=istio_text),
    ACCESS(name="istio-json", prepare=istio_json),
)
