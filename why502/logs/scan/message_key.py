"""Lines that are not requests: the key under which they are counted, and the text shown for the first of them."""

from __future__ import annotations

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.scan.counts import MessageKey, name_of
from why502.model.logs import LogRecord
from why502.redaction import clean, redact


def is_request(record: LogRecord) -> bool:
    """Return whether a record is a request in an access log, as opposed to an error-log line about a request."""
    is_access = record.format == NGINX_ACCESS or record.is_final or record.request or record.attempts or record.target
    return record.status is not None and not record.level and bool(is_access)


def message_key(record: LogRecord) -> MessageKey | None:
    """Return the key for a record that is not a request; None if it has no meaning or repeats an earlier record."""
    if record.symptom is None or record.is_repeat:
        return None
    return MessageKey(
        record.symptom.value,
        record.proxy or record.program or record.format,
        name_of(record.target, record.group),
        clean(record.server[:255]),
        record.causes[0] if record.causes else "",
        record.is_gateway_failure,
    )


def shown(text: str) -> str:
    """Return a line as it is displayed."""
    return clean(redact(" ".join(text[:600].split())))[:400]
