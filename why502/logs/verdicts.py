"""What an access-log line alone shows about a failure.

It shows whether the status is a failure, who returned it, and which attempt failed in which way.
"""

from __future__ import annotations

from typing import NamedTuple

from why502.model.logs import Attempt, LogRecord, Phase, Symptom

NOT_HTTP = 9  # nginx: the response had no status line and was passed on unchanged
CLIENT_CLOSED = 499
# 000: ended without a status; 460, 463, 561: AWS load balancers; 494 and others are client errors
_FAILED = frozenset({0, NOT_HTTP, 460, 463, CLIENT_CLOSED})
_MADE_BY_NGINX = frozenset({500, 502, 504})  # for an attempt; any other status comes from the backend


# Responses that refuse the client's request although the path to the backend works. Not included: a login (401), rate limits for
# robots (429), and input that a client must correct in a form (409, 422).
REFUSALS = frozenset({400, 403, 404, 405, 408, 411, 413, 414, 415, 421, 426, 431, 494, 497, 500, 501, 505})


# Statuses below 499 with which the proxy itself may end a request: the client exceeded a limit, or sent a PROXY header (400).
NOTED = frozenset({400, 408, 413, 414, 431, 494, 495, 496, 497})


class Fields(NamedTuple):
    """Which attempt times a log contains at all: without the field, "no header came" is unknown."""

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
        """Return the fields that at least one of the two has."""
        return Fields(*(mine or its for mine, its in zip(self, other, strict=True)))

    def seen(self, record: LogRecord) -> Fields:
        """Return the fields after one more record was read, for an unknown format."""
        return Fields(
            upstream=self.upstream or bool(record.attempts),
            connect=self.connect or any(attempt.connect_s is not None for attempt in record.attempts),
            header=self.header or any(attempt.header_s is not None for attempt in record.attempts),
        )


def is_failure(status: int | None) -> bool:
    """Return whether a status sent to a client is a failure on the path to the backend, or may be one (500)."""
    return status is not None and (status >= 500 or status in _FAILED)


def has_failed(attempt: Attempt, status: int | None) -> bool:
    """Return whether an attempt failed; an attempt without a status failed if the whole request did."""
    return is_failure(attempt.status) or (attempt.status is None and is_failure(status))


class Meaning(NamedTuple):
    """The symptom of an attempt or request that has no known error line."""

    symptom: Symptom
    phase: Phase | None = None


def meaning(attempt: Attempt | None, status: int | None, fields: Fields) -> Meaning:
    """Return the meaning of the access line.

    `status` is what the client got; `attempt` None: there was none, or it is not logged.

    A header time shows that the backend answered, so the status is the backend's own. nginx returns 504 only for its own timers,
    and only 502, 504 and 500 for an attempt. [src/http/ngx_http_upstream.c ngx_http_upstream_next]
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
    """Return the last phase that an attempt reached, if the log has the times that show it."""
    if attempt is None:
        return None
    if attempt.header_s is not None:
        return Phase.READ_BODY
    if fields.connect and attempt.connect_s is None:
        return Phase.CONNECT
    return Phase.READ_HEADER if fields.header and fields.connect else None
