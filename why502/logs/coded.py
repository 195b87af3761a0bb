"""Shared by the gateway formats: builds a record from a row of the product's table; parses numbers, times and JSON lines."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from why502.gateways.codes import Code, phase_of
from why502.model import foreign_json
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import MONTHS, of_epoch, of_iso, of_parts, zone_of

_LOCAL = lazy(r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) [+-][0-9]{4}")
_MSEC = lazy(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
LIMIT = 65536  # only this many characters of a line are read
TEXT = 2048  # only this many characters of a value are kept


def coded_record(row: Code | None, symptom: Symptom | None = None, /, **fields: Any) -> LogRecord:
    """Return the record of a line that contains a code. `symptom` and the given fields override those of the row.

    The row's causes are kept only if the symptom is the row's own; a more specific symptom implies its own causes.
    """
    if row is not None:
        own = symptom is None or symptom is row.symptom
        symptom = symptom or row.symptom
        fields = {
            "code": row.code,
            "causes": row.causes if own else (),
            "is_gateway_failure": row.is_gateway_failure,
            "phase": row.phase if own else phase_of(symptom),
            **fields,
        }
    elif symptom is not None:
        fields = {"is_gateway_failure": True, "phase": phase_of(symptom), **fields}
    cut: dict[str, Any] = {name: value[:TEXT] if isinstance(value, str) else value for name, value in fields.items()}
    return LogRecord(symptom=symptom, **cut)


_SECONDS = lazy(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


def number(text: object) -> int | None:
    """Return an integer of at most 18 digits; None for anything else."""
    if isinstance(text, int):
        return text if abs(text) < 10**18 else None
    if not isinstance(text, str):
        return None
    digits = text[1:] if text[:1] == "-" else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def seconds(text: object) -> float | None:
    """Return a non-negative duration as a number; None for `-`, -1 and anything else."""
    if isinstance(text, int | float):
        return float(text) if 0 <= text < 1e12 else None
    return float(text) if isinstance(text, str) and _SECONDS.fullmatch(text) else None


iso = of_iso


def epoch(number: object) -> datetime | None:
    """Return a time given in seconds, milliseconds, microseconds or nanoseconds since 1970."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 1e20:
        return None
    while number > 1e11:
        number /= 1000
    return of_epoch(number)


@lru_cache(256)
def clf(text: str) -> datetime | None:
    """Return the time of `20/Nov/2026:22:46:40 +0000`, naive without a zone; a fraction is allowed (`22:43:31.909`)."""
    head, _, zone = text.strip().partition(" ")
    try:
        month = MONTHS[head[3:6]]
    except KeyError:
        return None
    return iso(f"{head[7:11]}-{month:02d}-{head[:2]}T{head[12:]}{zone}")


def msec(text: str) -> datetime | None:
    """Return the time of `1763678800.123`, in UTC."""
    return of_epoch(float(text)) if _MSEC.fullmatch(text) else None


def local(text: str) -> datetime | None:
    """Return the time of `20/Nov/2026:22:46:40 +0000`, in UTC."""
    match = _LOCAL.fullmatch(text)
    zone = zone_of(text[21:]) if match else None
    if match is None or zone is None:
        return None
    day, month, *rest = match.groups()
    year, hour, minute, second = map(int, rest)
    return of_parts(year, MONTHS.get(month, 0), int(day), hour, minute, second, zone=zone)


@lru_cache(8)
def members(line: str) -> dict[str, Any]:
    """Return the members of the JSON object that a line is, or that starts within it; {} if there is none or it is truncated."""
    start = line.find("{")
    if start < 0:
        return {}
    for text in (line[start:LIMIT], line[start : line.rfind("}") + 1]):
        try:
            entry = foreign_json.decode(text)
        except ValueError:
            continue
        return entry if isinstance(entry, dict) else {}
    return {}


def text_of(entry: dict[str, Any], *names: str) -> str:
    """Return the first of these members that is a string or number, as text; "" if there is none, or it is `-`."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value not in ("", "-"):
            return str(value)[:TEXT]
    return ""


def target(text: str, default_port: int = 0) -> Target | None:
    """Return the address in a text such as `10.0.0.1:80`, `http://app:80/`, `unix//run/x.sock`; None for anything else."""
    if text in ("", "-"):
        return None
    if text.startswith("unix/"):
        return Target(path=text.removeprefix("unix/").replace("//", "/"))
    found = Target.parse(text[:TEXT].removeprefix("tcp://"))
    if found and not found.path and not found.port and default_port:
        return Target(host=found.host, port=default_port)
    return found


def peer(address: str, port: int = 0) -> Target | None:
    """Return the target of an address without its port (IPv6 unbracketed); for any other text, the result of `target`."""
    try:
        return Target(host=str(ipaddress.ip_address(address)), port=port)
    except ValueError:
        return target(address, port)


_URL = lazy(r"(?:https?|wss?)://([^/?# ]{1,255})([/?#]?[^ ]{0,8000})")  # a client may send other blanks than spaces


def path_of(url: str) -> tuple[str, str]:
    """Return the host and the path (with its query) of a URL; "" and the text itself if it is not a URL."""
    match = _URL.match(url)
    return (match[1].rpartition("@")[2], match[2] or "/") if match else ("", url)
