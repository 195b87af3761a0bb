"""The certificate or key that the proxy should present to the backend cannot be loaded.

If proxy_ssl_certificate contains a variable, each request fails with 500. Otherwise the configuration does not load: a reload is
rejected, and after a restart the proxy does not run.

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

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.config import Setting
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.proxy import Proxy

# ngx_ssl_certificate() in src/event/ngx_event_openssl.c
_REFUSED = lazy(
    r"(?:cannot load certificate(?: key)?|SSL_CTX_use_(?:certificate|PrivateKey)(?:_file)?"
    r"|PEM_read_bio_X509\w{0,16}) ?\(?\"(?P<file>[^\"]{1,1000})\""
)
_SETTINGS = lazy(r"(?:proxy|grpc|uwsgi|server)_ssl_certificate(?:_key)?")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: the configuration test rejects a file that the proxy presents only to backends."""
    if case.target is not None:
        return
    for proxy in case.proxies:
        for problem in proxy.problems if proxy.test == "failed" else ():
            match = _REFUSED.search(problem.message)
            name, setting = _shown(proxy, match["file"]) if match else ("", None)
            if setting is not None:
                yield supports(
                    f"the file that {name} names at {setting.at} cannot be used: {problem.message}",
                    problem.source or "nginx -t",
                    3 * PROOF,
                )
                return


def _shown(proxy: Proxy, file: str) -> tuple[str, Setting | None]:
    """Return the setting that presents a file to a backend, with its name; none if clients get the file too."""
    found: tuple[str, Setting | None] = ("", None)
    for route in proxy.routes:
        for name, settings in route.settings.items():
            for setting in settings if "ssl_certificate" in name else ():
                if file in setting.args and not _SETTINGS.fullmatch(name):
                    return "", None
                if file in setting.args:
                    found = (name, setting)
    return found


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    return next((f"the proxy refuses its configuration: {item.message}" for item in examine(case)), "")


CAUSE = Cause(
    id="proxy-client-certificate-unusable",
    layer=Layer.PROXY,
    message="the certificate or key that the proxy should present to the backend cannot be loaded",
    symptoms={Symptom.TLS_OWN_CERTIFICATE: PROOF},
    explains=frozenset({"proxy-config-invalid", "proxy-not-running"}),
    examine=examine,
    summarize=summarize,
)
