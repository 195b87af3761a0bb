"""TLS to a backend with the proxy's settings. It runs in memory, so that the peer's raw bytes can be examined."""

from __future__ import annotations

import errno
import ipaddress
import os
import ssl
import time
import warnings
from collections.abc import Mapping

from why502.host.base import Host
from why502.model.errors import Expired, HostError
from why502.model.logs import Symptom
from why502.probing.head import shown
from why502.probing.line import Failed, Line, number
from why502.probing.request import Request, Tls
from why502.probing.speech import identify

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
HANDSHAKE, CERTIFICATE_REQUEST = 22, 13  # RFC 5246, 6.2.1 and 7.4
CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_NO_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")


class TlsLine(Line):
    """A line through TLS: send and receive plain text. `raw` holds the first bytes received from the peer."""

    def __init__(self, line: Line, context: ssl.SSLContext, sni: str) -> None:
        super().__init__(line.connection, line.deadline)
        self.line = line
        self.raw = b""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=sni or None)

    def handshake(self) -> None:
        """Do the TLS handshake. Raises ssl.SSLError, Expired, HostError."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                return self._flush()

    @property
    def certificate(self) -> bytes:
        """Return the peer's certificate (DER), whether or not it was verified; b"" if there is none."""
        return self.tls.getpeercert(binary_form=True) or b""

    def send(self, data: bytes) -> None:
        """Send plain text."""
        try:
            self.tls.write(data)
        except ssl.SSLError as error:
            raise _failed(error, self.raw) from error
        self._flush()

    def _pull(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise _failed(error, self.raw) from error

    def _fill(self) -> None:
        self.line.deadline = self.deadline
        data = self.line.receive()
        if len(self.raw) < 1 << 16:
            self.raw += data
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def _flush(self) -> None:
        if self._out.pending:
            self.line.send(self._out.read())


def secure(host: Host, line: Line, request: Request) -> TlsLine:
    """Return the line after the handshake. Raises Failed, or HostError if our own side cannot do it (a file, a cipher)."""
    settings = request.tls or Tls()
    try:
        secured = TlsLine(line, context(host, settings), settings.sni)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise HostError(f"the TLS settings of the route cannot be used: {error}") from error
    try:
        secured.handshake()
    except ssl.SSLCertVerificationError as error:
        message = f"the backend's certificate failed verification: {error.verify_message}"
        raise Failed(Symptom.TLS_UNVERIFIED, message, certificate=error.verify_message) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise Failed(Symptom.TLS_FAILED, "the peer closed the connection in the TLS handshake") from error
    except ssl.SSLError as error:
        raise _failed(error, secured.raw) from error
    except Expired as error:
        waited = request.connect_s - max(0.0, line.deadline - time.monotonic())
        raise Failed(Symptom.TLS_TIMED_OUT, f"no TLS handshake within {waited:.1f} s") from error
    except HostError as error:
        message = "the peer reset the connection in the TLS handshake"
        if number(error) not in (errno.ECONNRESET, errno.EPIPE):
            message = f"the connection broke in the TLS handshake: {error.reason}"
        raise Failed(Symptom.TLS_FAILED, message, errno=number(error)) from error
    if settings.verifies and settings.name and (reason := mismatch(secured.tls.getpeercert() or {}, settings.name)):
        raise Failed(Symptom.TLS_UNVERIFIED, f"the backend's certificate failed verification: {reason}", certificate=reason)
    return secured


def context(host: Host, settings: Tls) -> ssl.SSLContext:
    """Return the SSL context for the settings; nothing is verified unless they ask for it. Raises HostError, ssl.SSLError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False  # a name can be verified without being sent: see mismatch()
    made.verify_mode = ssl.CERT_REQUIRED if settings.verifies else ssl.CERT_NONE
    made.set_ciphers(settings.ciphers)
    if settings.alpn:
        made.set_alpn_protocols(list(settings.alpn))
    if allowed := sorted(VERSIONS[name] for name in settings.protocols if name in VERSIONS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.minimum_version = max(allowed[0], min(ssl.TLSVersion.TLSv1_2, allowed[-1]))
            made.maximum_version = allowed[-1]
    if settings.verifies and settings.trusted:
        made.load_verify_locations(cadata=host.read(settings.trusted).decode("ascii", "ignore"))
    if settings.certificate and settings.key:
        with _Memory(host.read(settings.certificate)) as certificate, _Memory(host.read(settings.key)) as key:
            made.load_cert_chain(certificate, key, password=lambda: b"")
    return made


def mismatch(certificate: Mapping[str, object], name: str) -> str:
    """Return why a certificate (in the form of SSLSocket.getpeercert) does not match a name; "" if it does (RFC 6125, 6.4)."""
    named = names_of(certificate)
    wanted = name.lower().rstrip(".")
    for pattern in named:
        if pattern.lower() == wanted or (pattern[:2] == "*." and wanted.partition(".")[2] == pattern[2:].lower()):
            return ""
    names = ", ".join(shown(x.encode("utf-8", "replace")) for x in named[:5]) or "no name"
    return f"it is for {names}, not for {shown(name.encode())}"


def names_of(certificate: Mapping[str, object]) -> list[str]:
    """Return the host names of a certificate."""
    named = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]  # type: ignore[attr-defined]
    if not named:
        subject = certificate.get("subject", ())
        named = [value for part in subject for kind, value in part if kind == "commonName"]  # type: ignore[attr-defined]
    return named


def sni_of(name: str) -> str:
    """Return the name to send: none for an IP address (RFC 6066, 3)."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name
    return ""


class _Memory:
    """A file visible only to this process (memfd_create(2)): ssl reads keys only from files, and `host` may be another
    machine.
    """

    def __init__(self, content: bytes) -> None:
        self.number = os.memfd_create("why502")
        os.write(self.number, content)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self.number}"

    def __exit__(self, *_: object) -> None:
        os.close(self.number)


def _failed(error: ssl.SSLError, raw: bytes) -> Failed:
    """Return the failure for a failed handshake (or a later alert)."""
    if raw and not (raw[0] in range(20, 25) and raw[1:2] == b"\x03"):
        message = f"the peer does not speak TLS: it sent {shown(raw)}"
        return Failed(Symptom.TLS_NOT_TLS, message, speaks=identify(raw))
    reason = error.reason or str(error)
    message = reason.lower().replace("_", " ")
    if any(alert in reason for alert in CERTIFICATE_ALERTS) or ("HANDSHAKE_FAILURE" in reason and _asks_certificate(raw)):
        return Failed(Symptom.TLS_CLIENT_CERTIFICATE, f"the backend asks for a client certificate ({message})")
    return Failed(Symptom.TLS_FAILED, f"the TLS handshake failed: {message}")


def _asks_certificate(raw: bytes) -> bool:
    """Return whether the peer's handshake, unencrypted up to TLS 1.2, contains a CertificateRequest."""
    messages, at = b"", 0
    while at + 5 <= len(raw):
        size = int.from_bytes(raw[at + 3 : at + 5])
        if raw[at] == HANDSHAKE:
            messages += raw[at + 5 : at + 5 + size]
        at += 5 + size
    at = 0
    while at + 4 <= len(messages):
        if messages[at] == CERTIFICATE_REQUEST:
            return True
        at += 4 + int.from_bytes(messages[at + 1 : at + 4])
    return False
