"""The truth about a written log equals the counts of a naive reader that uses only json.loads, split and plain searches."""

import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sampled import sampled

from truth import COMBINATIONS, FORMATS, GATEWAY_FAILURES, Refused, Shape, Truth, write


class Read(NamedTuple):
    """One request as the naive reader sees it; None for a field that the format lacks."""

    status: int
    at: datetime
    request: str | None = None
    """`GET /path`, without query, or None for a broken request."""
    client: str | None = None
    us: int | None = None
    attempts: tuple[tuple[str, int], ...] = ()


def written(**fields: Any) -> tuple[bytes, Truth]:
    """The bytes and the truth of a log with these fields."""
    file = io.BytesIO()
    truth = write(file, Shape(**{"lines": 600, "failures": 0.3, "odd": 0.1, "noise": 0.1, **fields}))
    return file.getvalue(), truth


def lines_of(data: bytes) -> list[str]:
    """The lines as text, invalid UTF-8 as surrogates."""
    return data.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")


def clf(text: str) -> datetime:
    """`04/Mar/2026:05:06:07 +0000`, or without an offset and with ms."""
    if "." in text:
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=UTC)
    return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")


def unescaped(text: str) -> str:
    """Decodes `\\xHH` bytes and quotes with a backslash."""
    raw = re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape").replace('\\"', '"').replace("\\\\", "\\")


def route(request: str) -> str | None:
    """`GET /path` of a request line, or None when that is none."""
    parts = request.split(" ")
    if len(parts) < 2 or not parts[0].isalpha():
        return None
    path = parts[1]
    for host in ("http://www.example.com", "https://www.example.com:443", "https://www.example.com"):
        path = path.removeprefix(host)
    return f"{parts[0]} {path.split('?')[0]}" if path.startswith("/") and path != "/" else None


def seconds(text: str) -> int:
    """Microseconds of `1.234`."""
    whole, _, rest = text.partition(".")
    return int(whole) * 1_000_000 + int((rest + "000000")[:6])


def upstreams(addresses: str, statuses: str) -> tuple[tuple[str, int], ...]:
    """nginx's attempts."""
    if addresses in ("-", ""):
        return ()
    pairs = zip(re.split(r", | : ", addresses), re.split(r", | : ", statuses), strict=True)
    return tuple((address, 0 if status == "-" else int(status)) for address, status in pairs)


def access(line: str, *, front: int = 0) -> tuple[Read, list[str]]:
    """A line like CLF: what is read of it, and the words after the size; `front` words stand before the client."""
    words = line.split(" ")
    at = clf(line.partition("[")[2].partition("]")[0])
    request = line.partition('] "')[2]
    end = re.search(r'" \d+ (\d+|-)', request)
    assert end is not None
    status = int(end.group().split(" ")[1])
    return Read(status, at, route(unescaped(request[: end.start()])), words[front]), request[end.end() :].split(" ")


def common(line: str) -> Read:
    return access(line)[0]


def combined_vhost(line: str) -> Read:
    return access(line, front=1)[0]


def varnish(line: str) -> Read:
    read = access(line)[0]
    return read._replace(client=None if read.client == "-" else read.client)


def last_number(scale: int) -> Callable[[str], Read]:
    """The reader of lines that end in a duration of so many µs."""
    return lambda line: access(line)[0]._replace(us=int(line.split(" ")[-1]) * scale)


def balancer(line: str) -> Read:
    read, words = access(line)
    worker = words[-1].strip('"').removeprefix("http://")
    return read._replace(us=int(words[-2]), attempts=() if worker == "-" else ((worker, read.status),))


def nginx_keys(line: str) -> Read:
    found = re.fullmatch(
        r'time=(\S+) client=(\S+) host=\S+ request="(.*)" status=(\d+) bytes=\d+ rt=(\S+) uaddr="(.*)" ustatus="(.*)" urt=".*" agent=".*"',
        line,
    )
    assert found is not None
    at, client, request, status, us, addresses, statuses = found.groups()
    return Read(
        int(status), datetime.fromisoformat(at), route(unescaped(request)), client, seconds(us), upstreams(addresses, statuses)
    )


def nginx_pipes(line: str) -> Read:
    client, at, _, request, status, _, addresses, statuses, us, *_ = line.split(" | ")
    return Read(
        int(status),
        clf(at[1:-1]),
        route(unescaped(request[1:-1])),
        client,
        seconds(us),
        upstreams(addresses[1:-1], statuses[1:-1]),
    )


