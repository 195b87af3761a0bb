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

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for it: a handshake that broke after the backend had asked for what the proxy does not have.

    It chose version and cipher before it asked (RFC 5246, 7.3), so neither is the reason.
    """
    asked = case.probe(Symptom.TLS_CLIENT_CERTIFICATE)
    if asked and case.tally(Symptom.TLS_FAILED) and case.route and not case.route.has_client_certificate:
        yield supports("it asked for a certificate, but the proxy has none to present", str(case.route.at or ""), STRONG)


CAUSE = Cause(
    id="tls-client-certificate-required",
    layer=Layer.PROXY,
    message="the backend demands a client certificate and the proxy sends none",
    symptoms={Symptom.TLS_CLIENT_CERTIFICATE: 5.0},
    explains=frozenset({"tls-handshake-failed"}),
    examine=examine,
)
