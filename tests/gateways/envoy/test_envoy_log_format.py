"""Access logs in the format that Envoy's configuration gives."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from why502.gateways.envoy.log_format import compile
from why502.host.local import LocalHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.logs import LogRecord, Symptom
from why502.model.target import Target

TEXT = (
    '%START_TIME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:AUTHORITY)% "%REQ(:METHOD)% '
    '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):99%" '
    "-> %UPSTREAM_HOST% %RESPONSE_CODE% %DURATION%ms [%RESPONSE_FLAGS%] %DYNAMIC_METADATA(a:b)%\n"
)
LINE = '2026-11-23T06:35:49.970Z 192.0.2.1 shop.example "GET /a b" -> 127.0.0.1:3000 {code} 12ms [{flags}] -'
MEMBERS = {
    "when": "%START_TIME(%s.%3f)%",
    "http": {"status": "%RESPONSE_CODE%", "verb": "%REQ(:METHOD)%", "uri": "%REQ(:PATH)%"},
    "flags": "%RESPONSE_FLAGS_LONG%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "to": "%UPSTREAM_HOST%",
    "took": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "both": "%PROTOCOL% %DURATION%",
}


def of_text(line: str, text: str = TEXT) -> LogRecord | None:
    parse = compile(text, "none")
    assert parse is not None
    return parse(line)


def test_a_line_of_text() -> None:
    record = of_text(LINE.format(code=503, flags="UF,URX"))
    assert record is not None
    assert (record.symptom, record.status, record.target) == (Symptom.CONNECT_FAILED, 503, Target(host="127.0.0.1", port=3000))
    assert (record.client, record.server, record.request, record.duration_s) == ("192.0.2.1", "shop.example", "GET /a b", 0.012)
    assert record.at is not None and record.at.isoformat().startswith("2026-11-23T06:35:49.970")
    fine = of_text(LINE.format(code=200, flags="-"))
    assert fine is not None and fine.symptom is None and fine.is_final and fine.status == 200
    for other in ("", "another line", LINE.format(code="abc", flags="-"), LINE.format(code=503, flags="NOFLAG")):
        assert of_text(other) is None


def test_a_line_of_json() -> None:
    parse = compile(json.dumps(MEMBERS), "json")
    assert parse is not None

    def line(**changed: object) -> str:
        values = {
            "when": "1795000000.123",
            "http": {"status": 504, "verb": "GET", "uri": "/x"},
            "flags": "-",
            "why": "via_upstream",
        }
        return json.dumps({**values, "to": "127.0.0.1:3000", "took": None, "both": "HTTP/1.1 3", **changed})

    late = parse(line(flags="UpstreamRequestTimeout", why="response_timeout"))
    assert late is not None and (late.symptom, late.request, late.code) == (Symptom.READ_TIMED_OUT, "GET /x", "UT")
    assert late.at == datetime.fromtimestamp(1795000000.123, UTC)
    own = parse(line(took="7"))
    assert own is not None and own.symptom is Symptom.UPSTREAM_STATUS
    ended = parse(line(why="max_duration_timeout"))
    assert ended is not None and ended.symptom is Symptom.READ_TIMED_OUT
    assert parse('{"level": "info"}') is None and parse("no json") is None


def test_formats_that_tell_nothing_are_left_to_the_content() -> None:
    assert compile("%START_TIME% %REQ(:PATH)%\n", "none") is None
    assert compile("no operator", "none") is None
    assert compile("%RESPONSE_CODE%%RESPONSE_FLAGS%", "none") is None  # nothing tells where one ends
    assert compile("{", "json") is None and compile('{"a": "b"}', "json") is None


def test_a_log_is_read_in_the_format_of_its_configuration(tmp_path: object) -> None:
    path = f"{tmp_path}/access.log"
    lines = [LINE.format(code=503, flags="UF"), LINE.format(code=200, flags="-"), LINE.format(code=503, flags="UF")]
    with open(path, "w") as stream:
        stream.write("\n".join(lines) + "\n")
    at = datetime(2026, 11, 23, 6, 35, tzinfo=UTC)
    log = LogInput(path=path, proxy="envoy", candidates=((TEXT, "none"),))
    summary, gaps = summarise(LocalHost(), [log], at, at.replace(minute=40))
    assert gaps == () and summary.files[0].lines == 3 and summary.files[0].unread == 0
    (tally,) = summary.tallies
    assert (tally.symptom, tally.count, tally.status) == (Symptom.CONNECT_FAILED, 2, 503)
    assert (summary.requests, summary.by_status, summary.has_access) == (3, {"200": 1, "503": 2}, True)
    (traffic,) = summary.targets
    assert (traffic.attempts, traffic.failures) == (3, 2) and traffic.last_success is not None


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("%()[]:\"' -abREQSTART_TIMERESPONSE_CODE"), max_size=120), st.text(max_size=80))
def test_any_format_and_any_line(form: str, line: str) -> None:
    parse = compile(f"%RESPONSE_CODE% {form}", "none")
    if parse is not None:
        parse(line)


def test_long_lines_take_linear_time() -> None:
    text = " ".join(["%REQ(A)%"] * 40) + " %RESPONSE_CODE%"
    begun = time.monotonic()
    for line in ("- " * 30_000, "a" * 60_000, " " * 60_000):
        of_text(line, text)
    assert time.monotonic() - begun < 2
