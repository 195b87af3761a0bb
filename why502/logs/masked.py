"""Secrets out of a configuration's text or diff, each character of theirs as `x`: no byte changes its place."""

from __future__ import annotations

import re

from why502.logs.redact import HIDDEN, redact

_DIRECTIVE = re.compile(
    r"(?i)(\b(?:proxy_set_header|grpc_set_header|add_header|fastcgi_param|uwsgi_param|scgi_param|set|env|php_admin_value|php_value)\s+"
    r"[\"']?\$?[\w.\[-]{0,60}(?:authorization|cookie|token|secret|passw|api[-_]?key|credential)[\w.\]-]{0,40}[\"']?(?:\s+|\s*=\s*))([^;\n]{1,4096})"
)


def in_place(text: str) -> str:
    """Return a configuration file's text, or a diff of it, with each character of a secret as `x`: no byte changes its place."""
    text = _DIRECTIVE.sub(lambda match: match[1] + _masked(match[2]), text)
    return "\n".join(_aligned(line, redact(line)) for line in text.split("\n"))


def _masked(value: str) -> str:
    return value if value.lstrip("\"'").startswith("$") else re.sub(r"[^\s\"';]", _crosses, value)


def _crosses(match: re.Match[str]) -> str:
    return "x" * len(match[0].encode("utf-8", "surrogateescape"))


def _aligned(before: str, after: str) -> str:
    """Return the line with what redact() removed as crosses: the parts that it left stand in both, in the same order."""
    if HIDDEN not in after:
        return before
    out, position = [], 0
    parts = after.split(HIDDEN)
    for number, part in enumerate(parts):
        place = before.find(part, position) if part else (len(before) if number == len(parts) - 1 else position)
        if place < 0:
            return re.sub(r"[^\s{};]", _crosses, before)
        out += ["x" * len(before[position:place].encode("utf-8", "surrogateescape")), part]
        position = place + len(part)
    return "".join(out) + before[position:]
