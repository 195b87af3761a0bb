"""Caddy 2: the JSON access log among the lines of its other loggers.

Seen of Caddy 2.6: `ts` is a float of the request's end, `duration` seconds, `status` 0 when the client went away, and for each
request that fails a second line of `http.log.error` with the same request, status and duration; statuses from 400 are of level
`error`. `client_ip` came with 2.7. No line names the upstream.
"""

from .product import HOST, Format, Lines, json_text, port_of
from .scene import Memo, Row, Scene

REASONS = {
    502: ("dial tcp 10.0.0.5:8080: connect: connection refused", "EOF"),
    503: ("no upstreams available", "no upstreams available"),
    504: ("net/http: timeout awaiting response headers", "context deadline exceeded"),
}


def text_of(seconds_us: int) -> str:
    """Seconds as Go writes a float: without needless zeros."""
    return f"{seconds_us // 1_000_000}.{seconds_us % 1_000_000:06d}".rstrip("0").rstrip(".")


def access(scene: Scene) -> Lines:
    """Access lines; each failure is preceded by its line of http.log.error."""
    client = scene.client
    paths = Memo(lambda number: json_text(scene.uri[number]))
    agents = [f'"User-Agent":[{json_text(agent)}],' if agent else "" for agent in scene.agents]

    def request(row: Row) -> str:
        who = client[row.client]
        return (
            f'"request":{{"remote_ip":"{who}","remote_port":"{port_of(row)}","client_ip":"{who}","proto":"HTTP/2.0",'
            f'"method":"{scene.method(row.request)}","host":"{HOST}","uri":{paths[row.request]},"headers":{{{agents[row.agent]}"Accept":["*/*"]}},'
            f'"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"{HOST}"}}}}'
        )

    def line(row: Row) -> str:
        level = "error" if row.status >= 400 else "info"
        asked, spent, at = request(row), text_of(row.us), f"{row.at_ms // 1000}.{row.at_ms % 1000:03d}"
        out = (
            f'{{"level":"{level}","ts":{at}5139,"logger":"http.log.access.log0","msg":"handled request",{asked},"bytes_read":0,"user_id":"",'
            f'"duration":{spent},"size":{row.size},"status":{row.status},"resp_headers":{{"Server":["Caddy"],"Alt-Svc":["h3=\\":443\\"; ma=2592000"]}}}}'
        )
        if row.status not in REASONS:
            return out
        return (
            f'{{"level":"error","ts":{at}4918,"logger":"http.log.error.log0","msg":"{REASONS[row.status][row.serial % 2]}",{asked},'
            f'"duration":{spent},"status":{row.status},"err_id":"tkw0z9p63","err_trace":"reverseproxy.statusError (reverseproxy.go:1272)"}}\n{out}'
        )

    def noise(row: Row) -> str:
        at = f"{row.at_ms // 1000}.{row.at_ms % 1000:03d}7"
        choice = row.serial % 3
        if choice == 0:
            return f'{{"level":"info","ts":{at},"logger":"tls.obtain","msg":"acquiring lock","identifier":"{HOST}"}}'
        if choice == 1:
            return f'{{"level":"warn","ts":{at},"logger":"admin","msg":"admin endpoint disabled"}}'
        return f'{{"level":"info","ts":{at},"logger":"http.handlers.reverse_proxy.health_checker.active","msg":"host is up","host":"10.0.0.5:8080"}}'

    return Lines(line, None, noise)


FORMATS = (Format(name="caddy-json", tag="caddy", prepare=access, aborted=0, step_us=1, raw_paths=True),)
