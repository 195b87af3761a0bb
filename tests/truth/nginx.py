"""nginx: access logs by four arrangements and as JSON, ingress-nginx, and the error log.

ngx_http_log_module and ngx_http_upstream_module document the variables. Seen of nginx 1.22: `"` `\\` and bytes below 32 or above
126 are written `\\xHH` in capitals; `$upstream_addr` is the upstream's name when no server is live; `$upstream_status` is `-`
for 499, and JSON has empty strings where text has `-`; an empty request line is logged as `""`, not as `"-"`.
"""

from collections.abc import Callable
from functools import partial

from .product import (
    HOST,
    Format,
    Lines,
    clf_times,
    escaped,
    json_text,
    offset_times,
    same,
    seconds_text,
    stamps,
    target_texts,
    unique,
)
from .scene import NO_TARGET, NOBODY, Memo, Row, Scene

UPSTREAM = "app_servers"
INGRESS = "shop-web-80"
BROKEN = ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "", "FOO")


def escape(text: str) -> str:
    """The text as nginx writes it without `escape=`."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def broken(row: Row) -> str:
    """A request line that is none, unescaped."""
    return BROKEN[row.serial % 3]


def broken_bytes(row: Row) -> str:
    """The same as escaped, with a last byte that is not UTF-8."""
    return escape(broken(row)).replace("\\xC3\\xBC", "\\xFC")


def attempt_status(status: int) -> int:
    """nginx logs no status for a target that the client did not wait for."""
    return 0 if status == 499 else status


def attempts(row: Row, target: Callable[[int], str]) -> tuple[str, str, str]:
    """`$upstream_addr`, `$upstream_status` and `$upstream_response_time` as text has them."""
    if row.target == NO_TARGET:
        return "-", "-", "-"
    status = "-" if row.status == 499 else str(row.status)
    if row.first < 0:
        return target(row.target), status, "0.000" if row.target == NOBODY else seconds_text(row.us)
    between = " : " if row.serial % 10 == 0 else ", "
    first_us = row.us // 3
    times = seconds_text(first_us) + between + seconds_text(row.us - first_us)
    return target(row.first) + between + target(row.target), f"{row.first_status}{between}{status}", times


def combined(scene: Scene) -> Lines:
    """`combined`."""
    times, client = clf_times(scene), scene.client
    requests, agents = escaped(scene, escape)

    def line(row: Row) -> str:
        return f'{client[row.client]} - - [{times[row.at_ms // 1000]}] "{requests[row.request]}" {row.status} {row.size} "-" "{agents[row.agent]}"'

    def bad(row: Row) -> str:
        return f'{client[row.client]} - - [{times[row.at_ms // 1000]}] "{broken_bytes(row)}" 400 157 "-" "-"'

    return Lines(line, bad)


def arranged(scene: Scene, arrange: Callable[[Row, str, str, str, tuple[str, str, str]], str]) -> Lines:
    """Lines by a `log_format` with upstream fields: row, client, request, agent, attempts → line."""
    client = scene.client
    target = target_texts(scene.targets, nobody=UPSTREAM, none="-")
    requests, agents = escaped(scene, escape)

    def line(row: Row) -> str:
        return arrange(row, client[row.client], requests[row.request], agents[row.agent], attempts(row, target))

    def bad(row: Row) -> str:
        return arrange(row, client[row.client], broken_bytes(row), "-", ("-", "-", "-"))

    return Lines(line, bad)


def key_value(scene: Scene) -> Lines:
    """`time=$time_iso8601 client=$remote_addr method=… request="$request" status=$status … rt=$request_time …`."""
    times = offset_times(scene)

    def arrange(row: Row, client: str, request: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        return (
            f'time={times[row.at_ms // 1000]} client={client} host={HOST} request="{request}" status={row.status} bytes={row.size} '
            f'rt={seconds_text(row.us)} uaddr="{address}" ustatus="{status}" urt="{spent}" agent="{agent}"'
        )

    return arranged(scene, arrange)


def pipes(scene: Scene) -> Lines:
    """`$remote_addr | $time_local | $host | "$request" | $status | …`, quotes and pipes mixed."""
    times = clf_times(scene)

    def arrange(row: Row, client: str, request: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        return (
            f'{client} | [{times[row.at_ms // 1000]}] | "{HOST}" | "{request}" | {row.status} | {row.size} | "{address}" | '
            f'"{status}" | {seconds_text(row.us)} | {spent} | "-" | "{agent}"'
        )

    return arranged(scene, arrange)


def vhost(scene: Scene) -> Lines:
    """`$host:$server_port $remote_addr - $remote_user [$time_local] "$request" … $request_time …`."""
    times = clf_times(scene)

    def arrange(row: Row, client: str, request: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        return (
            f'{HOST}:443 {client} - - [{times[row.at_ms // 1000]}] "{request}" {row.status} {row.size} "-" "{agent}" '
            f"{seconds_text(row.us)} {spent} {address} {status}"
        )

    return arranged(scene, arrange)


def ingress(scene: Scene) -> Lines:
    """The default `upstreaminfo` of ingress-nginx."""
    times = clf_times(scene)

    def arrange(row: Row, client: str, request: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        size = "0" if row.status >= 499 else str(row.size)
        size = "-" if address == "-" else f"0, {size}" if ", " in address else f"0 : {size}" if " : " in address else size
        return (
            f'{client} - - [{times[row.at_ms // 1000]}] "{request}" {row.status} {row.size} "-" "{agent}" {len(request) + 60} '
            f"{seconds_text(row.us)} [{INGRESS}] [] {address} {size} {spent} {status} {unique(row)}"
        )

    return arranged(scene, arrange)


def json_lines(scene: Scene, arrange: Callable[[Row, str, str, str, str, tuple[str, str, str]], str]) -> Lines:
    """Lines with `escape=json`: row, client, request number's texts, agent, attempts → line."""
    client = scene.client
    target = target_texts(scene.targets, nobody=UPSTREAM, none="")
    requests = Memo(lambda number: json_text(scene.request_line[number]))
    uris = Memo(lambda number: json_text(scene.uri[number]))
    agents = [json_text(agent) for agent in scene.agents]

    def line(row: Row) -> str:
        tries = ("", "", "") if row.target == NO_TARGET else attempts(row, target)
        return arrange(row, client[row.client], requests[row.request], uris[row.request], agents[row.agent], tries)

    def bad(row: Row) -> str:
        return arrange(row, client[row.client], json_text(broken(row)).replace("ü", "\udcfc"), '""', '""', ("", "", ""))

    return Lines(line, bad)


