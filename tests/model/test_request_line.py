"""One reading of a request line for everything that asks for its method or its path."""

from __future__ import annotations

import pytest

from why502.model.request_line import method_of, path_of, uri_of


@pytest.mark.parametrize(
    ("request_line", "method", "uri", "path"),
    [
        ("GET /x?y=1 HTTP/1.1", "GET", "/x?y=1", "/x"),
        ("GET /x?y=1", "GET", "/x?y=1", "/x"),
        ("GET /x", "GET", "/x", "/x"),
        ("/x?y=1", "", "/x?y=1", "/x"),
        ("/x HTTP/2.0", "", "/x", "/x"),
        ("GET /a b?c d HTTP/1.1", "GET", "/a b?c d", "/a b"),
        ("GET /a b", "GET", "/a b", "/a b"),
        ("GET /x HT", "GET", "/x", "/x"),  # the log's line ends here
        ("GET /x ", "GET", "/x", "/x"),
        ("GET /say? HTTP/ HTTP/1.1", "GET", "/say? HTTP/", "/say"),
        ("GET /x?a=b?c", "GET", "/x?a=b?c", "/x"),
        ("GET http://shop.example/x HTTP/1.1", "GET", "http://shop.example/x", "http://shop.example/x"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "*"),
        ("-", "-", "", ""),
        ("", "", "", ""),
    ],
)
def test_the_parts_of_a_request(request_line: str, method: str, uri: str, path: str) -> None:
    assert (method_of(request_line), uri_of(request_line), path_of(request_line)) == (method, uri, path)
