"""The upstream host name does not resolve.

With a variable in the target nginx asks its `resolver` at each request: "could not be resolved (3: Host not found)", 502. Without a variable the
name is resolved when the configuration is loaded: "host not found in upstream", nginx does not start, or keeps the old configuration.

## Confuse not with
- `dns-resolver-failure`: the name server itself does not answer.
- `resolver-missing`: no name server is configured.

## Confirm
- `dig NAME @RESOLVER`: NXDOMAIN, or an answer without addresses. nginx's resolver does not read /etc/hosts, nor search domains.

## Fix
- Correct the name (fully qualified), or add the record; for names of /etc/hosts use no variable.

## References
- nginx: src/core/ngx_resolver.c; https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None:
        return
    for proxy in case.proxies:
        for problem in proxy.problems:
            if proxy.test == "failed" and "host not found in" in problem.says:
                yield supports(f"its own test says: {problem.says}", str(problem.at or "nginx -t"), 2 * PROOF)
                return
    for name in case.here.names or ():
        if name.outcome in ("not-found", "no-address") and case.seen(Symptom.NAME_NOT_FOUND):
            yield supports(f"{name.name} does not resolve now ({name.detail or name.outcome})", name.source, WEAK)
            return


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    tally = case.tally(Symptom.NAME_NOT_FOUND)
    return f"the backend's name {tally.detail} does not resolve" if tally and tally.detail else ""


CAUSE = Cause(
    id="dns-host-not-found",
    layer=Layer.PROXY,
    says="the upstream host name does not resolve",
    symptoms={Symptom.NAME_NOT_FOUND: 5.0},
    examine=examine,
    tell=tell,
)
