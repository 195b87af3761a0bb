"""The name server itself did not answer or failed.

"could not be resolved (110: Operation timed out)", "(2: Server failure)", "(5: Operation refused)": 502 after resolver_timeout (30 s) or at once.

## Confuse not with
- `dns-host-not-found`: the server answers that there is no such name.

## Confirm
- `dig NAME @RESOLVER +tries=1 +time=2`

## Fix
- Name a resolver that works, two of them; on a machine with systemd-resolved 127.0.0.53.

## References
- nginx: src/core/ngx_resolver.c, ngx_resolver_strerror
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import FAIR, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None:
        return
    for name in case.here.names or ():
        if name.outcome in ("failed", "timed-out") and name.is_resolver:
            yield supports(
                f"{name.source} does not answer for {name.name} now ({name.detail or name.outcome})", name.source, FAIR
            )
            return


CAUSE = Cause(
    id="dns-resolver-failure",
    layer=Layer.NETWORK,
    says="the name server itself did not answer or failed",
    symptoms={Symptom.NAME_SERVER_FAILED: 5.0},
    examine=examine,
)
