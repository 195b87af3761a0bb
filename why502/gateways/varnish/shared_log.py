"""The shared memory log of a running varnishd: failures within the window, one line per request,
and the latest results of its probes.

Varnish writes no file: varnishlog(1) reads its ring buffer of 80 MB. It belongs to the worker's user, so it is read with that
user's rights, and the management port is not used. Sources: vsl(7), vsl-query(7).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import ROOT
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.times import of_epoch

SOURCE = "varnishlog -n {}"  # how a person reads it, from its directory
LIMIT_S = 6.0
WHOLE_BYTES = 4 << 20  # maximum output of a program; the rest is cut
_TAGS = (
    "Begin,Timestamp,BereqMethod,BereqURL,BerespStatus,BogoHeader,FetchError,BackendOpen,BackendReuse,ReqMethod,ReqURL,"
    "RespStatus,VCL_call,VCL_Error,End"
)
_HEAD = lazy(r"\*{1,9} {1,9}<< (Request|BeReq) {1,9}>> (\d{1,19})")
_RECORD = lazy(r"-{1,9} {1,9}(\w{1,40}) {1,40}(\S.{0,4000})")
_HEALTH = lazy(r"^ {0,20}0 Backend_health {1,9}-? {0,9}((?:boot\.)?([\w.():-]{1,200}) (?:Went|Still|Back|Probed) .{1,400})$")
_SERVER_ERROR = 500
CLOCK_S = 0.5  # after the fetch: the threads of its clients write their ends in any order
_Fetch = tuple[float, dict[str, list[str]]]  # when it ended, and its records


def read(host: Host, proxy: Proxy, directory: str, since: datetime, until: datetime, *, is_now: bool) -> tuple[bytes, bool]:
    """Return the lines of the window, and whether they are complete.

    `is_now`: the window ends now. Raises HostError if its memory cannot be read.
    """
    if proxy.owner_uid != ROOT:
        raise HostError("its log is in the memory of a process of another user", "run why502 as that user")
    worker = next((worker for worker in proxy.workers if worker.uid is not None), None)
    if worker is None or worker.uid is None:
        raise HostError("its worker process does not run, so it has no log in memory")
    here, there = attempt(partial(host.stat, directory)), attempt(partial(host.stat, proxy.root + directory))
    if here is None or there is None or (here.device, here.inode) != (there.device, there.inode):
        raise HostError(
            f"its log is shared memory in {directory} of another root directory",
            "save it with `varnishlog -d -g request` there, and name it with --log",
        )
    acting = host.acting_as(worker.uid)
    query = f"Timestamp:Start[1] >= {since.timestamp():.1f} and (RespStatus >= {_SERVER_ERROR} or FetchError)"
    text = _varnishlog(acting, directory, "-g", "request", "-q", query, "-i", _TAGS)
    lines = [line for at, line in _failures(text) if since <= at <= until]
    if is_now:
        lines += _health(_varnishlog(acting, directory, "-g", "raw", "-i", "Backend_health"), until)
    return "".join(f"{line}\n" for line in lines).encode(), len(text.encode()) < WHOLE_BYTES - 1


def _varnishlog(host: Host, directory: str, *options: str) -> str:
    found = host.run("varnishlog", "-d", "-n", directory, *options, timeout_s=LIMIT_S)
    if found.status:
        raise HostError(found.stderr.strip()[:200] or f"varnishlog ended with {found.status}", "run why502 as root")
    return found.stdout


def _failures(text: str) -> Iterator[tuple[datetime, str]]:
    """Yield time and line of each failed fetch, and of each client error without one.

    Groups of transactions are separated by an empty line; the client's is the first in its group. Clients that ask for the same
    page share one fetch: if it fails, each of them gets the error of that fetch.
    """
    groups = [list(_transactions(group)) for group in re.split(r"\n[ \t]*\n", text)]
    failed: dict[str, list[_Fetch]] = {}
    for transactions in groups:
        for kind, records in transactions:
            if kind == "BeReq" and "FetchError" in records and (ends := _times(records)):
                failed.setdefault(_url(records), []).append((ends[-1], records))
    for same in failed.values():
        same.sort(key=_ended)
    for transactions in groups:
        fetches = [records for kind, records in transactions if kind == "BeReq" and "FetchError" in records]
        for records in fetches:
            yield from _line("BeReq", records, _fetch_error(records))
        if fetches:
            continue
        for kind, records in transactions:
            status = next(iter(records.get("RespStatus", [])), "")
            if kind != "Request" or not status.isdigit() or int(status) < _SERVER_ERROR:
                continue
            if shared := _shared(records, failed):
                yield from _line(kind, records, _fetch_error(shared), of=shared)
            else:
                yield from _line(kind, _with_backend(records, transactions), f"RespStatus {status} {_made_by(records)}")


def _shared(records: dict[str, list[str]], failed: dict[str, list[_Fetch]]) -> dict[str, list[str]] | None:
    """Return the failed fetch of another client that a request waited for: it ended while the request was open."""
    times = _times(records)
    if "HIT" not in records.get("VCL_call", []) or not times:
        return None
    fetches = failed.get(_url(records), [])
    before = bisect.bisect_right(fetches, max(times) + CLOCK_S, key=_ended)
    return fetches[before - 1][1] if before and _ended(fetches[before - 1]) >= min(times) else None


def _ended(fetch: _Fetch) -> float:
    return fetch[0]


def _fetch_error(records: dict[str, list[str]]) -> str:
    return f"FetchError {records['FetchError'][0]}{_refused_header(records)}"


def _transactions(group: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the kind of each transaction of a group and its records by tag."""
    kind, records = "", dict[str, list[str]]()
    for line in group.split("\n"):
        if head := _HEAD.match(line):
            if kind:
                yield kind, records
            kind, records = head[1], {"vxid": [head[2]]}
        elif record := _RECORD.match(line):
            records.setdefault(record[1], []).append(record[2].strip())
    if kind:
        yield kind, records


