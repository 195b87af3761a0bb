"""Access lines and error lines of one request count once; the fast reading of healthy lines changes no number."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.host.nowhere import NowhereHost
from why502.logs.correlation import summary as of_counts
from why502.logs.line_reader import LogInput
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form, of_format
from why502.logs.scan.part import Session
from why502.logs.scan.rates import rates
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.summary import summarise
from why502.model.logs import LogSummary, Phase, Symptom, Tally
from why502.model.target import Target

START = datetime(2026, 11, 21, tzinfo=UTC)
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
FULL = COMBINED + (
    ' "$upstream_addr" "$upstream_status" "$upstream_connect_time" "$upstream_header_time" "$upstream_response_time" '
    "$request_time"
)
JSON = (
    '{"t":"$time_iso8601","ip":"$remote_addr","r":"$request","s":$status,"ua":"$upstream_addr","us":"$upstream_status",'
    '"uct":"$upstream_connect_time","uht":"$upstream_header_time","urt":"$upstream_response_time","rt":$request_time}'
)
A, B = "127.0.0.1:3001", "127.0.0.1:3002"


def access_line(
    second: float,
    status: str = "200",
    *,
    form: str = FULL,
    client: str = "10.0.0.1",
    request: str = "GET /x HTTP/1.1",
    upstream: str = A,
    upstream_status: str | None = None,
    connect: str | None = None,
    header: str | None = None,
    response: str = "0.010",
    took: str = "0.010",
) -> str:
    """Return a line as nginx writes it in one of the formats above."""
    at = START + timedelta(seconds=second)
    values = {
        "remote_addr": client,
        "remote_user": "-",
        "time_local": f"{at:%d/%b/%Y:%H:%M:%S} +0000",
        "time_iso8601": f"{at:%Y-%m-%dT%H:%M:%S}+00:00",
        "request": request,
        "status": status,
        "body_bytes_sent": "157",
        "http_referer": "-",
        "http_user_agent": "curl/8",
        "upstream_addr": upstream,
        "upstream_status": status if upstream_status is None else upstream_status,
        "upstream_connect_time": ("-" if status.startswith("5") else "0.001") if connect is None else connect,
        "upstream_header_time": ("-" if status.startswith("5") else response) if header is None else header,
        "upstream_response_time": response,
        "request_time": took,
    }
    for name in sorted(values, key=len, reverse=True):
        form = form.replace("$" + name, values[name])
    return form + "\n"


def error_line(
    second: float,
    message: str = "connect() failed (111: Connection refused) while connecting to upstream",
    *,
    connection: int = 1,
    client: str = "10.0.0.1",
    request: str = "GET /x HTTP/1.1",
    upstream: str = f"http://{A}/x",
) -> str:
    """Return a line of the error log."""
    at = START + timedelta(seconds=second)
    return (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *{connection} {message}, client: {client}, server: example.com, "
        f'request: "{request}", upstream: "{upstream}", host: "example.com"\n'
    )


def summary(error: str, access: str, form: str = FULL, *, is_fast: bool = True) -> LogSummary:
    """Return what both texts tell."""
    escape = "json" if form.startswith("{") else "default"
    logs = [
        LogInput(path="/e.log", content=error.encode(), kind="error"),
        LogInput(path="/a.log", content=access.encode(), kind="access", format=form, escape=escape),
    ]
    with contextlib.nullcontext() if is_fast else mock.patch("why502.logs.native.loaded", lambda: None):
        found, _ = summarise(NowhereHost(), logs, START, START + timedelta(hours=1))
    return msgspec.structs.replace(found, files=())


def seen(found: LogSummary) -> list[tuple[Symptom, str, int | None, int, int]]:
    """Return symptom, target or group, status, count and hidden of each tally."""
    return [(t.symptom, str(t.target) if t.target else t.group, t.status, t.count, t.hidden) for t in found.tallies]


def only(found: LogSummary) -> Tally:
    assert len(found.tallies) == 1, seen(found)
    return found.tallies[0]


PARTS = '{"t":"$time_iso8601","m":"$request_method","u":"$request_uri","s":$status,"ua":"$upstream_addr","us":"$upstream_status"}'
BARE = "upstream=$upstream_addr us=$upstream_status t=$time_iso8601 st=$status"


@pytest.mark.parametrize("form", [PARTS, BARE])
def test_a_request_is_found_by_the_parts_of_its_line_or_by_its_target_alone(form: str) -> None:
    form = form.replace("$request_method", "GET").replace("$request_uri", "/x")
    other = error_line(10, connection=2, upstream=f"http://{B}/x")
    found = summary(error_line(10) + other, access_line(10, "502", form=form), PARTS if form.startswith("{") else BARE)
    assert sorted(seen(found)) == [(Symptom.CONNECT_REFUSED, A, 502, 1, 0), (Symptom.CONNECT_REFUSED, B, None, 1, 0)]


def test_a_cut_answer_is_found_where_the_request_is_written_in_parts() -> None:
    cut = error_line(10, "upstream prematurely closed connection while reading upstream")
    form = PARTS.replace("$request_method", "GET").replace("$request_uri", "/x")
    found = summary(cut, access_line(9, form=form.replace("/x", "/y")) + access_line(10, form=form), PARTS)
    assert seen(found) == [(Symptom.CLOSED_IN_BODY, A, 200, 1, 0)]


@pytest.mark.parametrize("form", [COMBINED, FULL, JSON])
def test_error_and_access_line_of_a_request_count_once(form: str) -> None:
    found = summary(
        error_line(10) + error_line(20, connection=2), access_line(10, "502", form=form) + access_line(20, "502", form=form), form
    )
    tally = only(found)
    assert (tally.symptom, tally.target, tally.status, tally.count) == (Symptom.CONNECT_REFUSED, Target.parse(A), 502, 2)
    assert tally.requests == (("GET /x", 2),)
    assert tally.source == "/e.log:1" and [sample.source for sample in tally.samples] == ["/e.log:1", "/e.log:2"]
    assert (tally.first, tally.last) == (START + timedelta(seconds=10), START + timedelta(seconds=20))
    assert found.by_status == {"502": 2}


def test_healthy_requests_around_do_not_take_the_error_line() -> None:
    """The same client asks the same page all the time; the log has no upstream field."""
    text = "".join(access_line(second, "502" if second == 50 else "200", form=COMBINED) for second in range(100))
    found = summary(error_line(50), text, COMBINED)
    assert seen(found) == [(Symptom.CONNECT_REFUSED, A, 502, 1, 0)]
    assert found.by_status == {"200": 99, "502": 1}


@pytest.mark.parametrize("is_fast", [True, False])
def test_our_own_probes_are_no_traffic(is_fast: bool) -> None:
    """Who looks twice must not find the first look as a failure."""
    probe = {"form": COMBINED.replace("$http_user_agent", "why502-probe"), "client": "127.0.0.1"}
    theirs = access_line(10, "502", form=COMBINED) + access_line(11, form=COMBINED)
    ours = access_line(20, "502", **probe) + access_line(21, **probe)
    errors = error_line(10) + error_line(20, connection=2, client="127.0.0.1")
    found = summary(errors, theirs + ours, COMBINED, is_fast=is_fast)
    assert seen(found) == [(Symptom.CONNECT_REFUSED, A, 502, 1, 0)]
    assert (found.requests, found.by_status) == (2, {"200": 1, "502": 1})


def test_another_client_request_or_time_is_another_failure() -> None:
    lines = (
        access_line(10, "502", client="10.0.0.2")
        + access_line(10, "502", request="GET /y HTTP/1.1")
        + access_line(90, "502", took="1.000")
    )
    found = summary(error_line(10), lines)
    assert sorted(seen(found)) == [(Symptom.CONNECT_REFUSED, A, None, 1, 0), (Symptom.GATEWAY_STATUS, A, 502, 3, 0)]


def test_a_retry_hides_the_failure() -> None:
    line = access_line(
        10, "200", upstream=f"{A}, {B}", upstream_status="502, 200", connect="-, 0.001", header="-, 0.01", response="0.001, 0.01"
    )
    found = summary(error_line(10), line)
    assert seen(found) == [(Symptom.CONNECT_REFUSED, A, 200, 1, 1)]
    assert [(str(t.target), t.attempts, t.failures) for t in found.targets] == [(A, 1, 1), (B, 1, 0)]


def test_a_slow_first_attempt_is_found_by_the_time_of_the_request() -> None:
    """The first attempt failed a minute before the second one, and the access line comes at the end."""
    message = "upstream timed out (110: Connection timed out) while reading response header from upstream"
    errors = error_line(10, message) + error_line(70, upstream=f"http://{B}/x")
    line = access_line(
        70,
        "502",
        upstream=f"{A}, {B}",
        upstream_status="504, 502",
        connect="0.001, -",
        header="-, -",
        response="60.000, 0.000",
        took="60.000",
    )
    assert seen(summary(errors, line)) == [(Symptom.CONNECT_REFUSED, B, 502, 1, 0), (Symptom.READ_TIMED_OUT, A, 502, 1, 0)]
    plain = access_line(70, "502", form=COMBINED)
    assert seen(summary(errors, plain, COMBINED)) == [
        (Symptom.CONNECT_REFUSED, B, 502, 1, 0),
        (Symptom.READ_TIMED_OUT, A, 502, 1, 0),
    ]


@pytest.mark.parametrize(("status", "form"), [("404", FULL), ("200", FULL), ("404", COMBINED), ("200", COMBINED)])
def test_an_error_page_does_not_hide_the_failure(status: str, form: str) -> None:
    line = access_line(10, status, form=form, upstream_status="502", connect="-", header="-")
    found = summary(error_line(10), line, form)
    assert seen(found) == [(Symptom.CONNECT_REFUSED, A, 502, 1, 0)]
    assert found.by_status == {status: 1}


def test_an_error_page_without_error_log() -> None:
    line = access_line(10, "404", upstream_status="502", connect="0.001", header="-")
    found = summary("", line)
    assert seen(found) == [(Symptom.GATEWAY_STATUS, A, 502, 1, 0)]
    assert only(found).phase is Phase.READ_HEADER and only(found).source == "/a.log:1"


@pytest.mark.parametrize("form", [COMBINED, FULL, JSON])
def test_a_cut_body_keeps_its_status_and_is_a_failure(form: str) -> None:
    message = "upstream prematurely closed connection while reading upstream"
    found = summary(error_line(10, message), access_line(10, form=form), form)
    assert seen(found) == [(Symptom.CLOSED_IN_BODY, A, 200, 1, 0)]
    if form != COMBINED:
        assert [(t.attempts, t.failures, t.last_success) for t in found.targets] == [(1, 1, None)]


@pytest.mark.parametrize(
    ("line", "symptom", "target", "phase"),
    [
        (access_line(1, "502", header="0.004", connect="0.001"), Symptom.UPSTREAM_STATUS, A, None),
        (access_line(1, "503", header="0.004", connect="0.001"), Symptom.UPSTREAM_STATUS, A, None),
        (access_line(1, "504", connect="-"), Symptom.CONNECT_TIMED_OUT, A, Phase.CONNECT),
        (access_line(1, "504", connect="0.001"), Symptom.READ_TIMED_OUT, A, Phase.READ_HEADER),
        (access_line(1, "502"), Symptom.GATEWAY_STATUS, A, Phase.CONNECT),
        (access_line(1, "503", upstream="-", upstream_status="-", response="-"), Symptom.OWN_STATUS, "", None),
        (access_line(1, "502", upstream="backend", response="0.000"), Symptom.NO_LIVE_UPSTREAMS, "backend", Phase.SELECT),
        (access_line(1, "499", upstream_status="-", header="-"), Symptom.CLIENT_CLOSED, A, Phase.READ_HEADER),
        (access_line(1, "009", upstream_status="200"), Symptom.NO_STATUS_LINE, A, Phase.READ_HEADER),
        (access_line(1, "503", form=COMBINED), Symptom.GATEWAY_STATUS, "", None),
        (access_line(1, "499", form=COMBINED), Symptom.CLIENT_CLOSED, "", None),
        (access_line(1, "000", form=COMBINED), Symptom.GATEWAY_STATUS, "", None),
    ],
)
def test_what_an_access_line_alone_tells(line: str, symptom: Symptom, target: str, phase: Phase | None) -> None:
    tally = only(summary("", line, FULL if '"curl/8" ' in line else COMBINED))
    assert (tally.symptom, str(tally.target) if tally.target else tally.group, tally.phase) == (symptom, target, phase)


def test_an_answer_of_the_application_beside_a_refusal() -> None:
    """Two attempts: the application's own 503, of which the error log knows nothing, then a refusal."""
    line = access_line(
        10,
        "502",
        upstream=f"{B}, {A}",
        upstream_status="503, 502",
        connect="0.001, -",
        header="0.002, -",
        response="0.002, 0.000",
    )
    assert seen(summary(error_line(10), line)) == [
        (Symptom.CONNECT_REFUSED, A, 502, 1, 0),
        (Symptom.UPSTREAM_STATUS, B, 502, 1, 0),
    ]


