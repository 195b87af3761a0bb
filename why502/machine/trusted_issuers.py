"""Locations of a machine's trusted certificate authorities (update-ca-certificates(8), update-ca-trust(8))."""

from __future__ import annotations

# First issuers added on this machine, one file each; then those trusted by the distribution, in one file.
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
