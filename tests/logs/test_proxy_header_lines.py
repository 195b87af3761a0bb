"""A PROXY header that nginx took for a request: its access log is the only one that has it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.diagnosis.engine import diagnose
from why502.gateways.nginx.logs import access
from why502.host.local import LocalHost
from why502.host.offline import OfflineHost
from why502.model.finding import ASSERTED
from why502.model.logs import Symptom

LINE = '{client} - - [22/Nov/2026:20:53:{second:02d} +0000] "{request}" {status} 157 "-" "-"\n'
HEADER = "PROXY TCP4 203.0.113.9 198.51.100.1 40000 443"


@pytest.mark.parametrize(
    ("client", "request_line", "status", "expected"),
    [
        ("127.0.0.1", HEADER, 400, Symptom.OTHER_PROTOCOL),
        ("10.0.0.5", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2", 400, Symptom.OTHER_PROTOCOL),
        ("unix:", "PROXY UNKNOWN", 400, Symptom.OTHER_PROTOCOL),
        ("8.8.8.8", HEADER, 400, None),  # anybody may send that
        ("127.0.0.1", "GET / HTTP/1.1", 400, None),
        ("127.0.0.1", "PROXY /x HTTP/1.1", 400, None),
        ("127.0.0.1", HEADER, 405, None),
    ],
)
def test_the_line(client: str, request_line: str, status: int, expected: Symptom | None) -> None:
    record = access.parse(LINE.format(client=client, second=1, request=request_line, status=status))
    assert record is not None and record.symptom is expected


def test_an_access_log_full_of_them(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    good = "".join(LINE.format(client="10.1.1.1", second=n, request="GET / HTTP/1.1", status=200) for n in range(20))
    bad = "".join(LINE.format(client="127.0.0.1", second=20 + n, request=HEADER, status=400) for n in range(30))
    log.write_text(good + bad)
    ask = CollectOptions(logs=(str(log),), probes=False, offline=True)
    begin, end = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    found = diagnose(collect(OfflineHost(LocalHost(), ask.logs), end, begin, end, ask), offline=True)
    assert [(finding.cause, finding.failures) for finding in found.findings if finding.confidence >= ASSERTED] == [
        ("wrong-protocol", 30)
    ]
