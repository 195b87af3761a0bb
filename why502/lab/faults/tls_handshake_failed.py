"""tls-handshake-failed: proxy and backend have no protocol or cipher in common, or the backend requires a server name (SNI)."""

from __future__ import annotations

from functools import partial

from why502.lab.certificates import authority, certificate
from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, options: tuple[str, ...], location: str = "") -> str:
    """Break it: a TLS backend that is pickier than nginx."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--tls", certificate(stage, authority(stage)), *options)
    stage.nginx.start(f"proxy_pass https://{target};\n{location}")
    stage.send_many(6)
    return target


fault = partial(
    Fault,
    cause="tls-handshake-failed",
    layer=Layer.PROXY,
    needs=frozenset({"openssl"}),
    proves=(r"SSL_do_handshake\(\) failed \(SSL: .* while SSL handshaking to upstream",),
)
FAULTS = (
    fault(
        name="tls-handshake-failed",
        message="the backend speaks TLS 1.3 only, but nginx offers 1.2 only",
        build=partial(build, options=("--tls-min", "TLSv1_3"), location="proxy_ssl_protocols TLSv1.2;"),
    ),
    fault(
        name="tls-handshake-failed-sni",
        message="the backend requires a server name, and proxy_ssl_server_name is off",
        build=partial(build, options=("--sni", "app.internal"), location="proxy_ssl_name app.internal;"),
    ),
    fault(
        name="tls-handshake-failed-cipher",
        message="no common cipher: the backend's key is of another type",
        build=partial(build, options=(), location="proxy_ssl_protocols TLSv1.2;\nproxy_ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384;"),
    ),
)
