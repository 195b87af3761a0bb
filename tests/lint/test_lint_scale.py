"""Four times as much configuration of any shape costs about four times as much: calls are counted, not seconds."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from lint_sample import Files
from lint_shapes import SHAPES, sized

from why502.linter.engine import lint
from why502.linter.inputs import gather

FILES = {"haproxy": "/repo/haproxy.cfg", "apache": "/repo/httpd.conf"}
SIZE = 15_000
GROWTH = 6.0  # of four times as much; quadratic work grows sixteenfold


def steps(name: str, text: str) -> int:
    """Return how many functions were called, of Python and of C."""
    path = FILES.get(name.split("_")[0], "/repo/nginx.conf")
    count = 0

    def seen(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        for deployment in gather(Files({path: text}), [path]).deployments:  # type: ignore[arg-type]
            lint(deployment)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", list(SHAPES))
def test_work_grows_with_the_text(name: str) -> None:
    few, many = (sized(SHAPES[name], size) for size in (SIZE, 4 * SIZE))
    steps(name, few)  # imports and compilations that happen only once
    assert steps(name, many) < GROWTH * steps(name, few)
