"""From an observation to the causes that may explain it, and from a cause to its checks and remedies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from why502.diagnosis.needs import need_of
from why502.explanation.known import CAUSES, section, usual
from why502.explanation.steps import Asked, fill, is_open
from why502.model.explanation import Candidate
from why502.model.finding import FAIR, LIKELY, PRIOR
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.target import Transport

MOST = 5  # maximum candidates per input
CERTAIN = 0.99
UNDECIDED = 0.79  # the most for a cause whose line or code has others as well: it does not tell them apart
ANY = Asked()
_STEP = 0.5  # log-odds by which each further cause in a table is less likely than the one before
_COMMAND = lazy(r"`([^`\n]+)`")
_TOOLS = frozenset(
    "ss nc systemctl journalctl curl openssl nginx tcpdump dig getent ls namei sudo cat grep tail dmesg ps php-fpm"
    " iptables nft docker kubectl sysctl conntrack ausearch sealevel setsebool getsebool semanage aa-status df du lsof"
    " free top vmstat iostat mtr traceroute ip haproxy apachectl varnishadm varnishlog istioctl aws gcloud az caddy"
    " echo strace py-spy pm2 nproc ping ulimit prlimit stat why502 istioctl journalctl".split()
)


def of_record(record: LogRecord) -> tuple[Candidate, ...]:
    """Return the candidate causes of a log line, best first: those in its format's table, then its symptom's.

    An application's error that names a dependency is evidence of that dependency's failure, as it is for `diagnose`.
    """
    transport = record.target.transport if record.target else None
    causes = record.causes
    if not causes and record.proxy is None and record.symptom is Symptom.APPLICATION_ERROR and (need := need_of(record.detail)):
        causes = ("backend-dependency-down" if need.is_down else "backend-dependency-slow",)
    if record.symptom is Symptom.DENIED_BY_RULE and record.status is None and len(causes) > 1:
        return of_status((causes,))  # only the status would tell these refusals apart
    return _of(causes, record.symptom, transport, record.protocol)


@lru_cache(2048)
def _of(causes: tuple[str, ...], symptom: Symptom | None, transport: Transport | None, protocol: str) -> tuple[Candidate, ...]:
    names = causes
    if common := next(
        (name for name in CAUSES if symptom in CAUSES[name].commonest_for and protocol == CAUSES[name].protocol), ""
    ):
        names = (*causes[:1], common, *(name for name in causes[1:] if name != common))
    causes = names
    if symptom is not None:
        names = (*names, *(name for name, _ in usual(symptom) if name not in causes))
    kept = tuple(name for name in names if name in CAUSES and _may_be(name, transport, protocol))
    return ranked(kept, symptom, named=sum(1 for name in kept if name in causes))


@lru_cache(2048)
def ranked(names: tuple[str, ...], symptom: Symptom | None = None, named: int | None = None) -> tuple[Candidate, ...]:
    """Return candidates in the given order. The first `named` come from a table ordered best first."""
    named = len(names) if named is None else named
    found: list[Candidate] = []
    confidence = CERTAIN if named < 2 else UNDECIDED
    for at, name in enumerate(names[:MOST]):
        weight = CAUSES[name].symptoms.get(symptom, 0.0) if symptom else 0.0
        if at < named:
            weight = max(weight, LIKELY if at == 0 else FAIR - _STEP * (at - 1))
        confidence = min(confidence if at == 0 else round(confidence - 0.01, 2), round(_probability(weight), 2))
        if at and confidence < 0.03:
            break
        cause = CAUSES[name]
        found.append(Candidate(cause=name, layer=cause.layer, confidence=max(confidence, 0.01), message=cause.message))
    return tuple(found)


def of_status(makers: Iterable[tuple[str, ...]]) -> tuple[Candidate, ...]:
    """Return the causes of a status, weighted by rank and frequency in the products' tables, the commonest product first.

    The shares sum to 1 at most.
    """
    weights: dict[str, float] = {}
    for place, names in enumerate(makers):
        for at, name in enumerate(names):
            weights[name] = weights.get(name, 0.0) + 1 / (1 + at) / (1 + 0.3 * place)
    total = sum(weights.values()) or 1.0
    best = sorted(weights, key=lambda name: -weights[name])
    return tuple(
        Candidate(
            cause=name,
            layer=CAUSES[name].layer,
            confidence=round(min(CERTAIN, weights[name] / total), 2),
            message=CAUSES[name].message,
        )
        for name in best
        if name in CAUSES
    )[:12]


@lru_cache(4096)
def next_steps(cause: str, asked: Asked = ANY) -> tuple[str, ...]:
    """Return the commands of a cause's page that confirm it, ready to run for the given connection; else the page's text.

    Unknown parts of the connection stay as the page's words in capital letters.
    """
    items = section(cause, "Confirm")
    commands = [command for item in items for command in _COMMAND.findall(item) if is_command(command)]
    if not commands:
        return tuple(dict.fromkeys(item.replace("`", "") for item in items if asked.target is None or not is_open(item)))
    return tuple(dict.fromkeys(filter(None, (fill(text, asked) for text in commands))))


@lru_cache(256)
def remedies(cause: str) -> tuple[Remedy, ...]:
    """Return the advice on a cause's page."""
    return tuple(Remedy(message=item) for item in section(cause, "Fix"))


def is_command(text: str) -> bool:
    """Return whether a text on a page is a command to run, and not a name or advice."""
    return text.split(" ", 1)[0] in _TOOLS


def _probability(weight: float) -> float:
    return min(CERTAIN, 1 / (1 + math.exp(-(PRIOR + weight))))


def _may_be(name: str, transport: Transport | None, protocol: str) -> bool:
    """Return whether a cause fits the transport (None: unknown) and the protocol of a line."""
    cause = CAUSES[name]
    if transport and cause.transport not in (None, transport):
        return False
    return not cause.protocol or protocol in ("", cause.protocol)
