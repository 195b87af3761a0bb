"""The kernel: the compiled line reader in a WebAssembly sandbox. Needs the package wasmtime; without it Python parses all lines."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import re
from array import array
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from why502.gateways.apache.logs.log_format import APACHE
from why502.logs.scan.counts import CONNECT, HEADER, MOST_KEYS, RESPONSE, ROUTE, Counts
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import decoded
from why502.logs.scan.routes import NONE
from why502.logs.verdicts import Fields

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ROLES = {
    "time_local": 1,
    "time_iso8601": 2,
    "msec": 3,
    "status": 4,
    "request": 5,
    "request_method": 6,
    "request_uri": 7,
    "remote_addr": 8,
    "server_name": 9,
    "host": 9,
    "http_host": 9,
    "upstream_addr": 10,
    "upstream_status": 11,
    "upstream_connect_time": 12,
    "upstream_header_time": 13,
    "upstream_response_time": 14,
    "request_time": 15,
}
_TIMES = {1, 2, 3}
_NUMBERS = frozenset(
    "body_bytes_sent bytes_sent request_length connection pid connection_requests remote_port server_port gzip_ratio".split()
)
_OUTCOME, _ROUTE, _CLIENT, _SERVER = range(4)
_MOST_LITERAL, _MOST_FIELDS = 52, 60
_WHOSE = (CONNECT, HEADER, RESPONSE)


def program(log_format: str, escape: str) -> bytes | None:
    """Return a `log_format` as the kernel wants it; None for one that cannot be told apart byte by byte."""
    pieces = _VARIABLE.split(log_format)
    literals = [piece.encode("utf-8", "surrogateescape") for piece in pieces[::3]]
    names = [braced or bare for braced, bare in zip(pieces[1::3], pieces[2::3], strict=True)]
    if any(len(literal) > _MOST_LITERAL or b"\n" in literal for literal in literals) or len(names) > _MOST_FIELDS:
        return None
    if not all(literals[1:-1]) or escape not in ("default", "json", "none", APACHE):
        return None
    found: list[int] = []
    wanted = {"server_name", "host", "http_host"} & set(names)
    ignored = wanted - {next((name for name in ("server_name", "host", "http_host") if name in wanted), "")}
    for name in names:
        role = 0 if name in ignored else _ROLES.get(name, 0)
        found.append(0 if role in found else role)
    if 4 not in found or not _TIMES & set(found) or {"request_time_ms", "request_time_us"} & set(names):
        return None
    if not {5} & set(found) and not {6, 7} <= set(found):
        return None
    if {10, 11} & set(found) and not {10, 11} <= set(found):  # one without the other tells nothing of an attempt
        return None
    if {12, 13, 14} & set(found) and 10 not in found:
        return None
    flags = escape in ("json", APACHE)  # a quote behind a backslash does not end a value
    result = bytearray([flags, len(literals[0])]) + literals[0]
    for name, role, literal in zip(names, found, literals[1:], strict=True):
        result += bytes([role | (128 if name in _NUMBERS else 0), len(literal)]) + literal
    return bytes(result)


_IS_PARALLEL = True  # whether several threads compile it


def is_available() -> bool:
    """Return whether wasmtime is installed and runs here."""
    return _module() is not None


def prepare() -> None:
    """Load it, where it is available, without leaving threads behind: a process that has some should not be forked."""
    global _IS_PARALLEL
    _IS_PARALLEL = False
    _module()


class Kernel:
    """One instance, with a program. `buffer` is where the text of a log is put before `scan`; each scan may replace it."""

    def __init__(self, log_format: str, escape: str, since: int, until: int, *, is_exact: bool) -> None:
        code = program(log_format, escape)
        made = _module()
        if code is None or made is None:
            raise ValueError("no program")
        wasmtime, engine, module = made
        self._store = wasmtime.Store(engine)
        self._calls = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._memory = self._calls["memory"]
        self._is_exact = is_exact
        self._fields = Fields.of(log_format)
        self._has_route = any(f"${name}" in log_format or f"${{{name}}}" in log_format for name in ("request", "request_method"))
        code = bytes([code[0] | (2 if is_exact else 0)]) + code[1:]
        place = self._call("config")
        self._view()[place : place + len(code)] = code
        if self._call("configure", len(code), since, until):
            raise ValueError("the kernel refused the program")
        self._pages, self.buffer = 0, self._input()
        self.capacity = len(self.buffer)

    def _input(self) -> memoryview:
        begin = self._call("input")
        return self._view()[begin : begin + self._call("capacity")]

    def lines(self) -> int:
        """Return how many lines were counted since the last reset."""
        return self._call("lines")

    def is_crowded(self) -> bool:
        """Return whether there are more clients, routes or servers than Counts would keep."""
        limits = ((_ROUTE, MOST_KEYS // 5), (_CLIENT, MOST_KEYS), (_SERVER, MOST_KEYS // 5))
        return any(self._call("strings_count", kind) > most for kind, most in limits)

    def reset(self) -> None:
        """Forget everything counted."""
        self._call("reset")

    def scan(self, length: int, only: str = "") -> tuple[int, list[tuple[int, int]]]:
        """Count the lines in the first bytes of the buffer, which end with a line feed.

        Return how many bytes were read (fewer when it is full: dump and reset, then go on) and the lines that it could not read.
        """
        told = self._call("scan_failures", length, int(only == "5xx")) if only else self._call("scan", length)
        consumed, count, pages = told & (1 << 22) - 1, told >> 22 & (1 << 18) - 1, told >> 40
        if pages != self._pages:
            self._pages, self.buffer = pages, self._input()
        if not count:
            return consumed, []
        places = self._array("I", self._call("rejected"), 2 * count)
        return consumed, list(zip(places[::2], places[1::2], strict=True))

    def counts(self) -> Counts:
        """Return everything that was counted since the last reset."""
        found = Counts(is_exact=self._is_exact)
        found.lines = self._call("lines")
        if not found.lines:
            return found
        found.fields = self._fields
        found.span(self._call("first"), self._call("last"))
        runs, lasts, counts = self._dumped()
        begin = self._call("arena")
        arena = bytes(self._view()[begin : begin + self._call("arena_used")])
        outcomes = [decoded(raw) for raw in self._strings(arena, self._entries(_OUTCOME))]
        routes: list[str] = []
        for kind, ranking in ((_CLIENT, found.clients), (_SERVER, found.servers), (_ROUTE, found.routes)):
            entries = self._entries(kind)
            routes = self._strings(arena, entries)
            ranking.total.update(dict(zip(routes, entries[2::16], strict=True)))
            ranking.failed.update({name: count for name, count in zip(routes, entries[3::16], strict=True) if count})
        if not self._has_route:
            found.routes.total[NONE] = found.lines
        begin = 0
        for run, end in zip(runs[::2], runs[1::2], strict=True):
            table, owner, its = run >> 27, run >> 3 & 0xFFFFFF, slice(begin, end)
            begin = end
            if table == 1:
                found.outcomes.setdefault(outcomes[owner], Minutes()).update(Minutes(lasts[its], is_ordered=True))
            elif table == 2:
                for status, count in zip(lasts[its], counts[its], strict=True):
                    found.route_statuses[routes[owner], status] += count
            elif table == 4:
                found.route_minutes[routes[owner]] = Minutes(lasts[its], is_ordered=True)
            else:
                where = (ROUTE, routes[owner]) if table == 3 else (_WHOSE[table - 5], outcomes[owner].tries[run & 7].where)
                times = dict(zip(lasts[its], counts[its], strict=True))
                found.times.setdefault(where, Counter()).update(times)
        return found

    def pack(self) -> bytes:
        """Return what was counted since the last reset, for another kernel of the same program."""
        size, place = self._call("pack"), self._room()
        return bytes(self._view()[place : place + size])

    def absorb(self, packed: bytes) -> bool:
        """Add what another kernel packed. Return whether there was place for it; in an empty one there is."""
        place = self._room(len(packed))
        self._view()[place : place + len(packed)] = packed
        has_place = not self._call("absorb", len(packed))
        self.buffer = self._input()
        return has_place

    def _dumped(self) -> tuple[array[int], array[int], array[int]]:
        """Return the runs of counters, and of all counters what they count by and how often; see `dump` of the kernel."""
        number, place = self._call("dump"), self._room()
        runs = self._array("Q", place, 2 * number)
        length = runs[-1] if runs else 0
        return runs, self._array("q", place + 16 * length, length), self._array("q", place + 24 * length, length)

    def _entries(self, kind: int) -> array[int]:
        """Return what the kernel knows of each string of a kind: sixteen numbers each, of which the first four count."""
        return self._array("I", self._call("strings", kind), 16 * self._call("strings_count", kind))

    def _strings(self, arena: bytes, entries: array[int]) -> list[str]:
        raw = arena.decode("ascii") if arena.isascii() else None
        places = zip(entries[0::16], entries[1::16], strict=True)
        if raw is not None:
            return [raw[begin : begin + length] for begin, length in places]
        return [arena[begin : begin + length].decode("utf-8", "surrogateescape") for begin, length in places]

    def _room(self, size: int = 0) -> int:
        """Return where the kernel takes and leaves much at once. What was called before may have made its memory grow."""
        place = self._call("room", size)
        self.buffer = self._input()
        return place

    def _array(self, kind: str, begin: int, count: int) -> array[int]:
        found = array(kind)
        found.frombytes(self._view()[begin : begin + count * found.itemsize])
        return found

    def _view(self) -> memoryview:
        size = self._memory.data_len(self._store)
        address = ctypes.addressof(self._memory.data_ptr(self._store).contents)
        return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def _call(self, name: str, *arguments: int) -> int:
        return int(self._calls[name](self._store, *arguments) or 0)


@lru_cache(1)
def _module() -> tuple[Any, Any, Any] | None:
    try:
        wasmtime = importlib.import_module("wasmtime")
    except (ImportError, OSError):
        return None
    try:
        config = wasmtime.Config()
        config.parallel_compilation = _IS_PARALLEL
        engine = wasmtime.Engine(config)
        return wasmtime, engine, wasmtime.Module(engine, (Path(__file__).parent / "kernel.wasm").read_bytes())
    except wasmtime.WasmtimeError:
        return None


atexit.register(_module.cache_clear)
