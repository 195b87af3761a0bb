"""Apache 2.4: access logs by eight `LogFormat`s, and the error log of mod_proxy.

mod_log_config documents the directives. Seen of 2.4: `"` and `\\` get a backslash, other bytes are `\\xhh` in small letters; the
time is the request's start; a backend that does not answer in time is AH01102 and **502**, one that refuses is AH00957 and 503;
each failed request has two lines in the error log, and only one of them names the client.
"""

from collections.abc import Callable
from functools import partial

from .product import HOST, Format, Lines, clf_times, escaped, port_of, same, stamps, target_texts
from .scene import Memo, Row, Scene

BROKEN = ("\\x16\\x03\\x01\\x02", "FOO", "GET / HTTP/1.1")
"""As logged: Apache cuts at the first NUL byte, and refuses HTTP/1.1 without a Host."""
PROXY = "192.0.2.10"


def escape(text: str) -> str:
    """The text as Apache writes it."""
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        if byte in b'"\\':
            out.append("\\" + chr(byte))
        elif byte in b"\t\n\r":
            out.append({9: "\\t", 10: "\\n", 13: "\\r"}[byte])
        else:
            out.append(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
    return "".join(out)


def lines(scene: Scene, before: Callable[[str], str], after: Callable[[Row, str], str]) -> Lines:
    """Lines: what stands before the time by the client, the common middle, and what stands after by row and agent."""
    times = clf_times(scene)
    requests, agents = escaped(scene, escape)
    front = Memo(lambda number: before(scene.client[number]))

    def line(row: Row) -> str:
        size = "-" if row.status in (204, 304) else row.size
        return f'{front[row.client]} [{times[row.at_ms // 1000]}] "{requests[row.request]}" {row.status} {size}{after(row, agents[row.agent])}'

    def bad(row: Row) -> str:
        return f'{front[row.client]} [{times[row.at_ms // 1000]}] "{BROKEN[row.serial % 2]}" 400 448{after(row, "-")}'

    return Lines(line, bad)


def plain_client(client: str) -> str:
    """`%h %l %u`."""
    return f"{client} - -"


def vhost_client(client: str) -> str:
    """`%v:%p %h %l %u`."""
    return f"{HOST}:443 {client} - -"


def forwarded_client(client: str) -> str:
    """`%{X-Forwarded-For}i %h %l %u`: the client, then the proxy that connected."""
    return f"{client} {PROXY} - -"


def nothing(row: Row, agent: str) -> str:
    """Nothing, as `common` ends with the size."""
    return ""


def headers(row: Row, agent: str) -> str:
    """`"%{Referer}i" "%{User-Agent}i"`."""
    return f' "-" "{agent}"'


def in_us(row: Row, agent: str) -> str:
    """With `%D`."""
    return f' "-" "{agent}" {row.us}'


def in_seconds(row: Row, agent: str) -> str:
    """With `%T`, whole seconds cut off."""
    return f' "-" "{agent}" {row.us // 1_000_000}'


def in_ms(row: Row, agent: str) -> str:
    """With `%{ms}T`."""
    return f' "-" "{agent}" {row.us // 1000}'


def behind_balancer(scene: Scene) -> Lines:
    """With `%D "%{BALANCER_WORKER_NAME}e"`, the member that mod_proxy_balancer chose."""
    worker = target_texts([f"http://{address}" for address in scene.targets], nobody="-", none="-")
    return lines(scene, plain_client, lambda row, agent: f' "-" "{agent}" {row.us} "{worker(row.target)}"')


def arranged(before: Callable[[str], str], after: Callable[[Row, str], str]) -> Callable[[Scene], Lines]:
    """The `prepare` of a format of these two parts."""
    return lambda scene: lines(scene, before, after)


def error_kind(row: Row) -> str:
    """What went wrong."""
    if row.status == 503:
        return "refused"
    return "timed out" if row.serial % 2 else "prematurely closed"


def errors(scene: Scene) -> Lines:
    """The error log: two lines for each failed request, and other messages."""
    days, years = stamps(scene, "%a %b %d %H:%M:%S"), stamps(scene, "%Y")
    client, targets = scene.client, scene.targets

    def stamp(row: Row, later_us: int, source: str) -> str:
        second, us = row.at_ms // 1000, row.at_ms % 1000 * 1000 + later_us
        return f"[{days[second]}.{us:06d} {years[second]}] [{source}] [pid 2501:tid {140000000000000 + row.serial % 64}] "

    def line(row: Row) -> str:
        who = f"[client {client[row.client]}:{port_of(row)}]"
        address = targets[row.target]
        name = address.rpartition(":")[0].strip("[]")
        if row.status == 503:
            return (
                f"{stamp(row, 101, 'proxy:error')}(111)Connection refused: AH00957: http: attempt to connect to {address} ({name}:{address.rpartition(':')[2]}) failed\n"
                f"{stamp(row, 149, 'proxy_http:error')}{who} AH01114: HTTP: failed to make connection to backend: {name}"
            )
        why = (
            "(70007)The timeout specified has expired"
            if row.serial % 2
            else "(20014)Internal error (specific information not available)"
        )
        return (
            f"{stamp(row, 101, 'proxy_http:error')}{why}: {who} AH01102: error reading status line from remote server {address}\n"
            f"{stamp(row, 117, 'proxy:error')}{who} AH00898: Error reading from remote server returned by {scene.path[row.request]}"
        )

    def noise(row: Row) -> str:
        who = f"[client {client[row.client]}:{port_of(row)}]"
        choice = row.serial % 3
        if choice == 0:
            return f"{stamp(row, 5, 'core:notice')}AH00094: Command line: '/usr/sbin/apache2'"
        if choice == 1:
            return (
                f"{stamp(row, 5, 'authz_core:error')}{who} AH01630: client denied by server configuration: /srv/www/.git/config"
            )
        return f"{stamp(row, 5, 'core:info')}{who} AH00128: File does not exist: /srv/www/html/favicon.ico"

    return Lines(line, None, noise)


LOG_FORMATS = {
    "apache-common": '%h %l %u %t "%r" %>s %b',
    "apache-combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "apache-vhost": '%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "apache-us": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D',
    "apache-s": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %T',
    "apache-ms": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{ms}T',
    "apache-forwarded": '%{X-Forwarded-For}i %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D',
    "apache-balancer": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D "%{BALANCER_WORKER_NAME}e"',
}

ACCESS = partial(Format, tag="apache2", clock_ms=1000, stamps_start=True)

FORMATS = (
    ACCESS(name="apache-common", log_format=LOG_FORMATS["apache-common"], prepare=arranged(plain_client, nothing), has_agent=False),
    ACCESS(name="apache-combined", log_format=LOG_FORMATS["apache-combined"], prepare=arranged(plain_client, headers)),
    ACCESS(name="apache-vhost", log_format=LOG_FORMATS["apache-vhost"], prepare=arranged(vhost_client, headers)),
    ACCESS(name="apache-us", log_format=LOG_FORMATS["apache-us"], prepare=arranged(plain_client, in_us), step_us=1),
    ACCESS(name="apache-s", log_format=LOG_FORMATS["apache-s"], prepare=arranged(plain_client, in_seconds), step_us=1_000_000),
    ACCESS(name="apache-ms", log_format=LOG_FORMATS["apache-ms"], prepare=arranged(plain_client, in_ms), step_us=1000),
    ACCESS(name="apache-forwarded", log_format=LOG_FORMATS["apache-forwarded"], prepare=arranged(forwarded_client, in_us), step_us=1),
    ACCESS(name="apache-balancer", log_format=LOG_FORMATS["apache-balancer"], prepare=behind_balancer, step_us=1, target=same, has_static=True),
    Format(
        name="apache-error", tag="apache2", prepare=errors, kind="errors", kind_of=error_kind, failing=(502, 503), has_zone=False,
        has_agent=False, has_route=False, target=same,
    ),
)  # fmt: skip
