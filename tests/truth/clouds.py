"""Load balancers and CDNs as a service: AWS ALB and CloudFront, Cloudflare Logpush, Google Cloud's load balancer.

Field orders and meanings are of the providers' documentation. ALB's first time is the answer's, a time of its target is -1 when
there was no answer, 460 is a client that gave up. CloudFront writes 000 for that, percent-encodes the user agent, and has no
origin. Cloudflare's `OriginResponseStatus` is 0 when the origin did not answer.
"""

from functools import partial
from urllib.parse import quote

from .product import HOST, Format, Lines, host_of, json_text, port_of, same, seconds_text, target_texts, unique, utc_times
from .scene import NOBODY, Memo, Row, Scene

GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/73e2d6bc24d8a067"
UNANSWERED = frozenset((460, 502, 503, 504))


def alb(scene: Scene) -> Lines:
    """An entry of an Application Load Balancer, thirty fields."""
    times, client = utc_times(), scene.client
    target = target_texts(scene.targets, nobody="-", none="-")
    requests = Memo(lambda number: f"{scene.method(number)} https://{HOST}:443{scene.uri[number]} HTTP/2.0")
    agents = [agent.replace('"', "%22").replace("\t", "%09") or "-" for agent in scene.agents]

    def line(row: Row) -> str:
        end = f"{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}417Z"
        start_ms = row.at_ms - row.us // 1000
        start = f"{times[start_ms // 1000]}.{start_ms % 1000:03d}000Z"
        to, total = target(row.target), row.us // 1000
        spent, own, group = f"0.001 {seconds_text(row.us - 1000)} 0.000", str(row.status), GROUP
        if row.status in UNANSWERED:
            spent, own = ("-1 -1 -1" if row.target == NOBODY else "0.001 -1 -1"), "-"
        elif total < 2:
            spent = f"0.000 {seconds_text(row.us)} 0.000"
        return (
            f'h2 {end} app/shop/50dc6c495c0c9188 {client[row.client]}:{port_of(row)} {to} {spent} {row.status} {own} 134 {row.size} '
            f'"{requests[row.request]}" "{agents[row.agent]}" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 {group} "Root=1-{unique(row)[:8]}-{unique(row)[8:]}" '
            f'"{HOST}" "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012" 0 {start} "forward" "-" "-" '
            f'"{to}" "{own}" "-" "-" TID_{unique(row)}'
        )  # fmt: skip

    return Lines(line)


CLOUDFRONT_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) "
    "x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
    "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte "
    "x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end"
)


