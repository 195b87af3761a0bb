"""tls-verify-failed: verification of the backend's certificate fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from why502.lab.certificates import authority, certificate
from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer

NAMED = "proxy_ssl_name app.internal;\nproxy_ssl_server_name on;"


def build(
    stage: Stage,
    *,
    name: str = "app.internal",
    is_expired: bool = False,
    trusted: str = "lab",
    is_known: bool = False,
    tls: str = NAMED,
) -> str:
    """Break it: nginx verifies for app.internal, and the certificate is not good for that.

    `is_known`: the authority is one of those that the machine's administrator put where they belong.
    """
    target = f"127.0.0.1:{stage.port(3000)}"
    ca = authority(stage)
    if is_known:
        directory = Path("/usr/local/share/ca-certificates")
        directory.mkdir(parents=True, exist_ok=True)
        stage.sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", str(directory))
        (directory / "company.crt").write_bytes(ca.read_bytes())
    trust = ca if trusted == "lab" else authority(stage, trusted)
    stage.backend(3000, "--tls", certificate(stage, ca, name, is_expired=is_expired))
    stage.nginx.start(f"proxy_pass https://{target};\nproxy_ssl_verify on;\nproxy_ssl_trusted_certificate {trust};\n{tls}")
    stage.send_many(6)
    return target


fault = partial(Fault, cause="tls-verify-failed", layer=Layer.PROXY, needs=frozenset({"openssl"}))
FAULTS = (
    fault(
        name="tls-verify-failed-expired",
        message="the backend's certificate expired in 2020",
        build=partial(build, is_expired=True),
        proves=(r"upstream SSL certificate verify error: \(10:certificate has expired\)",),
    ),
    fault(
        name="tls-verify-failed-name",
        message="the backend's certificate is for another name",
        build=partial(build, name="old.internal"),
        proves=(r"upstream SSL certificate does not match \"app\.internal\"",),
    ),
    fault(
        name="tls-verify-failed-issuer",
        message="the backend's certificate is from an authority that nginx does not trust",
        build=partial(build, trusted="other"),
        proves=(r"upstream SSL certificate verify error: \((20|21):unable to ",),
    ),
    fault(
        name="tls-verify-failed-issuer-known",
        message="the certificate's authority is known to this machine, but nginx trusts a different one",
        build=partial(build, trusted="other", is_known=True),
        needs=frozenset({"openssl", "isolation"}),
        proves=(r"upstream SSL certificate verify error: \((20|21):unable to ",),
    ),
    fault(
        name="tls-verify-failed-default-name",
        message="nginx verifies the certificate for the address in proxy_pass, since proxy_ssl_name is not set",
        build=partial(build, tls="proxy_ssl_server_name on;"),
        proves=(r"upstream SSL certificate does not match",),
    ),
)
