"""The execution log of Amazon API Gateway: `Sat Feb 04 04:37:12 UTC 2017 : text`, in CloudWatch `(request id) text`.

Source: docs.aws.amazon.com/apigateway, "Gateway response types" and "Troubleshooting issues with HTTP APIs"; texts as CloudWatch
shows them.
"""

from __future__ import annotations

import re

from why502.gateways.codes import code
from why502.logs import stamps
from why502.logs.coded import LIMIT, coded_record, number
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "api_gateway"
MARKS = (
    b"Execution failed due to",
    b"Lambda execution failed",
    b"Method completed with status: 5",
    b"Endpoint request timed out",
    b"Task timed out after",
)
_HEAD = lazy(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4} : |\([0-9a-f-]{36}\) ")
_FUNCTION = "function-target-error invalid-response"
_SLOW = "backend-too-slow proxy-timeout-too-short function-target-error"
_TEXTS = tuple(
    (lazy(pattern), row)
    for pattern, row in (
        (r"Malformed Lambda proxy response", code("MALFORMED", "", Symptom.FUNCTION_FAILED, _FUNCTION, "502")),
        (r"Invalid permissions on Lambda function", code("PERMISSION", "", Symptom.FUNCTION_FAILED, "function-target-error denied-by-rule", "500")),
        (r"Execution failed due to a timeout error|Endpoint request timed out", code("INTEGRATION_TIMEOUT", "", Symptom.READ_TIMED_OUT, _SLOW, "504")),
        (r"Task timed out after \d+(?:\.\d+)? seconds", code("TASK_TIMEOUT", "", Symptom.FUNCTION_FAILED, "function-target-error backend-too-slow", "502")),
        (r"Lambda execution failed|customer function error", code("FUNCTION", "", Symptom.FUNCTION_FAILED, "function-target-error application-error", "502")),
        (r"Network error communicating with endpoint", code("NETWORK", "", Symptom.CONNECT_FAILED, "connect-timeout backend-not-running tls-handshake-failed", "504")),
        (r"Invalid endpoint address|Unable to resolve host|[Uu]nknown host", code("ADDRESS", "", Symptom.NAME_NOT_FOUND, "dns-host-not-found proxy-target-invalid", "500")),
        (r"certificate|PKIX path|SSL", code("TLS", "", Symptom.TLS_UNVERIFIED, "tls-verify-failed tls-handshake-failed", "500")),
        (r"Execution failed due to an internal error", code("INTERNAL", "", Symptom.PROVIDER_FAULT, "gateway-provider-fault", "500")),
        (r"Execution failed due to configuration error", code("CONFIGURATION", "", Symptom.CONFIG_INVALID, "proxy-config-invalid", "500")),
    )
)  # fmt: skip


def fits(sample: list[str]) -> float:
    """Return the share of lines of an execution log."""
    return share(sample, lambda line: (_HEAD.match(line) and 1) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the reason why an execution failed; None for a line without a reason."""
    line = line[:LIMIT].rstrip("\r\n")
    if not any(mark.decode() in line for mark in MARKS):
        return None
    if status := re.search(r"Method completed with status: (\d{3})", line):  # the previous line has the reason
        return coded_record(
            None, format=NAME, proxy="aws-api-gateway", at=stamps.find(line), message=line, status=number(status[1])
        )
    row = next((row for pattern, row in _TEXTS if pattern.search(line)), None)
    status_of = number(row.status) if row else None
    return (
        coded_record(row, format=NAME, proxy="aws-api-gateway", at=stamps.find(line), status=status_of, message=line)
        if row
        else None
    )
