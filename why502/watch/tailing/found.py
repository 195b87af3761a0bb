"""Which logs are followed: those that the configurations of the running gateways name. What cannot be followed is a gap."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.host.trust import only_user
from why502.logs.scan.line_format import NGINX_ERROR, Form
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.snapshot import Gap, Proxy, Snapshot

ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log to follow. `name` identifies it for ever, `path` is where it is opened.

    `forms`: how its lines may be read, where the configuration tells; `servers`: those that write to it.
    """

    name: str
    path: str
    proxy: Proxy
    kind: LogKind
    forms: tuple[Form, ...] = ()
    servers: tuple[str, ...] = ()

    @property
    def is_error_log(self) -> bool:
        """Return whether it has the reasons of failures, and no requests."""
        return self.kind is LogKind.ERROR

    @property
    def form(self) -> Form | None:
        """Return how its lines are read; None: its content tells."""
        return self.forms[0] if len(self.forms) == 1 else None


@dataclass(slots=True, kw_only=True)
class Found:
    """The logs of a machine, and what cannot be followed."""

    logs: tuple[Log, ...] = ()
    gaps: tuple[Gap, ...] = ()


def find(snapshot: Snapshot) -> Found:
    """Return the logs of the running gateways, each file once."""
    logs: dict[str, Log] = {}
    gaps: list[Gap] = []
    for proxy in snapshot.proxies or ():
        if proxy.is_running:
            for log in _of_proxy(proxy, gaps):
                logs.setdefault(log.name, log)
    return Found(logs=tuple(logs.values()), gaps=tuple(dict.fromkeys(gaps)))


def _of_proxy(proxy: Proxy, gaps: list[Gap]) -> Iterator[Log]:
    by_place: dict[tuple[LogKind, LogPlace, str], list[LogTarget]] = {}
    for target in proxy.logs:
        by_place.setdefault((target.kind, target.goes_to, target.path), []).append(target)
    for (kind, goes_to, path), targets in by_place.items():
        if stranger := _stranger(proxy, targets):
            reason = f"user {stranger} can change the configuration that names it: root does not read files for other users"
            gaps.append(Gap(source=path or f"{kind} log", reason=reason, hint="let only root write the configuration"))
        elif goes_to is LogPlace.FILE:
            yield _file(proxy, kind, path, targets)
        elif goes_to is LogPlace.OFF:
            gaps.append(_off(kind, targets))
        else:
            gaps.append(_elsewhere(kind, goes_to, targets))


def _file(proxy: Proxy, kind: LogKind, path: str, targets: Sequence[LogTarget]) -> Log:
    return Log(
        name=proxy.root + path,
        path=proxy.root + path,
        proxy=proxy,
        kind=kind,
        forms=_forms(proxy, kind, targets),
        servers=tuple(dict.fromkeys(target.server for target in targets if target.server)),
    )


def _forms(proxy: Proxy, kind: LogKind, targets: Sequence[LogTarget]) -> tuple[Form, ...]:
    if proxy.kind != "nginx":
        return ()
    if kind is LogKind.ERROR:
        return (Form(name=NGINX_ERROR, said_by="the configuration"),)
    formats = dict.fromkeys((target.format, str(target.escape)) for target in targets if target.format)
    return tuple(Form(name=NGINX_ACCESS, log_format=text, escape=escape, said_by="the configuration") for text, escape in formats)


def _stranger(proxy: Proxy, targets: Sequence[LogTarget]) -> int:
    """Return the user other than root, and other than ours, who controls where a log is; 0 if there is none."""
    user = only_user({proxy.supplier(target.at) for target in targets})
    return 0 if user in (ROOT, os.geteuid()) else user


def _off(kind: LogKind, targets: Sequence[LogTarget]) -> Gap:
    what = "failures there are not counted" if kind is LogKind.ACCESS else "the reasons of failures are unknown"
    return Gap(
        source=f"{kind} log",
        reason=f"it is disabled{_at(targets[0])}: {what}",
        hint=f"set {kind}_log to a file there and reload the proxy",
    )


def _elsewhere(kind: LogKind, goes_to: LogPlace, targets: Sequence[LogTarget]) -> Gap:
    where = {
        LogPlace.SYSLOG: "syslog",
        LogPlace.MEMORY: "the memory of the proxy",
        LogPlace.VARIABLE: f"files whose names have variables ({targets[0].path})",
    }.get(goes_to, "the standard output of the process" if kind is LogKind.ACCESS else "standard error")
    return Gap(
        source=f"{kind} log", reason=f"it goes to {where}{_at(targets[0])}, where it is not followed", hint="log to a file"
    )


def _at(target: LogTarget) -> str:
    return f" by {target.at}" if target.at else ""
