"""Size limits of a snapshot from a file: its text is checked before decoding, its rows are cut afterwards.

A few kilobytes of gzip can hold gigabytes, and one character of JSON can become a value of hundreds of bytes. So the text is
measured first, in linear time and without creating values.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import msgspec

from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.snapshot import Gap, Snapshot

TEXT_BYTES = 64 << 20
MEMORY_BYTES = (
    230 << 20
)  # upper bound for the text plus its decoded values, at the highest cost per value (measured on 64-bit CPython)
STRINGS = 2_000_000  # above this, counting stops
DEPTH = 64
_STRING_COST, _OBJECT_COST, _ITEM_COST = 130, 350, 24
_CHARACTER_COST, _WIDE_COST = 2, 6  # outside ASCII each character of a string takes up to four bytes (PEP 393)

# Maximum number of rows in a section. Collectors write fewer, except on machines with thousands of services.
ROWS = {
    "proxies": 64,
    "listeners": 4096,
    "processes": 8192,
    "socket_paths": 1024,
    "names": 1024,
    "containers": 1024,
    "services": 2048,
    "php_pools": 512,
    "events": 2048,
    "pressure": 256,
    "disks": 512,
    "paths": 512,
    "firewall": 2_000,
    "probes": 2048,
    "addresses": 1024,
    "networks": 512,
    "gaps": 512,
    "asked": 512,
}
_LOG_ROWS = {"files": 1024, "tallies": 2048, "targets": 2048}
# Limits for all proxies together, per kind of row.
_PROXY_ROWS = {
    "routes": 8192,
    "upstreams": 4096,
    "servers": 8192,
    "answers": 1024,
    "files": 4096,
    "logs": 2048,
    "problems": 256,
    "workers": 512,
    "listens": 4096,
    "peers": 4096,
}
PEERS = 16_384  # of all routes and upstreams together
CONFIG_CHARACTERS = 24 << 20
_STRING = lazy(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


def unpacked(data: bytes, name: str) -> bytes:
    """Return the decompressed content of a gzip file. Raises Why502Error if it is damaged or too large."""
    hint = "Collect it again with `why502 collect -o FILE`."
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(data, TEXT_BYTES + 1)
    except zlib.error as error:
        raise Why502Error(f"{name} is damaged: {error}", hint) from error
    if len(text) > TEXT_BYTES:
        raise Why502Error(f"{name} holds more than {TEXT_BYTES >> 20} MiB", hint)
    if not unpacker.eof:
        raise Why502Error(f"{name} is damaged: it is truncated", hint)
    return text


def check(text: bytes, name: str, *, copies: int = 1) -> None:
    """Raise Why502Error if a JSON text needs too much memory or time to decode. `copies`: how many decoded copies exist at
    once.
    """
    hint = "No real machine is that large. The file was not written by `why502 collect`."
    quotes = text.count(b'"') - text.count(b'\\"')
    if quotes > 2 * STRINGS:
        raise Why502Error(f"{name} holds more than {STRINGS} strings", hint)
    plain = _STRING.sub(b"", text)
    is_narrow = text.isascii() and b"\\u" not in text
    cost = len(text) * (_CHARACTER_COST if is_narrow else _WIDE_COST) + max(quotes, 0) // 2 * _STRING_COST
    cost += (plain.count(b"{") + plain.count(b"[")) * _OBJECT_COST + plain.count(b",") * _ITEM_COST
    if cost * copies > MEMORY_BYTES:
        raise Why502Error(f"{name} could take more than {MEMORY_BYTES >> 20} MiB of memory", hint)
    depth = 0
    for bracket in plain.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH:
            raise Why502Error(f"{name} is nested more than {DEPTH} deep", hint)


def cut(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with each section cut to its row limit, and a gap for each section that was cut."""
    gaps: list[Gap] = []
    changes: dict[str, Any] = {name: _first(getattr(snapshot, name), most, name, gaps) for name, most in ROWS.items()}
    if changes["proxies"]:
        changes["proxies"] = _proxies(changes["proxies"], gaps)
    if snapshot.logs is not None:
        rows = {name: _first(getattr(snapshot.logs, name), most, f"logs: {name}", gaps) for name, most in _LOG_ROWS.items()}
        changes["logs"] = msgspec.structs.replace(snapshot.logs, **rows)
    return msgspec.structs.replace(snapshot, **{**changes, "gaps": (*changes["gaps"], *gaps)}) if gaps else snapshot


def _first(rows: tuple[Any, ...] | None, most: int, name: str, gaps: list[Gap]) -> tuple[Any, ...] | None:
    if rows is None or len(rows) <= most:
        return rows
    gaps.append(_gap(name, most, len(rows)))
    return rows[:most]


def _gap(name: str, most: int, total: int) -> Gap:
    return Gap(source="bundle", reason=f"{name}: only the first {most} of {total} were examined")


def _proxies(proxies: tuple[Any, ...], gaps: list[Gap]) -> tuple[Any, ...]:
    """Return the proxies, cut to the limits for all of them together."""
    left = dict(_PROXY_ROWS)
    peers, characters = PEERS, CONFIG_CHARACTERS
    found = []
    for proxy in proxies:
        rows: dict[str, Any] = {}
        for name, most in left.items():
            rows[name] = _first(getattr(proxy, name), most, name, gaps)
        left = {name: most - len(rows[name]) for name, most in left.items()}
        for name in ("routes", "upstreams"):
            for number, group in enumerate(rows[name]):
                if len(group.peers) > peers:
                    gaps.append(_gap(f"{name} with their servers", number, len(rows[name])))
                    rows[name] = rows[name][:number]
                    break
                peers -= len(group.peers)
        for number, file in enumerate(rows["files"]):
            characters -= len(file.text)
            if characters < 0:
                gaps.append(_gap("files", number, len(rows["files"])))
                rows["files"] = rows["files"][:number]
                break
        found.append(msgspec.structs.replace(proxy, **rows))
    return tuple(found)
