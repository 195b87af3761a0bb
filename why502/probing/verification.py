"""The change that would make a backend's certificate verify: the route's TLS settings with one setting changed,
one handshake for each.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping

import msgspec

from why502.host.base import Host
from why502.machine.trusted_issuers import BUNDLES, DIRECTORIES
from why502.model.errors import HostError
from why502.probing.line import Failed, connect
from why502.probing.request import Request, Tls
from why502.probing.tls import TlsLine, context, mismatch, names_of, sni_of

FILES = 20
HANDSHAKE_S = 1.0
TOTAL_S = 3.0

Settings = tuple[tuple[str, str], ...]


def cure(host: Host, request: Request) -> Settings:
    """Return the settings that make the certificate verify, without the module's prefix: (("ssl_name", "app.example"),).

    () if no single change of the server name, the verified name or the trusted issuers is enough.
    """
    if request.tls is None or not request.tls.verifies:
        return ()
    ends = time.monotonic() + TOTAL_S
    for settings, tls in _trials(host, request, request.tls):
        if time.monotonic() > ends:
            break
        seen = _shown(host, request, tls)
        if seen is not None and not (tls.name and mismatch(seen, tls.name)):
            return settings
    return ()


def _trials(host: Host, request: Request, tls: Tls) -> Iterator[tuple[Settings, Tls]]:
    if not tls.sni and sni_of(tls.name):
        yield (("ssl_server_name", "on"),), msgspec.structs.replace(tls, sni=sni_of(tls.name))
    seen = _shown(host, request, tls)
    if seen is not None:  # the issuer is trusted, so the name is the problem
        wanted = (request.host.partition(":")[0], *(name for name in names_of(seen) if "*" not in name))
        for name in dict.fromkeys(wanted):
            if not mismatch(seen, name):
                yield (("ssl_name", name),), msgspec.structs.replace(tls, name=name, sni=sni_of(name) if tls.sni else "")
        return
    for path in _issuers(host):
        if path != tls.trusted:
            yield (("ssl_trusted_certificate", path),), msgspec.structs.replace(tls, trusted=path)


def _issuers(host: Host) -> Iterator[str]:
    for directory in DIRECTORIES:
        try:
            names = sorted(host.list(directory))
        except HostError:
            continue
        yield from (f"{directory}/{name}" for name in names[:FILES] if name.endswith((".crt", ".pem", ".cer")))
    yield from BUNDLES


def _shown(host: Host, request: Request, tls: Tls) -> Mapping[str, object] | None:
    """Return the certificate, in the form of SSLSocket.getpeercert, if its issuer is trusted; else None."""
    line = None
    try:
        line = connect(host, msgspec.structs.replace(request, connect_s=HANDSHAKE_S))
        line.deadline = time.monotonic() + HANDSHAKE_S
        secured = TlsLine(line, context(host, tls), tls.sni)
        secured.handshake()
        return secured.tls.getpeercert()
    except (ssl.SSLError, ValueError, OSError, HostError, Failed):
        return None
    finally:
        if line:
            line.close()
