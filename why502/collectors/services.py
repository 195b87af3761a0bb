"""The services behind the targets as their service managers report them, and processes that no manager controls.

A service is found from the process that listens on the target. If nothing listens, it is found from addresses in its command,
variables, scripts or journal, never from a similar name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from time import monotonic
from types import ModuleType

import msgspec

from why502 import registry
from why502.collectors import owners
from why502.collectors.base import CollectOptions, Found
from why502.collectors.worker_limits import with_limit
from why502.diagnosis.targets import peer_sets, routes
from why502.host import waiting
from why502.host.base import Host
from why502.logs.detect import parse_any
from why502.machine import suppliers
from why502.machine.answers import Answers
from why502.machine.process_table import ProcessTable
from why502.model.container import Container
from why502.model.errors import Expired, HostError
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.service import Service
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target
from why502.redaction import redact
from why502.supervisors.base import ADDRESS_TAKEN, LISTENS, UNLINKED, Look, is_of_container, merge

SECTION = "services"
NEEDS = ("containers", "processes")
WINDOW = timedelta(minutes=15)
MANAGERS = tuple(registry.parts("why502.supervisors", "manager"))
PATIENCE_S = 4.5  # a machine in trouble answers slowly; an idle one in a tenth of a second
LIMIT_S = PATIENCE_S + 0.4
_Answers = Answers[tuple[Service, ...] | HostError]


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Service, ...]]:
    """Return the services behind the targets on this machine; none for remote targets. Raises HostError."""
    look = look_of(host, known)
    if not look.owners:
        return Found(())
    deadline = monotonic() + PATIENCE_S
    answers: list[tuple[ModuleType, _Answers]] = []
    for manager in MANAGERS:
        answer: _Answers = Answers()
        threading.Thread(target=_ask, args=(manager, host, look, answer), name=_name(manager), daemon=True).start()
        answers.append((manager, answer))
    found: list[Service] = []
    ended: list[Service] = []
    gaps: list[Gap] = []
    for manager, answer in answers:
        result, is_whole = answer.last(deadline)
        if not is_whole:
            gaps.append(Gap(source=_name(manager), reason=f"did not answer within {PATIENCE_S:g} s", section=SECTION))
        if isinstance(result, HostError):
            late = SECTION if isinstance(result, Expired) else ""
            gaps.append(Gap(source=_name(manager), reason=result.reason, hint=result.hint, section=late))
        elif result is not None:
            ended += (service for service in result if not service.targets)
            found += (kept for service in result if (kept := _without_others(look, service)).targets)
    found += _started_in_vain(look, found, ended)
    served = {target for service in found for target in service.targets}
    found += _bare(look, {target for target, pids in look.owners.items() if pids and target not in served})
    found = list(_roots_first(look, found))
    services = sorted(_inner_first(_prefer_stopped(look, found)), key=lambda service: service.is_running is False)
    unlinked = (service for service in ended if service.link == UNLINKED)
    limited = (with_limit(host, service, _listening(look, service)) for service in services)
    return Found(tuple(_without_secrets(service) for service in (*limited, *unlinked)), (*gaps, *look.gaps))


def _listening(look: Look, service: Service) -> Iterator[Process]:
    """Yield the processes that listen on a target of a service, each once."""
    pids = dict.fromkeys(pid for target in service.targets for pid in look.owners.get(target, ()))
    yield from (process for pid in pids if (process := look.processes.get(pid)) is not None)


def _started_in_vain(look: Look, found: list[Service], ended: list[Service]) -> Iterator[Service]:
    """Yield the one application that a manager starts in vain, with the targets that nothing listens on
    and that are known to be those of that manager's own unit alone.
    """
    for service in ended:
        unit = service.manager_unit
        is_only = bool(unit) and [other.manager_unit for other in ended].count(unit) == 1
        whole = service
        for target in look.silent if is_only else ():
            if {other.name for other in found if target in other.targets} == {unit}:
                whole = merge(whole, target, f"no other application of {unit} has ended")
        if whole.targets:
            yield whole


def look_of(host: Host, known: Snapshot) -> Look:
    """Return the query for the managers. Raises HostError."""
    until = known.until or known.taken_at
    stats = ProcessTable(host).stats()
    listening = owners.owners(known)
    containers = known.containers or ()
    addresses = frozenset(address for container in containers for address in container.addresses)
    here = {  # if its process has ended since, a target has no listener
        target: tuple(pid for pid in listening.get(target, ()) if pid in stats)
        for target in owners.wanted(known)
        if _is_here(known, target) or target in listening or target.host in addresses or _is_named(containers, target)
    }
    parents = {pid: stat.ppid for pid, stat in stats.items()}
    taken = {pid for pids in listening.values() for pid in pids}
    alone = {pid for listener in known.listeners or () for pid in listener.pids if listener.target.port} - taken
    return Look(
        unrelated=frozenset(alone | {parents.get(pid, 0) for pid in alone}),
        owners=here,
        processes={process.pid: process for process in known.processes or ()},
        parents=parents,
        names={pid: stat.name for pid, stat in stats.items()},
        pools=known.php_pools or (),
        containers=containers,
        called=called(known, here),
        networks=frozenset(proxy.network for proxy in known.proxies or () if proxy.is_running) or frozenset({""}),
        since=known.since or until - WINDOW,
        until=until,
    )


def _is_named(containers: tuple[Container, ...], target: Target) -> bool:
    return bool(target.host) and any(container.is_called(target.host) for container in containers)


def called(known: Snapshot, targets: Iterable[Target]) -> dict[Target, tuple[str, ...]]:
    """Return the names by which the gateways' configurations may mean each of these targets: those with its port."""
    names: dict[int, dict[str, None]] = {}
    for peers in peer_sets(routes(known)):
        for peer in peers:
            if peer.target is not None and not peer.target.is_address:
                names.setdefault(peer.target.port, {})[peer.target.host] = None
    own = {peer.target for peers in peer_sets(routes(known)) for peer in peers if peer.target and peer.target.is_address}
    return {
        target: (target.host,) if not target.is_address else tuple(names.get(target.port, ())) if target not in own else ()
        for target in targets
        if not target.is_unix
    }


