"""The TLS handshake with the backend failed: protocol, cipher, missing SNI.

"SSL_do_handshake() failed", 502. nginx sends no SNI unless proxy_ssl_server_name is on; many backends and every CDN then answer with an alert
(unrecognized name, handshake failure) or with another host's certificate.

## Confuse not with
- `wrong-protocol`: "wrong version number", the port does not speak TLS.
- `tls-verify-failed`: the handshake works, the certificate is refused.
- `tls-client-certificate-required`: the backend wants a certificate of the proxy.

## Confirm
- `openssl s_client -connect HOST:PORT -noservername` against `-servername NAME`; `-tls1_2`.

## Fix
- `proxy_ssl_server_name on; proxy_ssl_name NAME;`, or a common protocol in proxy_ssl_protocols.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_server_name
- RFC 8446, 6.2 (alerts)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.changes import family, reload, set_in_route
from why502.model.finding import FAIR, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(*CAUSE.symptoms):
        return
    if case.route and not case.route.sends_sni:
        yield supports("the proxy sends no server name (SNI)", str(case.route.at or ""), WEAK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Send the server name where none is sent."""
    if case.route and not case.route.sends_sni and case.route.protocol in ("https", "grpcs"):
        change = set_in_route(case, f"{family(case.route)}_ssl_server_name", "on")
        yield Remedy(says="send the server name (SNI)", steps=(change, *reload(case.proxy)) if change else ())


CAUSE = Cause(
    id="tls-handshake-failed",
    layer=Layer.PROXY,
    says="the TLS handshake with the backend failed: protocol, cipher, missing SNI",
    symptoms={Symptom.TLS_FAILED: 5.0, Symptom.TLS_TIMED_OUT: FAIR},
    yields_to=frozenset({"tls-client-certificate-required", "tls-verify-failed", "wrong-protocol"}),
    examine=examine,
    remedies=remedies,
)
