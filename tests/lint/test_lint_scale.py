"""Four times as much configuration of any shape costs about four times as much: calls are counted, not seconds."""

from __future__ import annotations

import pytest
from lint_sample import Files
from lint_shapes import SHAPES, sized
from steps import steps

from why502.linter.engine import lint
from why502.linter.inputs import gather

FILES = {"haproxy": "/repo/haproxy.cfg", "apache": "/repo/httpd.conf"}
SMALL = 1_000
SIZE = 8_000
GROWTH = 6.0  # of four times as much; quadratic work grows sixteenfold


def work(name: str, size: int) -> int:
    """Return how many steps the linter takes for a configuration of that shape and about that size."""
    path = FILES.get(name.split("_")[0], "/repo/nginx.conf")
    files = Files({path: sized(SHAPES[name], size)})

    def all_of_it() -> None:
        for deployment in gather(files, [path]).deployments:  # type: ignore[arg-type]
            lint(deployment)

    return steps(all_of_it)


@pytest.mark.parametrize("name", list(SHAPES))
def test_work_grows_with_the_text(name: str) -> None:
    work(name, SMALL)  # imports and compilations that happen only once
    assert work(name, 4 * SIZE) < GROWTH * work(name, SIZE)