def test_an_application_error_is_no_failure_of_the_gateway() -> None:
    found = summary("", access_line(1, "500", header="0.004", connect="0.001"))
    assert only(found).symptom is Symptom.UPSTREAM_STATUS
    assert only(found).is_passed_on and not only(found).is_failure
    assert [(traffic.attempts, traffic.failures) for traffic in found.targets] == [(1, 0)]


def test_notices_are_counted_and_are_no_failures() -> None:
    found = summary(
        "2026/11/21 00:00:01 [notice] 7#7: signal 1 (SIGHUP) received from 9, reconfiguring\n"
        + error_line(2, "upstream server temporarily disabled while connecting to upstream").replace("[error]", "[warn]"),
        "",
    )
    assert {tally.symptom for tally in found.tallies} == {Symptom.PROXY_RELOADED, Symptom.PEER_DISABLED}


def test_attempts_of_one_request_without_access_log_are_one_failed_request() -> None:
    errors = error_line(1) + error_line(1, upstream=f"http://{B}/x") + error_line(2) + error_line(2, connection=9)
    found = summary(errors, "")
    assert seen(found) == [(Symptom.CONNECT_REFUSED, A, None, 3, 0), (Symptom.CONNECT_REFUSED, B, None, 1, 0)]


def test_traffic_of_a_target() -> None:
    lines = "".join(access_line(second, response=f"0.{second:03d}") for second in range(1, 101))
    lines += access_line(200, "502") + access_line(210) + access_line(205)
    (traffic,) = summary("", lines).targets
    assert (traffic.attempts, traffic.failures, traffic.statuses) == (103, 1, {"200": 102, "502": 1})
    assert traffic.last_success == START + timedelta(seconds=210)
    assert traffic.response_p95_s == pytest.approx(0.095, rel=0.03)


