"""TLS backends: certificates made by the openssl program, served by real nginx and by Python's ssl."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.probing.request import Tls
from why502.probing.tls import mismatch

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")]

DATES = {"expired": ("20200101000000Z", "20210101000000Z"), "future": ("20900101000000Z", "20910101000000Z")}


def openssl(directory: Path, *argv: str) -> None:
    subprocess.run(["openssl", *argv], cwd=directory, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """A directory with an issuer (ca.pem) and certificates for app.test: good, expired, future, self (self-signed)."""
    directory = tmp_path_factory.mktemp("certificates")
    (directory / "ca.cnf").write_text(
        "[ca]\ndefault_ca = this\n[this]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\np"
        "olicy = any\n"
        "copy_extensions = copy\n[any]\ncommonName = supplied\n"
    )
    (directory / "index").write_text("")
    (directory / "index.attr").write_text("unique_subject = no\n")
    (directory / "serial").write_text("01\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(directory, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=An issuer", "-days", "3650")
    name = ("-subj", "/CN=app.test", "-addext", "subjectAltName=DNS:app.test,DNS:*.wild.test")
    openssl(directory, "req", "-x509", *key, "-keyout", "self.key", "-out", "self.pem", *name, "-days", "3650")
    for kind in ("good", "expired", "future"):
        openssl(directory, "req", "-new", *key, "-keyout", f"{kind}.key", "-out", f"{kind}.csr", *name)
        begin, end = DATES.get(kind, ("20200101000000Z", "20900101000000Z"))
        files = ("-in", f"{kind}.csr", "-out", f"{kind}.pem", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext", "-batch")
        openssl(directory, "ca", "-config", "ca.cnf", *files, "-startdate", begin, "-enddate", end)
    return directory


@pytest.fixture
def backends(nginx, directory, certificates):
    """Real nginx with one TLS server for each case; return a function from its name to the target."""
    cases = {
        "good": "good",
        "expired": "expired",
        "future": "future",
        "self": "self",
        "old": "good; ssl_protocols TLSv1.2",
        "nosni": "good; ssl_reject_handshake on",
        "client": "good; ssl_verify_client on; ssl_client_certificate $C/ca.pem",
    }
    servers = "".join(
        f"server {{ listen unix:$F/{case} ssl; return 200 hi; ssl_certificate_key $C/{rest.partition(';')[0]}.key;"
        f" ssl_certificate $C/{rest.replace(';', '.pem;', 1) if ';' in rest else rest + '.pem'}; }}\n"
        for case, rest in cases.items()
    )
    nginx(servers.replace("$C", str(certificates)), *cases)
    return lambda case: Target(path=str(directory / case))


@pytest.fixture
def over_tls(ask, certificates):
    """Probe over https; the fields are those of Tls."""

    def probed(target: Target, **fields):
        if fields.get("verifies"):
            fields.setdefault("trusted", str(certificates / "ca.pem"))
            fields.setdefault("name", "app.test")
        return ask(target, protocol="https", tls=Tls(**fields))

    return probed


def test_answers(backends, over_tls):
    found = over_tls(backends("good"), verifies=True, sni="app.test")
    assert (found.symptom, found.status) == (None, 200)
    assert 0 < found.first_byte_s <= found.total_s
    assert over_tls(backends("good"), verifies=True, name="a.wild.test").symptom is None
    for case in ("expired", "self"):  # a proxy does not verify by default
        assert over_tls(backends(case)).status == 200


@pytest.mark.parametrize(
    ("case", "fields", "reason"),
    [
        ("expired", {}, "certificate has expired"),
        ("future", {}, "certificate is not yet valid"),
        ("self", {}, "self-signed certificate"),
        ("good", {"trusted": "self.pem"}, "unable to get local issuer certificate"),
        ("good", {"name": "other.test"}, 'it is for "app.test", "*.wild.test", not for "other.test"'),
        ("good", {"name": "a.b.wild.test"}, "not for"),
        ("good", {"name": "wild.test"}, "not for"),
    ],
)
def test_reasons_why_a_certificate_does_not_verify(backends, over_tls, certificates, case, fields, reason):
    if "trusted" in fields:
        fields = {"trusted": str(certificates / fields["trusted"])}
    found = over_tls(backends(case), verifies=True, **fields)
    assert found.symptom is Symptom.TLS_UNVERIFIED, found
    assert reason in found.certificate
    assert reason in found.detail


@pytest.mark.parametrize(
    ("case", "fields", "symptom", "message"),
    [
        ("old", {"protocols": ("TLSv1.3",)}, Symptom.TLS_FAILED, "protocol version"),
        ("old", {"protocols": ("TLSv1.2",), "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}, Symptom.TLS_FAILED, "handshake failure"),
        ("nosni", {}, Symptom.TLS_FAILED, "unrecognized name"),
        ("client", {}, Symptom.TLS_CLIENT_CERTIFICATE, "client certificate"),
    ],
)
def test_handshakes_that_fail(backends, over_tls, case, fields, symptom, message):
    found = over_tls(backends(case), **fields)
    assert (found.symptom, found.speaks) == (symptom, "tls"), found
    assert message in found.detail


def test_an_invalid_answer_within_tls_is_not_another_protocol(serve, over_tls, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")

    def cut(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")

    found = over_tls(serve(cut))
    assert (found.symptom, found.speaks) == (Symptom.CLOSED_IN_BODY, "tls")


def test_a_client_certificate_is_shown(backends, over_tls, certificates):
    shown = {"certificate": str(certificates / "good.pem"), "key": str(certificates / "good.key")}
    assert over_tls(backends("client"), **shown).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_demanded(serve, over_tls, certificates, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version

    def demanding(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)

    assert over_tls(serve(demanding)).symptom is Symptom.TLS_CLIENT_CERTIFICATE


def test_https_to_a_server_without_tls(serve, over_tls):
    found = over_tls(serve(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
    assert (found.symptom, found.speaks) == (Symptom.TLS_NOT_TLS, "http")
    found = over_tls(serve(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert (found.symptom, found.speaks) == (Symptom.TLS_NOT_TLS, "ssh")


def test_https_to_a_server_that_waits_for_a_line(serve, over_tls, ask):
    def lines(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    found = ask(serve(lines), protocol="https", tls=Tls(), connect_s=0.5)
    assert (found.symptom, found.speaks) == (Symptom.TLS_TIMED_OUT, "http")


def test_https_to_a_server_that_closes(serve, over_tls):
    found = over_tls(serve(lambda connection: connection.recv(65536)))
    assert (found.symptom, found.speaks) == (Symptom.TLS_FAILED, "")
    assert "closed" in found.detail or "reset" in found.detail


def test_http_to_a_tls_port(backends, ask, serve, certificates):
    found = ask(backends("good"))
    assert (found.symptom, found.speaks) == (Symptom.TLS_REQUEST_EXPECTED, "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")

    def bare(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)

    found = ask(serve(bare))  # it sends nothing, or an alert, and closes: the second probe detects it
    assert found.symptom in (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.NO_STATUS_LINE)
    assert found.speaks == "tls"


@pytest.mark.parametrize("settings", [{"ciphers": "NONE-SUCH"}, {"verifies": True, "trusted": "/none"}, {"sni": "a..b"}])
def test_unusable_settings_are_not_the_backends_fault(backends, over_tls, settings):
    from why502.model.errors import HostError

    with pytest.raises(HostError):
        over_tls(backends("good"), **settings)


def test_names():
    by_subject = {"subject": ((("commonName", "app.test"),),)}
    assert mismatch(by_subject, "APP.test.") == ""
    assert mismatch({**by_subject, "subjectAltName": (("DNS", "x.test"),)}, "app.test")
    assert "no name" in mismatch({}, "app.test")
