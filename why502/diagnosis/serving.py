"""Which gateway serves here."""

from __future__ import annotations

from why502.gateways.behaviour import behaviour, programs
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot

_FAILED_STARTS = frozenset({Symptom.PROXY_START_FAILED, Symptom.LISTEN_FAILED, Symptom.CONFIG_INVALID})


def serving(snapshot: Snapshot) -> str:
    """Return, in words, which other gateway serves here if nginx is installed but is not meant to run; else "".

    The conditions: no gateway with a known configuration runs, and none of them failed or is missed. In addition another program
    listens on its ports or on a web port, or all logs belong to another gateway.
    """
    proxies = snapshot.proxies or ()
    tallies = snapshot.logs.tallies if snapshot.logs else ()
    if not proxies or any(proxy.is_running or _has_failed(proxy) or is_missed(proxy, snapshot) for proxy in proxies):
        return ""
    if any(tally.proxy in {proxy.kind for proxy in proxies} and tally.symptom in _FAILED_STARTS for tally in tallies):
        return ""
    others = programs().difference(*(behaviour(proxy.kind).programs for proxy in proxies))
    ports = {80, 443} | {listen.port for proxy in proxies for listen in proxy.listens}
    names = {process.pid: process.name.split(":")[0] for process in snapshot.processes or ()}
    for listener in snapshot.listeners or ():
        pid = next((pid for pid in listener.pids if names.get(pid) in others), None)
        if pid is not None and listener.target.port in ports and not listener.target.is_unix:
            return f"{names[pid]} (pid {pid}) listens on {listener.target}"
    kinds = sorted({tally.proxy for tally in tallies if tally.proxy})
    return f"the logs are those of {', '.join(kinds)}" if kinds and not {proxy.kind for proxy in proxies} & {*kinds} else ""


def is_missed(proxy: Proxy, snapshot: Snapshot) -> bool:
    """Return whether a gateway that does not run is enabled, and no other program listens on any of its ports."""
    if proxy.is_running or not proxy.unit_state.startswith("enabled") or snapshot.listeners is None:
        return False
    taken = {listener.target.port for listener in snapshot.listeners if not listener.target.is_unix}
    ports = {listen.port for listen in proxy.listens if not listen.is_unix}
    return bool(ports) and not ports & taken


def _has_failed(proxy: Proxy) -> bool:
    """Return whether a gateway that does not run has failed, according to its service manager and its log."""
    if proxy.unit_state:
        return proxy.unit_state == "failed"
    return any(word in proxy.why_stopped for word in ("failed", "result ", "exit status", "signal", "[emerg]"))