UPSTREAMS = st.sampled_from(
    [
        {"upstream": A, "upstream_status": "200", "response": "1.250"},
        {"upstream": "unix:/run/app.sock", "upstream_status": "502", "response": "0.000", "header": "-"},
        {"upstream": "backend", "upstream_status": "502", "response": "0.000", "connect": "-", "header": "-"},
        {"upstream": A, "upstream_status": "-", "response": "3.000", "header": "-"},
        {"upstream": "-", "upstream_status": "-", "response": "-", "connect": "-", "header": "-"},
        {
            "upstream": f"{A}, {B}",
            "upstream_status": "502, 200",
            "response": "0.001, 3.000",
            "connect": "-, 0.000",
            "header": "-, 3.000",
        },
        {
            "upstream": f"{A} : {B}",
            "upstream_status": "504 : 200",
            "response": "3.001 : 0.001",
            "connect": "0.0 : 0.0",
            "header": "- : 0.001",
        },
        {"upstream": f"{A}, {B}", "upstream_status": "502, 504", "response": "0.000, 1.000", "connect": "-, -", "header": "-, -"},
    ]
)


def any_line(second: int, status: str, client: str, request: str, upstream: dict[str, str], took: str) -> str:
    return access_line(second, status, client=client, request=request, took=took, **upstream)  # type: ignore[arg-type]


