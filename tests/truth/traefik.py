"""Traefik: the access log as CLF and as JSON.

The format strings are of Traefik's documentation and of its accesslog package: CLF escapes nothing, neither quotes nor tabs, so a
user agent may break the quoting; its time is the request's start in UTC; its duration is cut to whole ms. JSON has sorted keys
and is fit for HTML (`&` is `\\u0026`), `time` is when the line was written, `StartUTC` when the request came.
"""

from functools import partial

from .product import HOST, Format, Lines, clf_times, go_json_text, port_of, same, target_texts, utc_times
from .scene import NO_TARGET, Memo, Row, Scene

ROUTER = "web@docker"


def clf(scene: Scene) -> Lines:
    """The default: CLF and five fields."""
    times, client = clf_times(scene), scene.client
    requests, agents = scene.request_line, [f'"{agent or "-"}"' for agent in scene.agents]
    urls = target_texts([f'"http://{address}"' for address in scene.targets], nobody='"-"', none='"-"')

    def line(row: Row) -> str:
        return (
            f'{client[row.client]} - - [{times[row.at_ms // 1000]}] "{requests[row.request]}" {row.status} {row.size} "-" {agents[row.agent]} '
            f'{row.serial + 1} "{ROUTER}" {urls(row.target)} {row.us // 1000}ms'
        )

    return Lines(line)


def as_json(scene: Scene) -> Lines:
    """`format: json` with User-Agent kept."""
    times, client = utc_times(), scene.client
    paths = Memo(lambda number: go_json_text(scene.uri[number]))
    agents = [go_json_text(agent) for agent in scene.agents]
    addresses = scene.targets

    def line(row: Row) -> str:
        who, port = client[row.client], port_of(row)
        address = f"[{who}]:{port}" if ":" in who else f"{who}:{port}"
        start = f"{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}000001Z"
        end_ms = row.at_ms + row.us // 1000
        origin = max(0, row.us - 150)
        service = ""
        if row.target != NO_TARGET:
            to = addresses[row.target]
            service = f'"ServiceAddr":"{to}","ServiceName":"{ROUTER}","ServiceURL":"http://{to}",'
        return (
            f'{{"ClientAddr":"{address}","ClientHost":"{who}","ClientPort":"{port}","ClientUsername":"-","DownstreamContentSize":{row.size},'
            f'"DownstreamStatus":{row.status},"Duration":{row.us * 1000 + 417},"OriginContentSize":{row.size},"OriginDuration":{origin * 1000 + 204},'
            f'"OriginStatus":{row.status},"Overhead":{(row.us - origin) * 1000 + 213},"RequestAddr":"{HOST}","RequestContentSize":0,'
            f'"RequestCount":{row.serial + 1},"RequestHost":"{HOST}","RequestMethod":"{scene.method(row.request)}","RequestPath":{paths[row.request]},'
            f'"RequestPort":"-","RequestProtocol":"HTTP/1.1","RequestScheme":"https","RetryAttempts":0,"RouterName":"{ROUTER}",{service}'
            f'"StartLocal":"{start}","StartUTC":"{start}","entryPointName":"websecure","level":"info","msg":"",'
            f'"request_User-Agent":{agents[row.agent]},"time":"{times[end_ms // 1000]}Z"}}'
        )

    return Lines(line)


ACCESS = partial(Format, tag="traefik", aborted=499, stamps_start=True, raw_paths=True, target=same, has_static=True)

FORMATS = (
    ACCESS(name="traefik-clf", prepare=clf, step_us=1000, clock_ms=1000),
    ACCESS(name="traefik-json", prepare=as_json, step_us=1),
)