def nginx_vhost(line: str) -> Read:
    read, _ = access(line, front=1)
    rest = line[line.rindex('"') + 2 :]
    found = re.fullmatch(r"(\S+) (-|[\d.]+(?:(?:, | : )[\d.]+)*) (.+?) (-|[\d-]+(?:(?:, | : )[\d-]+)*)", rest)
    assert found is not None
    return read._replace(us=seconds(found[1]), attempts=upstreams(found[3], found[4]))


def ingress(line: str) -> Read:
    read, _ = access(line)
    rest = line[line.rindex('"') + 2 :].replace(", ", ",").replace(" : ", ",").split(" ")
    return read._replace(us=seconds(rest[1]), attempts=upstreams(rest[4].replace(",", ", "), rest[7].replace(",", ", ")))


def nginx_json(line: str) -> Read:
    entry = json.loads(line.replace("\udcfc", "?"))
    inner = entry.get("upstream", {})
    request = entry.get("request") or f"{entry.get('request_method')} {entry.get('request_uri')}"
    at = entry.get("time_iso8601")
    when = datetime.fromisoformat(at) if at else datetime.fromtimestamp(float(entry["msec"]), UTC)
    return Read(
        int(entry["status"]), when, route(request), entry["remote_addr"], seconds(f"{float(entry['request_time']):.3f}"),
        upstreams(entry.get("upstream_addr", inner.get("addr")), entry.get("upstream_status", inner.get("status"))),
    )  # fmt: skip


def haproxy_http(line: str) -> Read:
    words = line.split(" ")
    status, total = int(words[5]), int(words[4].split("/")[-1])
    tries = () if words[3].startswith("fe_") else ((words[3], status),)
    return Read(status, clf(words[1][1:-1]), route(line.split('"')[1]), words[0].rpartition(":")[0], total * 1000, tries)


def haproxy_json(line: str) -> Read:
    entry = json.loads(line)
    tries = (
        ()
        if entry["backend_name"].startswith("fe_")
        else ((f"{entry['backend_name']}/{entry['server_name']}", entry["status_code"]),)
    )
    return Read(
        entry["status_code"], clf(entry["time"]), route(f"{entry['http_method']} {entry['request_uri']}"), entry["client_ip"],
        entry["time_active"] * 1000, tries,
    )  # fmt: skip


def traefik_clf(line: str) -> Read:
    read, words = access(line)
    url = words[-2].strip('"').removeprefix("http://")
    return read._replace(us=int(words[-1].removesuffix("ms")) * 1000, attempts=() if url == "-" else ((url, read.status),))


def traefik_json(line: str) -> Read:
    entry = json.loads(line)
    status = entry["DownstreamStatus"]
    at = datetime.fromisoformat(entry["StartUTC"][:23] + "+00:00")
    tries = ((entry["ServiceURL"].removeprefix("http://"), status),) if "ServiceURL" in entry else ()
    return Read(
        status,
        at,
        route(f"{entry['RequestMethod']} {entry['RequestPath']}"),
        entry["ClientHost"],
        entry["Duration"] // 1000,
        tries,
    )


def caddy(line: str) -> Read | None:
    entry = json.loads(line)
    if entry["logger"] != "http.log.access.log0":
        return None
    asked = entry["request"]
    at = datetime.fromtimestamp(int(entry["ts"] * 1000) / 1000, UTC)
    return Read(
        entry["status"], at, route(f"{asked['method']} {asked['uri']}"), asked["remote_ip"], round(entry["duration"] * 1_000_000)
    )


def envoy(line: str) -> Read:
    at, request, tail = line[1 : line.index("]")], line.split('"')[1], line.split('" ', 1)[1].split(" ")
    quoted = line.split('"')
    istio = len(tail) > 1 and tail[2] != "0"
    status, target = int(tail[0]), re.search(r'"www\.example\.com" "(.*?)"', line)
    assert target is not None
    us = int(tail[7] if istio else tail[4]) * 1000
    tries = () if target[1] == "-" else ((target[1], status),)
    return Read(status, datetime.fromisoformat(at), route(request), quoted[5 if istio else 3], us, tries)


