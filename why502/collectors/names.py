"""The current addresses of peer names: from the system, as nginx resolves them at start, and from the `resolver` of a route.

Without a resolver nginx asks once, by getaddrinfo() (ngx_inet_resolve_host), so the hosts file counts. Its own resolver
asks the given name servers only, for A and AAAA, each time (ngx_resolver.c).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.collectors.name_server import ask_server
from why502.diagnosis.targets import peer_sets
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.config import Peer
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.service import ENDED
from why502.model.snapshot import Gap, Lookup, Resolution, Snapshot
from why502.model.target import Target
from why502.supervisors.systemd import units as systemd

SECTION = "names"
NEEDS = ("logs", "socket_names")
LIMIT_S = 8.0
QUESTIONS = 64
AT_ONCE = 16

_SYSTEM_S = 2.5
_NAME = lazy(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_FAILED = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED, Symptom.NO_RESOLVER})
_HOSTS, _RESOLV, _NSSWITCH = "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"
_SOURCES = ("files", "dns")
_SERVERS, _DOMAINS = 2, 6  # maximum that are asked, and appended
_STUB = "systemd-resolved"
_NAME_SERVERS = ("dnsmasq", "unbound", "named", "bind9", "pdns-recursor", "coredns", "knot-resolver", _STUB)
_SERVER_FAILURES = frozenset({Lookup.FAILED, Lookup.TIMED_OUT})


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Resolution, ...]]:
    """Return what each name resolves to in each source. Name servers are queried only if probes are allowed."""
    gaps: list[Gap] = []
    questions: dict[tuple[str, ...], Callable[[], Resolution]] = {}
    missed = frozenset(_logged(known))
    for proxy in known.proxies or ():
        for name in _names(proxy, known):
            question = partial(_by_system, host, proxy, name, options, is_missed=name in missed)
            questions.setdefault((name, proxy.root, proxy.network), question)
        for name, server, with_v6 in _at_run_time(proxy, known):
            if options.probes:
                question = partial(_by_resolver, host, proxy, name, server, with_v6)
                questions.setdefault((name, server, proxy.root, proxy.network), question)
            else:
                gaps.append(Gap(source="names", reason=f"name server {server} was not queried: --no-probe"))
    if len(questions) > QUESTIONS:
        gaps.append(Gap(source="names", reason=f"only {QUESTIONS} of {len(questions)} name queries were sent"))
    found = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="names") as pool:
        for answer in pool.map(_answer, list(questions.values())[:QUESTIONS]):
            if isinstance(answer, HostError):
                gaps.append(Gap(source="names", reason=answer.reason, hint=answer.hint))
            else:
                found.append(answer)
    return Found(tuple(dict.fromkeys(_with_units(host, found))), tuple(dict.fromkeys(gaps)))


def _with_units(host: Host, found: list[Resolution]) -> Iterator[Resolution]:
    """Yield the answers, with the stopped unit of each name server of this machine that fails.

    Only a unit that ran since boot counts, and only if it is the only one: another may never have served the proxy.
    """
    failing = [one for one in found if one.is_resolver and one.outcome in _SERVER_FAILURES and _is_here(one)]
    if not failing or attempt(partial(host.stat, "/run/systemd/system")) is None:
        yield from found
        return
    units = systemd.units(host, (f"{name}.service" for name in _NAME_SERVERS), timeout_s=1.5)
    for one in found:
        names = (_STUB,) if one.source.startswith("127.0.0.53") else _NAME_SERVERS
        ended = [unit for name in names if (unit := units.get(f"{name}.service")) and _ran_before(unit)]
        if one in failing and len(ended) == 1:
            yield msgspec.structs.replace(one, unit=ended[0]["Id"], unit_state=systemd.state_of(ended[0]))
        else:
            yield one


def _is_here(one: Resolution) -> bool:
    server = Target.parse(one.source)
    return server is not None and server.is_loopback and not one.network


def _ran_before(unit: dict[str, str]) -> bool:
    is_known = unit.get("LoadState") in ("loaded", "masked")
    return unit.get("ActiveState") in ENDED and is_known and systemd.stopped_at_micros(unit) > 0


def parse_ahosts(output: str) -> tuple[str, ...]:
    """Return the addresses in the output of `getent ahosts`, each once."""
    first = (line.split()[0] for line in output.splitlines() if line.strip())
    return tuple(dict.fromkeys(word for word in first if _is_address(word)))


def parse_hosts(content: bytes, name: str) -> tuple[str, ...]:
    """Return the addresses of a name in a hosts file (hosts(5)), ignoring case."""
    found = []
    for line in content.decode("utf-8", "replace").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name.rstrip(".").lower() in (other.lower() for other in names) and _is_address(address):
            found.append(address)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Search:
    """A resolv.conf(5): the servers, the domains to append, and how many dots make a name be asked for as it is first."""

    servers: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    dots: int = 1

    def candidates(self, name: str) -> tuple[str, ...]:
        """Return the names to ask for, in order."""
        if name.endswith("."):
            return (name,)
        longer = tuple(f"{name}.{domain.strip('.')}" for domain in self.domains if domain.strip("."))
        return tuple(dict.fromkeys((name, *longer) if name.count(".") >= self.dots else (*longer, name)))


def parse_lookup(content: bytes) -> Search:
    """Return the settings in a resolv.conf(5)."""
    domains: tuple[str, ...] = ()
    dots = 1
    for words in (line.split() for line in content.decode("utf-8", "replace").splitlines()):
        if words[:1] in (["search"], ["domain"]):
            domains = tuple(word for word in words[1 : 1 + _DOMAINS] if _NAME.fullmatch(word.strip(".")))
        for option in words[1:] if words[:1] == ["options"] else ():
            if option.startswith("ndots:") and option[6:].isdecimal():
                dots = min(int(option[6:]), 15)  # RES_MAXNDOTS
    return Search(parse_name_servers(content), domains, dots)


def parse_sources(content: bytes) -> tuple[str, ...]:
    """Return where host names are looked up: "files" and "dns" in their order in an nsswitch.conf(5), by default files first."""
    for line in content.decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["hosts:"]:
            found = tuple(word for word in words[1:] if word in _SOURCES)
            return found or _SOURCES
    return _SOURCES


def parse_name_servers(content: bytes) -> tuple[str, ...]:
    """Return the servers in a resolv.conf(5)."""
    lines = (line.split() for line in content.decode("utf-8", "replace").splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]))


def resolver_servers(args: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Return the servers of a `resolver` directive as written, and whether it resolves IPv6 addresses."""
    words = tuple(args)
    return tuple(word for word in words if "=" not in word and "$" not in word), "ipv6=off" not in words


