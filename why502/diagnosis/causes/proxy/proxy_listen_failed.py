"""The proxy cannot listen: the address is in use or not on this machine, or the port is privileged.

nginx logs "bind() to 0.0.0.0:80 failed (98: Address already in use)" five times, then "still could not bind()", and does not
start. During a reload it keeps the old configuration.

## Do not confuse with
- `port-conflict`: the backend's port is in use.

## Confirm
- `ss -Hltnp 'sport = :80'` shows the process that holds the port.

## Fix
- Stop the other process (often another web server, or one without a pid file), or listen on another address.

## References
- nginx: src/core/ngx_connection.c, ngx_open_listening_sockets
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is not None:
        return
    tally = case.tally(Symptom.LISTEN_FAILED)
    kinds = {tally.proxy for tally in case.tallies if tally.symptom is Symptom.LISTEN_FAILED}
    if again := next((proxy.kind for proxy in case.proxies if proxy.is_running and proxy.kind in kinds), ""):
        yield refutes(f"{again} runs", "ps", PROOF)  # a rejected reload, or a later start
        return
    if case.offline:
        return
    for proxy in case.proxies:
        for problem in proxy.problems:
            if not proxy.is_running and "bind() to" in problem.message:
                yield supports(f"its own message: {problem.message}", str(problem.at or problem.source or "nginx -t"), 2 * PROOF)
                return
    if tally is None:
        return
    yield supports("it has not been running since", "ps", LIKELY)
    ports = {listen.port for proxy in case.proxies if proxy.kind in kinds for listen in proxy.listens}
    for listener in case.here.listeners or ():
        process = case.process_of(listener)
        if process and listener.target.port in ports:
            yield supports(f"{process.name} (pid {process.pid}) holds {listener.target}", "ss -ltnp", STRONG)
            return


CAUSE = Cause(
    id="proxy-listen-failed",
    layer=Layer.PROXY,
    message="the proxy cannot listen: the address is in use or not on this machine, or the port is privileged",
    symptoms={Symptom.LISTEN_FAILED: FAIR},
    explains=frozenset({"proxy-config-invalid", "proxy-not-running"}),
    examine=examine,
)
