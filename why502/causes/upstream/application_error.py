"""The application reported an error of its own (PHP fatal error, traceback) and answered with its own status.

The proxy works; its log may carry the application's message ("FastCGI sent in stderr: PHP Fatal error…").

## Confuse not with
- `upstream-error-status`: the status alone, no message.

## Confirm
- The application's log at that second.

## Fix
- In the application.

## References
- https://www.php.net/manual/en/errorfunc.constants.php
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import FAIR, LIKELY, STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.served import Reason, unserved


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None and case.seen(Symptom.UPSTREAM_STATUS):
        for event in case.events(Symptom.APPLICATION_ERROR)[:1]:
            yield supports(event.message, event.source, STRONG)
    for one in unserved(case.here, case.joins):
        is_own = one.target == case.target or (case.target is None and one.target not in case.joins.tallies)
        if one.reason is Reason.APPLICATION and is_own:
            yield supports(one.message, "access log", FAIR)
            return


CAUSE = Cause(
    id="application-error",
    layer=Layer.UPSTREAM,
    message="the application reported an error of its own (PHP fatal error, traceback) and answered with its own status",
    symptoms={Symptom.APPLICATION_ERROR: LIKELY},
    examine=examine,
)
