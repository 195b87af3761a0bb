"""Verification: the very requests that failed, and one of every other route, before and after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from why502.fix.transaction import Verdict
from why502.host.base import Host
from why502.model.config import Route
from why502.model.snapshot import Probe, Snapshot
from why502.sources import collect
from why502.sources.base import Ask

ROUTES = 16  # routes that are watched beside the one that failed
SERVER_ERROR = 500


def urls(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the requests to repeat: those that failed through the proxy, and one of each other route with a fixed location."""
    failed = [probe.url for probe in snapshot.probes or () if probe.through_proxy and probe.url]
    others = [url for proxy in snapshot.proxies or () for route in proxy.routes if (url := _url(route))]
    return tuple(dict.fromkeys((*failed, *others[:ROUTES])))


def _url(route: Route) -> str:
    location = route.location.removeprefix("= ").removeprefix("^~ ") if route.location else "/"
    name = next((name for name in (route.server, *route.server_names) if name and not name.startswith(("*", ".", "~", "_"))), "")
    port = next((word.rsplit(":", 1)[-1] for text in route.listens for word in text.split(" ")[:1]), "80")
    if not location.startswith("/") or not port.isdigit() or route.if_conditions:
        return ""
    return f"{'https' if route.listens_tls else 'http'}://{name or '127.0.0.1'}:{port}{location}"


def verifier(host: Host, watched: tuple[str, ...], config: str, now: Callable[[], datetime]) -> Callable[[], Verdict]:
    """Return what asks again after the change and compares."""
    old = {probe.url: probe for probe in _asked(host, watched, config, now()) if probe.through_proxy}

    def verify() -> Verdict:
        new = {probe.url: probe for probe in _asked(host, watched, config, now()) if probe.through_proxy}
        bad_before = [url for url in watched if url in old and _failed(old[url])]
        harmed = [url for url, probe in new.items() if _failed(probe) and url in old and not _failed(old[url])]
        still = [url for url in bad_before if url not in new or _failed(new[url])]
        if harmed:
            return Verdict(False, f"{harmed[0]} worked before and does not now ({_how(new[harmed[0]])})")
        if still and len(still) == len(bad_before):
            return Verdict(False, f"{still[0]} still fails ({_how(new[still[0]]) if still[0] in new else 'no answer'})")
        if not bad_before:
            return Verdict(True, "no request failed before, and none fails now")
        healed = [url for url in bad_before if url not in still]
        return Verdict(True, f"{healed[0]} answered {_how(old[healed[0]])} before and {_how(new[healed[0]])} now")

    return verify


def _asked(host: Host, watched: tuple[str, ...], config: str, at: datetime) -> tuple[Probe, ...]:
    snapshot = collect(host, at, at, at, Ask(urls=watched, configs=(config,) if config else ()))
    return snapshot.probes or ()


def _failed(probe: Probe) -> bool:
    return probe.symptom is not None or (probe.status or 0) >= SERVER_ERROR


def _how(probe: Probe) -> str:
    return str(probe.status) if probe.status else (probe.symptom.value if probe.symptom else "nothing")
