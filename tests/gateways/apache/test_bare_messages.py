"""Messages of httpd as people paste them: without their head, their code and their module."""

import pytest

from why502.explanation import explain


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("No protocol handler was valid for the URL /live (scheme 'ws').", "proxy-module-missing"),
        ("error reading status line from remote server 127.0.0.1:9001", "premature-close"),
        ("DNS lookup failure for: shop.internal returned by /", "dns-host-not-found"),
    ],
)
def test_each_is_recognised(line: str, cause: str) -> None:
    found = explain(line)
    assert (found.proxy, found.candidates[0].cause) == ("apache", cause)