LINES = st.lists(
    st.builds(
        any_line,
        st.integers(-100, 4000),
        st.sampled_from(["200", "301", "404", "413", "500", "502", "503", "504", "499", "009", "000"]),
        st.sampled_from(["10.0.0.1", "::1", "unix:"]),
        st.sampled_from(["GET /x HTTP/1.1", "POST /y?token=1 HTTP/2.0", "", "\\x16\\x03 \\x22"]),
        UPSTREAMS,
        st.sampled_from(["0.000", "3.001"]),
    ),
    max_size=25,
)
ERRORS = st.lists(
    st.builds(
        error_line,
        st.integers(-100, 4000),
        st.sampled_from(
            [
                "connect() failed (111: Connection refused) while connecting to upstream",
                "upstream prematurely closed connection while reading upstream",
                "no live upstreams while connecting to upstream",
                'upstream sent invalid header: "X: \\x00" while reading response header from upstream',
                "app.local could not be resolved (3: Host not found)",
            ]
        ),
        connection=st.integers(1, 3),
        client=st.sampled_from(["10.0.0.1", "::1"]),
        upstream=st.sampled_from([f"http://{A}/x", f"http://{B}/x", "http://backend/x"]),
    ),
    max_size=25,
)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(ERRORS, LINES, st.sampled_from([FULL, JSON, COMBINED]))
def test_fast_reading_counts_the_same(errors: list[str], lines: list[str], form: str) -> None:
    lines = lines if form == FULL else [access_line(second, form=form) for second in range(len(lines))]
    text = "".join(lines) + "no access line\n"
    error = "".join(errors)
    assert summary(error, text, form, is_fast=True) == summary(error, text, form, is_fast=False)


