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
from why502.gateways.switch_files import in_force
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.programs import located
from why502.machine.suppliers import ROOT, Rights, supplier_of
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap
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
            proxy = described(host, gateway, config, (name,))
        except HostError as error:
            gaps.append(Gap(source=config, reason=error.reason, hint=error.hint))
            continue
        if proxy.routes:
            reason = f"{service}: {nginx_installed.parse_show(shown)}"
            its_output = LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR)  # contains the reason for a failed start
            logs = (*proxy.logs, its_output)
            found.append(
                msgspec.structs.replace(
                    proxy, exe=located(host, name), unit=service, unit_state=state, why_stopped=reason, logs=logs
                )
            )
    return tuple(found)


def described(host: Host, gateway: Installed, config: str, argv: tuple[str, ...]) -> Proxy:
    """Return the gateway that a configuration file and its includes describe. Its logs are those that have a path.

    argv: the command line that would start it. Raises HostError if the file cannot be read.
    """
    rights = Rights(host, supplier_of(host, config))
    process = Process(pid=0, name=argv[0], argv=argv)
    texts = list(gateway.texts(rights, process, [config]))
    read = understood(gateway, rights, texts, lambda: None)
    return Proxy(
        kind=gateway.KIND,
        config=config,
        prefix=posixpath.dirname(config),
        files=tuple(msgspec.structs.replace(file, owner_uid=rights.supplier(file.path)) for each in read for file in each.files),
        owner_uid=rights.owner_uid,
        routes=(*(route for each in read for route in each.routes), *gateway.lost_routes(rights, texts)),
        upstreams=tuple(group for each in read for group in each.upstreams),
        answers=in_force(rights.own, [answer for each in read for answer in each.answers]),
        listens=tuple(dict.fromkeys(_listens(gateway.listens(texts, read)))),
        logs=tuple(log for log in gateway.logs(rights.own, process, texts, read) if log.path),
        problems=tuple(problem for each in read for problem in each.problems),
        routes_elsewhere=any(each.routes_elsewhere for each in read),
        unused_routes=tuple(route for each in read for route in each.unused_routes),
        attaches_by_default=next((each.attaches_by_default for each in read if each.attaches_by_default is not None), None),
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