def json_strings(scene: Scene) -> Lines:
    """Every value is a string; `time_iso8601`; the request line whole."""
    times = offset_times(scene)

    def arrange(row: Row, client: str, request: str, uri: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        return (
            f'{{"time_iso8601":"{times[row.at_ms // 1000]}","remote_addr":"{client}","request":{request},"status":"{row.status}",'
            f'"body_bytes_sent":"{row.size}","request_time":"{seconds_text(row.us)}","upstream_addr":"{address}",'
            f'"upstream_status":"{status}","upstream_response_time":"{spent}","http_user_agent":{agent}}}'
        )

    return json_lines(scene, arrange)


def json_numbers(scene: Scene) -> Lines:
    """Numbers as numbers, `$msec` for the time, method and URI apart, the status last."""
    numbers = scene

    def arrange(row: Row, client: str, request: str, uri: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        method = numbers.method(row.request) if row.request >= 0 else ""
        return (
            f'{{"msec": {row.at_ms // 1000}.{row.at_ms % 1000:03d}, "request_time": {seconds_text(row.us)}, "request_method": "{method}", '
            f'"request_uri": {uri}, "http_user_agent": {agent}, "upstream_response_time": "{spent}", "upstream_status": "{status}", '
            f'"upstream_addr": "{address}", "bytes_sent": {row.size}, "remote_addr": "{client}", "status": {row.status}}}'
        )

    return json_lines(scene, arrange)


def json_nested(scene: Scene) -> Lines:
    """Nested by hand; both times; keys named as Elastic's schema and people do."""
    times = offset_times(scene)

    def arrange(row: Row, client: str, request: str, uri: str, agent: str, tries: tuple[str, str, str]) -> str:
        address, status, spent = tries
        return (
            f'{{"upstream":{{"addr":"{address}","status":"{status}","response_time":"{spent}"}},"http_user_agent":{agent},"host":"{HOST}",'
            f'"request_time":{seconds_text(row.us)},"request":{request},"status":{row.status},"remote_addr":"{client}",'
            f'"msec":"{row.at_ms // 1000}.{row.at_ms % 1000:03d}","@timestamp":"{times[row.at_ms // 1000]}"}}'
        )

    return json_lines(scene, arrange)


def error_kind(row: Row) -> str:
    """What went wrong."""
    if row.target == NOBODY:
        return "no live upstreams"
    if row.status == 504:
        return "timed out"
    return "refused" if row.serial % 2 else "prematurely closed"


ERROR_TEXTS = {
    "no live upstreams": "no live upstreams while connecting to upstream",
    "timed out": "upstream timed out (110: Connection timed out) while reading response header from upstream",
    "refused": "connect() failed (111: Connection refused) while connecting to upstream",
    "prematurely closed": "upstream prematurely closed connection while reading response header from upstream",
}


def errors(scene: Scene) -> Lines:
    """The error log: errors of upstreams, one in four followed by a warning of the same request, and other messages."""
    times, client, uri = stamps(scene, "%Y/%m/%d %H:%M:%S"), scene.client, scene.uri
    target = target_texts(scene.targets, nobody=UPSTREAM, none="")

    def stamp(row: Row, level: str) -> str:
        return f"{times[row.at_ms // 1000]} [{level}] 1234#1234: *{row.serial + 1} "

    def line(row: Row) -> str:
        kind = error_kind(row)
        where = (
            f", client: {client[row.client]}, server: {HOST}, "
            f'request: "{scene.request_line[row.request]}", upstream: "http://{target(row.target)}{uri[row.request]}", host: "{HOST}"'
        )
        text = stamp(row, "error") + ERROR_TEXTS[kind] + where
        if kind == "no live upstreams" or row.serial % 4:
            return text
        while_ = ERROR_TEXTS[kind].partition(" while ")[2]
        return f"{text}\n{stamp(row, 'warn')}upstream server temporarily disabled while {while_}{where}"

    def noise(row: Row) -> str:
        who = client[row.client]
        choice = row.serial % 4
        if choice == 0:
            return f"{stamp(row, 'info')}client {who} closed keepalive connection"
        if choice == 1:
            return f"{times[row.at_ms // 1000]} [notice] 1230#1230: signal 17 (SIGCHLD) received from {1000 + row.serial % 1000}"
        if choice == 2:
            return (
                f"{stamp(row, 'warn')}a client request body is buffered to a temporary file /var/lib/nginx/body/{row.serial:010d}, "
                f'client: {who}, server: {HOST}, request: "POST /upload HTTP/1.1", host: "{HOST}"'
            )
        return f"{stamp(row, 'info')}client closed connection while waiting for request, client: {who}, server: 0.0.0.0:80"

    return Lines(line, None, noise)


LOG_FORMATS = {
    "nginx-upstream-keys": 'time=$time_iso8601 client=$remote_addr host=$host request="$request" status=$status bytes=$body_bytes_sent rt=$request_time uaddr="$upstream_addr" ustatus="$upstream_status" urt="$upstream_response_time" agent="$http_user_agent"',
    "nginx-upstream-pipes": '$remote_addr | [$time_local] | "$host" | "$request" | $status | $body_bytes_sent | "$upstream_addr" | "$upstream_status" | $request_time | $upstream_response_time | "$http_referer" | "$http_user_agent"',
    "nginx-upstream-vhost": '$host:$server_port $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time $upstream_response_time $upstream_addr $upstream_status',
    "nginx-json-strings": '{"time_iso8601":"$time_iso8601","remote_addr":"$remote_addr","request":"$request","status":"$status","body_bytes_sent":"$body_bytes_sent","request_time":"$request_time","upstream_addr":"$upstream_addr","upstream_status":"$upstream_status","upstream_response_time":"$upstream_response_time","http_user_agent":"$http_user_agent"}',
    "nginx-json-numbers": '{"msec": $msec, "request_time": $request_time, "request_method": "$request_method", "request_uri": "$request_uri", "http_user_agent": "$http_user_agent", "upstream_response_time": "$upstream_response_time", "upstream_status": "$upstream_status", "upstream_addr": "$upstream_addr", "bytes_sent": $bytes_sent, "remote_addr": "$remote_addr", "status": $status}',
    "nginx-json-nested": '{"upstream":{"addr":"$upstream_addr","status":"$upstream_status","response_time":"$upstream_response_time"},"http_user_agent":"$http_user_agent","host":"$host","request_time":$request_time,"request":"$request","status":$status,"remote_addr":"$remote_addr","msec":"$msec","@timestamp":"$time_iso8601"}',
    "ingress-nginx": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id',
}

ACCESS = partial(Format, tag="nginx", aborted=499, clock_ms=1000, raw_paths=True)
UPSTREAMS = partial(
    ACCESS,
    step_us=1000,
    has_attempts=True,
    has_static=True,
    target=same,
    nobody=UPSTREAM,
    nobody_status=502,
    attempt_status=attempt_status,
)

FORMATS = (
    ACCESS(name="nginx-combined", prepare=combined),
    UPSTREAMS(name="nginx-upstream-keys", prepare=key_value, log_format=LOG_FORMATS["nginx-upstream-keys"]),
    UPSTREAMS(name="nginx-upstream-pipes", prepare=pipes, log_format=LOG_FORMATS["nginx-upstream-pipes"]),
    UPSTREAMS(name="nginx-upstream-vhost", prepare=vhost, log_format=LOG_FORMATS["nginx-upstream-vhost"]),
    UPSTREAMS(name="nginx-json-strings", prepare=json_strings, log_format=LOG_FORMATS["nginx-json-strings"], escape="json"),
    UPSTREAMS(name="nginx-json-numbers", prepare=json_numbers, log_format=LOG_FORMATS["nginx-json-numbers"], escape="json", clock_ms=1),
    UPSTREAMS(name="nginx-json-nested", prepare=json_nested, log_format=LOG_FORMATS["nginx-json-nested"], escape="json", clock_ms=1),
    UPSTREAMS(name="ingress-nginx", prepare=ingress, log_format=LOG_FORMATS["ingress-nginx"]),
    Format(
        name="nginx-error", tag="nginx", prepare=errors, kind="errors", kind_of=error_kind, failing=(502, 504), clock_ms=1000,
        has_zone=False, has_agent=False, target=same, nobody=UPSTREAM, nobody_status=502,
    ),
)  # fmt: skip