def counted(error: bytes, access: bytes, cuts: Sequence[int] = (), order: int = 0) -> Counts:
    """Return what both logs hold, cut at these bytes, each part read by itself, merged in one of the orders."""
    forms = Form(name="nginx_error"), of_format(FULL)
    parts = [
        (data, Part(path=str(number), form=form, start=start, end=end))
        for number, (form, data) in enumerate(zip(forms, (error, access), strict=True))
        for start, end in pairwise(sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)}))
    ]
    ask = ScanQuery(since=int(START.timestamp()), until=int(START.timestamp()) + 3600, most_held=1000, is_summary=True)
    sums = []
    for index, (data, part) in enumerate(parts):
        session = Session(ask)
        session.take(io.BytesIO(data), msgspec.structs.replace(part, index=index))
        sums.append(session.total())
    Random(order).shuffle(sums)
    while len(sums) > 1:  # in any grouping
        one = sums.pop(order % len(sums))
        sums[order % len(sums)].merge(one)
    return sums[0] if sums else Counts()


def told(counts: Counts) -> LogSummary:
    """Return what was counted, requests and their errors joined."""
    return of_counts(counts)


@pytest.mark.thorough
@settings(max_examples=200, deadline=None)
@given(ERRORS, LINES, st.lists(st.integers(1, 8000), max_size=5), st.integers(0, 1000))
def test_parts_of_a_log_sum_to_the_whole(errors: list[str], lines: list[str], cuts: list[int], order: int) -> None:
    """Cut anywhere, also between the two lines of a request, and merged in any order."""
    error, access = "".join(errors).encode(), "".join(lines).encode()
    assert told(counted(error, access, cuts, order)) == told(counted(error, access))


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(ERRORS, LINES, st.lists(st.integers(1, 8000), max_size=5), st.integers(0, 1000), st.integers(-2, 66))
def test_minutes_that_expire_leave_those_that_follow(
    errors: list[str], lines: list[str], cuts: list[int], order: int, minute: int
) -> None:
    """In whatever parts they were counted; requests of the minutes that stay keep their reasons."""
    error, access = "".join(errors).encode(), "".join(lines).encode()
    whole, before = counted(error, access, cuts, order), int(START.timestamp()) + 60 * minute
    wanted = tuple(one for one in rates(whole) if 60 * one.minute >= before)
    assert rates(counted(error, access)) == rates(whole)
    whole.expire(before)
    assert [(one.minute, one.requests, one.failures, one.targets, one.routes) for one in rates(whole)] == [
        (one.minute, one.requests, one.failures, one.targets, one.routes) for one in wanted
    ]


