"""A configuration that its proxy rejects: the linter's safe repairs, which need no confirmation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from why502.config.tree import content
from why502.deployment.files import Deployment
from why502.diagnosis.causes import CAUSES
from why502.gateways.behaviour import behaviour
from why502.gateways.control import control
from why502.gateways.nginx.config import load
from why502.gateways.nginx.config.files import dumped
from why502.linter.engine import RULES, lint
from why502.model.finding import Severity
from why502.model.proxy import ConfigTest, Proxy
from why502.model.remedy import Edit, Remedy, Run
from why502.remedies.changes import reload


def mended(proxy: Proxy) -> tuple[str, tuple[Edit, ...]]:
    """Return a description of the repair and its changes; () if no rejected part can be repaired this way."""
    if not behaviour(proxy.kind).takes_directives or proxy.test is not ConfigTest.FAILED or not proxy.files:
        return "", ()
    read, listing = dumped({file.path: content(file) for file in proxy.files})
    found = load(read, listing, proxy.config, proxy.prefix, version=proxy.version, build_arguments=proxy.build)
    rules = [rule for rule in RULES.values() if rule.severity is Severity.ERROR and CAUSES[rule.cause].is_refusal]
    risks, _ = lint(Deployment(configuration=found, version=proxy.version, is_here=True), rules)
    words: list[str] = []
    changes: list[Edit] = []
    for risk in risks:
        for remedy in risk.remedies:
            edits = [step for step in remedy.steps if isinstance(step, Edit)]
            if remedy.safe and edits and len(edits) == len(remedy.steps) and not overlap(edits, changes):
                words.append(remedy.message)
                changes += edits
    return "; ".join(words), tuple(changes)


def overlap(some: Iterable[Edit], others: Iterable[Edit]) -> bool:
    """Return whether two changes overlap, or are at the same place."""
    taken = list(others)
    return any(a.meets(b) for a in some for b in taken)


def remedies(proxies: Iterable[Proxy]) -> Iterator[Remedy]:
    """Yield the commands that make each proxy load its configuration again."""
    for proxy in proxies:
        message, changes = mended(proxy)
        if changes and (begin := reload(proxy) or _start(proxy)):
            yield Remedy(message=f"correct {proxy.config}, which is rejected: {message}", steps=(*changes, *begin))


def _start(proxy: Proxy) -> tuple[Run, ...]:
    if proxy.unit:
        return (Run(argv=("systemctl", "start", proxy.unit), undo=("systemctl", "stop", proxy.unit)),)
    by = control(proxy.kind) if proxy.exe else None
    begin, end = by.start(proxy) if by else ((), ())
    return (Run(argv=begin, undo=end),) if begin else ()
