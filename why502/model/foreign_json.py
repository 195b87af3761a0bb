"""JSON from untrusted sources: names, requests and environments may have any encoding."""

from __future__ import annotations

from typing import Any

import msgspec


def decode(given: str | bytes) -> Any:
    """Return the value; bytes that are not UTF-8 become U+FFFD (in a str `?`). Raises ValueError if it is not JSON."""
    content = given.encode("utf-8", "replace") if isinstance(given, str) else given
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except ValueError:
        valid = content.decode("utf-8", "replace").encode()
        if valid == content:
            raise
    try:
        return msgspec.json.decode(valid)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
