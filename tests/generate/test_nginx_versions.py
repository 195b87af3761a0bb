"""Every pair of options, accepted by each version of nginx that scripts/nginx-versions built. Run by `make generate-versions`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_nginx_pairs import accepted_by

BUILDS = sorted(Path(__file__).parents[2].joinpath("build", "nginx").glob("*/nginx"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not os.environ.get("NGINX_VERSIONS"), reason="make generate-versions builds them: it takes minutes"),
]


def test_there_are_builds() -> None:
    assert len(BUILDS) >= 6


@pytest.mark.parametrize("program", BUILDS, ids=lambda path: path.parent.name)
def test_this_version_accepts_every_pair_of_options(program: Path, tmp_path: Path) -> None:
    count = accepted_by(str(program), program.parent.name, tmp_path)
    print(program.parent.name, count)
    assert count > 20
