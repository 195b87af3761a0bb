"""The certificate or key that the proxy should present to the backend cannot be loaded.

A variable in proxy_ssl_certificate: at each request, 500. A fixed one: at load.

## Confuse not with
- `tls-client-certificate-required`: none is configured.

## Confirm
- `openssl x509 -in FILE -noout -subject; openssl pkey -in KEY -noout` as the worker's user.

## Fix
- Correct the path, the permission, or the pair.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_certificate
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-client-certificate-unusable",
    layer=Layer.PROXY,
    message="the certificate or key that the proxy should present to the backend cannot be loaded",
    symptoms={Symptom.TLS_OWN_CERTIFICATE: PROOF},
)
