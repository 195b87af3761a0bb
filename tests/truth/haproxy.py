"""HAProxy: `option httplog`, `option tcplog`, JSON by `log-format`, and messages of servers going down.

The configuration manual, chapter 8, documents the fields. Seen of HAProxy 2.6: IPv6 clients have no brackets before their port;
a quote in the request is `#22`; a request with bytes that are not ASCII is `<BADREQ>` and 400, its target the frontend with
`<NOSRV>`; a JSON `log-format` escapes nothing, so that a quote in a captured header breaks the line (not written here).
"""

from functools import partial

from .product import Format, Lines, port_of, stamps
from .scene import NOBODY, Memo, Row, Scene

BACKEND = "app"
NOBODY_HERE = f"{BACKEND}/<NOSRV>"


def server(address: str) -> str:
    """The name of a server in the configuration by its address."""
    return f"{BACKEND}/web-" + address.strip("[").replace("]", "").replace(":", "-").replace(".", "-")


def names(scene: Scene) -> list[str]:
    """`backend/server` by target."""
    return [server(address) for address in scene.targets]


def name_of(texts: list[str], number: int, frontend: str) -> str:
    """`backend/server` as logged."""
    if number >= 0:
        return texts[number]
    return NOBODY_HERE if number == NOBODY else f"{frontend}/<NOSRV>"


def state(row: Row) -> str:
    """The termination state of a request, four characters."""
    return {502: "SH--", 503: "SC--", 504: "sH--"}.get(row.status, "PR--" if row.request < 0 else "----")


def timers(row: Row) -> str:
    """`TR/Tw/Tc/Tr/Ta` in ms."""
    total = row.us // 1000
    if row.request < 0:
        return f"-1/-1/-1/-1/{total}"
    if row.target == NOBODY:
        return f"0/-1/-1/-1/{total}"
    if row.status == 503:
        return f"0/0/-1/-1/{total}"
    return f"0/0/0/-1/{total}" if row.status in (502, 504) else f"0/0/0/{total}/{total}"


def escape(text: str) -> str:
    """The request line as HAProxy writes it."""
    return "".join(f"#{ord(sign):02X}" if sign in '"#{}|' else sign for sign in text)


def http(scene: Scene) -> Lines:
    """`option httplog`."""
    times, client, texts = stamps(scene, "%d/%b/%Y:%H:%M:%S"), scene.client, names(scene)
    requests = Memo(lambda number: escape(scene.request_line[number]))

    def line(row: Row) -> str:
        retries = "3" if row.status == 503 and row.target >= 0 else "+1" if row.serial % 97 == 0 else "0"
        return (
            f"{client[row.client]}:{port_of(row)} [{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}] fe_http {name_of(texts, row.target, 'fe_http')} "
            f'{timers(row)} {row.status} {row.size} - - {state(row)} 12/8/2/1/{retries} 0/0 "{requests[row.request]}"'
        )

    def bad(row: Row) -> str:
        return (
            f"{client[row.client]}:{port_of(row)} [{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}] fe_http fe_http/<NOSRV> "
            f'{timers(row)} 400 0 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>"'
        )

    return Lines(line, bad)


def tcp_state(row: Row) -> str:
    """The termination state of a connection, two characters."""
    return {502: "SD", 503: "SC", 504: "sD"}.get(row.status, "--")


def tcp(scene: Scene) -> Lines:
    """`option tcplog`."""
    times, client, texts = stamps(scene, "%d/%b/%Y:%H:%M:%S"), scene.client, names(scene)

    def line(row: Row) -> str:
        total = row.us // 1000
        spent = f"1/-1/{total}" if row.status == 503 else f"1/0/{total}"
        return (
            f"{client[row.client]}:{port_of(row)} [{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}] fe_tcp {name_of(texts, row.target, 'fe_tcp')} "
            f"{spent} {row.size} {tcp_state(row)} 12/8/2/1/0 0/0"
        )

    return Lines(line)


def as_json(scene: Scene) -> Lines:
    """A JSON object by `log-format`, as articles recommend it: numbers as numbers, `%t`, `%b` and `%s` apart."""
    times, client = stamps(scene, "%d/%b/%Y:%H:%M:%S"), scene.client
    texts = [name.split("/") for name in names(scene)]
    addresses = [address.rpartition(":") for address in scene.targets]
    uris = Memo(lambda number: escape(scene.uri[number]).replace("\\", "\\\\"))

    def line(row: Row) -> str:
        backend, name = texts[row.target] if row.target >= 0 else (BACKEND, "<NOSRV>")
        host, _, port = addresses[row.target] if row.target >= 0 else ("-", "", "-")
        if row.request < 0:
            backend, name, uri, method = "fe_json", "<NOSRV>", "<BADREQ>", "<BADREQ>"
        else:
            uri, method = uris[row.request], scene.method(row.request)
        spent = timers(row).split("/")
        return (
            f'{{"time":"{times[row.at_ms // 1000]}.{row.at_ms % 1000:03d}","client_ip":"{client[row.client]}","client_port":{port_of(row)},'
            f'"status_code":{row.status},"frontend_name":"fe_json","backend_name":"{backend}","server_name":"{name}","http_method":"{method}",'
            f'"request_uri":"{uri}","time_connect":{spent[2]},"time_response":{spent[3]},"time_active":{spent[4]},'
            f'"termination_state":"{state(row)[:2]}","server_ip":"{host.strip("[]")}","server_port":"{port}","bytes_read":{row.size}}}'
        )

    return Lines(line, line)


def event_kind(row: Row) -> str:
    """What happened to a server."""
    return "no server available" if row.target == NOBODY else "down"


def events(scene: Scene) -> Lines:
    """Servers going down and up as HAProxy reports them to syslog; these lines have no time of their own."""
    texts = names(scene)

    def line(row: Row) -> str:
        if row.target == NOBODY:
            return f"backend {BACKEND} has no server available!"
        reason = (
            'Layer4 connection problem, info: "Connection refused"',
            "Layer4 timeout",
            'Layer7 wrong status, code: 503, info: "down"',
        )
        return (
            f"Server {texts[row.target]} is DOWN, reason: {reason[row.serial % 3]}, check duration: {row.serial % 2000}ms. "
            f"{len(texts) - 1} active and 0 backup servers left. 3 sessions active, 0 requeued, 0 remaining in queue."
        )

    def noise(row: Row) -> str:
        return (
            f"Server {texts[row.serial % len(texts)]} is UP, reason: Layer4 check passed, check duration: 0ms. "
            f"{len(texts)} active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
        )

    return Lines(line, None, noise)


HTTP = partial(
    Format, tag="haproxy", step_us=1000, stamps_start=True, has_zone=False, has_agent=False, target=server, nobody=NOBODY_HERE,
    nobody_status=503,
)  # fmt: skip

FORMATS = (
    HTTP(name="haproxy-http", prepare=http),
    HTTP(name="haproxy-json", prepare=as_json),
    HTTP(name="haproxy-tcp", prepare=tcp, kind="connections", kind_of=tcp_state, has_route=False),
    Format(
        name="haproxy-events", tag="haproxy", prepare=events, kind="events", kind_of=event_kind, failing=(503,), has_own_time=False,
        has_client=False, has_route=False, has_agent=False, target=server, nobody_status=503,
    ),
)  # fmt: skip
