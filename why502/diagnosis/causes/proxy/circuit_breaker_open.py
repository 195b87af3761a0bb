"""A circuit breaker or outlier detection of the proxy rejects requests.

The client gets 503 immediately and the backend is not contacted. Envoy logs UO (upstream overflow). Traefik has circuitBreaker, Istio has
outlier detection.

## Do not confuse with
- `all-upstreams-down`: no usable member is left.

## Confirm
- Envoy: `upstream_rq_pending_overflow`, `circuit_breakers.default.*_open` in /stats are above 0.

## Fix
- Fix the failure that opened it, or raise its thresholds.

## References
- https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="circuit-breaker-open",
    layer=Layer.PROXY,
    message="a circuit breaker or outlier detection of the proxy rejects requests",
    symptoms={Symptom.CIRCUIT_OPEN: 5.0},
)
