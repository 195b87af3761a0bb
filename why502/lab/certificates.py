"""Certificates for TLS backends, made by openssl(1). Each is one PEM file with certificate and key."""

from __future__ import annotations

from pathlib import Path

from why502.lab.stage import Stage

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CA = """[ca]
default_ca = lab
[lab]
database = {directory}/index.txt
new_certs_dir = {directory}
serial = {directory}/serial
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


def authority(stage: Stage, name: str = "lab") -> Path:
    """Make an authority and return its certificate; the key lies beside it."""
    directory = stage.path(f"/run/{name}-ca")
    directory.mkdir(parents=True)
    (directory / "index.txt").touch()
    (directory / "serial").write_text("01\n")
    (directory / "ca.cnf").write_text(CA.format(directory=directory))
    subject = ("-subj", f"/CN={name} authority", "-days", "30")
    stage.sh("openssl", "req", "-x509", *KEY, *subject, "-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.pem"))
    return directory / "ca.pem"


def certificate(stage: Stage, ca: Path, name: str = "app.internal", *, is_expired: bool = False) -> str:
    """Return the path of a certificate for a DNS name, signed by the authority; one that ended years ago where asked."""
    directory = ca.parent
    key, request, signed = (str(directory / f"{name}.{kind}") for kind in ("key", "csr", "crt"))
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    stage.sh("openssl", "req", "-new", *KEY, *subject, "-keyout", key, "-out", request)
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z") if is_expired else ("-days", "10")
    signer = ("-cert", str(ca), "-keyfile", str(directory / "ca.key"))
    stage.sh(
        "openssl",
        "ca",
        "-batch",
        "-notext",
        "-config",
        str(directory / "ca.cnf"),
        *signer,
        *dates,
        "-in",
        request,
        "-out",
        signed,
    )
    return stage.write(f"/run/{ca.parent.name}/{name}.pem", Path(signed).read_text() + Path(key).read_text())