def test_the_rates_of_a_minute_have_the_reasons_of_its_error_lines() -> None:
    refused = error_line(10) + error_line(70, 'limiting requests, excess: 20.430 by zone "one"', connection=2)
    text = access_line(10, "502") + access_line(11, "502", client="10.0.0.9") + access_line(12)
    text += access_line(70, "503", upstream="-", upstream_status="-", connect="-", header="-", response="-")
    first, second = rates(counted(refused.encode(), text.encode()))
    assert (first.requests, first.failures, first.intended) == (3, 2, 0)
    assert first.symptoms == {"connect-refused": 1, "gateway-status": 1}
    assert (first.targets, first.routes, first.statuses) == ({A: 2}, {"GET /x": 2}, {"502": 2})
    assert (second.failures, second.intended, second.symptoms) == (1, 1, {"rate-limited": 1})


def test_a_flood_of_failures_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of failures the reasons of the rest are left out, not their number, times and targets."""
    lines = "".join(
        access_line(
            n, "502" if n % 2 else "200", upstream=A if n % 3 else f"{B}, {A}", upstream_status="502" if n % 3 else "504, 502"
        )
        for n in range(300)
    )
    lines += access_line(400, "502")
    all_of_it = summary("", lines)
    monkeypatch.setattr("why502.logs.summary.MOST_CLOSE", 20)
    found = summary("", lines)
    assert (found.requests, found.by_status) == (all_of_it.requests, all_of_it.by_status)
    for mine, exact in zip(found.targets, all_of_it.targets, strict=True):
        assert (mine.target, mine.attempts, mine.failures, mine.statuses) == (
            exact.target,
            exact.attempts,
            exact.failures,
            exact.statuses,
        )
        assert mine.last_success == exact.last_success
    assert 0 < sum(tally.count for tally in found.tallies) < sum(tally.count for tally in all_of_it.tallies)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More kinds, targets and requests than there is room for: all are counted, fewer are told apart."""
    for name in ("MOST_KINDS", "MOST_TARGETS", "MOST_REQUESTS"):
        monkeypatch.setattr(f"why502.logs.tallies.{name}", 10)
    monkeypatch.setattr("why502.logs.held.MOST_LINES", 50)
    errors = "".join(error_line(n, request=f"GET /{n} HTTP/1.1", upstream=f"http://10.0.0.9:{n + 1}/{n}") for n in range(100))
    lines = "".join(access_line(n, "502", request=f"GET /{n} HTTP/1.1", upstream=f"10.0.0.9:{n + 1}") for n in range(100))
    found = summary(errors, lines)
    assert sum(tally.count for tally in found.tallies) == 100
    assert len(found.tallies) <= 14 and len(found.targets) == 10
