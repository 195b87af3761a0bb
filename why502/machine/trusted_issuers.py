"""Where a machine keeps the certificate authorities that it trusts (update-ca-certificates(8), update-ca-trust(8))."""

from __future__ import annotations

# Issuers that somebody put on this machine, each in a file; then those that the distribution trusts, in one.
DIRECTORIES = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
)
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
