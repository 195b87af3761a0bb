"""The format of a log is found by its content; a given one counts where it fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.gateways.nginx.logs.log_format import COMBINED
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import find, of_format
from why502.logs.scan.work import ScanQuery

HEAD = '1.2.3.4 - - [20/Nov/2026:22:46:40 +0000] "GET /a HTTP/1.1" 502 157'
ERROR = (
    "2026/11/20 22:46:40 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    "client: 1.2.3.4, "
    'server: x, request: "GET /a HTTP/1.1", upstream: "http://10.0.0.1:80/a", host: "x"'
)
HAPROXY = (
    "Nov 20 22:46:40 lb haproxy[12]: 10.0.1.2:33317 [20/Nov/2026:22:46:40.655] http-in static/srv1 10/0/30/-1/109 503 "
    "2750 - - SC-- "
    '1/1/1/1/0 0/0 "GET /index.html HTTP/1.1"'
)
JSON_LINE = (
    '{"time":"2026-11-20T22:46:40+00:00","remote_addr":"1.2.3.4","request":"GET /a HTTP/1.1","status":502,"request_time":0.001,'
    '"upstream_addr":"10.0.0.1:80","upstream_status":"502"}'
)
LINES = {
    "common": (HEAD, "nginx_access", True),
    "combined": (f'{HEAD} "-" "curl/7"', "nginx_access", True),
    "a number that may mean anything": (f'{HEAD} "-" "curl/7" 1194', "nginx_access", True),
    "an escaped request": (
        HEAD.replace("GET /a HTTP/1.1", r"\x16\x03 \x22") + ' "-" "-"',
        "nginx_access",
        True,
    ),
    "named timings": (f'{HEAD} "-" "curl/7" rt=0.1 uct="0.0" uht="-" urt="0.1" ua="10.0.0.1:80" us="502"', "nginx_access", True),
    "timings in a row": (f'{HEAD} "-" "curl/7" 10.0.0.1:80 502 0.000 - 0.001', "nginx_access", True),
    "JSON": (
        JSON_LINE,
        "nginx_access",
        True,
    ),
    "LTSV": (
        "time:20/Nov/2026:22:46:40 +0000\thost:1.2.3.4\treq:GET /a HTTP/1.1\tstatus:502\tsize:157\treqtime:0.001",
        "nginx_access",
        True,
    ),
    "W3C": (
        (
            "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n2026-11-20 22:46:40 "
            "1.2.3.4 GET /a 502 12"
        ),
        "w3c",
        False,
    ),
    "error log": (ERROR, "nginx_error", False),
    "HAProxy": (HAPROXY, "haproxy", False),
    "Traefik": (f'{HEAD} "-" "-" 1 "web@file" "http://10.0.0.1:80" 0ms', "traefik", False),
    "nothing known": ("hello world", "", False),
}


@pytest.mark.parametrize("kind", LINES)
def test_finds_the_format(kind: str) -> None:
    text, name, has_template = LINES[kind]
    form = find("\n".join([text] * (1 if kind == "W3C" else 4)).encode() + b"\n")
    assert (form.name, bool(form.log_format)) == (name, has_template)
    if name:
        record = form.parser()(text.splitlines()[-1])
        assert record is not None
        assert record.status in (502, 503)
        assert record.at is not None


def test_a_value_of_an_unknown_name_is_an_address_where_it_looks_like_one() -> None:
    form = find((LINES["named timings"][0] + "\n").encode())
    record = form.parser()(LINES["named timings"][0])
    assert record is not None
    assert [(str(one.target), one.status, one.header_s) for one in record.attempts] == [("10.0.0.1:80", 502, None)]


def test_times_that_run_backwards_are_not_taken_for_connect_header_response() -> None:
    lines = [f'{HEAD} "-" "curl/7" 10.0.0.1:80 502 {connect} 0.001 0.002' for connect in ("0.000", "0.9")]
    assert "upstream_connect_time" not in find("\n".join(lines).encode() + b"\n").log_format


def test_a_given_format_counts_for_access_logs_alone() -> None:
    given = of_format(COMBINED)
    assert find((LINES["combined"][0] + "\n").encode(), given) == given
    assert find((ERROR + "\n").encode() * 3, given).name == "nginx_error"


@pytest.mark.parametrize("odd", [(), (25,), (0, 25), tuple(range(24))])
def test_a_format_that_another_log_has_is_found_whichever_lines_differ(odd: tuple[int, ...]) -> None:
    lines = [f'{HEAD} "-" "curl/7"'] * 60
    known = {(find("\n".join([*lines, ""]).encode()).log_format, "apache")}
    for number in odd:
        lines[number] = "upstream is down"
    head = "\n".join([*lines, ""]).encode()
    assert find(head, known=known) == find(head)
    assert find(head).name == "nginx_access"


OTHER = '{"time_iso8601":"2026-03-04T05:06:07+00:00","remote_addr":"20.0.0.1","request":"GET / HTTP/1.1","status":"502"}\n'
LINE = '20.0.0.1 - - [04/Mar/2026:05:06:07 +0000] "GET / HTTP/1.1" 502 157 "-" "curl/8.5.0"\n'
LONGER = LINE.replace("\n", ' "-"\n')


@pytest.mark.parametrize(
    ("contents", "formats"),
    [
        ([LINE * 9] * 3, 1),
        ([LINE * 9, OTHER * 9, LINE * 9], 2),
        ([LINE * 9, LONGER * 9, LINE * 9], 2),
        ([LINE * 9, LINE + LONGER * 8, LONGER + LINE * 8], 2),  # most lines of a file decide
        ([LINE * 9, "", "\n", LINE.rstrip("\n")], 2),
    ],
)
def test_an_older_part_of_a_log_has_its_own_format(tmp_path: Path, contents: list[str], formats: int) -> None:
    for number, content in enumerate(contents, 1):
        (tmp_path / f"access.log.{number}").write_text(content)
    planned = Job(paths=(str(tmp_path),), query=ScanQuery()).plans()
    assert [each.form for each in planned] == [find(Path(each.source.path).read_bytes()) for each in planned]
    assert len({each.form for each in planned}) == formats
