"""HAProxy's lines about servers and handshakes are read by the compiled reader; where they have no time, the wrapper's counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.logs.scan.summing import count, plain
from why502.logs.scan import reading
from why502.logs.scan.line_format import find
from why502.logs.scan.work import ScanQuery

REQUEST = (
    "20.0.0.77:4711 [04/Mar/2026:05:06:{second:02d}.123] web~ app/web{number} 0/0/1/5/6 200 17 - - ---- 1/1/0/0/0 0/0 "
    '"GET / HTTP/1.1"'
)
SAID = (
    (
        'Server app/web{number} is DOWN, reason: Layer4 connection problem, info: "Connection refused", '
        "check duration: {second}ms. 1 active and 0 backup servers left. {second} sessions active, 0 requeued, 0 remaining in "
        "queue."
    ),
    (
        "Server app/web{number} is UP, reason: Layer4 check passed, check duration: 0ms. 2 active and 0 backup servers online. "
        "0 sessions requeued, 0 total in queue."
    ),
    "Backup Server app/web{number} is going DOWN for maintenance (DNS timeout status). 1 active and 0 backup servers left.",
    "backend app has no server available!",
    (
        'Health check for server app/web{number} failed, reason: Layer7 wrong status, code: 503, info: "down", '
        "check duration: {second}ms."
    ),
    "20.0.0.77:4711 [04/Mar/2026:05:06:{second:02d}.123] web/1: SSL handshake failure (error:0A000076:SSL routines::no suitable)",
)


def of_docker(line: str, second: int) -> str:
    return json.dumps({"log": f"{line}\n", "stream": "stdout", "time": f"2026-03-04T05:06:{second:02d}.054300626Z"})


def of_journal(line: str, second: int) -> str:
    at = (1_772_600_760 + second) * 10**6
    times = {"__REALTIME_TIMESTAMP": f"{at + 5 * 10**6}", "_SOURCE_REALTIME_TIMESTAMP": f"{at}"}
    return json.dumps(
        {"__REALTIME_TIMESTAMP": times.pop("__REALTIME_TIMESTAMP"), "MESSAGE": line} | (times if second % 2 else {})
    )


WRAPPERS = {
    "rfc3164": lambda line, second: f"Mar  4 05:06:{second:02d} lb haproxy[77]: {line}",
    "syslog-iso": lambda line, second: f"2026-03-04T05:06:{second:02d}.5+00:00 lb haproxy[77]: {line}",
    "docker": of_docker,
    "journal-json": of_journal,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_events_are_read_compiled(wrapper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    lines = [
        WRAPPERS[wrapper](text.format(second=number % 60, number=number % 3), number % 60)
        for number in range(300)
        for text in (REQUEST, REQUEST, SAID[number % len(SAID)])
    ]
    path.write_text("".join(line + "\n" for line in lines))
    form = find(path.read_bytes()[: 1 << 14])
    assert form.wrapper == wrapper
    slow = count(path, form, ScanQuery(is_exact=True, is_fast=False))
    monkeypatch.setattr(reading.Reader, "_line", lambda *_: pytest.fail("a line was left"))
    assert {**plain(count(path, form, ScanQuery(is_exact=True))), "fields": ()} == {**plain(slow), "fields": ()}
    assert slow.lines == len(lines)
    assert {(key.symptom, key.target): equal.minutes.total() for key, equal in slow.messages.items()} == {
        ("connect-refused", "app/web0"): 50,
        ("name-server-failed", "app/web2"): 50,
        ("no-live-upstreams", "app"): 50,
        ("upstream-status", "app/web1"): 50,
    }


def test_a_handshake_has_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(SAID[-1].format(second=number) + "\n" for number in range(40)))
    found = [count(path, find(path.read_bytes()), ScanQuery(is_exact=True, is_fast=is_fast)) for is_fast in (False, True)]
    assert [counts.lines for counts in found] == [40, 40]
