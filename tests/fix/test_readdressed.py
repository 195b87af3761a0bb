"""An address within an argument: only the part that differs changes."""

from __future__ import annotations

import pytest

from why502.model.target import Target
from why502.remedies.changes import readdressed


@pytest.mark.parametrize(
    ("word", "old", "new", "after"),
    [
        ("http://127.0.0.1:3001/a?b", "127.0.0.1:3001", "127.0.0.1:3000", "http://127.0.0.1:3000/a?b"),
        ("http://app:3001", "10.0.0.1:3001", "10.0.0.1:3000", "http://app:3000"),
        ("http://localhost:3000/", "[::1]:3000", "127.0.0.1:3000", "http://127.0.0.1:3000/"),
        ("http://[::1]:3000", "[::1]:3000", "[::1]:4000", "http://[::1]:4000"),
        ("127.0.0.1:9001", "127.0.0.1:9001", "127.0.0.1:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "127.0.0.1:9000", "unix:/run/php.sock", "unix:/run/php.sock"),
        ("unix:/run/php.sock", "unix:/run/php.sock", "127.0.0.1:9000", "127.0.0.1:9000"),
        ("unix:/run/php.sock", "unix:/run/php.sock", "[::]:9000", "127.0.0.1:9000"),
        ("http://unix:/run/a.sock:/uri/", "unix:/run/a.sock", "unix:/run/b.sock", "http://unix:/run/b.sock:/uri/"),
        ("http://unix:/run/a.sock:/uri/", "unix:/run/a.sock", "127.0.0.1:80", "http://127.0.0.1:80/uri/"),
        ("http://127.0.0.1:80/uri/", "127.0.0.1:80", "unix:/run/a.sock", "http://unix:/run/a.sock:/uri/"),
        ("unix:/run/a.sock2", "unix:/run/a.sock", "unix:/run/b.sock", None),
        ("http://127.0.0.1:3002", "127.0.0.1:3001", "127.0.0.1:3000", None),
        ("http://$name:3001", "127.0.0.1:3001", "127.0.0.1:3000", None),
        ("weight=5", "127.0.0.1:3001", "127.0.0.1:3000", None),
    ],
)
def test_the_address_alone_changes(word: str, old: str, new: str, after: str | None) -> None:
    before, to = Target.parse(old), Target.parse(new)
    assert before
    assert to
    assert readdressed(word, before, to) == after
