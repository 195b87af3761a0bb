"""Latency of each target from the logs of other gateways than nginx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.logs.scan.summing import reported

HAPROXY = (
    "<134>Nov 21 04:34:13 haproxy[262]: 10.0.0.9:405 [21/Nov/2026:04:34:13.582] web app/app1 10/20/30/400/500 200 13 "
    '- - ---- 1/1/0/0/0 0/0 "GET /a HTTP/1.1"\n'
    "<134>Nov 21 04:34:14 haproxy[262]: 10.0.0.9:405 [21/Nov/2026:04:34:14.582] web app/app1 0/0/-1/-1/3000 503 13 - "
    '- SC-- 1/1/0/0/3 0/0 "GET /a HTTP/1.1"\n'
    "<134>Nov 21 04:34:15 haproxy[262]: 10.0.0.9:405 [21/Nov/2026:04:34:15.582] web web/<NOSRV> -1/-1/-1/-1/0 400 0 - "
    '- CR-- 1/1/0/0/0 0/0 "<BADREQ>"\n'
)
ALB = (
    "http 2026-11-21T04:34:13.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.001 0.250 0.002 "
    '200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" '
    '"curl/7.46.0" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 '
    '"Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 '
    '2026-11-21T04:34:12.900000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"\n'
)
TRAEFIK = (
    json.dumps(
        {
            "ClientHost": "10.0.0.9",
            "DownstreamStatus": 200,
            "Duration": 300_000_000,
            "OriginDuration": 250_000_000,
            "OriginStatus": 200,
            "RequestMethod": "GET",
            "RequestPath": "/a",
            "RequestProtocol": "HTTP/1.1",
            "RequestHost": "shop.example",
            "ServiceAddr": "10.0.0.1:80",
            "ServiceName": "app@docker",
            "RouterName": "r@docker",
            "StartUTC": "2026-11-21T04:34:13.186641Z",
            "level": "info",
            "msg": "",
            "time": "2026-11-21T04:34:13Z",
        }
    )
    + "\n"
)


CADDY = (
    '{"level":"%s","ts":1795235653.18,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"'
    '10.0.0.9","proto":"HTTP/1.1","method":"GET",'
    '"host":"shop.example","uri":"/a"},"duration":0.25,"size":13,"status":%d,"resp_headers":{"Server":["Caddy"]}}\n'
)


def test_requests_of_caddy_are_requests_whatever_their_level(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(CADDY % ("info", 200) * 20 + CADDY % ("error", 502))
    found = reported(tmp_path / "access.log")
    assert (found.requests, found.failures, found.by_status) == (21, 1, {"200": 20, "502": 1})
    times = found.routes[0].times
    assert times is not None
    assert times.p50_s == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(
    ("text", "target", "times"),
    [
        (HAPROXY, "app/app1", (0.030, 0.430, 0.470)),
        (ALB, "10.0.0.1:80", (None, 0.250, 0.250)),
        (TRAEFIK, "10.0.0.1:80", (None, None, 0.250)),
    ],
)
def test_times_are_those_of_the_backend(tmp_path: Path, text: str, target: str, times: tuple[float | None, ...]) -> None:
    (tmp_path / "access.log").write_text(text * 20)
    (row,) = reported(tmp_path / "access.log").targets
    assert row.target == target
    for found, wanted in zip((row.connect, row.header, row.response), times, strict=True):
        if wanted is None:
            assert found is None
        else:
            assert found is not None
            assert found.p50_s == pytest.approx(wanted, rel=0.01)