def _is_here(known: Snapshot, target: Target) -> bool:
    """Return whether the address belongs to this machine, or to a network of its containers."""
    return target.is_loopback or target.host in (known.addresses or ()) or is_of_container(target)


def _ask(manager: ModuleType, host: Host, look: Look, answer: _Answers) -> None:
    """Put the services found so far if a manager has `parts`, then all of them, then None."""
    waiting.hint(PATIENCE_S / 2)
    try:
        if parts := getattr(manager, "parts", None):
            for part in parts(host, look):
                answer.put(part)
        else:
            answer.put(manager.services(host, look))
    except HostError as error:
        answer.put(error)
    except Exception as error:  # a bug in one manager does not affect the others
        answer.put(HostError(f"internal error: {type(error).__name__}: {error}", "report it: this is a bug in why502"))
    answer.end()


def _roots_first(look: Look, found: list[Service]) -> Iterator[Service]:
    """Yield the services. Other users' services lose the targets without a listener that root's services name, and their
    commands.

    Anybody can run a manager that names any target and choose any service names. Its services start with that user's rights,
    so no command of root's applies: `pm2 restart NAME` would ask root's pm2, and restart everything there if NAME is `all`.
    """
    ours = (suppliers.ROOT, os.geteuid())
    taken: dict[Target, set[str]] = {}
    for service in found:
        for target in service.targets if service.owner_uid in ours else ():
            if not look.owners[target]:
                taken.setdefault(target, set()).add(service.name)
    for service in found:
        own = {service.manager_unit}  # the root unit that starts this same manager does not compete with it
        if service.owner_uid in ours:
            yield service
        elif left := tuple(target for target in service.targets if not taken.get(target, own) - own):
            yield msgspec.structs.replace(service, targets=left, start_argv=())


def _without_others(look: Look, service: Service) -> Service:
    """Return a service that listens nowhere without the targets that others listen on, unless it reports that its address is
    taken.
    """
    is_other = service.is_running is False or " names " in service.link
    if not is_other or service.link.startswith(ADDRESS_TAKEN) or any(_reports_address_taken(text) for text in service.reason):
        return service
    return msgspec.structs.replace(service, targets=tuple(t for t in service.targets if not look.owners[t]))


def _reports_address_taken(text: str) -> bool:
    record = parse_any(text)
    return record is not None and record.symptom is Symptom.ADDRESS_IN_USE


def _name(manager: ModuleType) -> str:
    return manager.__name__.split(".")[-2]


def _without_secrets(service: Service) -> Service:
    return msgspec.structs.replace(service, argv=tuple(redact(word) for word in service.argv))


def _prefer_stopped(look: Look, found: list[Service]) -> list[Service]:
    """Return the services; running ones lose the targets without a listener that a stopped service names as well."""
    missed = {target for service in found if service.is_running is False for target in service.targets if not look.owners[target]}
    kept = (
        msgspec.structs.replace(service, targets=tuple(t for t in service.targets if t not in missed))
        if service.is_running
        else service
        for service in found
    )
    return [service for service in kept if service.targets]


def _inner_first(found: list[Service]) -> Iterator[Service]:
    """Yield the manager nearest to the process first: pm2, supervisord and containers run below a systemd unit."""
    inner = [service for service in found if service.manager != "systemd"]
    taken = {target for service in inner for target in service.targets}
    yield from inner
    for service in found:
        if service.manager == "systemd":
            left = tuple(target for target in service.targets if target not in taken)
            if left:
                yield msgspec.structs.replace(service, targets=left)


def _bare(look: Look, silent: set[Target]) -> Iterator[Service]:
    """Yield the processes that listen on a target and that no manager would restart."""
    by_pid: dict[int, list[Target]] = {}
    for target in silent:
        by_pid.setdefault(look.owners[target][0], []).append(target)
    for pid, mine in by_pid.items():
        process = look.processes.get(pid)
        if process is not None:
            yield Service(
                manager="none",
                name=process.name,
                state="running",
                is_running=True,
                main_pid=pid,
                started_at=process.started_at,
                argv=process.argv,
                targets=tuple(sorted(mine)),
                link=f"{LISTENS}; no service manager manages it",
            )
