"""A limit for this backend is reached in the proxy: max_conns, maxconn, a full queue, a connection pool.

nginx: "no live upstreams" in a group whose members answer. HAProxy sQ, Apache AH00941, Envoy UO, Varnish busy.

## Confuse not with
- `all-upstreams-down`: the members fail.
- `workers-exhausted`: the limit is the backend's.

## Confirm
- The limit in the configuration against the connections in use (`ss -Htn dst ADDRESS | wc -l`).

## Fix
- Raise the limit as far as the backend can bear; find why connections are held so long.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#max_conns
- https://docs.haproxy.org/2.6/configuration.html#5.2-maxconn
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="upstream-connection-limit",
    layer=Layer.PROXY,
    says="a limit for this backend is reached in the proxy: max_conns, maxconn, a full queue, a connection pool",
    symptoms={Symptom.PEER_LIMIT: 5.0},
)
