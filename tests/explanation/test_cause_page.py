"""`why502 explain CAUSE`: the page of each cause, set for a terminal."""

from __future__ import annotations

from why502.diagnosis.causes import CAUSES, PAGES
from why502.explanation import explain
from why502.render.explanation import render_text
from why502.render.words import Terminal


def test_it_fits_the_terminal_and_says_all_of_the_page() -> None:
    for name in CAUSES:
        shown = render_text(explain(name), Terminal(width=80))
        assert shown.startswith(f"{name}, fault: ")
        assert "## " not in shown
        long = [line for line in shown.splitlines() if len(line) > 80 and " " in line.strip().removeprefix("- ")]
        assert not [line for line in long if len(max(line.split(), key=len)) < 60], name
        assert [word for word in PAGES[name].split() if word != "##"] == shown.split("\n", 1)[1].split(), name
