"""Gateways that should run on this machine and do not, and those among them that their own configuration keeps from starting."""

from __future__ import annotations

from why502.diagnosis.case import Case
from why502.diagnosis.containers import refused_gateway
from why502.diagnosis.listening import accepts
from why502.diagnosis.serving import serving
from why502.diagnosis.targets import addresses, peer_sets
from why502.gateways.behaviour import behaviour
from why502.model.patterns import lazy
from why502.model.proxy import ConfigProblem, ConfigTest, Proxy

_LISTENS = lazy(r"(?i)\b(?:bind|listen)\(\) to |(?:can ?not|could not) bind|address already in use")


def inner(case: Case) -> list[Proxy]:
    """Return the stopped gateways that a running gateway passes requests to: they are missing as backends."""
    stopped = [proxy for proxy in case.proxies if not proxy.is_running and proxy.listens]
    if not stopped:
        return []
    sets = peer_sets(route for proxy in case.proxies if proxy.is_running for route in proxy.routes)
    peers = {target for found in sets for peer in found for target in addresses(peer, case.here)}
    return [proxy for proxy in stopped if all(any(accepts(listen, peer) for peer in peers) for listen in proxy.listens)]


def missing(case: Case) -> list[Proxy]:
    """Return the gateways that should run but do not, enabled or failed ones first; if other gateways run,
    only those that failed.
    """
    behind = inner(case)
    stopped = [proxy for proxy in case.proxies if not proxy.is_running and proxy not in behind]
    kinds = {proxy.kind for proxy in case.proxies if proxy.is_running}
    if kinds:
        failed = [proxy for proxy in stopped if proxy.unit_state == "failed" and proxy.kind not in kinds]
        return [proxy for proxy in failed if not _is_replaced(proxy, case)]
    wanted = [proxy for proxy in stopped if proxy.unit_state == "failed" or proxy.unit_state.startswith("enabled")]
    return wanted or [proxy for proxy in stopped if behaviour(proxy.kind).is_found_by_program]


def refusing(case: Case) -> tuple[Proxy, ConfigProblem] | None:
    """Return the gateway that does not run because its configuration fails its own test, and the first problem; None if none.

    With a target, it is the one that should listen there. A port in use is no error of the configuration, and a container that
    does not start has its own words.
    """
    if not any(proxy.test is ConfigTest.FAILED and not proxy.is_running for proxy in case.proxies):
        return None
    if case.offline or refused_gateway(case) or (case.target is None and serving(case.here)):
        return None
    absent = missing(case) if case.target is None else [case.missing_gateway] if case.missing_gateway else []
    for proxy in absent[:1]:
        if proxy.test is ConfigTest.FAILED and proxy.problems and not _LISTENS.search(proxy.problems[0].message):
            return proxy, proxy.problems[0]
    return None


def _is_replaced(proxy: Proxy, case: Case) -> bool:
    """Return whether other processes listen on every port of a stopped gateway: then it is not missing."""
    taken = {listener.target.port for listener in case.here.listeners or () if not listener.target.is_unix}
    ports = {listen.port for listen in proxy.listens if not listen.is_unix}
    return bool(ports) and ports <= taken
