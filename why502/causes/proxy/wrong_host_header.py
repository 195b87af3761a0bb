"""The backend answers only to another Host (or SNI) than the proxy sends.

nginx sends `Host: $proxy_host` by default, the name of the target or group. A shared backend then answers 404, 421, 400 or a redirect; a CDN 403 or 409, or 1016-like pages.

## Confuse not with
- `tls-handshake-failed`: the name in SNI.

## Confirm
- `curl -si -H 'Host: A' http://TARGET/` against `-H 'Host: B'`.

## Fix
- `proxy_set_header Host $host;` or the name that the backend expects.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="wrong-host-header",
    layer=Layer.PROXY,
    says="the backend answers only to another Host (or SNI) than the proxy sends",
    symptoms={Symptom.WRONG_HOST: LIKELY},
)
