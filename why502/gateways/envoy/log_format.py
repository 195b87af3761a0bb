"""An access log's own format, as the configuration gives it: a text with command operators, or members of JSON.

Source: docs/root/configuration/advanced/substitution_formatter.rst. A value ends at the first byte of the text after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from why502.gateways.envoy.codes import PRODUCT
from why502.gateways.envoy.logs import NAME, record_of
from why502.logs.coded import LIMIT, epoch, iso, members, number
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

__all__ = ["NAME", "compile"]

_OPERATOR = lazy(r"%(?P<name>[A-Z0-9_]{1,60})(?:\((?P<of>[^()%]{0,200}(?:%[^()]{0,60})?)\))?(?::\d{1,6})?%")
_FIELDS = {
    "START_TIME": "at",
    "RESPONSE_CODE": "status",
    "RESPONSE_FLAGS": "flags",
    "RESPONSE_FLAGS_LONG": "flags",
    "RESPONSE_CODE_DETAILS": "details",
    "UPSTREAM_TRANSPORT_FAILURE_REASON": "transport",
    "UPSTREAM_HOST": "host",
    "UPSTREAM_REMOTE_ADDRESS": "host",
    "UPSTREAM_CLUSTER": "group",
    "UPSTREAM_CLUSTER_RAW": "group",
    "DURATION": "ms",
    "BYTES_SENT": "tx",
    "PROTOCOL": "protocol",
    "DOWNSTREAM_REMOTE_ADDRESS": "client",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "client",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": "client",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": "client",
    "PATH": "path",
}
_HEADERS = {
    ":method": "method",
    ":path": "path",
    "x-envoy-original-path": "path",
    ":authority": "server",
    "host": "server",
    "x-request-id": "id",
}
_SERVICE = "x-envoy-upstream-service-time"
_LONGEST = 8000
_MOST_FIELDS = 64
_TIME = lazy(r"\d{4}-\d\d-\d\d[T ][\d:.]{5,20}Z?")
_EPOCH = lazy(r"\d{9,19}(?:\.\d{1,9})?")

Parse = Callable[[str], LogRecord | None]


@lru_cache(64)
def compile(text: str, escape: str) -> Parse | None:
    """Return the parser of a log's lines; None for a format in which no status or flag can be told."""
    return _of_members(text) if escape == "json" else _of_text(text)


def _of_text(text: str) -> Parse | None:
    text = text.removesuffix("\n")
    found = list(_OPERATOR.finditer(text))
    fields = [_field(match) for match in found]
    ends = [match.start() for match in found[1:]] + [len(text)]
    literals = [text[match.end() : end] for match, end in zip(found, ends, strict=False)]
    if not {"status", "flags"} & {*fields} or not all(literals[:-1]) or len(found) > _MOST_FIELDS:
        return None
    pattern = re.escape(text[: found[0].start()])
    for literal in literals:  # each value ends where the next literal can begin, so that matching takes linear time
        stop = re.escape(literal[:1])
        pattern += f"([^{stop}\\n]{{0,{_LONGEST}}}){re.escape(literal)}"
    line_of = re.compile(pattern)

    def parse(line: str) -> LogRecord | None:
        match = line_of.fullmatch(line[:LIMIT].rstrip("\r\n"))
        return _record(dict(zip(fields, match.groups(), strict=True)), "service" in fields) if match else None

    return parse


def _of_members(text: str) -> Parse | None:
    try:
        roles = dict(_roles(json.loads(text), ()))
    except ValueError:
        return None
    if not {"status", "flags"} & {*roles}:
        return None

    def parse(line: str) -> LogRecord | None:
        entry = members(line.rstrip("\r\n"))
        values = {role: value for role, path in roles.items() if (value := _at(entry, path)) is not None}
        is_own = {"status", "flags"} & {*values} and all(path[0] in entry for path in roles.values())
        return _record(values, "service" in roles) if is_own else None

    return parse


def _roles(format: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the fields that a member alone holds, with the way to it."""
    if isinstance(format, dict) and len(path) < 8:
        for name, inner in format.items():
            yield from _roles(inner, (*path, name))
    elif isinstance(format, str) and (match := _OPERATOR.fullmatch(format)) and (field := _field(match)):
        yield field, path


def _at(entry: dict[str, Any], path: tuple[str, ...]) -> str | None:
    value: Any = entry
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None or isinstance(value, dict | list) else str(value)


def _field(match: re.Match[str]) -> str:
    """Return which field an operator writes; "" for any other."""
    name, of = match["name"], (match["of"] or "").lower()
    if name == "REQ":
        return next((_HEADERS[part] for part in of.split("?") if part in _HEADERS), "")
    if name in ("RESP", "RESPONSE_HEADER"):
        return "service" if of == _SERVICE else ""
    return _FIELDS.get(name, "")


def _record(values: dict[str, str], has_service: bool) -> LogRecord | None:
    """Return the record; None if a value shows that the line has another format."""
    status, written = values.get("status", "-"), values.get("flags", "-") or "-"
    flags = ",".join(PRODUCT.aliases.get(flag, flag) for flag in written.split(","))
    if (status != "-" and not (status.isdecimal() and len(status) <= 3)) or any(
        flag not in PRODUCT.codes for flag in flags.split(",") if flag != "-"
    ):
        return None
    request = " ".join(part for name in ("method", "path", "protocol") if (part := values.get(name, "").strip("-")))
    client = values.get("client", "").strip("-")
    return record_of(
        flags=flags,
        details=values.get("details", "").strip("-"),
        transport=values.get("transport", "").strip("-"),
        status=number(status) or 0,
        has_service_time=values.get("service", "-") not in ("", "-") if has_service else None,
        host=values.get("host", ""),
        duration_ms=number(values.get("ms", "").removesuffix("ms")),
        at=_time(values.get("at", "")),
        client=(client.rpartition(":")[0] if client.count(":") == 1 else client).strip("[]"),
        request=request,
        server=values.get("server", "").strip("-"),
        group=values.get("group", "").strip("-"),
        request_id=values.get("id", "").strip("-"),
        bytes_sent=number(values.get("tx")),
    )


def _time(text: str) -> Any:
    """Return a time as ISO 8601, which is Envoy's default, or in seconds or milliseconds since 1970; None for another form."""
    if _TIME.fullmatch(text):
        return iso(text.replace(" ", "T"))
    return epoch(float(text)) if _EPOCH.fullmatch(text) else None
