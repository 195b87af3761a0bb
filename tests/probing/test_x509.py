"""The validity of real certificates, and of bytes that are none."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.probing.x509 import validity


def made(directory: Path, *options: str) -> bytes:
    """Return a new certificate, DER."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "c",
            "-subj",
            "/CN=x",
            *options,
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    text = (directory / "c").read_text()
    return base64.b64decode(text.split("-----")[2])


@pytest.mark.parametrize("days", [1, 30, 30_000])
def test_the_validity_is_that_of_openssl(tmp_path, days):
    """30,000 days: after 2050 the time is written in another form."""
    found = validity(made(tmp_path, "-days", str(days)))
    shown = subprocess.run(
        ["openssl", "x509", "-in", "c", "-noout", "-enddate"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    last = datetime.strptime(shown.stdout.strip().partition("=")[2], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert found is not None
    assert found[1] == last
    assert found[1] - found[0] == timedelta(days=days)


@given(st.binary(max_size=300))
def test_other_bytes_have_none(data):
    found = validity(data)
    assert found is None or found[0].tzinfo is UTC


def test_a_damaged_certificate_never_raises(tmp_path):
    good = made(tmp_path, "-days", "3")
    for at in range(len(good)):
        validity(good[:at])
        validity(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
