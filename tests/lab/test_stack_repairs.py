"""How the repair of a broken stack is judged."""

from __future__ import annotations

from typing import Any

import pytest

from why502.lab.stacks import repair

KEPT: dict[str, Any] = {
    "outcome": "kept",
    "unproved": "",
    "still_failing": [],
    "undo_status": 0,
    "not_restored": [],
    "message": "m",
    "words": "",
}


@pytest.mark.parametrize(
    ("change", "judged"),
    [
        ({}, "repaired"),
        ({"undo_status": 1}, "repaired"),
        ({"undo_status": 2}, "dirty"),
        ({"still_failing": ["GET / [502]"]}, "failing"),
        ({"still_failing": ["GET / [502]"], "unproved": "no request failed before, and none fails now"}, "unproved"),
        ({"not_restored": ["/etc/nginx/nginx.conf"]}, "dirty"),
        ({"outcome": "reverted"}, "reverted"),
        ({"outcome": "reverted", "not_restored": ["/etc/a"]}, "dirty"),
        ({"outcome": None}, "none"),
    ],
)
def test_a_repair_is_judged(change: dict[str, Any], judged: str) -> None:
    assert repair.judge(KEPT | change) == judged


def test_the_row_tells_the_first_line_of_an_error() -> None:
    assert repair.line(KEPT | {"outcome": None, "message": None, "words": "why502: no\nhint"}) == "none (why502: no)"
