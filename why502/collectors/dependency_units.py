"""The systemd units of an application's dependencies: of those that it is connected to, of databases, caches and queues that
nothing serves any more, and stopped units of the application itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import msgspec

from why502.collectors.idle_units import idle_units
from why502.diagnosis.listening import takes
from why502.diagnosis.need_words import PRODUCTS
from why502.diagnosis.needs import need_of
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import boot_time
from why502.model.process import Process
from why502.model.service import ENDED
from why502.model.snapshot import Dependency, Listener, Snapshot
from why502.model.target import Target
from why502.supervisors.systemd import units as systemd

_UNITS = {"PostgreSQL": ("postgresql*",), "MySQL": ("mysql*", "mariadb*"), "Redis": ("redis*",), "MongoDB": ("mongo*",)}
_UNITS |= {"memcached": ("memcached*",), "RabbitMQ": ("rabbitmq*",), "Elasticsearch": ("elasticsearch*", "opensearch*")}
_PLACES = {product: Target(host="127.0.0.1", port=port) for port, product in PRODUCTS.items() if product in _UNITS}
# message ids of a unit's start and stop (systemd/sd-messages.h)
_STARTED, _STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"


def with_units(host: Host, known: Snapshot, found: list[Dependency], failing: tuple[Target, ...]) -> Iterator[Dependency]:
    """Yield the dependencies with the state of the unit that serves each, or would serve it if nothing listens.

    For failing targets also services that ended or moved in the window: they may be undocumented dependencies.
    """
    wanted = {one.unit for one in found if one.unit}
    silent = {product for one in found if one.is_heard is False and (product := _product(known, one.peer)) in _UNITS}
    missing = [
        (product, place)
        for product, place in _PLACES.items()
        if failing and is_here(known, place) and not listener_at(known, place)
    ]
    silent |= {product for product, _ in missing}
    patterns = [f"{name}.service" for product in silent for name in _UNITS[product]]
    names = [*sorted(wanted), *patterns]
    units: dict[str, dict[str, str]] = {}
    is_there = attempt(partial(host.stat, "/run/systemd/system")) is not None
    if names and is_there:
        units = systemd.units(host, names, timeout_s=1.5)
    boot = boot_time(host) if units else None
    for one in found:
        if one.unit:
            yield msgspec.structs.replace(one, unit_state=systemd.state_of(units.get(one.unit, {})))
            continue
        product = _product(known, one.peer)
        idle = _idle(units, product) if one.is_heard is False else None
        yield _of_unit(one, idle, boot) if idle else one
    ended = stops(host, known.since) if (missing or failing) and is_there and known.since else {}
    for product, place in missing:
        for target in failing:
            if any(one.target == target and one.peer.port == place.port for one in found):
                continue
            gone = Dependency(target=target, peer=place, is_heard=False)
            if (idle := _idle(units, product)) and systemd.stopped_at_micros(idle):
                gone = _of_unit(gone, idle, boot)
            elif unit := next((unit for unit in ended if _is_of(unit, product)), ""):
                gone = msgspec.structs.replace(gone, unit=unit, unit_state="inactive", unit_since=ended[unit])
            elif (moved := elsewhere(known, place) or _other_socket(known, product)) and (
                process := owner_of(known, listener_at(known, moved))
            ):
                gone = msgspec.structs.replace(gone, elsewhere=moved, unit=process.unit, unit_since=process.started_at)
            if gone.unit_since and (known.since is None or gone.unit_since >= known.since):
                yield gone
    if failing and is_there:
        yield from idle_units(host, known, failing, ended)


def _other_socket(known: Snapshot, product: str) -> Target | None:
    """Return another address or path on which a unit of a product listens; None if there is none."""
    units = {process.pid: process.unit for process in known.processes or ()}
    found = (one.target for one in known.listeners or () if any(_is_of(units.get(pid, ""), product) for pid in one.pids))
    return next(found, None)


def _idle(units: dict[str, dict[str, str]], product: str) -> dict[str, str] | None:
    """Return the stopped unit of a product, the one that ran last."""
    idle = [
        unit
        for name, unit in sorted(units.items(), key=lambda item: "@" not in item[0])
        if _is_of(name, product) and unit.get("ActiveState") in ENDED and unit.get("LoadState") in ("loaded", "masked")
    ]
    return max(idle, key=systemd.stopped_at_micros, default=None)


def _is_of(unit: str, product: str) -> bool:
    return any(unit.startswith(pattern.rstrip("*")) for pattern in _UNITS.get(product, ()))


def stops(host: Host, since: datetime) -> dict[str, datetime]:
    """Return the end times of services that ended in the window and were not restarted: systemd forgets a unit without
    references.
    """
    wanted = [f"MESSAGE_ID={message}" for message in (_STARTED, _STOPPED)]
    options = (
        "-q",
        "--no-pager",
        "-o",
        "json",
        "--output-fields=UNIT,MESSAGE_ID",
        "--reverse",
        "-n",
        "500",
        "-S",
        f"@{since.timestamp():.0f}",
    )
    shown = attempt(
        partial(host.run, "journalctl", *options, "_PID=1", *wanted, timeout_s=0.7)
    )  # in total, within the source's time limit
    found: dict[str, datetime] = {}
    for line in reversed(shown.stdout.splitlines() if shown else []):  # with only --since, systemd 252 shows the oldest lines
        try:
            entry = json.loads(line)
            unit, at = str(entry["UNIT"]), datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            continue
        if entry.get("MESSAGE_ID") == _STOPPED:
            found[unit] = at
        else:
            found.pop(unit, None)
    return found


def _of_unit(one: Dependency, unit: dict[str, str], boot: datetime | None) -> Dependency:
    since = systemd.stopped_at(unit, boot)
    return msgspec.structs.replace(one, unit=unit["Id"], unit_state=systemd.state_of(unit), unit_since=since)


def _product(known: Snapshot, peer: Target) -> str:
    needs = (need_of(event.detail) for event in known.events or ())
    named = next((need.product for need in needs if need and need.place and need.place.port == peer.port and need.product), "")
    return (
        named
        or PRODUCTS.get(peer.port, "")
        or ("PostgreSQL" if ".s.PGSQL" in peer.path else "MySQL" if "mysql" in peer.path else "")
    )


def is_here(known: Snapshot, peer: Target) -> bool:
    """Return whether an address is this machine's own, and its listeners are known."""
    return known.listeners is not None and (peer.is_loopback or peer.host in (known.addresses or ()))


def listener_at(known: Snapshot, peer: Target) -> Listener | None:
    """Return what listens on an address or path; None if nothing does."""
    same = {"/var" + peer.path, peer.path.removeprefix("/var")} if peer.is_unix else set()
    return next((one for one in known.listeners or () if takes(one, peer) or (one.target.path in same and one.target.path)), None)


def elsewhere(known: Snapshot, peer: Target) -> Target | None:
    """Return another address with a listener on the same port."""
    return next((one.target for one in known.listeners or () if peer.port and one.target.port == peer.port), None)


def owner_of(known: Snapshot, listener: Listener | None) -> Process | None:
    """Return a process that holds a listener; None if there is none."""
    return next((p for p in known.processes or () if listener and p.pid in listener.pids), None)
