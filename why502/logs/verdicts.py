"""What an access-log line alone shows about a failure: whether its status is one, who returned it, and which attempt failed how."""

from __future__ import annotations

from typing import NamedTuple

from why502.model.logs import Attempt, LogRecord, Phase, Symptom

NOT_HTTP = 9  # nginx: the answer had no status line and was passed on as it is
CLIENT_CLOSED = 499
# 000: ended without a status; 460, 463, 561: AWS load balancers; 494 and others are the client's mistakes
_FAILED = frozenset({0, NOT_HTTP, 460, 463, CLIENT_CLOSED})
_MADE_BY_NGINX = frozenset({500, 502, 504})  # for an attempt; every other status is the backend's own


# Answers by which a client does not get what it asked for, although the way to the backend works. Not among them: a login (401),
# limits on robots (429), and what a client must correct in a form (409, 422).
REFUSALS = frozenset({400, 403, 404, 405, 408, 411, 413, 414, 415, 421, 426, 431, 494, 497, 500, 501, 505})


# Answers below 499 by which the proxy itself may end a request: to a client that overstepped a limit, or sent a PROXY header (400).
NOTED = frozenset({400, 408, 413, 414, 431, 494, 495, 496, 497})


class Fields(NamedTuple):
    """Which times of an attempt a log has at all: without the field, "no header came" is unknown."""

    upstream: bool = False
    connect: bool = False
    header: bool = False

    @classmethod
    def of(cls, format: str) -> Fields:
        """Return the fields of a log_format."""
        return cls(
            upstream="$upstream_status" in format or "${upstream_status}" in format,
            connect="upstream_connect_time" in format,
            header="upstream_header_time" in format,
        )

    def with_(self, other: Fields) -> Fields:
        """Return the fields that either has."""
        return Fields(*(mine or its for mine, its in zip(self, other, strict=True)))

    def seen(self, record: LogRecord) -> Fields:
        """Return the fields, where the format is unknown, after one more record was read."""
        return Fields(
            upstream=self.upstream or bool(record.attempts),
            connect=self.connect or any(attempt.connect_s is not None for attempt in record.attempts),
            header=self.header or any(attempt.header_s is not None for attempt in record.attempts),
        )


def is_failure(status: int | None) -> bool:
    """Return whether a status that a client got is a failure of the way to the backend, or may be one (500)."""
    return status is not None and (status >= 500 or status in _FAILED)


def has_failed(attempt: Attempt, status: int | None) -> bool:
    """Return whether an attempt failed; one without status did where the whole request did."""
    return is_failure(attempt.status) or (attempt.status is None and is_failure(status))


class Meaning(NamedTuple):
    """The symptom of an attempt or request of which no error line is known."""

    symptom: Symptom
    phase: Phase | None = None


def meaning(attempt: Attempt | None, status: int | None, fields: Fields) -> Meaning:
    """Return what the access line tells. `status` is what the client got; `attempt` None: there was none, or it is not logged.

    A header time shows that the backend answered; its status is then its own. nginx makes 504 of nothing but its own timers, and
    only 502, 504 and 500 for an attempt. [src/http/ngx_http_upstream.c ngx_http_upstream_next]
    """
    if status == CLIENT_CLOSED and (attempt is None or attempt.status == CLIENT_CLOSED or not is_failure(attempt.status)):
        return Meaning(Symptom.CLIENT_CLOSED, _reached(attempt, fields))
    if attempt is None:
        if status == NOT_HTTP:
            return Meaning(Symptom.NO_STATUS_LINE, Phase.READ_HEADER)
        return Meaning(Symptom.OWN_STATUS if fields.upstream and status else Symptom.GATEWAY_STATUS)
    if attempt.group:
        return Meaning(Symptom.NO_LIVE_UPSTREAMS, Phase.SELECT)
    if status == NOT_HTTP:
        return Meaning(Symptom.NO_STATUS_LINE, Phase.READ_HEADER)
    if attempt.status is None:
        return Meaning(Symptom.GATEWAY_STATUS, _reached(attempt, fields))
    if attempt.header_s is not None or attempt.status not in _MADE_BY_NGINX:
        return Meaning(Symptom.UPSTREAM_STATUS)
    if not fields.header:
        return Meaning(Symptom.GATEWAY_STATUS)
    reached = _reached(attempt, fields)
    if attempt.status == 504 and fields.connect:
        return Meaning(Symptom.CONNECT_TIMED_OUT if reached is Phase.CONNECT else Symptom.READ_TIMED_OUT, reached)
    return Meaning(Symptom.GATEWAY_STATUS, reached)


def _reached(attempt: Attempt | None, fields: Fields) -> Phase | None:
    """Return how far an attempt came, where the log has the times that tell it."""
    if attempt is None:
        return None
    if attempt.header_s is not None:
        return Phase.READ_BODY
    if fields.connect and attempt.connect_s is None:
        return Phase.CONNECT
    return Phase.READ_HEADER if fields.header and fields.connect else None