def cloudfront(scene: Scene) -> Lines:
    """A line of CloudFront's standard log, 33 fields between tabs."""
    times, client = Memo(lambda second: utc[second].replace("T", "\t")), scene.client
    utc = utc_times()
    stems = Memo(lambda number: quote(scene.path[number], safe="/%"))
    agents = [quote(agent, safe="/():;,=+") or "-" for agent in scene.agents]

    def line(row: Row) -> str:
        result, detail = ("Error", "OriginConnectError") if row.status >= 499 else ("Miss", "Miss")
        if row.status == 0:
            result, detail = "Error", "ClientCommError"
        spent = seconds_text(row.us)
        return "\t".join(
            (
                times[row.at_ms // 1000], "FRA56-P5", str(row.size), client[row.client], scene.method(row.request), "d111111abcdef8.cloudfront.net",
                stems[row.request], f"{row.status:03d}", "-", agents[row.agent], scene.query(row.request)[1:] or "-", "-", result,
                unique(row) + "==", HOST, "https", "312", spent, "-", "TLSv1.3", "TLS_AES_128_GCM_SHA256", result, "HTTP/2.0", "-", "-",
                str(port_of(row)), spent, detail, "text/html", str(row.size), "-", "-",
            )
        )  # fmt: skip

    return Lines(line)


def cloudflare(scene: Scene, in_nanoseconds: bool) -> Lines:
    """A record of the dataset http_requests, times as RFC 3339 or as Unix nanoseconds."""
    times, client = utc_times(), scene.client
    target = target_texts([host_of(address) for address in scene.targets], nobody="", none="")
    uris = Memo(lambda number: json_text(scene.uri[number]))
    paths = Memo(lambda number: json_text(scene.path[number]))
    agents = [json_text(agent) for agent in scene.agents]

    def stamp(ms: int, rest_us: int) -> str:
        return f"{ms * 1000 + rest_us}000" if in_nanoseconds else f'"{times[ms // 1000]}Z"'

    def line(row: Row) -> str:
        end_us = row.at_ms * 1000 + row.us
        own = row.status if row.status < 502 and row.status != 499 else 502 if row.status == 502 else 0
        return (
            f'{{"CacheCacheStatus":"dynamic","ClientASN":64496,"ClientCountry":"de","ClientIP":"{client[row.client]}","ClientRequestHost":"{HOST}",'
            f'"ClientRequestMethod":"{scene.method(row.request)}","ClientRequestPath":{paths[row.request]},"ClientRequestProtocol":"HTTP/2",'
            f'"ClientRequestURI":{uris[row.request]},"ClientRequestUserAgent":{agents[row.agent]},"ClientSrcPort":{port_of(row)},'
            f'"EdgeEndTimestamp":{stamp(end_us // 1000, end_us % 1000)},"EdgeResponseBytes":{row.size},"EdgeResponseStatus":{row.status},'
            f'"EdgeStartTimestamp":{stamp(row.at_ms, 0)},"OriginIP":"{target(row.target)}","OriginResponseStatus":{own},"RayID":"{unique(row)[:16]}"}}'
        )

    return Lines(line)


def origin_status(status: int) -> int:
    """Cloudflare's status of the origin by that of the edge."""
    return status if status < 499 or status in (500, 502) else 0


DETAILS = {
    499: "client_disconnected_before_any_response",
    502: "failed_to_connect_to_backend",
    503: "failed_to_pick_backend",
    504: "backend_timeout",
}


def google(scene: Scene) -> Lines:
    """An entry of Cloud Logging for an external Application Load Balancer."""
    times, client = utc_times(), scene.client
    urls = Memo(lambda number: json_text(f"https://{HOST}{scene.uri[number]}"))
    agents = [f',"userAgent":{json_text(agent)}' if agent else "" for agent in scene.agents]
    hosts = target_texts([f'"serverIp":"{host_of(address)}",' for address in scene.targets], nobody="", none="")

    def line(row: Row) -> str:
        at = f"{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}417Z"
        severity = "WARNING" if row.status >= 400 else "INFO"
        return (
            f'{{"httpRequest":{{"latency":"{row.us // 1_000_000}.{row.us % 1_000_000:06d}s","remoteIp":"{client[row.client]}",'
            f'"requestMethod":"{scene.method(row.request)}","requestSize":"321","requestUrl":{urls[row.request]},"responseSize":"{row.size}",'
            f'{hosts(row.target)}"status":{row.status}{agents[row.agent]}}},"insertId":"{unique(row)[:14]}","jsonPayload":{{'
            f'"@type":"type.googleapis.com/google.cloud.loadbalancing.type.LoadBalancerLogEntry","backendTargetProjectNumber":"projects/123456",'
            f'"statusDetails":"{DETAILS.get(row.status, "response_sent_by_backend")}"}},"logName":"projects/shop/logs/requests",'
            f'"receiveTimestamp":"{times[row.at_ms // 1000 + 1]}.5Z","resource":{{"labels":{{"backend_service_name":"shop","forwarding_rule_name":"shop-https",'
            f'"project_id":"shop","target_proxy_name":"shop","url_map_name":"shop","zone":"global"}},"type":"http_load_balancer"}},'
            f'"severity":"{severity}","spanId":"{unique(row)[:16]}","timestamp":"{at}","trace":"projects/shop/traces/{unique(row)}"}}'
        )

    return Lines(line)


def answered_status(status: int) -> int:
    """ALB logs no status for a target that did not answer."""
    return 0 if status in UNANSWERED else status


CLOUD = partial(Format, tag="-")

FORMATS = (
    CLOUD(
        name="aws-alb", prepare=alb, aborted=460, step_us=1000, untimed=UNANSWERED, target=same, nobody_status=503,
        attempt_status=answered_status,
    ),
    CLOUD(
        name="aws-cloudfront", prepare=cloudfront, aborted=0, step_us=1000, clock_ms=1000,
        header=("#Version: 1.0", f"#Fields: {CLOUDFRONT_FIELDS}"),
    ),
    CLOUD(
        name="cloudflare-rfc3339", prepare=partial(cloudflare, in_nanoseconds=False), aborted=499, others=(520, 522, 524), clock_ms=1000,
        stamps_start=True, target=host_of, attempt_status=origin_status,
    ),
    CLOUD(
        name="cloudflare-nano", prepare=partial(cloudflare, in_nanoseconds=True), aborted=499, others=(520, 522, 524), step_us=1,
        stamps_start=True, target=host_of, attempt_status=origin_status,
    ),
    CLOUD(name="gcp-lb", prepare=google, aborted=499, step_us=1, stamps_start=True, target=host_of, nobody_status=503),
)  # fmt: skip
