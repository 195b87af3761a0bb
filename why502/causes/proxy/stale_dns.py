"""The name was resolved when the configuration was loaded and now points elsewhere.

nginx asks for a name without variable once, when it loads its configuration; containers and cloud balancers change their addresses. The old address is
refused, silent or unreachable, or belongs to somebody else by now.

## Confuse not with
- `stale-endpoint`: a discovery or controller is behind.
- `backend-not-running`: the name still points to that address.

## Confirm
- `getent ahosts NAME` now, against the address in the log line.

## Fix
- At once: reload. For good: `server NAME resolve;` with a `zone` and a `resolver` (open source since nginx 1.27.3), or a variable and a `resolver`.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#resolve
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.changes import reload
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.target import Target


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    target = case.target
    if target is None or target.is_unix or not case.failures:
        return
    for proxy in case.proxies:
        for route in proxy.routes:
            for peer in route.peers:
                name = peer.target
                if (
                    name is None
                    or name.is_address
                    or peer.resolves
                    or route.has_variables
                    or (name.port and name.port != target.port)
                ):
                    continue
                found = [x for x in case.resolutions(name.host) if x.outcome == "ok" and not x.is_resolver]
                known = {address for x in found for address in x.addresses}
                if found and known and target.host not in known and target not in _configured(case):
                    yield supports(
                        f"{name.host} means {', '.join(sorted(known))} now; the proxy still connects to {target.host}",
                        f"getent ahosts {name.host}",
                        2 * PROOF,
                    )
                    return


def _configured(case: Case) -> frozenset[Target]:
    """Return the addresses that stand literally in the configuration."""
    return frozenset(p.target for x in case.proxies for r in x.routes for p in r.peers if p.target and p.target.is_address)


def remedies(case: Case) -> Iterator[Remedy]:
    """Reload, so that the names are resolved anew."""
    if steps := reload(case.proxies[0] if case.proxies else None):
        yield Remedy(says="reload the proxy: it resolves its names anew", steps=steps, safe=True)


CAUSE = Cause(
    id="stale-dns",
    layer=Layer.PROXY,
    says="the name was resolved when the configuration was loaded and now points elsewhere",
    symptoms={Symptom.CONNECT_REFUSED: 0.5, Symptom.CONNECT_TIMED_OUT: 0.5, Symptom.HOST_UNREACHABLE: 0.5},
    examine=examine,
    remedies=remedies,
)
