"""The backend demands a client certificate and the proxy sends none.

"alert certificate required" (TLS 1.3) or "handshake failure", "bad certificate": 502. A backend that answers 400 "No required SSL certificate was sent" is nginx.

## Confuse not with
- `tls-handshake-failed`: protocol, cipher or SNI.

## Confirm
- `openssl s_client -connect HOST:PORT </dev/null` lists "Acceptable client certificate CA names".

## Fix
- `proxy_ssl_certificate` and `proxy_ssl_certificate_key`.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_certificate
- RFC 8446, 6.2 (certificate_required)
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="tls-client-certificate-required",
    layer=Layer.PROXY,
    says="the backend demands a client certificate and the proxy sends none",
    symptoms={Symptom.TLS_CLIENT_CERTIFICATE: 5.0},
)
