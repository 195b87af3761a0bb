"""The configuration on disk is newer than the running one.

A changed file has no effect until the proxy is reloaded. The log still shows targets or timeouts that no file contains any more.

## Do not confuse with
- `proxy-config-invalid`: a reload was attempted and rejected.

## Confirm
- Compare the modification times of the files with the start time of the workers (`ps -o lstart -C nginx`).

## Fix
- Test the configuration, then reload the proxy.
- nginx: `nginx -t && nginx -s reload`.

## References
- https://nginx.org/en/docs/control.html#reconfiguration
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis.alarms import FEW
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.behaviour import behaviour
from why502.model.finding import FAIR, LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.proxy import ConfigTest, Proxy
from why502.model.remedy import Remedy
from why502.remedies.changes import reload

SECOND = timedelta(seconds=1)  # log times may be whole seconds
NOW = timedelta(seconds=10)  # before the collection


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None or not case.failures:
        return
    for proxy in case.proxies:
        if case.target in proxy.not_in_files:
            message = f"the running {proxy.kind} is configured for {case.target}, and no file names it"
            yield supports(message, proxy.admin, FAIR + PROOF)
            return
    gone = _not_on_disk(case)
    if gone is not None:
        newest = max((file for file in gone.files if file.modified_at), key=lambda file: str(file.modified_at), default=None)
        since = f"; {newest.path} was changed at {newest.modified_at:%H:%M:%S}" if newest and newest.modified_at else ""
        message = f"no file names {case.target}, but the running {gone.kind} still connects to it{since}"
        yield supports(message, newest.path if newest else gone.config, FAIR + PROOF)
        return
    for proxy in case.proxies:
        if not (proxy.changed_at and proxy.loaded_at and proxy.is_running and proxy.changed_at > proxy.loaded_at):
            continue
        if case.last_failure and case.last_failure < proxy.loaded_at:
            continue
        newest = next((f for f in proxy.files if f.modified_at == proxy.changed_at), None)
        where = newest.path if newest else proxy.config
        yield supports(
            f"{where} was changed at {proxy.changed_at:%H:%M:%S}, but the running configuration was loaded at "
            f"{proxy.loaded_at:%H:%M:%S}",
            where,
            FAIR,
        )
        if not case.is_named:
            yield supports(f"no file names {case.target} any more, but the proxy still connects to it", where, PROOF)
            return
        timed = case.tally(Symptom.READ_TIMED_OUT)
        if timed and case.route and timed.duration_max_s is not None and timed.duration_max_s < 0.8 * case.route.read_timeout_s:
            yield supports(
                f"the proxy gave up on requests after {timed.duration_max_s:.1f} s, but the files specify "
                f"{case.route.read_timeout_s:g} s",
                where,
                PROOF,
            )
        return


def _not_on_disk(case: Case) -> Proxy | None:
    """Return the gateway that connects to a target which its files cannot mean, also after its last load; None unless there is
    exactly one.

    A worker of an older configuration may do so while it finishes its requests.
    """
    connecting = {tally.proxy for tally in case.failures}
    running = [proxy for proxy in case.proxies if proxy.is_running and proxy.kind in connecting]
    if case.target is None or not case.target.is_address or case.target.is_unix or case.is_named:
        return None
    if len(running) != 1 or not behaviour(running[0].kind).connects_as_configured:
        return None
    proxy = running[0]
    failures = [tally for tally in case.failures if tally.proxy == proxy.kind]
    if sum(tally.count for tally in failures) < FEW:
        return None
    last = max((tally.last for tally in failures if tally.last), default=None)
    is_leaving = any("shutting down" in " ".join(process.argv) for process in (*proxy.workers, *(case.here.processes or ())))
    if is_leaving or last is None or any(gap.source in ("proxies", "configuration") for gap in case.here.gaps):
        return None
    if proxy.loaded_at is None:  # what it connects to now was not read from these files
        is_old = proxy.changed_at is not None and last > proxy.changed_at + SECOND and last > case.here.taken_at - NOW
        return proxy if is_old and proxy.test is not ConfigTest.FAILED and _names_addresses_only(proxy) else None
    return proxy if proxy.test == ConfigTest.OK and last >= proxy.loaded_at else None


def _names_addresses_only(proxy: Proxy) -> bool:
    """Return whether every route of a gateway's files leads to fixed addresses: no name or variable leads to others."""
    peers = [peer for route in proxy.routes for peer in route.peers]
    is_fixed = all(peer.target is not None and peer.target.is_address for peer in peers)
    return is_fixed and bool(proxy.routes) and all(route.peers for route in proxy.routes)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: load the configuration."""
    connecting = {tally.proxy for tally in case.failures}
    for proxy in case.proxies:
        if proxy.kind in connecting and proxy.test is ConfigTest.OK and (steps := reload(proxy)):
            yield Remedy(message="load the configuration from disk", steps=steps)
            return


CAUSE = Cause(
    id="proxy-config-not-loaded",
    layer=Layer.PROXY,
    message="the configuration on disk is newer than the running one",
    headline="{proxy} runs an older configuration than the one on disk",
    symptoms={Symptom.RELOAD_FAILED: LIKELY},
    explains=frozenset(
        {
            "backend-not-running",
            "backend-too-slow",
            "connect-timeout",
            "host-unreachable",
            "php-fpm-socket-mismatch",
            "proxy-timeout-too-short",
            "unix-socket-missing",
            "wrong-address",
            "wrong-port",
        }
    ),
    examine=examine,
    remedies=remedies,
)
