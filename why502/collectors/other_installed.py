"""An HAProxy or Apache httpd that is expected to run and does not: its configuration, its unit's state, and where its last words are.

Expected is one whose unit is enabled, or failed: what is installed and was never switched on is nobody's gateway. Sources: systemd.unit(5),
systemctl(1); configuration manual of HAProxy; core documentation of httpd (Listen).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from why502.collectors import other_running
from why502.config.configuration import Configuration
from why502.gateways.apache import config as apache
from why502.gateways.haproxy import config as haproxy
from why502.gateways.nginx import installed as nginx_installed
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import ROOT, Rights, supplier_of
from why502.model.config import LogTarget
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Process, Proxy
from why502.model.target import Target

# Product, name of its process, service: as distributions place them.
_PLACES = (
    ("haproxy", "haproxy", "haproxy.service"),
    ("apache", "apache2", "apache2.service"),
    ("apache", "httpd", "httpd.service"),
)
_RUNS = ("active", "reloading", "refreshing")
_LISTEN = re.compile(r"^[ \t]*Listen[ \t]+([^\s#]+)", re.MULTILINE | re.IGNORECASE)


def all_stopped(host: Host, running: Iterable[Proxy], gaps: list[Gap]) -> tuple[Proxy, ...]:
    """Return those that pass requests on, are expected to run, and do not."""
    kinds = {proxy.kind for proxy in running if proxy.owner_uid == ROOT and not proxy.root}
    found = []
    for kind, name, service in _PLACES:
        config = other_running.MAIN[name]
        if kind in kinds or attempt(partial(host.stat, config)) is None:
            continue
        shown = nginx_installed.shown(host, service)
        state = nginx_installed.parse_state(shown)
        if nginx_installed.parse_active(shown) in _RUNS or not (state == "failed" or state.startswith("enabled")):
            continue
        try:
            proxy = _stopped(host, kind, name, config)
        except HostError as error:
            gaps.append(Gap(source=config, reason=error.reason, hint=error.hint))
            continue
        if proxy.routes:
            reason = f"{service}: {nginx_installed.parse_show(shown)}"
            found.append(msgspec.structs.replace(proxy, unit=service, unit_state=state, why_stopped=reason))
    return tuple(found)


def _stopped(host: Host, kind: str, name: str, config: str) -> Proxy:
    """Return what its files say. Raises HostError."""
    rights = Rights(host, supplier_of(host, config))
    process = Process(pid=0, name=name, argv=(name,))
    logs: tuple[LogTarget, ...]
    if kind == "haproxy":
        texts = list(other_running.haproxy_texts(rights, [config]))
        read: list[Configuration] = [haproxy.load(text, path) for path, text in texts]
        written = [word for each in read for route in each.routes for word in route.listens]
        logs = tuple(log for log in other_running.haproxy_logs(rights.own) if log.path)
    else:
        texts = list(other_running.apache_texts(rights, process, config))
        read = [apache.load(text, path) for path, text in texts]
        written = [match[1] for _, text in texts for match in _LISTEN.finditer(text)]
        logs = tuple(other_running.apache_logs(texts, process))
    return Proxy(
        kind=kind,
        config=config,
        prefix=posixpath.dirname(config),
        files=tuple(msgspec.structs.replace(file, owner_uid=rights.supplier(file.path)) for each in read for file in each.files),
        owner_uid=rights.owner_uid,
        routes=tuple(route for each in read for route in each.routes),
        upstreams=tuple(group for each in read for group in each.upstreams),
        listens=tuple(dict.fromkeys(_listens(written))),
        logs=(*logs, LogTarget(kind="access", goes_to="stderr")),  # where it says why it does not start
    )


def _listens(written: Iterable[str]) -> Iterator[Target]:
    """Yield the addresses that bind or Listen name; every address where they name a port alone."""
    for words in written:
        for word in words.split(" ")[0].split(","):
            host, _, port = word.rpartition(":")
            if word.startswith(("/", "unix@")):
                yield Target.unix(word.removeprefix("unix@"))
            elif port.isascii() and port.isdecimal() and int(port) <= 65535:
                name = host.rpartition("@")[2].strip("[]")
                yield Target(host="0.0.0.0" if name in ("", "*") else name, port=int(port))
