"""A circuit breaker or outlier detection of the proxy holds requests back.

Envoy UO (upstream overflow), Traefik's circuitBreaker, Istio outlier detection: 503 at once, without asking the backend.

## Confuse not with
- `all-upstreams-down`: no member is left.

## Confirm
- Envoy: `upstream_rq_pending_overflow`, `circuit_breakers.default.*_open` in /stats.

## Fix
- Repair what opened it, or raise its thresholds.

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
    message="a circuit breaker or outlier detection of the proxy holds requests back",
    symptoms={Symptom.CIRCUIT_OPEN: 5.0},
)
