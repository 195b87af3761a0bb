"""Where an installed program is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.machine.programs import located


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("usr/sbin", "usr/local/sbin"), "/usr/sbin/haproxy"),
        (("usr/local/bin",), "/usr/local/bin/haproxy"),
        (("opt/haproxy",), "/opt/haproxy/haproxy"),
        (("srv",), ""),
    ],
)
def test_the_first_of_the_usual_places_counts(tmp_path: Path, there: tuple[str, ...], expected: str) -> None:
    for directory in there:
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "haproxy").touch()
    assert located(DirectoryHost(str(tmp_path)), "haproxy", "/opt/haproxy") == expected
