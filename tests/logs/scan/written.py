"""Access lines as nginx writes them, and odd ones, for the tests of the scan."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta

from why502.gateways.nginx.logs.log_format import COMBINED

TIMED = f"{COMBINED} $upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time"
START = datetime(2026, 11, 20, 23, 50, tzinfo=UTC)
_PATHS = (
    *(
        "/",
        "/api/users/4711",
        "/api/users/4711/orders/9f8b2c3d-aa11-4c77-9d3e-0123456789ab?x=1",
        "/a;b",
        "/a#b",
        "/v2/x1",
        "/0123456789abcdef",
    ),
    *(
        "/a/b/c/d/e/f/g/h/i/j",
        "/" + "long" * 40 + "/7",
        "/feedbeef",
        "/deadbee1",
        "//",
        "/x//9/",
        "/%20/ü",
        "/tok3n-that-is-long-enough",
    ),
)
_CHANGES = (
    b"",
    b" ",
    b",",
    b", ",
    b" : ",
    b":",
    b'"',
    b"\\",
    b"\r",
    b"-",
    b".",
    b"/",
    b"0",
    b"*",
    b"]",
    b";",
    b"?",
    b"\0",
    b"\xff",
    b"x" * 70,
)
_KEPT = ("upstream_addr", "msec", "time_local")  # of an odd one Python makes what it can
_STATUSES = (200, 200, 200, 404, 499, 500, 502, 503, 504, 413)


def line(rng: random.Random, at: datetime) -> str:
    """Return one line of TIMED; some hold what only Python reads."""
    path = rng.choice(_PATHS)
    request = rng.choice(
        (f"GET {path} HTTP/1.1",) * 8 + (f"POST {path}", "", "-", "\\x16\\x03\\x01", "get /x HTTP/1.0", "GET http://a/b HTTP/1.1")
    )
    status, targets = rng.choice(_STATUSES), [f"10.0.0.{rng.randrange(1, 4)}:80" for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if rng.random() < 0.1:
        fields = "- - - - -"
    else:
        separators = [rng.choice((", ", " : ")) for _ in targets]

        def each(value: object) -> str:
            return "".join(
                f"{value() if callable(value) else value}{separator if at + 1 < len(targets) else ''}"
                for at, separator in enumerate(separators)
            )

        def seconds() -> str:
            return rng.choice(("-", "0.000", f"{rng.random() * 70:.3f}", "12345.678", "7"))

        addresses = "".join(f"{target}{separators[i] if i + 1 < len(targets) else ''}" for i, target in enumerate(targets))
        fields = " ".join(
            (
                addresses,
                each(lambda: rng.choice(("200", "502", "504", str(status), "-"))),
                each(seconds),
                each(seconds),
                each(seconds),
            )
        )
    agent = rng.choice(("curl/7", "Mozilla/5.0 (X11; Linux) x" * 3, "-", "a\\x22b"))
    return (
        f"{rng.choice(('10.1.2.3', '2001:db8::1', 'unix:'))} - {rng.choice(('-', 'bob', 'bo b'))} "
        f"[{at:%d/%b/%Y:%H:%M:%S} {rng.choice(('+0000', '+0200', '-0530'))}] "
        f'"{request}" {status} {rng.choice((0, 157, 99999))} "https://x/" "{agent}" {fields}'
    )


def lines(count: int, seed: int = 1, *, odd: bool = True) -> bytes:
    """Return so many lines, ten a second; with `odd`, some are cut, empty or of something else."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        text = line(rng, START + timedelta(seconds=number // 10))
        if odd and rng.random() < 0.03:
            text = rng.choice(
                (text[: rng.randrange(len(text))], "", "nonsense", text + " more", text + "\r", text.replace(" 200 ", " 2x0 "))
            )
        found.append(text)
    return "\n".join(found).encode("utf-8", "surrogateescape") + b"\n"


def written(log_format: str, rng: random.Random) -> bytes:
    """Return one line of any format; often some bytes of a value, or around it, are not what a proxy writes there."""
    at = START + timedelta(seconds=rng.randrange(3) * rng.randrange(100))
    path = rng.choice(_PATHS)
    several = rng.choice(("{}",) * 4 + ("{}, {}", "{} : {}, {}"))

    def each(*values: str) -> str:
        return several.format(*(rng.choice(values) for _ in range(3)))

    values = {
        "remote_addr": rng.choice(("10.1.2.3", "2001:db8::1", "198.51.100.7")),
        "remote_user": rng.choice(("-", "-", "bob")),
        "time_local": f"{at:%d/%b/%Y:%H:%M:%S +0000}",
        "msec": f"{at.timestamp():.3f}",
        "request": f"GET {path} HTTP/1.1",
        "request_method": "POST",
        "request_uri": path,
        "status": str(rng.choice(_STATUSES)),
        "body_bytes_sent": str(rng.randrange(100000)),
        "http_referer": rng.choice(("-", "https://www.example.com/" + "r" * rng.randrange(150))),
        "http_user_agent": "curl/7.0 " * rng.randrange(1, 20),
        "http_x_forwarded_for": "-",
        "host": "example.com",
        "request_time": f"{rng.random() * 10:.3f}",
        "upstream_addr": each(
            "10.0.0.1:80", "10.0.0.2:8080", "[2001:db8::2]:80", "unix:/run/app-of-a-long-name.sock:", "backend"
        ),
        "upstream_status": each("200", "502", "-"),
        **{f"upstream_{name}_time": each("-", "0.000", f"{rng.random() * 70:.3f}") for name in ("connect", "header", "response")},
    }
    mark = "\1"  # begins and ends the value that may be changed
    changed = rng.choice([name for name in re.findall(r"\w+", log_format) if name in values and name not in _KEPT])
    values[changed] = mark + values[changed] + mark
    before, value, after = re.sub(r"\$(\w+)", lambda match: values[match[1]], log_format).encode().split(mark.encode())
    if rng.random() < 0.7:
        at = rng.randrange(len(value) + 1)
        value = value[:at] + rng.choice(_CHANGES) + value[at + rng.randrange(3) :]
    return before + value + after


def json_lines(count: int, seed: int = 1) -> bytes:
    """Return lines of JSON_FORMAT."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        at = START + timedelta(seconds=number // 10)
        took, status = f"{rng.random():.3f}", rng.choice((200, 502))
        agent = rng.choice(("curl", 'say \\"hi\\"', "back\\\\", "ü"))
        found.append(
            f'{{"time":"{at:%Y-%m-%dT%H:%M:%S}+00:00","remote_addr":"10.0.0.{rng.randrange(9)}","request":"GET /'
            f'{rng.choice("ab")}/{number} HTTP/1.1",'
            f'"status":{status},"agent":"{agent}","host":"{rng.choice("xyz")}.example","request_time":{took},'
            f'"upstream_addr":"10.0.0.1:80","upstream_status":"{status}","upstream_response_time":"{took}"}}'
        )
    return "\n".join(found).encode() + b"\n"


JSON_FORMAT = (
    '{"time":"$time_iso8601","remote_addr":"$remote_addr","request":"$request","status":$status,"agent":"$http_user_ag'
    'ent","host":"$host",'
    '"request_time":$request_time,"upstream_addr":"$upstream_addr","upstream_status":"$upstream_status","upstream_resp'
    'onse_time":"$upstream_response_time"}'
)
