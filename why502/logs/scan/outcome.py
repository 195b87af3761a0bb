"""The outcome of a request: its status and those of its attempts, shared by all requests with the same outcome."""

from __future__ import annotations

from typing import NamedTuple

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.verdicts import Fields, has_failed, is_failure, meaning
from why502.model.logs import Attempt, LogRecord


class Try(NamedTuple):
    """One attempt at any target.

    `connected`, `answered`: the log has a time for it; `is_group`: no member of the group was available.
    """

    status: int | None
    connected: bool = False
    answered: bool = False
    is_group: bool = False


class Outcome(NamedTuple):
    """The counted parts of a request's end. `symptom`, `cause`, `code`: from the line itself, in formats that have them."""

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

    def counts_as_failed(self, number: int) -> bool:
        """Return whether the minutes of an attempt are counted: it failed, or the request did."""
        status = self.tries[number].status
        return status is None or is_failure(status) or is_failure(self.status)

    @property
    def recovered(self) -> int:
        """Return the number of attempts that failed although the client got a good response."""
        if self.failed:
            return 0
        return sum(1 for one in self.tries if has_failed(_attempt(one), self.status))


def of(record: LogRecord) -> tuple[Outcome, tuple[str, ...]]:
    """Return the outcome of an access line's request, and the name of each attempt's target or group."""
    tries = tuple(
        Try(
            attempt.status,
            attempt.connect_s is not None,
            attempt.header_s is not None,
            not attempt.target and bool(attempt.group),
        )
        for attempt in record.attempts
    )
    where = tuple(str(attempt.target) if attempt.target else attempt.group for attempt in record.attempts)
    # HAProxy: the request did not reach any server
    is_nobody = record.group.endswith("<NOSRV>") and not record.is_gateway_failure
    if not tries and (record.target or record.group) and not is_nobody:
        tries = (Try(record.upstream_status or record.status, is_group=not record.target or not record.target.is_address),)
        where = (str(record.target) if record.target else record.group,)
    if record.format == NGINX_ACCESS:
        return Outcome(record.status, tries), where
    symptom = record.symptom.value if record.symptom and record.is_gateway_failure else ""
    cause = record.causes[0] if record.causes else ""
    return Outcome(record.status, tries, symptom, cause, record.code[:64], record.proxy or ""), where


def reasons(outcome: Outcome, fields: Fields) -> tuple[tuple[int | None, str], ...]:
    """Return the number and symptom of each failed attempt of a request; (None, symptom) if it failed without such an attempt."""
    last = len(outcome.tries) - 1 if outcome.tries else None
    if outcome.symptom:
        return ((last, outcome.symptom),)
    failed = [number for number, one in enumerate(outcome.tries) if has_failed(_attempt(one), outcome.status)]
    if not failed:
        if not outcome.failed:
            return ()
        attempt = _attempt(outcome.tries[-1]) if outcome.tries else None
        return ((last, meaning(attempt, outcome.status, fields).symptom.value),)
    return tuple((number, meaning(_attempt(outcome.tries[number]), outcome.status, fields).symptom.value) for number in failed)


def _attempt(one: Try) -> Attempt:
    return Attempt(
        group="group" if one.is_group else "",
        status=one.status,
        connect_s=0.0 if one.connected else None,
        header_s=0.0 if one.answered else None,
    )
