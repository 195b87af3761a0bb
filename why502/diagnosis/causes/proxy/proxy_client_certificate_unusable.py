"""The certificate or key that the proxy should present to the backend cannot be loaded.

If proxy_ssl_certificate contains a variable, each request fails with 500. Otherwise the configuration does not load.

## Do not confuse with
- `tls-client-certificate-required`: no certificate is configured.

## Confirm
- `openssl x509 -in FILE -noout -subject; openssl pkey -in KEY -noout` as the worker's user shows an error.

## Fix
- Correct the path or the permissions, or use a key that matches the certificate.

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
