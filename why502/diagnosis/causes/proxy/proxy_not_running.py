"""The proxy itself is not running or not listening.

Clients get no HTTP response at all (connection refused). A proxy in front of this one returns 502.

## Do not confuse with
- `proxy-config-invalid`: its own test rejects the configuration, so it cannot start.
- `proxy-listen-failed`: the proxy does not start because its address is in use.

## Confirm
- Check `systemctl status nginx`, `nginx -t` and `ss -ltnp`.

## Fix
- Correct what its last emerg line names, then start it.

## References
- https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis import absent_gateways, containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.serving import serving
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.proxy import ConfigTest
from why502.model.remedy import Remedy
from why502.remedies.gateways import begin

_BIND = lazy(r"(?:bind|listen)\(\) to .{1,200}? failed \(\d{1,3}: [^)]{1,100}\)")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if refused := containers.refused_gateway(case):
        message = f"the gateway is {refused[0].shown}, which does not start because of its configuration"
        yield refutes(message, refused[0].shows("logs"), 2 * PROOF)
    if case.target is not None:
        return
    running = [proxy for proxy in case.proxies if proxy.is_running]
    reporting = {tally.proxy for tally in case.tallies if tally.symptom in CAUSE.symptoms}
    if again := next((proxy.kind for proxy in running if proxy.kind in reporting), ""):  # a rejected reload, or a later start
        yield refutes(f"{again} runs", "ps", PROOF)
    if case.offline:
        return
    inner = absent_gateways.inner(case)
    if inner and reporting and reporting - {"", None} <= {proxy.kind for proxy in inner}:
        yield refutes(
            f"{inner[0].kind} is a backend here: {running[0].kind} is running and passes requests to it",
            "configuration",
            2 * PROOF,
        )
    if other := serving(case.here):
        yield refutes(f"another gateway serves this machine: {other}", "ss -ltnp", 2 * PROOF)
    if refusal := absent_gateways.refusing(case):
        message = f"{refusal[0].kind} does not start because its configuration fails its own test"
        yield refutes(message, str(refusal[1].at or refusal[1].source), 2 * PROOF)
        return
    missing = absent_gateways.missing(case)
    if (unknown := containers.unexamined(case)) and not any(proxy.unit_state for proxy in missing):
        message = f"{unknown.shown} does not run ({unknown.state}), and its engine gave no details: it may be the gateway"
        yield refutes(message, unknown.shows("inspect"), 2 * PROOF)
    for proxy in missing:
        yield supports(f"no process runs with {proxy.config}", "ps", LIKELY if running else 2 * PROOF)
        if proxy.why_stopped:
            yield supports(proxy.why_stopped, "service manager", WEAK)
        for problem in proxy.problems[:1]:
            yield supports(f"its own test reports: {problem.message}", str(problem.at or "nginx -t"), WEAK)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    stopped = absent_gateways.missing(case)
    refused = case.tally(Symptom.LISTEN_FAILED)
    reason = next((match[0] for sample in (refused.samples if refused else ()) if (match := _BIND.search(sample.text))), "")
    if not stopped and reason:
        return f"the proxy did not start: {reason}"
    if not stopped:
        return ""
    problem = next(iter(stopped[0].problems), None) if stopped[0].test is ConfigTest.FAILED else None
    if problem is not None:
        return f"{stopped[0].kind} is not running: its own test refuses the configuration: {problem.message}"
    return f"{stopped[0].kind} is not running: no process has the configuration {stopped[0].config}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: start it, if its configuration passes the test."""
    has_systemd = any(p.pid == 1 and p.name == "systemd" for p in case.here.processes or ())
    for proxy in absent_gateways.missing(case):
        if proxy.unit or case.here.processes:
            yield from begin(proxy, has_systemd)


CAUSE = Cause(
    id="proxy-not-running",
    layer=Layer.PROXY,
    may_be_refusal=True,
    message="the proxy itself is not running or not listening",
    symptoms={Symptom.PROXY_START_FAILED: LIKELY, Symptom.LISTEN_FAILED: LIKELY},
    explains=frozenset({"proxy-config-invalid"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
