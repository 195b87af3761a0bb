"""What the lines that are no requests say: the key that they count by, and the text that is shown of the first of them."""

from __future__ import annotations

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.scan.counts import Said, name_of
from why502.model.logs import LogRecord
from why502.redaction import clean, redact


def is_request(record: LogRecord) -> bool:
    """Return whether a record is the line of a request in an access log, and not what an error log says of one."""
    is_access = record.format == NGINX_ACCESS or record.is_final or record.request or record.attempts or record.target
    return record.status is not None and not record.level and bool(is_access)


def said(record: LogRecord) -> Said | None:
    """Return what a record that is no request counts as; None for one that says nothing, or what another one has said."""
    if record.symptom is None or record.is_repeat:
        return None
    return Said(
        record.symptom.value,
        record.proxy or record.program or record.format,
        name_of(record.target, record.group),
        clean(record.server[:255]),
        record.causes[0] if record.causes else "",
        record.is_gateway_failure,
    )


def shown(text: str) -> str:
    """Return what is shown of a line."""
    return clean(redact(" ".join(text[:600].split())))[:400]