def istio_json(line: str) -> Read:
    entry = json.loads(line)
    status = entry["response_code"]
    tries = () if entry["upstream_host"] is None else ((entry["upstream_host"], status),)
    at = datetime.fromisoformat(entry["start_time"])
    return Read(
        status, at, route(f"{entry['method']} {entry['path']}"), entry["x_forwarded_for"], entry["duration"] * 1000, tries
    )


def alb(line: str) -> Read:
    words = line.split(" ")
    status, spent = int(words[8]), words[5:8]
    at = datetime.fromisoformat(words[1][:23] + "+00:00")
    us = None if "-1" in spent else sum(map(seconds, spent))
    tries = () if words[4] == "-" else ((words[4], 0 if words[9] == "-" else int(words[9])),)
    return Read(status, at, route(line.split('"')[1]), words[3].rpartition(":")[0], us, tries)


def cloudfront(line: str) -> Read | None:
    if line.startswith("#"):
        return None
    fields = line.split("\t")
    assert len(fields) == 33
    at = datetime.fromisoformat(f"{fields[0]}T{fields[1]}+00:00")
    return Read(int(fields[8]), at, route(f"{fields[5]} {fields[7]}"), fields[4], seconds(fields[18]))


def cloudflare(line: str) -> Read:
    entry = json.loads(line)
    start, end, us = entry["EdgeStartTimestamp"], entry["EdgeEndTimestamp"], None
    if isinstance(start, int):
        at, us = datetime.fromtimestamp(start // 1_000_000 / 1000, UTC), (end - start) // 1000
    else:
        at = datetime.fromisoformat(start)
    tries = ((entry["OriginIP"], entry["OriginResponseStatus"]),) if entry["OriginIP"] else ()
    return Read(
        entry["EdgeResponseStatus"],
        at,
        route(f"{entry['ClientRequestMethod']} {entry['ClientRequestURI']}"),
        entry["ClientIP"],
        us,
        tries,
    )


def google(line: str) -> Read:
    entry = json.loads(line)
    asked = entry["httpRequest"]
    tries = ((asked["serverIp"], asked["status"]),) if "serverIp" in asked else ()
    at = datetime.fromisoformat(entry["timestamp"][:23] + "+00:00")
    request = route(f"{asked['requestMethod']} {asked['requestUrl']}")
    return Read(asked["status"], at, request, asked["remoteIp"], seconds(asked["latency"][:-1]), tries)


READERS: dict[str, Callable[[str], Read | None]] = {
    "nginx-combined": common, "nginx-upstream-keys": nginx_keys, "nginx-upstream-pipes": nginx_pipes, "nginx-upstream-vhost": nginx_vhost,
    "nginx-json-strings": nginx_json, "nginx-json-numbers": nginx_json, "nginx-json-nested": nginx_json, "ingress-nginx": ingress,
    "apache-common": common, "apache-combined": common, "apache-vhost": combined_vhost, "apache-us": last_number(1),
    "apache-s": last_number(1_000_000), "apache-ms": last_number(1000), "apache-forwarded": last_number(1), "apache-balancer": balancer,
    "haproxy-http": haproxy_http, "haproxy-json": haproxy_json, "traefik-clf": traefik_clf, "traefik-json": traefik_json,
    "caddy-json": caddy, "envoy-text": envoy, "istio-text": envoy, "istio-json": istio_json, "varnish-ncsa": varnish, "aws-alb": alb,
    "aws-cloudfront": cloudfront, "cloudflare-rfc3339": cloudflare, "cloudflare-nano": cloudflare, "gcp-lb": google,
}  # fmt: skip


def minute(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def counted(reads: list[Read], truth: Truth) -> dict[str, Any]:
    """The truth's fields, counted from the naive reader's results."""
    targets: dict[str, Counter[int]] = {}
    routes: dict[str, Counter[int]] = {}
    for read in reads:
        for target, status in read.attempts:
            targets.setdefault(target, Counter())[status] += 1
        if read.request is not None:
            routes.setdefault(read.request, Counter())[read.status] += 1
    return {
        "requests": len(reads),
        "bad_requests": sum(read.request is None for read in reads),
        "statuses": Counter(read.status for read in reads),
        "failures": Counter(read.status for read in reads if read.status in GATEWAY_FAILURES),
        "minutes": Counter(minute(read.at) for read in reads),
        "failed_minutes": Counter(minute(read.at) for read in reads if read.status in GATEWAY_FAILURES),
        "targets": targets,
        "routes": routes,
        "clients": Counter(read.client for read in reads if read.client is not None),
        "durations_us": Counter(read.us for read in reads if read.us is not None),
        "first": min(read.at for read in reads),
        "last": max(read.at for read in reads),
        "retried": sum(len(read.attempts) > 1 for read in reads),
        "recovered": sum(len(read.attempts) > 1 and read.status not in GATEWAY_FAILURES for read in reads),
    }


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", sampled(READERS, 12))
def test_truth_equals_a_naive_count(name: str, family: int) -> None:
    data, truth = written(format=name, attempts=2, ip_family=family, seed=family, order="shuffled" if family == 6 else "time")
    lines = lines_of(data)
    found = [read for read in map(READERS[name], lines) if read is not None]
    assert len(lines) == truth.lines
    assert len(data) == truth.size_bytes
    assert truth.failed > 50
    for field, value in counted(found, truth).items():
        assert getattr(truth, field) == value, field


def test_every_format_is_counted() -> None:
    assert set(FORMATS) == set(READERS) | {"nginx-error", "apache-error", "haproxy-tcp", "haproxy-events"}


def test_nginx_error_log() -> None:
    data, truth = written(format="nginx-error")
    errors = [line for line in lines_of(data) if " [error] " in line]
    texts = {
        "refused": "connect() failed", "timed out": "upstream timed out", "prematurely closed": "prematurely closed",
        "no live upstreams": "no live upstreams",
    }  # fmt: skip
    assert truth.kinds == Counter({kind: sum(text in line for line in errors) for kind, text in texts.items()})
    assert truth.failures[504] == truth.kinds["timed out"]
    assert truth.failed == len(errors)
    assert truth.requests == 0
    assert truth.clients == Counter(line.split("client: ")[1].split(",")[0] for line in errors)
    targets = Counter(line.split('upstream: "http://')[1].split("/")[0] for line in errors)
    assert {name: statuses.total() for name, statuses in truth.targets.items()} == targets
    assert truth.failed_minutes == Counter(f"{line[:16].replace('/', '-').replace(' ', 'T')}Z" for line in errors)
    assert any("[warn]" in line and "temporarily disabled" in line for line in lines_of(data))


def test_apache_error_log_has_two_lines_a_failure() -> None:
    data, truth = written(format="apache-error")
    lines = lines_of(data)
    codes = Counter(code for line in lines for code in re.findall(r"AH01102|AH00957|AH01114|AH00898", line))
    assert codes["AH00957"] == codes["AH01114"] == truth.failures[503] == truth.kinds["refused"]
    assert codes["AH01102"] == codes["AH00898"] == truth.failures[502]
    assert sum("(70007)" in line for line in lines) == truth.kinds["timed out"]
    named = [line for line in lines if "AH01102" in line or "AH01114" in line]
    assert truth.clients == Counter(line.split("[client ")[1].split("]")[0].rpartition(":")[0] for line in named)


def test_haproxy_connections_and_events() -> None:
    data, truth = written(format="haproxy-tcp")
    lines = [line.split(" ") for line in lines_of(data)]
    assert truth.kinds == Counter(words[6] for words in lines)
    assert truth.durations_us == Counter(int(words[4].split("/")[2]) * 1000 for words in lines)
    assert truth.requests == len(lines)
    assert not truth.statuses
    data, truth = written(format="haproxy-events", wrapper="kubectl")
    lines = [line.split(" ") for line in lines_of(data)]
    assert truth.kinds == Counter(
        down=sum("DOWN," in words for words in lines), **{"no server available": sum("backend" in words for words in lines)}
    )
    assert {name: count.total() for name, count in truth.targets.items()} == Counter(
        words[2] for words in lines if "DOWN," in words
    )


def messages(name: str, lines: list[str]) -> Iterator[str]:
    """The messages within their wrapper."""
    part = ""
    for line in lines:
        if name == "docker-json":
            yield json.loads(line)["log"].removesuffix("\n")
        elif name == "journal-json":
            message = json.loads(line)["MESSAGE"]
            yield message if isinstance(message, str) else bytes(message).decode("utf-8", "surrogateescape")
        elif name == "cri":
            kind, text = line.split(" ", 3)[2:]
            part += text
            if kind == "F":
                yield part
                part = ""
        elif name == "compose":
            yield line.removeprefix("web-1  | ")
        elif name == "rfc5424":
            yield line.split(" - - ", 1)[1]
        elif name == "kubectl":
            yield line.split(" ", 1)[1]
        else:
            yield re.split(r" web-1 [a-z0-9]+(?:\[1234\])?: ", line, maxsplit=1)[1]


@pytest.mark.parametrize("wrapper", [name for name in COMBINATIONS["nginx-json-strings"] if name != "plain"])
@pytest.mark.parametrize(
    "name", sampled(["nginx-json-strings", "nginx-combined", "apache-error", "caddy-json", "traefik-clf"], 12)
)
def test_wrappers_hold_the_plain_lines(name: str, wrapper: str) -> None:
    plain, truth = written(format=name)
    data, wrapped = written(format=name, wrapper=wrapper)
    expected = lines_of(plain)
    if wrapper == "docker-json":
        expected = [line.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for line in expected]
    assert list(messages(wrapper, lines_of(data))) == expected
    assert wrapped.lines == len(lines_of(data))
    assert wrapped.statuses == truth.statuses
    assert wrapped.minutes == truth.minutes


def test_a_wrapper_writes_after_the_server() -> None:
    data, _ = written(format="nginx-json-numbers", wrapper="cri", failures=0.0)
    for line in lines_of(data):
        at, _, kind, text = line.split(" ", 3)
        if kind == "F" and text.startswith("{"):
            behind = datetime.fromisoformat(at[:23] + "+02:00") - datetime.fromtimestamp(
                round(json.loads(text.replace("\udcfc", "?"))["msec"], 3), UTC
            )
            assert timedelta(0) < behind < timedelta(milliseconds=10)


def test_the_same_seed_writes_the_same_log() -> None:
    assert written(format="nginx-combined", seed=5)[0] == written(format="nginx-combined", seed=5)[0]
    assert written(format="nginx-combined", seed=5)[0] != written(format="nginx-combined", seed=6)[0]


def test_shape_is_kept() -> None:
    data, truth = written(format="nginx-combined", lines=3000, clients=7, paths=9, failures=0.5, line_bytes=400, span_s=60)
    assert len(truth.clients) == 7
    assert len({name.split(" ")[1] for name in truth.routes}) == 9
    assert 0.45 < truth.failed / 3000 < 0.55
    assert 380 < len(data) / 3000 < 420
    assert truth.first is not None
    assert truth.last is not None
    assert truth.last - truth.first < timedelta(seconds=60)
    _, all_good = written(format="nginx-combined", failures=0.0)
    assert not all_good.failures


def test_order() -> None:
    times = [read.at for read in map(common, lines_of(written(format="nginx-combined")[0]))]
    assert times == sorted(times)
    times = [read.at for read in map(common, lines_of(written(format="nginx-combined", order="shuffled")[0]))]
    assert times != sorted(times)


def test_a_server_in_another_zone() -> None:
    data, truth = written(format="nginx-combined", zone_min=-210)
    _, same = written(format="nginx-combined")
    assert b" -0330] " in data
    assert truth.minutes == same.minutes
    assert truth.minutes == Counter(minute(read.at) for read in map(common, lines_of(data)))
    start = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    first = written(format="nginx-combined", start=start)[1].first
    assert first is not None
    assert start <= first < start + timedelta(minutes=1)


def test_percentile_is_the_nearest_rank() -> None:
    truth = Truth(format="x", wrapper="plain", durations_us=Counter({10: 50, 20: 45, 30: 5}))
    assert [truth.percentile_us(share) for share in (0.0, 0.5, 0.51, 0.95, 0.96, 1.0)] == [10, 10, 20, 20, 30, 30]


def test_command_line(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    out = tmp_path / "access.log"
    words = [
        sys.executable,
        "-m",
        "tests.truth.write",
        "--format",
        "haproxy-http",
        "--wrapper",
        "rfc5424",
        "--lines",
        "50",
        "--ip-family",
        "6",
    ]
    done = subprocess.run([*words, str(out)], cwd=root, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["lines"] == told["requests"] == len(lines_of(out.read_bytes())) == 50
    assert sum(told["statuses"].values()) == 50
    refused = subprocess.run([*words[:3], "--format", "x", str(out)], cwd=root, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: x is not a format")


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "x"},
        {"format": "aws-alb", "wrapper": "cri"},
        {"format": "gcp-lb", "start": datetime(2026, 1, 1)},
        {"format": "gcp-lb", "failures": 2.0},
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        write(io.BytesIO(), Shape(**fields))
