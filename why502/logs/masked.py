"""Secrets out of a configuration's text or diff, each character of theirs as `x`: no byte changes its place."""

from __future__ import annotations

import re

from why502.logs.redact import HIDDEN, redact

# What a header, a parameter or a variable of the request holds that is called so.
NAMES = r"(?:auth(?!ority)|cookie|token|secret|pass|pwd|key|credential|signature|private)"
# An own variable may be called so for other reasons (`set $auth_backend`), and hold what a route is made of.
_OWN = r"(?:authorization|cookie|token|secret|passw|api[-_]?key|credential)"
_HOLDERS = r"proxy_set_header|grpc_set_header|add_header|fastcgi_param|uwsgi_param|scgi_param"
_VALUE = r"(\"[^\"\n]{1,4096}\"|'[^'\n]{1,4096}'|[^;\n]{1,4096})"
_WORD = re.compile(r"\$\w+|\$\{\w+\}|[^\s\"';]")
_DIRECTIVES = (
    re.compile(rf"(?i)(\b(?:{_HOLDERS})\s+[\"']?[\w.-]{{0,60}}{NAMES}[\w.-]{{0,40}}[\"']?\s+){_VALUE}"),
    re.compile(
        rf"(?i)(\b(?:set|env|php_admin_value|php_value)\s+[\"']?\$?[\w.\[-]{{0,60}}{_OWN}[\w.\]-]{{0,40}}[\"']?(?:\s+|\s*=\s*)){_VALUE}"
    ),
    re.compile(rf"(?i)(\bsecure_link_(?:secret|md5)\s+){_VALUE}"),
    re.compile(
        rf"(?i)(\$\w{{0,60}}{NAMES}\w{{0,40}}\s{{0,9}}!?=\s{{0,9}})(\"[^\"\n]{{1,4096}}\"|'[^'\n]{{1,4096}}'|[^\s\"')]{{1,4096}})"
    ),
    re.compile(r"(?i)([\"'](?:bearer|basic|digest)\s+)([^\"'$\n]{1,4096})"),
    re.compile(
        r"(?im)(^[^#\n]{0,4096}#[^\n]{0,4096}?(?:passw(?:or)?d|passwd|secret|token|api[-_]?key)\s{0,9}[:=]\s{0,9})(\S{1,4096})"
    ),
)


def in_place(text: str) -> str:
    """Return a configuration file's text, or a diff of it, with each character of a secret as `x`: no byte changes its place."""
    for pattern in _DIRECTIVES:
        text = pattern.sub(lambda match: match[1] + _masked(match[2]), text)
    return "\n".join(_aligned(line, redact(line)) for line in text.split("\n"))


def _masked(value: str) -> str:
    """Return a value of which only variables, quotes and blanks are left."""
    return _WORD.sub(_crosses, value)


def _crosses(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("$") else "x" * len(match[0].encode("utf-8", "surrogateescape"))


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
