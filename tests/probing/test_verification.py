"""The change that lets a certificate verify, against real TLS servers with certificates of our own authority."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.host.local import LocalHost
from why502.model.target import Target
from why502.probing import verification
from why502.probing.request import Request, Tls
from why502.probing.verification import cure

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")]
NAME = "app.example"


def openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


@pytest.fixture(scope="module", name="directory")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with two authorities, and a certificate of the first for app.example."""
    directory = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("first", "second"):
        made = ("-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.pem")
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-days", "30", *made)
    alternative = ("-addext", f"subjectAltName=DNS:{NAME}")
    request = ("-keyout", f"{directory}/app.key", "-out", f"{directory}/app.csr")
    openssl("req", "-new", *key, "-subj", f"/CN={NAME}", *alternative, *request)
    signer = ("-CA", f"{directory}/first.pem", "-CAkey", f"{directory}/first.key", "-CAcreateserial", "-copy_extensions", "copy")
    openssl("x509", "-req", "-in", f"{directory}/app.csr", *signer, "-days", "30", "-out", f"{directory}/app.pem")
    return directory


@pytest.fixture(name="port")
def server(directory: Path) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "app.pem", directory / "app.key")
    ends = threading.Event()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def serve() -> None:
            while not ends.is_set():
                try:
                    with listening.accept()[0] as client, context.wrap_socket(client, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ends.set()
            thread.join()


def request(port: int, **tls: object) -> Request:
    given = Tls(verifies=True, **tls)  # type: ignore[arg-type]
    return Request(target=Target(host="127.0.0.1", port=port), protocol="https", tls=given)


def test_another_name(port: int, directory: Path) -> None:
    asked = request(port, name="old.example", sni="old.example", trusted=f"{directory}/first.pem")
    assert cure(LocalHost(), asked) == (("ssl_name", NAME),)


def test_issuers_that_this_machine_trusts(port: int, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = request(port, name=NAME, trusted=f"{directory}/second.pem")
    monkeypatch.setattr(verification, "BUNDLES", ())
    monkeypatch.setattr(verification, "DIRECTORIES", (str(tmp_path),))
    assert cure(LocalHost(), asked) == ()
    shutil.copy(directory / "second.pem", tmp_path / "a.crt")
    shutil.copy(directory / "first.pem", tmp_path / "b.crt")
    assert cure(LocalHost(), asked) == (("ssl_trusted_certificate", f"{tmp_path}/b.crt"),)


def test_two_things_at_once_are_not_guessed(port: int, directory: Path) -> None:
    assert cure(LocalHost(), request(port, name="old.example", trusted=f"{directory}/second.pem")) == ()


def test_unverified_certificates_need_no_change() -> None:
    asked = Request(target=Target(host="127.0.0.1", port=1), protocol="https", tls=Tls(name=NAME))
    assert cure(LocalHost(), asked) == ()
