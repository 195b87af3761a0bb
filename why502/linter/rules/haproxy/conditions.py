"""Conditions of HAProxy that never hold.

Source: doc/configuration.txt, 7.1 (flags of ACLs), 7.3.6 (fetching HTTP samples), tcp-request inspect-delay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.haproxy.config.sections import Line
from why502.linter.rules.haproxy.proxies import FRONTS, mode, proxies, rules
from why502.model.finding import Risk, Severity

_PATHS = frozenset({"path", "path_beg"})
_HTTP = ("path", "url", "hdr", "base", "method", "req.hdr", "req.fhdr", "http_auth", "cook", "req.cook")


@rule(319, "haproxy-path-without-slash", Severity.WARNING, "route-target-missing")
def no_slash(deployment: Deployment) -> Iterator[Risk]:
    """A condition compares the path with a text that does not begin with a slash.

    Every path begins with one: the condition never holds, and the requests go to another backend, or get 503.
    """
    for section in proxies(deployment, "frontend", "backend", "listen"):
        for line in section.lines:
            for name, values in _criteria(line):
                wrong = [value for value in _values(values) if value[:1].isalnum()] if name in _PATHS else []
                if wrong:
                    yield risk(f"no path begins with {wrong[0]}", line.at, f"write /{wrong[0]}")


@rule(320, "haproxy-http-condition-in-tcp", Severity.WARNING, "route-target-missing")
def too_early(deployment: Deployment) -> Iterator[Risk]:
    """A frontend in mode tcp chooses a backend by the request, but does not wait for it.

    HAProxy chooses as soon as the connection is there, when no request has arrived yet, so the condition does not hold.
    """
    for section in proxies(deployment, *FRONTS):
        if mode(section) != "tcp" or any("inspect-delay" in line.words for line in rules(section, "tcp-request")):
            continue
        known = {line.words[1]: line for line in section.inherited() if line.words[0] == "acl" and len(line.words) > 2}
        for line in rules(section, "use_backend"):
            if name := _http_criterion(line, known):
                yield risk(f"{name} is not known yet in mode tcp", line.at, "set mode http, or tcp-request inspect-delay")


def _http_criterion(line: Line, known: dict[str, Line]) -> str:
    """Return the first criterion of a rule that needs an HTTP request; "" if there is none."""
    named = (known[word.lstrip("!")] for word in line.words[2:] if word.lstrip("!") in known)
    found = (name for each in (line, *named) for name, _ in _criteria(each))
    return next((name for name in found if name.partition(",")[0].partition("(")[0].startswith(_HTTP)), "")


def _criteria(line: Line) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each criterion of a line, in an `acl` or between braces, and what follows it there."""
    words = line.words
    if words[0] == "acl" and len(words) > 2:
        yield words[2], words[3:]
    start = 0
    for number, word in enumerate(words):
        if word.lstrip("!") == "{":
            start = number + 1
        elif word == "}" and start and start < number:
            yield words[start], words[start + 1 : number]
            start = 0


def _values(words: Sequence[str]) -> Sequence[str]:
    """Return the values that a criterion is compared with, letter by letter; () if they are in a file or are patterns."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)
        if flag == "--":
            break
        if flag in ("-f", "-M", "-u") or (flag == "-m" and (not rest or rest.pop(0) not in ("beg", "str"))):
            return ()
    return rest
