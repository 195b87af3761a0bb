"""The proxy itself does not run or does not listen.

Clients get no HTTP answer at all (connection refused). A proxy in front of this one reports 502.

## Confuse not with
- `proxy-config-invalid`: an older configuration still runs.
- `proxy-listen-failed`: why it does not start, where the address is taken.

## Confirm
- `systemctl status nginx`, `nginx -t`, `ss -ltnp`.

## Fix
- Correct what its last emerg line or test names, then start it.

## References
- https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy, Run

_GATEWAYS = frozenset({"haproxy", "apache2", "httpd", "caddy", "envoy", "traefik", "varnishd", "lighttpd", "angie", "openresty"})


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None:
        return
    running = [proxy for proxy in case.proxies if proxy.is_running]
    if running and case.tally(*CAUSE.symptoms):  # it was refused a reload, or runs since
        yield refutes(f"{running[0].kind} runs", "ps", PROOF)
    if case.offline:
        return
    if other := _other_gateway(case):
        yield refutes(*other, 2 * PROOF)
    for proxy in case.proxies:
        if proxy.is_running or running or proxy.kind != "nginx":  # of others only the file was read
            continue
        yield supports(f"no process runs with {proxy.config}", "ps", 2 * PROOF)
        if proxy.why_stopped:
            yield supports(proxy.why_stopped, "service manager", WEAK)
        for problem in proxy.problems[:1]:
            yield supports(f"its own test says: {problem.says}", str(problem.at or "nginx -t"), WEAK)


def _other_gateway(case: Case) -> tuple[str, str] | None:
    """Return what shows that another gateway serves here, so that it is no fault that nginx, which is installed too, does not run."""
    if case.tally(*CAUSE.symptoms) or any(proxy.is_running or proxy.why_stopped for proxy in case.proxies):
        return None
    kinds = sorted({tally.proxy for tally in case.here.logs.tallies if tally.proxy} if case.here.logs else ())
    if kinds and "nginx" not in kinds:
        return f"the logs are those of {', '.join(kinds)}", "logs"
    ports = {listen.port for proxy in case.proxies for listen in proxy.listens}
    for listener in case.here.listeners or ():
        process = case.process_of(listener)
        if process and process.name in _GATEWAYS and listener.target.port in ports:
            return f"{process.name} (pid {process.pid}) listens on {listener.target}", "ss -ltnp"
    return None


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    stopped = [proxy for proxy in case.proxies if not proxy.is_running]
    return f"{stopped[0].kind} does not run: no process has the configuration {stopped[0].config}" if stopped else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Start it, when its configuration passes the test."""
    has_systemd = any(p.pid == 1 and p.name == "systemd" for p in case.here.processes or ())
    for proxy in case.proxies:
        if proxy.is_running or proxy.test == "failed":
            continue
        if proxy.unit:
            start = Run(argv=("systemctl", "start", proxy.unit), undo=("systemctl", "stop", proxy.unit))
            yield Remedy(says=f"start {proxy.unit}", steps=(start,))
        elif proxy.exe and not has_systemd and case.here.processes:
            program = (proxy.exe, *proxy.options)
            start = Run(argv=program, undo=(*program, "-s", "quit"))
            yield Remedy(says=f"start {proxy.kind}", steps=(Run(argv=(*program, "-t")), start))


CAUSE = Cause(
    id="proxy-not-running",
    layer=Layer.PROXY,
    says="the proxy itself does not run or does not listen",
    symptoms={Symptom.PROXY_START_FAILED: LIKELY, Symptom.LISTEN_FAILED: LIKELY},
    yields_to=frozenset({"dns-host-not-found", "proxy-listen-failed"}),
    examine=examine,
    tell=tell,
    remedies=remedies,
)
