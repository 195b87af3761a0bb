"""Each line about gateways and containers has tests or scenes, and they exist."""

from __future__ import annotations

from docs.test_watch_promises import ROOT, names_of

from why502.lab.containers.scene import scene_list
from why502.lab.gateways import play
from why502.model.patterns import lazy

_ROW = lazy(r"\| G(\d+) \| [^|]+ \| ([^|]+) \|")
_TEST = lazy(r"([\w/]+\.py)::(\w+)")
_NAMED = lazy(r"`([^`]+)`")


def test_each_line_has_evidence_that_exists() -> None:
    page = (ROOT / "docs/gateway-promises.md").read_text()
    rows = [match.groups() for line in page.splitlines() if (match := _ROW.fullmatch(line))]
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1)) and rows
    gateways = (name.split("/") for name in play.names(["haproxy", "apache"], [], every_log=False))
    scenes = {*scene_list(), *(f"{product}/{scene}" for product, _, scene in gateways)}
    for number, cell in rows:
        named = _NAMED.findall(cell)
        assert named, number
        for name in named:
            if test := _TEST.fullmatch(name):
                assert test[2] in names_of(ROOT / "tests" / test[1]), name
            else:
                assert name in scenes, name
