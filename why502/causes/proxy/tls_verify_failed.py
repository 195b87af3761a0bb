"""The backend's certificate did not verify: expired, wrong name, unknown issuer.

Only with proxy_ssl_verify on (off by default in nginx): 502, "upstream SSL certificate verify error" or "does not match". Cloudflare says 526.

## Confuse not with
- `tls-handshake-failed`: they do not get that far.

## Confirm
- `openssl s_client -connect HOST:PORT -servername NAME -CAfile FILE </dev/null | openssl x509 -noout -dates -subject -ext subjectAltName`

## Fix
- Expired: renew it. Wrong name: proxy_ssl_name must be a name of the certificate. Unknown issuer: proxy_ssl_trusted_certificate must hold the issuer.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_verify
- https://docs.openssl.org/3.0/man1/openssl-verification-options/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(*CAUSE.symptoms):
        return
    for probe in case.probes:
        if probe.certificate:
            yield supports(f"its certificate does not verify: {probe.certificate}", "probe", WEAK)
            return


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    reason = next((probe.certificate for probe in case.probes if probe.certificate), "")
    return f"the certificate of {case.target} does not verify: {reason}" if reason else ""


CAUSE = Cause(
    id="tls-verify-failed",
    layer=Layer.PROXY,
    says="the backend's certificate did not verify: expired, wrong name, unknown issuer",
    symptoms={Symptom.TLS_UNVERIFIED: PROOF},
    examine=examine,
    tell=tell,
)
