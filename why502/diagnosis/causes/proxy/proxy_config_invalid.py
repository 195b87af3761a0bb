"""The configuration on disk fails its own test: a reload was rejected and an older configuration is running, or the proxy does
not start.

Apache reads `.htaccess` files with each request. An error there (a directive that is "not allowed here", a RewriteRule that
cannot be compiled) is logged at level alert, and every request below that directory gets 500.

nginx logs the reason at level emerg with file and line, and keeps running with the old configuration. Changes have no effect, and
the next restart will fail. After that restart, or at boot, it does not run at all: clients are refused, or the gateway in front
answers 502 or 503.

## Do not confuse with
- `proxy-not-running`: it is stopped, and its configuration passes the test.
- `proxy-config-not-loaded`: the configuration is valid, but it was not loaded.

## Confirm
- `nginx -t` shows the error.

## Fix
- Correct the line that the test names, test again, then reload, or start it if it does not run.

## References
- nginx: src/os/unix/ngx_process_cycle.c; https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from why502.diagnosis import absent_gateways, containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.proxy import ConfigProblem, ConfigTest, Proxy
from why502.model.remedy import Remedy

_UNKNOWN_NAME = lazy(r'host not found in upstream "([\w.-]{1,253})')


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if refusal := absent_gateways.refusing(case):
        absent, error = refusal
        yield supports(_does_not_start(case, absent, error), str(error.at or error.source), 2 * PROOF)
        if absent.why_stopped:
            yield supports(absent.why_stopped, "service manager", WEAK)
        return
    if case.target is not None:
        if (
            case.failures
            and not case.is_named
            and any(proxy.test is ConfigTest.FAILED and proxy.is_running for proxy in case.proxies)
        ):
            problem = next((p for proxy in case.proxies for p in proxy.problems), None)
            yield supports(
                f"no file names {case.target} any more; the proxy still uses it, because the configuration on disk is rejected",
                "",
                PROOF,
            )
            if problem:
                where = str(problem.at or problem.source)
                yield supports(f"the configuration on disk is rejected: {problem.message}", where, PROOF)
        return
    for proxy in case.proxies:
        if proxy.test is ConfigTest.FAILED and (proxy.is_running or case.offline):
            problem = proxy.problems[0] if proxy.problems else None
            message = problem.message if problem else "it fails its own test"
            yield supports(
                f"the configuration on disk is rejected: {message}",
                str(problem.at or problem.source) if problem else proxy.config,
                2 * PROOF,
            )
            return
    if found := containers.refused_gateway(case):
        container, line = found
        yield supports(f"{container.shown} does not start: {line}", container.shows("logs"), 2 * PROOF)
        return
    tally = case.tally(Symptom.CONFIG_INVALID)
    if tally is not None and tally.detail.startswith("/"):  # a .htaccess file, which no test reads
        return
    if tally is not None and case.proxies and all(proxy.test is ConfigTest.OK for proxy in case.proxies):
        yield refutes("the configuration on disk passes its test now", "nginx -t", STRONG)


def _does_not_start(case: Case, proxy: Proxy, error: ConfigProblem) -> str:
    where = f", which should listen on {case.target}," if case.target else ""
    return f"{proxy.kind}{where} does not start: its own test rejects the configuration: {error.message}"


def summarize(case: Case) -> str:
    """Return the finding about a gateway that does not start in one sentence; "" about one that runs."""
    if refusal := absent_gateways.refusing(case):
        return _does_not_start(case, *refusal)
    found = containers.refused_gateway(case) if case.target is None else None
    return f"{found[0].shown}, the gateway, does not start: {found[1]}" if found else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: for the line that keeps a gateway from starting, and for a name that is unknown when the gateway's
    container starts.
    """
    if refusal := absent_gateways.refusing(case):
        proxy, error = refusal
        place = str(error.at or error.source) or "what the test names"
        yield Remedy(message=f"correct {place}, have {proxy.kind} test its configuration, then start it")
        return
    found = containers.refused_gateway(case) if case.target is None else None
    if found is None:
        return
    container, line = found
    if (name := _UNKNOWN_NAME.search(line)) is None:
        return
    ended = [one for one in containers.trusted(case) if not one.is_running and one != container and one.is_called(name[1])]
    for one in ended[:1]:
        yield Remedy(message=f"start {one.shown}, which has the name {name[1]}: `{shlex.join(one.command('start'))}`")
    yield Remedy(
        message=f"so that one missing name does not stop all sites, resolve {name[1]} at run time: a variable and a `resolver`, "
        "or `server NAME resolve` with a `zone`"
    )


CAUSE = Cause(
    id="proxy-config-invalid",
    layer=Layer.PROXY,
    stands_apart=True,
    may_be_refusal=True,
    is_refusal=True,
    message="the configuration on disk fails its own test, so an older one runs or the proxy does not start",
    headline="{proxy} rejects the configuration on disk and runs an older one, which leads to {target}",
    symptoms={Symptom.CONFIG_INVALID: LIKELY},
    explains=frozenset(
        {
            "backend-not-running",
            "connect-timeout",
            "host-unreachable",
            "php-fpm-socket-mismatch",
            "proxy-config-not-loaded",
            "unix-socket-missing",
            "wrong-address",
            "wrong-port",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
