"""Secrets out of log text, before it is shown or kept.

Every expression is linear in the text: no repetition within a repetition, and bounded look-back.
"""

from __future__ import annotations

import re
from functools import lru_cache

HIDDEN = "[removed]"

_NAME = (
    r"(?:[\w.-]{0,40}(?:token|secret|passw(?:or)?d|passwd|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key|signature|credentials?|session(?:_?id)?|sessid)"
    r"|jwt|sid|pass|otp|csrf|xsrf)"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # a header and the rest of its value: "Authorization: Basic dTpw", "Cookie: a=b; c=d"
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token|x-csrf-token)(\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)[^\"'\r\n,\\]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+(?=[\w+/=.~-]*[\d=.])[\w+/=.~-]{8,}"), rf"\1 {HIDDEN}"),
    # scheme://user:password@host
    (re.compile(r"(://)[^\s/?#@\"'<>]{1,256}@"), rf"\1{HIDDEN}@"),
    # the same without its scheme, as nginx cites an address: in quotes, or alone
    (re.compile(r"(\A|[\"'])[^\s:/?#@\"'<>]{1,64}:[^\s/?#@\"'<>]{1,256}@"), rf"\1{HIDDEN}@"),
    # "password": "x", 'password' => 'x' in JSON and dumps
    (re.compile(rf"(?i)(\\?[\"']{_NAME}\\?[\"']\s{{0,4}}(?:=>|[:=])\s{{0,4}}\\?[\"'])[^\"'\\]*"), rf"\1{HIDDEN}"),
    # password=x in query strings, forms, command lines
    (re.compile(rf"(?i)(?<![\w.-])({_NAME}=)[^\s&;,\"'\\#]+"), rf"\1{HIDDEN}"),
    # names that mean a secret only in a query string: systemd says "code=killed"
    (re.compile(r"(?i)([?&;](?:code|key|sig|auth|pin|state)=)[^\s&;,\"'\\#]+"), rf"\1{HIDDEN}"),
    # tokens known by their shape: JSON Web Tokens, keys of AWS, GitHub, GitLab, Slack, Stripe, Google
    (
        re.compile(
            r"\b(?:eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}"
            r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|[sr]k_(?:live|test)_\w{10,}|AIza[\w-]{30,})"
        ),
        HIDDEN,
    ),
    (re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]*"), rf"\1{HIDDEN}"),
)
# Every rule needs one of these; most lines hold none.
_HINT = re.compile(
    r"(?i)auth|cookie|token|secret|pass|pwd|key|signature|credential|sess|jwt|sid|otp|[cx]srf|bearer|basic|digest|@|[?&;](?:code|sig|pin|state)="
    r"|eyJ|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|[sr]k_|AIza|PRIVATE"
)
_HALF = re.compile("[\ud800-\udfff]")


def redact(text: str) -> str:
    """Return the text with credentials replaced: headers, cookies, passwords in URLs, secret parameters, keys known by shape."""
    text = clean(text)
    if not _HINT.search(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


# What a text must hold for redact() to change it: the last letters of a secret's name before "=", or one of these marks.
_ENDS = frozenset("ken ret ord swd ase pwd key ure ial als ion _id nid sid jwt ass otp srf ode sig uth pin ate".split())
_MARKS = ("@", "uthorization", "ookie", '":')


def redact_lines(text: str) -> str:
    """Return many lines without the secrets that gateways log: parameters, cookies, credentials in URLs and headers.

    Like redact(), for text of which few lines hold any; keys that only their shape tells (AKIA…, eyJ…) are left to that one.
    """
    ends = {end.lower() for end in {part[-3:] for part in text.split("=")}} & _ENDS
    marks = [mark for mark in _MARKS if mark in text]
    if not ends and not marks:
        return text
    hints = (*(f"{end}=" for end in ends), *(mark.lower() for mark in marks))
    return "\n".join(_line(line, hints) for line in text.split("\n"))


def _line(line: str, hints: tuple[str, ...]) -> str:
    lower = line.lower()
    return redact(line) if any(hint in lower for hint in hints) else line


def without_query(request: str) -> str:
    """Return `METHOD /path` of a request line: no query, no protocol, secrets removed, at most 200 characters."""
    method, _, rest = request.partition(" ")
    path = rest.split(" ", 1)[0].split("?", 1)[0].split("#", 1)[0] if rest else ""
    return _redacted(f"{method} {path}".strip()[:200])


def listed(request: str) -> str:
    """Return the request line as `without_query` does, with a "?" at the end where it had a query."""
    return without_query(request) + ("?" if "?" in request else "")


@lru_cache(4096)
def _redacted(text: str) -> str:
    return redact(text)


def clean(text: str) -> str:
    """Return text that can be written anywhere: bytes that were no UTF-8 (surrogates, PEP 383) are replaced."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # half a pair, as JSON can write it (RFC 8259, 8.2)
        return _HALF.sub("\ufffd", text)
