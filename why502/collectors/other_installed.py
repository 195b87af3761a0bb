"""A stopped gateway other than nginx that should run: its configuration, its unit's state, and the location of its last
messages.

It should run if its unit is enabled or failed; an installed gateway that was never enabled does not count. Sources:
systemd.unit(5), systemctl(1); configuration manual of HAProxy; core documentation of httpd (Listen).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from why502.gateways.nginx import installed as nginx_installed
from why502.gateways.running import Installed, installed, understood
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import ROOT, Rights, supplier_of
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Process, Proxy
from why502.model.target import Target

_RUNS = ("active", "reloading", "refreshing")


def all_stopped(host: Host, running: Iterable[Proxy], gaps: list[Gap]) -> tuple[Proxy, ...]:
    """Return the stopped gateways that should run and have routes."""
    kinds = {proxy.kind for proxy in running if proxy.owner_uid == ROOT and not proxy.root}
    found = []
    for gateway, name, service in ((each, name, unit) for each in installed() for name, unit in each.UNITS.items()):
        config = gateway.MAIN[name]
        if gateway.KIND in kinds or attempt(partial(host.stat, config)) is None:
            continue
        shown = nginx_installed.shown(host, service)
        state = nginx_installed.parse_state(shown)
        if nginx_installed.parse_active(shown) in _RUNS or not (state == "failed" or state.startswith("enabled")):
            continue
        try:
            proxy = _stopped(host, gateway, name, config)
        except HostError as error:
            gaps.append(Gap(source=config, reason=error.reason, hint=error.hint))
            continue
        if proxy.routes:
            reason = f"{service}: {nginx_installed.parse_show(shown)}"
            found.append(msgspec.structs.replace(proxy, unit=service, unit_state=state, why_stopped=reason))
    return tuple(found)


def _stopped(host: Host, gateway: Installed, name: str, config: str) -> Proxy:
    """Return the gateway described by its files. Raises HostError."""
    rights = Rights(host, supplier_of(host, config))
    process = Process(pid=0, name=name, argv=(name,))
    texts = list(gateway.texts(rights, process, [config]))
    read = understood(gateway, texts, lambda: None)
    logs = (log for log in gateway.logs(rights.own, process, texts, read) if log.path)
    return Proxy(
        kind=gateway.KIND,
        config=config,
        prefix=posixpath.dirname(config),
        files=tuple(msgspec.structs.replace(file, owner_uid=rights.supplier(file.path)) for each in read for file in each.files),
        owner_uid=rights.owner_uid,
        routes=tuple(route for each in read for route in each.routes),
        upstreams=tuple(group for each in read for group in each.upstreams),
        listens=tuple(dict.fromkeys(_listens(gateway.listens(texts, read)))),
        logs=(*logs, LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR)),  # contains the reason for a failed start
    )


def _listens(written: Iterable[str]) -> Iterator[Target]:
    """Yield the addresses of bind or Listen; a port alone means every address."""
    for words in written:
        for word in words.split(" ")[0].split(","):
            host, _, port = word.rpartition(":")
            if word.startswith(("/", "unix@")):
                yield Target.unix(word.removeprefix("unix@"))
            elif port.isascii() and port.isdecimal() and int(port) <= 65535:
                name = host.rpartition("@")[2].strip("[]")
                yield Target(host="0.0.0.0" if name in ("", "*") else name, port=int(port))
