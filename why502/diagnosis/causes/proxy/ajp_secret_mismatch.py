"""The AJP secret is missing or wrong.

Since 9.0.31 Tomcat sets secretRequired by default. It answers 403 or closes the connection. Apache then answers 503 and logs
AH00992.

## Do not confuse with
- `premature-close`: the backend closed the connection for another reason.

## Confirm
- Compare `secret=` of ProxyPass with `secret=` of the Connector.

## Fix
- Set the same secret in both (Apache 2.4.42 or later).

## References
- https://tomcat.apache.org/tomcat-9.0-doc/config/ajp.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Evidence, Layer, supports
from why502.model.logs import Symptom

MANY = 3
FORBIDDEN = 403


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against. With a wrong secret Tomcat answers every request with 403, whatever its path."""
    began, logs = case.born, case.here.logs
    if case.target is None or case.protocol != "ajp" or began is None or logs is None:
        return
    places = {None, *(route.at for route in case.routes)}
    for path in logs.paths:
        flips = path.at in places and path.last_served and path.last_refused and path.last_served < began < path.last_refused
        if flips and path.statuses.get(str(FORBIDDEN), 0) >= MANY and path.refused_since >= MANY:
            if any(probe.status == FORBIDDEN for probe in case.entrances):
                message = (
                    f"{path.request} was answered until {path.last_served:%H:%M:%S}; since the server behind AJP was "
                    "restarted, it gets 403"
                )
                yield supports(f"{message}, and so is a probe of another path", "probe, access log", LIKELY)
            return


CAUSE = Cause(
    id="ajp-secret-mismatch",
    layer=Layer.PROXY,
    message="the AJP secret is missing or wrong",
    symptoms={Symptom.SECRET_MISMATCH: LIKELY},
    examine=examine,
)
