"""JSON logs of Google Cloud load balancing and of Azure Application Gateway, and the table of CloudFront.

The reason is in jsonPayload.statusDetails (Google) or error_info (Azure). Source: the field lists of Cloud Logging, Azure's
ApplicationGatewayAccessLog, and CloudFront's standard log (tab-separated).
"""

from __future__ import annotations

import re
from typing import Any

from why502.gateways.azure import codes as azure
from why502.gateways.cloudfront import codes as cloudfront
from why502.gateways.codes import Code
from why502.gateways.gcp import codes as gcp
from why502.logs.coded import LIMIT, coded_record, iso, members, number, path_of, peer, seconds, target, text_of
from why502.logs.native.described import Members
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "cloud_balancers"


def _of_server(text: str, like: LogRecord) -> str:  # noqa: ARG001 - names are made alike
    return str(peer(text))


LAYOUTS = (
    Members(
        members={
            "timestamp": "time", "httpRequest.status": "status", "httpRequest.remoteIp": "client", "httpRequest.requestMethod": "method",
            "httpRequest.requestUrl": "uri", "httpRequest.serverIp": "address", "httpRequest.latency": "total",
            "jsonPayload.statusDetails": "key",
        },
        clock="iso", flags=("grouped", "url"), suffixes={"total": "s"}, asks=("text key",), where=_of_server,
    ),
)  # fmt: skip
MARKS = (b"statusDetails", b"ERRORINFO_", b"httpStatus", b"Origin", b"ClientCommError", b"\tError\t", b"failed_to_", b"backend_")
_CLOUDFRONT = lazy(r"^(?P<date>\d{4}-\d\d-\d\d)\t(?P<time>\d\d:\d\d:\d\d)\t(?P<more>[^\n]{20,})")
_NAMES = lazy("|".join(rf"\b{name}\b" for table in (gcp, azure, cloudfront) for name in table.PRODUCT.codes if len(name) > 12))
_WORKED = Code(code="", message="", is_gateway_failure=False)


def fits(sample: list[str]) -> float:
    """Return the share of lines of these balancers."""
    return share(sample, lambda line: (parse(line) is not None and 1) or line.startswith("#Fields: date time x-edge-location"))


def parse(line: str) -> LogRecord | None:
    """Return the record of one entry; None if none of these balancers wrote it."""
    line = line[:LIMIT].rstrip("\r\n")
    if line.lstrip().startswith("{"):
        entry = members(line)
        payload = entry.get("jsonPayload")
        if isinstance(payload, dict) and "statusDetails" in payload:
            return _gcp(entry, payload)
        properties = entry.get("properties", entry)
        if isinstance(properties, dict) and "httpStatus" in properties:
            return _azure(entry, properties)
    if match := _CLOUDFRONT.match(line):
        return _cloudfront(match)
    if match := _NAMES.search(line):
        product = next(table.PRODUCT for table in (gcp, azure, cloudfront) if match[0] in table.PRODUCT.codes)
        return coded_record(product.codes[match[0]], format=NAME, proxy=product.name, message=line)
    return None


def _gcp(entry: dict[str, Any], payload: dict[str, Any]) -> LogRecord:
    request = entry.get("httpRequest")
    request = request if isinstance(request, dict) else {}
    status, details = number(request.get("status")), text_of(payload, "statusDetails")
    row = gcp.PRODUCT.codes.get(details)
    if row is None or (row.symptom is Symptom.UPSTREAM_STATUS and (status or 0) < 500):
        row = _WORKED
    host, path = path_of(text_of(request, "requestUrl"))
    return coded_record(
        row,
        format=NAME,
        proxy="gcp",
        is_final=True,
        at=iso(entry.get("timestamp")),
        client=text_of(request, "remoteIp"),
        server=host,
        request=" ".join(text for text in (text_of(request, "requestMethod"), path) if text),
        target=peer(text_of(request, "serverIp")),
        status=status,
        upstream_status=status if details == "response_sent_by_backend" else None,
        duration_s=seconds(text_of(request, "latency").rstrip("s")),
        code=details,
    )


def _azure(entry: dict[str, Any], found: dict[str, Any]) -> LogRecord:
    status, own = number(found.get("httpStatus")), number(text_of(found, "serverStatus"))
    info = text_of(found, "error_info", "errorInfo")
    row = azure.PRODUCT.codes.get(info)
    if row is not None and info == "ERRORINFO_NO_ERROR" and (own or status or 0) < 500:
        row = _WORKED
    elif row is None and status is not None and status >= 500:
        is_own = own == status
        row = azure.PRODUCT.codes["ERRORINFO_NO_ERROR"] if is_own else Code(
            code=str(status), message="", symptom=Symptom.GATEWAY_STATUS, causes=("all-upstreams-down", "connect-timeout", "health-check-misconfigured")
        )  # fmt: skip
    return coded_record(
        row,
        format=NAME,
        proxy="azure",
        is_final=True,
        at=iso(entry.get("time")) or iso(entry.get("timeStamp")),
        client=text_of(found, "clientIP", "clientIp"),
        server=text_of(found, "host", "originalHost"),
        request=" ".join(text for name in ("httpMethod", "requestUri", "httpVersion") if (text := text_of(found, name))),
        target=target(text_of(found, "serverRouted")),
        status=status,
        upstream_status=own,
        duration_s=seconds(found.get("timeTaken")),
    )


def _cloudfront(match: re.Match[str]) -> LogRecord | None:
    fields = match["more"].split("\t")  # x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status …
    if len(fields) < 12 or not re.fullmatch(r"\d{3}", fields[6]):
        return None
    status = int(fields[6])
    name = next((text for text in reversed(fields) if text in cloudfront.PRODUCT.codes), "")
    row = cloudfront.PRODUCT.codes.get(name)
    if row is None and status >= 500 and "Error" in fields:
        row = Code(
            code=str(status), message="", symptom=Symptom.GATEWAY_STATUS, causes=("upstream-error-status", "backend-not-running")
        )
    return coded_record(
        row,
        format=NAME,
        proxy="cloudfront",
        is_final=True,
        at=iso(f"{match['date']}T{match['time']}+00:00"),
        client=fields[2],
        server=fields[4],
        request=f"{fields[3]} {fields[5]}",
        status=status,
        bytes_sent=number(fields[1]),
    )
