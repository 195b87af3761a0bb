"""Decisions by HAProxy's rules: the requests and responses it denies itself, and the backends chosen by a map.

Source: doc/configuration.txt, 4.2 (`http-request`, `http-response`, `tcp-request`,
`use_backend`) and 7.3 (sample fetches and converters).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from why502.model.config import Answer, Position, Route
from why502.model.patterns import lazy

# Counters of requests or connections over time, per client (stick table) or for the whole section.
_RATE = lazy(
    r"\b(?:(?:sc\d?|src|table)_(?:http_(?:req|err|fail)_rate|conn_(?:rate|cur)|sess_rate|bytes_(?:in|out)_rate|gpc\d?_rate|glitch_rate)"
    r"|(?:fe|be)_(?:conn|sess_rate|req_rate))\b"
)
# Sample fetches that distinguish clients.
_CLIENT = lazy(
    r"\b(?:src(?:_port)?|src_is_local|(?:req\.)?(?:f?hdr|cook)(?:_\w{2,4})?\(|ssl_c_\w{1,20}|ssl_fc_(?:sni|has_crt)|http_auth\w{0,8}|req\.ssl_\w{1,20}"
    r"|url_param|urlp)\b"
)
# Sample fetches and predefined conditions (7.4) that distinguish requests.
_REQUEST = lazy(
    r"\b(?:(?:path|url|base)\d{0,2}(?:_\w{2,4})?|pathq|query|method|METH_[A-Z]{3,7}|HTTP(?:_URL_\w{1,9}|_[12]\.[01])?|urlp_val"
    r"|req\.(?:ver|body\w{0,6}|hdrs?\w{0,6}|cook\w{0,6}|len|payload\w{0,4})|capture\.req\.\w{2,6})\b"
)
_DENIALS = ("deny", "tarpit", "reject")
# Defaults without deny_status or status; 0: the connection is closed.
_STATUSES = {"deny": 403, "tarpit": 500, "reject": 0, "return": 200}
_OF_RESPONSES = {"deny": 502, "return": 200}
_LOOKUP = lazy(r"([^%\s]{0,200})%\[([^\]]{1,1000})\]([^%\s]{0,200})")
_MAP = lazy(r",map(?:_[a-z]{2,4}){0,2}\((?:opt@|file@)?(/[^,)\s]{1,1000})(?:,([^)]{0,200}))?\)$")
_MOST_ENTRIES = 100_000
_MOST_MISSING = 16


@dataclass(frozen=True, slots=True)
class Lookup:
    """A `use_backend` whose name comes from a map: the text around the value, the map's file, and its default."""

    frontend: str
    before: str
    after: str
    path: str
    default: str
    at: Position


def denials(section: str, lines: Iterable[tuple[tuple[str, ...], Position]]) -> Iterator[Answer]:
    """Yield the rules by which a section denies requests itself, with their conditions; named conditions (`acl`) are expanded."""
    found = list(lines)
    named: dict[str, list[str]] = {}
    for words, _ in found:
        if words[0] == "acl" and len(words) > 2:
            named.setdefault(words[1], []).append(" ".join(words[2:]))
    for words, at in found:
        is_of_responses = words[0] == "http-response"
        status = _status(words, (_OF_RESPONSES if is_of_responses else _STATUSES).get(_action(words)))
        if status is None or 200 <= status < 400:
            continue
        condition = _condition(words, named)
        yield Answer(
            server=section,
            status=status,
            at=at,
            if_conditions=(condition,) if condition else (),
            is_limit=_RATE.search(condition) is not None,
            is_of_some=_picks_some(words, condition),
            is_of_responses=is_of_responses,
        )


def _status(words: tuple[str, ...], default: int | None) -> int | None:
    """Return the status of a rule; None if its action does not answer."""
    if default is None:
        return None
    name = "status" if words[1] == "return" else "deny_status"
    given = words[words.index(name) + 1 :][:1] if name in words else ()
    return int(given[0]) if given and re.fullmatch(r"[1-5]\d\d", given[0]) else default


def _action(words: tuple[str, ...]) -> str:
    """Return the action of an `http-request`, `http-response` or `tcp-request` rule; "" for other lines."""
    if words[0] in ("http-request", "http-response") and len(words) > 1:
        return words[1]
    if words[0] == "tcp-request" and len(words) > 2 and words[1] in ("connection", "content", "session"):
        return words[2]
    return ""


def _condition(words: tuple[str, ...], named: Mapping[str, list[str]]) -> str:
    """Return the condition of a rule, with acl names replaced by their expressions; "" for a rule without one."""
    place = next((number for number, word in enumerate(words) if word in ("if", "unless")), len(words))
    return " ".join(" or ".join(named.get(word.removeprefix("!"), [word])) for word in words[place + 1 :])[:2000]


def _picks_some(words: tuple[str, ...], condition: str) -> bool:
    """Return whether a rule applies to clients that match its condition, or is a denial of the requests that do.

    A rule for all clients except these (`unless`, `!`) is how maintenance lets some of them through. So is a page of one's own
    for some paths (`return`).
    """
    if "unless" in words or any(word.startswith("!") for word in words) or _RATE.search(condition):
        return False
    return _CLIENT.search(condition) is not None or (_action(words) in _DENIALS and _REQUEST.search(condition) is not None)


def lookups(frontend: str, lines: Iterable[tuple[tuple[str, ...], Position]]) -> Iterator[Lookup]:
    """Yield the `use_backend` lines of a section whose name comes from a map in a file."""
    for words, at in lines:
        match = _LOOKUP.fullmatch(words[1]) if words[0] == "use_backend" and len(words) > 1 else None
        found = _MAP.search(match[2]) if match else None
        if match and found:
            yield Lookup(frontend, match[1], match[3], found[1], (found[2] or "").strip(), at)


def choices(word: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the backends that the name in a rule may mean: for an expression, all that its fixed parts fit."""
    match = _LOOKUP.fullmatch(word)
    if match is None:
        yield word
        return
    length = len(match[1]) + len(match[3])
    yield from (name for name in known if len(name) > length and name.startswith(match[1]) and name.endswith(match[3]))


def missing(lookup: Lookup, text: str, known: Container[str]) -> Iterator[Route]:
    """Yield a route for each backend named in a map, or as its default, that has no section; HAProxy skips such a rule."""
    names: dict[str, Position] = {}
    if lookup.default:
        names[lookup.default] = lookup.at
    for number, line in enumerate(text.splitlines()[:_MOST_ENTRIES], 1):
        words = line.split(None, 1)
        if len(words) == 2 and not words[0].startswith("#"):
            names.setdefault(words[1].strip(), Position(file=lookup.path, line=number))
    lost = ((f"{lookup.before}{value}{lookup.after}", at) for value, at in names.items())
    for count, (name, at) in enumerate((name, at) for name, at in lost if name not in known):
        if count >= _MOST_MISSING:
            return
        yield Route(
            proxy="haproxy", server=lookup.frontend, at=at, directive=MISSING, passes=name, protocol="http", has_variables=True
        )


MISSING = "use_backend"  # the directive of a route without an existing backend
