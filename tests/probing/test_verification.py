"""What would let a certificate verify, against real TLS servers with certificates of an authority of our own."""

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


@pytest.fixture(scope="module", name="folder")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two authorities, and a certificate of the first for app.example."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("first", "second"):
        made = ("-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-days", "30", *made)
    alternative = ("-addext", f"subjectAltName=DNS:{NAME}")
    request = ("-keyout", f"{folder}/app.key", "-out", f"{folder}/app.csr")
    openssl("req", "-new", *key, "-subj", f"/CN={NAME}", *alternative, *request)
    signer = ("-CA", f"{folder}/first.pem", "-CAkey", f"{folder}/first.key", "-CAcreateserial", "-copy_extensions", "copy")
    openssl("x509", "-req", "-in", f"{folder}/app.csr", *signer, "-days", "30", "-out", f"{folder}/app.pem")
    return folder


@pytest.fixture(name="port")
def server(folder: Path) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "app.pem", folder / "app.key")
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


def test_another_name(port: int, folder: Path) -> None:
    asked = request(port, name="old.example", sni="old.example", trusted=f"{folder}/first.pem")
    assert cure(LocalHost(), asked) == (("ssl_name", NAME),)


def test_issuers_that_this_machine_knows(port: int, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = request(port, name=NAME, trusted=f"{folder}/second.pem")
    monkeypatch.setattr(verification, "BUNDLES", ())
    monkeypatch.setattr(verification, "FOLDERS", (str(tmp_path),))
    assert cure(LocalHost(), asked) == ()
    shutil.copy(folder / "second.pem", tmp_path / "a.crt")
    shutil.copy(folder / "first.pem", tmp_path / "b.crt")
    assert cure(LocalHost(), asked) == (("ssl_trusted_certificate", f"{tmp_path}/b.crt"),)


def test_two_things_at_once_are_not_guessed(port: int, folder: Path) -> None:
    assert cure(LocalHost(), request(port, name="old.example", trusted=f"{folder}/second.pem")) == ()


def test_what_is_not_verified_needs_nothing() -> None:
    asked = Request(target=Target(host="127.0.0.1", port=1), protocol="https", tls=Tls(name=NAME))
    assert cure(LocalHost(), asked) == ()