def _answer(question: Callable[[], Resolution]) -> Resolution | HostError:
    try:
        return question()
    except HostError as error:
        return error


def _names(proxy: Proxy, known: Snapshot) -> list[str]:
    """Return the names of peers, and names that failed in the logs."""
    return list(dict.fromkeys((*_peer_names(peer for peers in peer_sets(proxy.routes) for peer in peers), *_logged(known))))


def _peer_names(peers: Iterable[Peer]) -> Iterator[str]:
    for peer in peers:
        if peer.target is not None and not peer.target.is_address and _NAME.fullmatch(peer.target.host):
            yield peer.target.host


def _logged(known: Snapshot) -> Iterator[str]:
    for tally in known.logs.tallies if known.logs else ():
        host = tally.detail.partition(":")[0].strip('"')
        if tally.symptom in _FAILED and _NAME.fullmatch(host) and not _is_address(host):
            yield host


def _at_run_time(proxy: Proxy, known: Snapshot) -> Iterator[tuple[str, str, bool]]:
    """Yield the names that nginx resolves at run time, the server it would query, and whether for IPv6."""
    logged = tuple(_logged(known))
    open_sets = {id(peers): any(_peer_names(peers)) for peers in peer_sets(proxy.routes)}
    for route in proxy.routes:
        if not (open_sets[id(route.peers)] or (route.has_variables and logged)):
            continue
        setting = route.setting("resolver")
        servers, with_v6 = resolver_servers(setting.args if setting else route.resolver)
        names = _peer_names(peer for peer in route.peers if peer.resolves or route.has_variables)
        for name in dict.fromkeys((*names, *(logged if route.has_variables else ()))):
            yield from ((name, server, with_v6) for server in servers)


def _by_system(host: Host, proxy: Proxy, name: str, options: CollectOptions, *, is_missed: bool) -> Resolution:
    if proxy.root or proxy.network:
        acting = host.acting_as(proxy.owner_uid)
        seen = acting.inside(proxy.root) if proxy.root else acting
        if proxy.network or attempt(partial(seen.read, _RESOLV)) != attempt(partial(host.read, _RESOLV)):
            return _inside(acting, seen, proxy, name, options)
        if addresses := parse_hosts(attempt(partial(seen.read, _HOSTS)) or b"", name):
            return Resolution(name=name, source=_HOSTS, addresses=addresses)
    done = host.run("getent", "ahosts", name, timeout_s=_SYSTEM_S)
    if addresses := parse_ahosts(done.stdout):
        in_file = parse_hosts(attempt(partial(host.read, _HOSTS)) or b"", name)
        source = _HOSTS if in_file and set(addresses) <= set(in_file) else "system"
        servers = _own_servers(host, name) if options.probes and is_missed else ()
        return Resolution(name=name, source=source, addresses=addresses, servers=servers)
    return _failure(host, name, options)


