"""The outcome of a request: its status and its attempts, shared by all requests with the same outcome."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.verdicts import Fields, has_failed, is_failure, meaning
from why502.model.logs import Attempt, LogRecord
from why502.model.target import Target


class Try(NamedTuple):
    """One attempt. `where`: a target, or the name of a group; `connected`, `answered`: the log has a time for it."""

    where: str
    status: int | None
    connected: bool = False
    answered: bool = False


class Outcome(NamedTuple):
    """What counts of the end of a request. `symptom`, `cause`, `code`: what the line itself says, in formats that tell."""

    status: int | None
    tries: tuple[Try, ...] = ()
    symptom: str = ""
    cause: str = ""
    code: str = ""
    proxy: str = ""

    @property
    def failed(self) -> bool:
        """Return whether the client got a failure."""
        return is_failure(self.status) or bool(self.cause and self.status is None)

    @property
    def hidden(self) -> int:
        """Return how many attempts failed although the client got a good answer."""
        if self.failed:
            return 0
        return sum(1 for one in self.tries if has_failed(_attempt(one), self.status))


def of(record: LogRecord) -> Outcome:
    """Return how the request of an access line ended."""
    tries = tuple(
        Try(
            str(attempt.target) if attempt.target else attempt.group,
            attempt.status,
            attempt.connect_s is not None,
            attempt.header_s is not None,
        )
        for attempt in record.attempts
    )
    is_nobody = record.group.endswith("<NOSRV>") and not record.is_gateway_failure  # HAProxy: a request that came to no server
    if not tries and (record.target or record.group) and not is_nobody:
        tries = (Try(str(record.target) if record.target else record.group, record.upstream_status or record.status),)
    if record.format == NGINX_ACCESS:
        return Outcome(record.status, tries)
    symptom = record.symptom.value if record.symptom and record.is_gateway_failure else ""
    return Outcome(record.status, tries, symptom, record.causes[0] if record.causes else "", record.code[:64], record.proxy or "")


@lru_cache(1 << 16)
def decoded(raw: str) -> Outcome:
    """Return the outcome that the kernel tells: `502ADDRESSES\\tSTATUSES\\tMARKS`, where the marks are two bytes in hexadecimal."""
    status = int(raw[:3])
    if len(raw) == 3:
        return Outcome(status)
    addresses, statuses, marks = raw[3:].split("\t")
    connected, answered = (16 * (ord(marks[i]) - 65) + ord(marks[i + 1]) - 65 for i in (0, 2))
    return Outcome(
        status,
        tuple(
            Try(_where(address), None if status == "-" else int(status), bool(connected >> at & 1), bool(answered >> at & 1))
            for at, (address, status) in enumerate(zip(_split(addresses), _split(statuses), strict=True))
        ),
    )


def reasons(outcome: Outcome, fields: Fields) -> tuple[tuple[Try | None, str], ...]:
    """Return each failed attempt of a request with its symptom; (None, symptom) where it failed without any."""
    if outcome.symptom:
        return ((outcome.tries[-1] if outcome.tries else None, outcome.symptom),)
    failed = [one for one in outcome.tries if has_failed(_attempt(one), outcome.status)]
    if not failed:
        if not outcome.failed:
            return ()
        last = outcome.tries[-1] if outcome.tries else None
        return ((last, meaning(_attempt(last) if last else None, outcome.status, fields).symptom.value),)
    return tuple((one, meaning(_attempt(one), outcome.status, fields).symptom.value) for one in failed)


@lru_cache(1 << 14)
def _attempt(one: Try) -> Attempt:
    target = Target.parse(one.where)
    is_group = target is None or not target.is_address
    return Attempt(
        target=None if is_group else target,
        group=one.where if is_group else "",
        status=one.status,
        connect_s=0.0 if one.connected else None,
        header_s=0.0 if one.answered else None,
    )


def _where(address: str) -> str:
    if address == "-":
        return ""
    target = Target.parse(address)
    if target is None:  # what Python makes nothing of either
        return ""
    return str(target) if target.is_address else address


def _split(text: str) -> list[str]:
    return text.replace(" : ", ", ").split(", ")
