"""The rules of this machine's packet filter (`firewall`), if a connection was refused, rejected or not answered.

They are read with nft(8); rules of iptables that nft cannot show, with iptables-save(8). Nothing is changed. Each container has a
packet filter of its own: those of a proxy's namespace and of a failing target's are read with the machine's own programs, which
nsenter(1) starts in there; no file of a container is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.diagnosis.homes import Homes
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.firewall import iptables, nft
from why502.model.errors import HostError
from why502.model.firewall import FirewallRule
from why502.model.logs import Symptom
from why502.model.snapshot import Gap, NetworkSpace, Snapshot

SECTION = "firewall"
NEEDS = ("probes", "networks")
LIMIT_S = 3.5
NETWORKS = 4  # maximum of other namespaces whose rules are read
_EACH_S = 1.0
_SYMPTOMS = frozenset({Symptom.CONNECT_TIMED_OUT, Symptom.CONNECT_REFUSED, Symptom.CONNECT_DENIED, Symptom.HOST_UNREACHABLE})
_LEGACY = "net/ip_tables_names"  # below /proc or /proc/PID: the tables of the old iptables, which nft does not know


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[FirewallRule, ...]]:
    """Return the rules with a verdict. None if no connection failed, or they could not be read, which a gap explains."""
    return list(parts(host, known, options))[-1]


def parts(host: Host, known: Snapshot, options: CollectOptions) -> Iterator[Found[tuple[FirewallRule, ...]]]:
    """Yield the rules of our own namespace, then again with those of the containers that matter."""
    if options.offline or not _is_wanted(known):
        yield Found(None)
        return
    read = _read(host)
    gaps = [] if read.rules is not None else [_gap(f"its rules were not read: {read.reason}")]
    yield Found(read.rules, tuple(gaps))
    rules = read.rules
    for space in _spaces(known):
        inside = _read_inside(host, space)
        if inside.rules is None:
            gaps.append(_gap(f"the rules inside {_shown_name(space)} were not read: {inside.reason}"))
        else:
            rules = (*(rules or ()), *(msgspec.structs.replace(rule, network=space.inode) for rule in inside.rules))
    yield Found(rules, tuple(gaps))


def _gap(reason: str) -> Gap:
    return Gap(source="firewall", reason=reason, hint="run as root")


def _shown_name(space: NetworkSpace) -> str:
    return f"container {space.name}" if space.container else space.name


def _spaces(known: Snapshot) -> list[NetworkSpace]:
    """Return the other namespaces that failed connections come from, and those that they go to."""
    told = {(tally.proxy, tally.target) for tally in (known.logs.tallies if known.logs else ()) if tally.symptom in _SYMPTOMS}
    failed = {target for _, target in told if target} | {one.target for one in known.probes or () if one.symptom in _SYMPTOMS}
    homes = Homes(known)
    found: dict[str, None] = {}
    for proxy in known.proxies or ():
        if proxy.is_running:
            found[proxy.network] = None
            found |= {home: None for target in sorted(failed) if (home := homes.of(target, proxy.network))}
    return [homes.spaces[inode] for inode in found if inode in homes.spaces][:NETWORKS]


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of one namespace; None if they could not be read, with the reason."""

    rules: tuple[FirewallRule, ...] | None
    reason: str = ""


def _read_inside(host: Host, space: NetworkSpace) -> _Rules:
    """Return the rules of another namespace, if it is still that of the process that led there."""
    path = f"/proc/{space.pid}/ns/net"
    read = _read(host, f"/proc/{space.pid}", ("nsenter", f"--net={path}"))
    if attempt(partial(host.link, path)) != f"net:[{space.inode}]":
        return _Rules(None, "its process has ended")
    return read


def _read(host: Host, proc: str = "/proc", enter: tuple[str, ...] = ()) -> _Rules:
    """Return the rules of our own namespace, or of the one that a command enters."""
    shown = _shown(host, *enter, "nft", "-j", "list", "ruleset")
    rules, is_partial = nft.parse(shown.output) if shown.output else ([], True)
    has_legacy = bool(attempt(partial(host.read, f"{proc}/{_LEGACY}")))
    saved: list[_Shown] = []
    if is_partial or has_legacy:
        for family, program in (("ip", "iptables-save"), ("ip6", "ip6tables-save")):
            names = (program, program.replace("tables-", "tables-legacy-")) if has_legacy else (program,)
            for name in names:
                saved.append(_shown(host, *enter, name, "-c"))
                rules += iptables.parse(saved[-1].output, family)
    if not shown.output and not any(each.output for each in saved):
        return _Rules(None, shown.reason or "it shows nothing")
    return _Rules(tuple(_unique(rules))[: nft.MOST])


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a program wrote, or why it did not."""

    output: str = ""
    reason: str = ""


def _shown(host: Host, *argv: str) -> _Shown:
    try:
        done = host.run(*argv, timeout_s=_EACH_S)
    except HostError as error:
        return _Shown(reason=f"{argv[0]}: {error.reason}")
    if done.status:
        return _Shown(reason=f"{argv[0]}: {done.stderr.strip().partition(chr(10))[0][:200]}")
    return _Shown(done.stdout)


def _is_wanted(known: Snapshot) -> bool:
    """Return whether a connection failed in a way that a firewall can cause."""
    told = [tally.symptom for tally in (known.logs.tallies if known.logs else ())]
    return not _SYMPTOMS.isdisjoint([*told, *(probe.symptom for probe in known.probes or ())])


def _unique(rules: Iterable[FirewallRule]) -> Iterable[FirewallRule]:
    """Return the rules without those that a second program has listed again."""
    return dict.fromkeys(rules)
