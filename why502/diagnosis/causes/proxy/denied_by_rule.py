"""An access rule or web application firewall of the proxy rejected the request.

Typical: 403 from a deny rule or a WAF, HAProxy PR, Envoy RBAC. A few such answers are the rule's purpose. If a server that served
its clients rejects all of them since some time, the rule is wrong, or it sees another address than the client's: behind another
proxy every client has that proxy's address.

## Do not confuse with
- `rate-limited`: the request was rejected for its rate.

## Confirm
- The log line names the rule or its number.

## Fix
- Change the rule to allow legitimate requests.

## References
- https://nginx.org/en/docs/http/ngx_http_access_module.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.unserved import unserved
from why502.model.finding import LIKELY, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: a rule that rejects everyone."""
    if one := _denied(case):
        yield supports(one.message, "access log", LIKELY)


def _denied(case: Case) -> Unserved | None:
    """Return the server whose rule rejects everyone since it began to; None if there is none."""
    return next((one for one in unserved(case.joins) if one.reason is Reason.DENIAL and one.target == case.target), None)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    one = _denied(case)
    return one.message if one else ""


CAUSE = Cause(
    id="denied-by-rule",
    layer=Layer.PROXY,
    is_intended=True,
    message="an access rule or web application firewall of the proxy rejected the request",
    symptoms={Symptom.DENIED_BY_RULE: 5.0},
    answers=frozenset({Reason.DENIAL}),
    examine=examine,
    summarize=summarize,
)
