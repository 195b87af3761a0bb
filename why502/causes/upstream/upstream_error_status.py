"""It answered with that very 5xx status itself; the proxy only passed it on.

The access log shows `$upstream_status` equal to `$status` with a header time, and the error log is silent. Search goes on one hop further: often a
second proxy stands behind.

## Confuse not with
- every other cause: those make the proxy itself answer, with an error line.
- `maintenance-response`: the proxy's own `return 503`.

## Confirm
- `curl -si -H 'Host: NAME' http://TARGET/PATH` straight to the backend shows the same status.

## Fix
- In the application's own log; run why502 on that machine if another proxy answers there.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_status
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    for probe in case.probes:
        if probe.status in (500, 502, 503, 504) and case.seen(Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS):
            yield supports(f"our own request straight to it was answered {probe.status} too", "probe", PROOF)
            return


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    statuses = sorted({tally.status for tally in case.tallies if tally.symptom is Symptom.UPSTREAM_STATUS and tally.status})
    said = "/".join(str(status) for status in statuses)
    return f"the application on {case.target} itself answers {said}; the proxy only passes it on" if said else ""


CAUSE = Cause(
    id="upstream-error-status",
    layer=Layer.UPSTREAM,
    says="it answered with that very 5xx status itself; the proxy only passed it on",
    symptoms={Symptom.UPSTREAM_STATUS: 5.0},
    yields_to=frozenset({"proxy-loop", "application-error", "worker-timeout"}),
    examine=examine,
    tell=tell,
)
