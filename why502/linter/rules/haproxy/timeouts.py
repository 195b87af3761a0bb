"""Timeouts of HAProxy that are missing, or in another unit than meant. Source: doc/configuration.txt, 2.5 and 4.2."""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.haproxy.config.sections import Section
from why502.linter.rules.haproxy.proxies import BACKS, FRONTS, all_of, proxies, servers
from why502.model.finding import Risk, Severity

_SHORTEST_MS = 100
_CHECKED = ("timeout connect", "timeout server", "timeout client", "timeout queue", "timeout http-request", "timeout check")


@rule(300, "haproxy-timeout-missing", Severity.WARNING, "backend-hung")
def missing(deployment: Deployment) -> Iterator[Risk]:
    """A proxy has no `timeout client`, `timeout connect` or `timeout server`, so HAProxy waits without a limit.

    A hung backend, or a client that disappeared, then keeps its connections until `maxconn` is reached, and no client gets 504.
    HAProxy warns at startup: `missing timeouts for`.
    """
    if not deployment.is_whole:
        return
    for section in proxies(deployment, *FRONTS, *BACKS):
        wanted = ["timeout client"] if section.kind in FRONTS and _listens(section) else []
        if section.kind in BACKS and servers(section):
            wanted += ["timeout connect", "timeout server"]
        absent = [name for name in wanted if (section.words(name) or ("0",))[0] in ("0", "0s", "0ms")]
        if absent:
            message = f'{section.kind} "{section.name}" has no {" and no ".join(absent)}'
            yield risk(message, section.at, "set them in `defaults`, the server's above the slowest response")


def _listens(section: Section) -> bool:
    return any(line.words[0] == "bind" for line in section.lines)


@rule(301, "haproxy-timeout-in-milliseconds", Severity.WARNING, "proxy-timeout-too-short")
def milliseconds(deployment: Deployment) -> Iterator[Risk]:
    """A timeout is a small number without a unit, which HAProxy reads as milliseconds.

    `timeout server 30` is 30 ms: every response that takes longer becomes 504. With `timeout connect 5`, a backend that is not on
    the same machine gets 503.
    """
    seen = set()
    for section in all_of(deployment):
        for line in section.lines:
            name = " ".join(line.words[:2])
            value = line.words[2] if len(line.words) > 2 else ""
            if name in _CHECKED and re.fullmatch(r"\d{1,9}", value) and 0 < int(value) < _SHORTEST_MS and line.at not in seen:
                seen.add(line.at)
                yield risk(f"{name} {value} is {value} ms", line.at, f"write the unit: `{name} {value}s`")
