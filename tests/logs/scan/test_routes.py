"""Routes: what numbers things is `*`."""

from __future__ import annotations

import pytest

from why502.logs.scan.routes import NONE, ODD, route


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET / HTTP/1.1", "GET /"),
        ("GET /api/users/4711?x=1 HTTP/1.1", "GET /api/users/*"),
        ("POST /api/v2/x HTTP/1.1", "POST /api/v2/x"),
        ("GET /o/9f8b2c3d-aa11-4c77-9d3e-0123456789ab/p HTTP/1.1", "GET /o/*/p"),
        ("GET /feedbeef HTTP/1.1", "GET /feedbeef"),
        ("GET /deadbee1 HTTP/1.1", "GET /*"),
        ("GET /img/photo-2026-summer-holiday.jpg HTTP/1.1", "GET /img/*"),
        ("GET /a;jsessionid=12 HTTP/1.1", "GET /a"),
        ("GET /a/b/c/d/e/f/g/h/i HTTP/1.1", "GET /a/b/c/d/e/f/g/h/..."),
        ("GET //x/", "GET //x/"),
        ("", NONE),
        ("\x16\x03\x01", ODD),
        ("GET http://x/a HTTP/1.1", "GET /a"),
    ],
)
def test_route(request_line: str, expected: str) -> None:
    assert route(request_line) == expected
