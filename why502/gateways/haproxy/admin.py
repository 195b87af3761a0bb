"""HAProxy's runtime socket, and its statistics page: what it says about its servers.

Sources: doc/management.txt, 9.1 (CSV format), 9.3 (`show stat`, `show servers state`, `show info`, `show errors`,
`show resolvers`); doc/configuration.txt, 3.1
(`stats socket`) and 4.2 (`stats uri`).
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from msgspec.structs import replace

from why502.gateways.admin import AdminView, Asking, Door
from why502.gateways.haproxy.codes import CHECKS
from why502.gateways.haproxy.config import sections, trees_of
from why502.gateways.haproxy.config.sections import PROXIES, Section
from why502.gateways.haproxy.states import COUNTERS, MAINTENANCE, NO_ADDRESS, NO_ANSWER
from why502.gateways.running import Texts
from why502.machine.attempt import attempt
from why502.model.errors import Denied, HostError
from why502.model.logs import Sample, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import FEW, Answered, PeerState, PeerView, Proxy
from why502.model.target import Target
from why502.model.times import whole_number

_MOST_ROWS = 20_000
_RESPONSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
_ERRORS = _RESPONSES.index("5xx")
_FRONTEND = "frontend "  # before the name of one in `Answered`
_GROUPS = frozenset({"FRONTEND", "BACKEND"})
_ASKED_AGAIN = 3  # questions: fewer may still be under way
# In `show errors`: the head of an event about a response, the server below it, and where the parser stopped.
_EVENT = lazy(
    r"^\[(\S{8,40})\] backend (\S{1,200}) \(#\d{1,9}\): invalid response\n[^\n]{0,300}?, server (\S{1,200}) \(#\d",
    re.MULTILINE,
)
_STOPPED = lazy(r"error at position (\d{1,9})|H1 msg state (MSG_[A-Z0-9_]{1,40})")
_LONGEST_EVENT = 2000  # characters of its head; the response itself follows, and is not read
_COUNTER = lazy(r"^ +(sent|timeout|snd_error|valid|nx|refused|other|any_err|invalid): +(\d{1,18})$", re.MULTILINE)
_WORDS = {short: long for long, (short, _, _) in CHECKS.items()}
_STATES = {  # the first word of the column `status`
    "UP": PeerState.UP,
    "DOWN": PeerState.DOWN,
    MAINTENANCE: PeerState.MAINTENANCE,
    "DRAIN": PeerState.DRAINING,
    "NOLB": PeerState.DRAINING,  # http-check disable-on-404
    "no": PeerState.UNCHECKED,  # "no check"
}
_SERVING = (PeerState.UP, PeerState.UNCHECKED)
_DRAINED_BY = {"NOLB": "its check answers 404 (`disable-on-404`)", "DRAIN (agent)": "its agent asks for it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page(Door):
    """The statistics page of a proxy section."""

    path: str


def doors(_proxy: Proxy, _process: Process, texts: Texts, environment: Mapping[str, str]) -> list[Door]:
    """Return its runtime sockets, then the statistics pages that need no password. Raises HostError if it has none."""
    found = sections(trees_of(texts), environment)
    every: list[Door] = [*_sockets(found), *_pages(found)]
    if not every:
        hint = "add `stats socket /run/haproxy/admin.sock mode 600 level operator` to `global`"
        raise HostError("it has no runtime socket", hint)
    return every


def _sockets(found: list[Section]) -> Iterator[Door]:
    for section in found:
        for line in section.lines if section.kind == "global" else ():
            if line.words[:2] == ("stats", "socket") and len(line.words) > 2 and (target := _target(line.words[2])):
                yield Door(target=target, named_by=str(line.at))


def _pages(found: list[Section]) -> Iterator[Door]:
    """Yield the pages that need no password. They exist where a section has any `stats` line (doc: `stats enable`)."""
    for section in found:
        shown = [line for line in section.lines if line.words[0] == "stats" and section.kind in PROXIES]
        if not shown or any(line.words[1:2] in (("auth",), ("http-request",)) for line in shown):
            continue
        uri = next((line.words[2] for line in shown if line.words[1:2] == ("uri",) and len(line.words) > 2), "/haproxy?stats")
        for line in section.lines:
            if line.words[0] == "bind" and len(line.words) > 1 and "ssl" not in line.words and (target := _target(line.words[1])):
                yield _Page(target=target, named_by=str(shown[0].at), path=f"{uri};csv")


def _target(address: str) -> Target | None:
    if address.startswith(("/", "unix@")):
        return Target.unix(address.removeprefix("unix@"))
    host, _, port = address.removeprefix("ipv4@").removeprefix("ipv6@").removeprefix("tcp@").rpartition(":")
    if "@" in host or "$" in address or (number := whole_number(port, 5)) is None or not 0 < number <= 65535:
        return None
    return Target(host=host.strip("[]") or "*", port=number)


def look(ask: Asking, _proxy: Proxy) -> AdminView:
    """Return its view of each server. Raises HostError."""
    if isinstance(ask.door, _Page):
        table = ask.get(ask.door.path).decode("utf-8", "replace")
        return AdminView(peers=tuple(_views(table, {}, "statistics page")))
    table = _answer(ask, "show stat")
    known = addresses(_answer(ask, "show servers state"))
    info = _answer(ask, "show info")
    captured = attempt(lambda: rejected(_answer(ask, "show errors -1 response")))
    views = [
        view if captured is None else replace(view, rejected=captured.get((view.group, view.name), ""))
        for view in _views(table, known, "show stat")
    ]
    if any(view.check == NO_ADDRESS for view in views):
        silent = attempt(lambda: unanswered(_answer(ask, "show resolvers")))
        views = [replace(view, check=NO_ANSWER, reason=silent) if view.check == NO_ADDRESS and silent else view for view in views]
    answered = tuple(errors(table, _uptime_s(info), datetime.now(UTC)))
    return AdminView(peers=tuple(views), version=version(info), answered=answered, tallies=tuple(failed(answered)))


def rejected(text: str) -> dict[tuple[str, str], str]:
    """Return what was wrong with the last response that it could not parse, by backend and server, in an answer to `show errors`.

    Nothing of the response itself is in it.
    """
    found: dict[tuple[str, str], str] = {}
    for match in islice(_EVENT.finditer(text), _MOST_ROWS):
        head = text[match.end() : match.end() + _LONGEST_EVENT]
        place = {name: value for name, value in zip(("at", "in"), _first_of_each(head), strict=True) if value}
        where = f" at byte {place['at']}" if "at" in place else ""
        state = f" ({place['in']})" if "in" in place else ""
        found[match[2], match[3]] = f"its parser stopped{where}{state} on {match[1]}, local time"
    return found


def _first_of_each(head: str) -> tuple[str, str]:
    position, state = "", ""
    for match in _STOPPED.finditer(head):
        position, state = position or match[1] or "", state or match[2] or ""
    return position, state


def unanswered(text: str) -> str:
    """Return in words that no name server answered any question, from an answer to `show resolvers`; "" if one did, or none was
    asked.
    """
    counted: Counter[str] = Counter()
    for match in islice(_COUNTER.finditer(text), _MOST_ROWS):
        counted[match[1]] += int(match[2])
    answers = sum(counted[name] for name in ("valid", "nx", "refused", "other", "any_err", "invalid"))
    lost = counted["timeout"] + counted["snd_error"]
    if answers or not (lost or counted["sent"] >= _ASKED_AGAIN):
        return ""
    told = f", and {lost} were lost" if lost else ""  # a question that the machine of the name server refuses is not counted
    return f"its name has no address: its name servers answered none of {counted['sent']} questions{told}"


def _answer(ask: Asking, words: str) -> str:
    answer = ask.command(words)
    if answer.startswith("Permission denied"):
        raise Denied(f"{words!r} is denied", "raise the `level` of its `stats socket` to operator")
    return answer


def version(text: str) -> str:
    """Return the version in an answer to `show info`; "" if there is none."""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Version:")), "")


def _uptime_s(text: str) -> int | None:
    """Return the seconds since its start in an answer to `show info`; None if there are none."""
    found = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Uptime_sec:")), "")
    return whole_number(found, 9)


def errors(table: str, uptime_s: int | None, now: datetime) -> Iterator[Answered]:
    """Yield where 5xx responses are counted in a table of statistics: a server's are its own, a frontend's are all that
    clients got. Rows without HTTP counters, as in `mode tcp`, have none.
    """
    if uptime_s is None:
        return
    for row in islice(csv.DictReader(table.lstrip("# ").splitlines()), _MOST_ROWS):
        group, name = row.get("pxname") or "", row.get("svname") or ""
        counts = [whole_number(row.get(f"hrsp_{kind}") or "0", 18) or 0 for kind in _RESPONSES]
        if name and name != "BACKEND" and row.get("type") in ("0", "2") and counts[_ERRORS]:
            yield Answered(
                name=f"{_FRONTEND}{group}" if name == "FRONTEND" else f"{group}/{name}",
                responses=sum(counts),
                errors=counts[_ERRORS],
                since=now - timedelta(seconds=uptime_s),
                source=COUNTERS,
            )


def failed(answered: Sequence[Answered]) -> Iterator[Tally]:
    """Yield the 5xx that it counted since its start: those that each server sent, and those that only HAProxy can have sent.

    A frontend counts what its clients got, so what is above the servers' sum is HAProxy's own; of which frontend, only one
    with errors tells. A few among many responses are no sign of a fault.
    """
    fronts = [one for one in answered if one.name.startswith(_FRONTEND)]
    servers = [one for one in answered if not one.name.startswith(_FRONTEND)]
    own = sum(one.errors for one in fronts) - sum(one.errors for one in servers)
    found = [(one, one.name, Symptom.UPSTREAM_STATUS, one.errors) for one in servers]
    if len(fronts) == 1:
        found.append((fronts[0], fronts[0].name.removeprefix(_FRONTEND), Symptom.OWN_STATUS, own))
    for one, group, symptom, count in found:
        if count > FEW * one.responses:
            text = f"{one.name}: {one.errors} 5xx of {one.responses} responses"
            yield Tally(
                symptom=symptom,
                proxy="haproxy",
                group=group,
                program="haproxy",
                count=count,
                first=one.since,
                samples=(Sample(source=one.source, text=text),),
            )


def addresses(text: str) -> dict[tuple[str, str], Target]:
    """Return the present address of each server in an answer to `show servers state`, by backend and server.

    A server whose name has no address has its name as host.
    """
    lines = text.splitlines()
    names = next((line[2:].split() for line in lines if line.startswith("# be_id")), [])
    found: dict[tuple[str, str], Target] = {}
    for line in islice(lines, _MOST_ROWS):
        row = dict(zip(names, line.split(), strict=False)) if line[:1].isdigit() else {}
        host, port = row.get("srv_addr", "-"), whole_number(row.get("srv_port", ""), 5)
        if host in ("-", "0.0.0.0", "::"):
            host = row.get("srv_fqdn", "-")
        if host.startswith("/"):
            found[row["be_name"], row["srv_name"]] = Target.unix(host)
        elif host != "-" and port and port <= 65535:
            found[row["be_name"], row["srv_name"]] = Target(host=host, port=port)
    return found


def _views(table: str, known: Mapping[tuple[str, str], Target], source: str) -> Iterator[PeerView]:
    """Yield the servers in a table of statistics."""
    text = table.lstrip("# ")
    if not text.startswith("pxname,svname,"):
        raise HostError(f"its answer is not a table of statistics: {table[:80]!r}")
    for row in islice(csv.DictReader(text.splitlines()), _MOST_ROWS):
        group, name = row.get("pxname") or "", row.get("svname") or ""
        if name and name not in _GROUPS and row.get("type", "2") == "2":
            yield _view(row, group, name, known.get((group, name)) or Target.parse(row.get("addr") or ""), source)


def _view(row: Mapping[str, str | None], group: str, name: str, target: Target | None, source: str) -> PeerView:
    status = row.get("status") or ""
    check = (row.get("check_status") or "").removeprefix("* ")  # a check is under way
    state = _STATES.get(status.partition(" ")[0], PeerState.UNKNOWN)
    reason = _DRAINED_BY.get(status, "")
    if state in _SERVING and row.get("weight") == "0":
        state = PeerState.DRAINING  # "up", and gets no new clients (doc/management.txt, 9.3: `set server … weight`)
    if status == f"{MAINTENANCE} ({NO_ADDRESS})":
        state, check, reason = PeerState.DOWN, NO_ADDRESS, "its name has no address"
    elif state is not PeerState.UP and row.get("tracked"):
        reason = f"it follows {row['tracked']}"
    elif state is PeerState.DOWN:
        state = PeerState.EJECTED if check == "HANA" else state
        last_check = (row.get("check_code") or "", row.get("last_chk") or "")
        reason = ", ".join(part for part in (row.get("check_desc") or _WORDS.get(check, ""), *last_check) if part)
    return PeerView(
        group=group,
        name=name,
        target=target,
        state=state,
        check=check if state in (PeerState.DOWN, PeerState.EJECTED) else "",
        reason=reason,
        active=whole_number(row.get("scur") or "", 12),
        queued=whole_number(row.get("qcur") or "", 12),
        limit=whole_number(row.get("slim") or "", 12) or None,
        source=source,
    )