def _with_backend(records: dict[str, list[str]], transactions: list[tuple[str, dict[str, list[str]]]]) -> dict[str, list[str]]:
    """Return the client's records plus those that name the backend which answered it."""
    found = dict(records)
    for kind, other in transactions:
        if kind == "BeReq":
            found |= {tag: other[tag] for tag in ("BackendOpen", "BackendReuse") if tag in other}
    return found


def _refused_header(records: dict[str, list[str]]) -> str:
    """Return why a header was refused (cache_http1_proto.c: "Header too long: Set-Cookie: …"), without the header itself;
    "" if unknown.
    """
    reason = next(iter(records.get("BogoHeader", [])), "").partition(":")[0]
    return f": {reason[:60]}" if reason else ""


def _made_by(records: dict[str, list[str]]) -> str:
    """Return the origin of the status: the restart limit, VCL itself (`synth`), or the backend."""
    calls = records.get("VCL_call", [])
    if any("Too many restarts" in reason for reason in records.get("VCL_Error", [])):
        return "restarts"
    return "synth" if "SYNTH" in calls else "backend"


def _times(records: dict[str, list[str]]) -> list[float]:
    """Return when a transaction began and ended, in seconds since the epoch."""
    first = [value for value in records.get("Timestamp", []) if value.startswith(("Start:", "Resp:", "Error:"))]
    return [float(match[1]) for value in first if (match := re.match(r"\w+: (\d{1,12}\.\d{1,9}) ", value))]


def _url(records: dict[str, list[str]]) -> str:
    return next(iter(records.get("BereqURL", []) + records.get("ReqURL", [])), "-").partition(" ")[0]


def _line(
    kind: str, records: dict[str, list[str]], reason: str, of: dict[str, list[str]] | None = None
) -> Iterator[tuple[datetime, str]]:
    """Yield time and text of one transaction as one line, in the form that `logs.formats.varnish` reads.

    `of`: the fetch that failed, if it was another client's: its backend and its duration.
    """
    times = _times(records)
    at = of_epoch(times[-1]) if times else None
    if at is None:
        return
    fetch = of or records
    opened = next(iter(fetch.get("BackendOpen", []) + fetch.get("BackendReuse", [])), "").split()
    backend, address = (opened[1], f"{opened[2]}:{opened[3]}") if len(opened) > 3 else ("-", "-")
    method = next(iter(records.get("BereqMethod", []) + records.get("ReqMethod", [])), "-")
    lasted = _times(fetch)
    took = f"{max(lasted) - min(lasted):.3f}"
    yield at, f"{at.isoformat()} {kind} {records['vxid'][0]} {method} {_url(records)} {backend} {address} {took} {reason}"


def _health(text: str, now: datetime) -> list[str]:
    """Return the last probe failure of each backend that is sick now."""
    last: dict[str, str] = {}
    for line in text.splitlines():
        if match := _HEALTH.match(line):
            last[match[2]] = match[1]
    return [
        f"{now.isoformat()} Backend_health - {reason.removeprefix('boot.')}"
        for reason in last.values()
        if re.search(r" sick ", reason)
    ]
