"""The configuration on disk fails its own test, so a reload was rejected and an older configuration is running.

Apache reads `.htaccess` files with each request. An error there (a directive that is "not allowed here", a RewriteRule that
cannot be compiled) is logged at level alert, and every request below that directory gets 500.

nginx logs the reason at level emerg with file and line, and keeps running with the old configuration. Changes have no effect, and
the next restart will fail.

## Do not confuse with
- `proxy-not-running`: a start failed, not a reload.
- `proxy-config-not-loaded`: the configuration is valid, but it was not loaded.

## Confirm
- `nginx -t` shows the error.

## Fix
- Correct the line that the test names, test again, then reload.

## References
- nginx: src/os/unix/ngx_process_cycle.c; https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.snapshot import ConfigTest


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
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
    told = case.tally(Symptom.CONFIG_INVALID)
    if told is not None and told.detail.startswith("/"):  # a .htaccess file, which no test reads
        return
    if told is not None and case.proxies and all(proxy.test is ConfigTest.OK for proxy in case.proxies):
        yield refutes("the configuration on disk passes its test now", "nginx -t", STRONG)


CAUSE = Cause(
    id="proxy-config-invalid",
    layer=Layer.PROXY,
    stands_apart=True,
    may_be_refusal=True,
    is_refusal=True,
    message="the configuration on disk fails its own test, so a reload was rejected and an older one is running",
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
)