def _inside(acting: Host, seen: Host, proxy: Proxy, name: str, options: CollectOptions) -> Resolution:
    """Return what a name resolves to in the network namespace and with the files of a proxy, as getaddrinfo(3) would find it.

    No program of the container is run. Raises HostError if the files or the namespace cannot be read.
    """
    in_file = parse_hosts(attempt(partial(seen.read, _HOSTS)) or b"", name)
    by_file = Resolution(name=name, source=_HOSTS, addresses=in_file, network=proxy.network)
    sources = parse_sources(attempt(partial(seen.read, _NSSWITCH)) or b"")
    if in_file and sources[:1] == ("files",):
        return by_file
    if not options.probes:
        if in_file:
            return by_file
        raise HostError(f"name servers of process {proxy.pid} were not queried for {name}: --no-probe")
    lookup = parse_lookup(seen.read(_RESOLV, limit_bytes=1 << 16))
    found: Resolution | None = None
    for candidate in lookup.candidates(name):
        answer = _by_servers(acting, proxy, candidate, lookup.servers)
        if answer.addresses or answer.outcome in _SERVER_FAILURES:
            found = answer
            break
        found = found or answer
    if found is None:
        raise HostError(f"{proxy.root}{_RESOLV} names no name server for {name}")
    if not found.addresses and in_file:
        return by_file
    as_name = f"{found.name}: " if found.name != name and found.detail else ""
    servers = (Target.parse(found.source) or Target()).host if found.addresses else ""
    return msgspec.structs.replace(
        found, name=name, detail=as_name + found.detail, is_resolver=False, servers=(servers,) if servers else ()
    )


def _by_servers(acting: Host, proxy: Proxy, name: str, servers: tuple[str, ...]) -> Resolution:
    """Return the answer of the first name server that gives one; if none does, how the first one failed. Raises HostError."""
    found: Resolution | None = None
    for server in servers[:_SERVERS]:
        target = Target(host=server, port=53)
        answer = ask_server(acting, name, target, is_resolver=False, network_of=proxy.away)
        if answer.outcome not in _SERVER_FAILURES:
            return answer
        found = found or answer
    if found is None:
        raise HostError(f"process {proxy.pid} has no name server")
    return found


def _own_servers(host: Host, name: str) -> tuple[str, ...]:
    """Return the machine's name servers that resolve a name."""
    servers = parse_name_servers(attempt(partial(host.read, _RESOLV)) or b"")[:2]
    return tuple(x for x in servers if ask_server(host, name, Target(host=x, port=53), is_resolver=False).outcome is Lookup.OK)


def _failure(host: Host, name: str, options: CollectOptions) -> Resolution:
    """Return why the system finds no address: getent reports "no such name" and "no answer" alike, its servers do not."""
    servers = parse_name_servers(attempt(partial(host.read, _RESOLV)) or b"") if options.probes else ()
    answers = [ask_server(host, name, Target(host=server, port=53), is_resolver=False) for server in servers[:2]]
    answers.sort(key=lambda answer: answer.outcome in (Lookup.FAILED, Lookup.TIMED_OUT))  # a server that resolves it comes first
    if answers and answers[0].outcome is not Lookup.OK:
        answer = answers[0]
        return Resolution(name=name, outcome=answer.outcome, detail=f"{answer.source}: {answer.detail or answer.outcome}")
    return Resolution(name=name, outcome=Lookup.NOT_FOUND, detail="getent ahosts finds nothing")


def _by_resolver(host: Host, proxy: Proxy, name: str, server: str, with_v6: bool) -> Resolution:
    target = Target.parse(server)
    if target is None:
        raise HostError(f"{server} is not a name server")
    acting = host.acting_as(proxy.owner_uid)
    if not _is_address(target.host):
        addresses = _by_system(host, proxy, target.host, CollectOptions(), is_missed=False).addresses
        if not addresses:
            return Resolution(
                name=name,
                source=server,
                outcome=Lookup.FAILED,
                detail=f"{server} has no address",
                is_resolver=True,
                network=proxy.network,
            )
        target = Target(host=addresses[0], port=target.port)
    asked = Target(host=target.host, port=target.port or 53)
    return ask_server(acting, name, asked, with_v6=with_v6, network_of=proxy.away)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
