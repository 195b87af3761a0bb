"""`--from-process CONTAINER` with real engines: at the port that is published for it, else at its own address."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from why502.lab.containers import machine

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
ENGINES = machine.ENGINES if os.environ.get("PROOF_LONG") else ("podman",)  # `make generate-proof` starts every engine


@pytest.mark.parametrize("engine", ENGINES)
def test_an_application_in_a_container_is_measured(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := machine.missing(engine):
        pytest.skip(why)
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.delenv("TMPDIR", raising=False)  # the user of a rootless engine may not write there
    out, err = machine.play(["contained", engine], tmp_path / "image.tar", 150)
    assert out, err
    seen = json.loads(out.splitlines()[-1])
    assert "broken" not in seen, seen
    for what in ("published", "by id", "by pid"):
        options = seen[what]["options"]
        (address,), source = options["--app"]
        assert address == "127.0.0.1:8081", what
        assert "python3 server.py (pid " in source and "in published (" in source and "the port published for it" in source
        assert options["--exec"][0] == ["/usr/bin/python3 /app/server.py 0.0.0.0:3000"]
    assert "refused" in seen["absent"]
    if engine == machine.ROOTLESS:  # slirp4netns: nothing but a published port leads into its network
        assert "refused" in seen["inner"]
        return
    (address,), source = seen["inner"]["options"]["--app"]
    assert address.endswith(":3000") and "at an address in another network" in source
    assert seen["published"]["options"]["--memory"][0] == ["300m"]
    assert "cgroup: python3 server.py" in "\n".join(seen["published"]["facts"])
