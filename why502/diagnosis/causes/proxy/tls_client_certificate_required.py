"""The backend requires a client certificate, but the proxy sends none.

The proxy logs "alert certificate required" (TLS 1.3), "handshake failure" or "bad certificate" and answers 502. If the backend is
nginx, it answers 400 "No required SSL certificate was sent".

## Do not confuse with
- `tls-handshake-failed`: protocol, cipher or SNI do not match.

## Confirm
- `openssl s_client -connect HOST:PORT </dev/null` lists "Acceptable client certificate CA names".

## Fix
- Give the proxy a certificate that the backend accepts, with its key.
- nginx: `proxy_ssl_certificate` and `proxy_ssl_certificate_key`.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_certificate
- RFC 8446, 6.2 (certificate_required)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: the handshake failed after the backend requested a certificate, and the proxy has none.

    The backend selects version and cipher before it requests a certificate (RFC 5246, 7.3), so neither is the reason.
    """
    asked = case.probe(Symptom.TLS_CLIENT_CERTIFICATE)
    if asked and case.tally(Symptom.TLS_FAILED) and case.route and not case.route.has_client_certificate:
        yield supports("it asked for a certificate, but the proxy has none to present", str(case.route.at or ""), STRONG)


CAUSE = Cause(
    id="tls-client-certificate-required",
    layer=Layer.PROXY,
    message="the backend requires a client certificate, but the proxy sends none",
    symptoms={Symptom.TLS_CLIENT_CERTIFICATE: 5.0},
    explains=frozenset({"tls-handshake-failed"}),
    examine=examine,
)
