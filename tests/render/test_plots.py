"""Plots: their parts add up, every word in them is text, and they are well formed."""

from __future__ import annotations

from xml.etree import ElementTree

from why502.render.plots import Box, Lane, Mark, Series, Span, bars, gauge, lanes, swatch

HOSTILE = '</title><script>alert(1)</script>" onload="x\x1b[2J&'


def test_the_bars_of_a_column_add_up_to_its_share_of_the_scale() -> None:
    series = [Series(name="a", counts=(10, 0, 30)), Series(name="b", counts=(5, 0, 20))]
    whole = ElementTree.fromstring(bars(series, ("x", "y", "z"), label="l", axis=("x", "z")))
    columns = whole.findall("./svg/g")
    assert [column.findtext("title") for column in columns] == ["x: 10 a, 5 b", "z: 30 a, 20 b"], "an empty column has no shape"
    heights = [sum(float(part.get("height", "0")) for part in column.findall("rect")[1:]) for column in columns]
    assert heights == [30.0, 100.0] and whole.findtext("./div/span") == "50"
    assert [item.text for item in whole.findall("./figcaption/ul/li")] == [None, None] and "a" in "".join(whole.itertext())


def test_nothing_to_show_is_an_empty_plot() -> None:
    for series in ([], [Series(name="a", counts=())], [Series(name="a", counts=(0, 0))]):
        columns = ("x", "y")[: len(series[0].counts)] if series else ()
        assert ElementTree.fromstring(bars(series, columns, label="l", axis=(), has_legend=False)).find("./svg") is not None


def test_every_word_is_text() -> None:
    marks = (Mark(name=HOSTILE, at=0.5),)
    plot = bars([Series(name=HOSTILE, counts=(1,))], (HOSTILE,), label=HOSTILE, axis=(HOSTILE,), unit="<", marks=marks)
    whole = ElementTree.fromstring(plot)
    assert {tag.tag for tag in whole.iter()} <= {
        "figure",
        "div",
        "span",
        "svg",
        "g",
        "title",
        "rect",
        "figcaption",
        "ul",
        "li",
        "b",
    }
    assert not any(name.startswith("on") or name == "style" for tag in whole.iter() for name in tag.attrib)
    assert "\x1b" not in plot


def test_lanes_lie_within_their_width_and_say_what_they_show() -> None:
    lane = Lane(
        name=HOSTILE, text=HOSTILE, boxes=(Box(begin=0.25, end=0.75, place=1), Box(begin=1, end=1, place=0)), ticks=(0.5,)
    )
    plot = lanes([lane], (HOSTILE,), axis=("0", HOSTILE), tick=HOSTILE)
    whole = ElementTree.fromstring(plot)
    assert [(box.get("x"), box.get("width")) for box in whole.iter("rect")][:3] == [
        ("25.00", "50.00"),
        ("100.00", "0.30"),
        ("49.75", "0.5"),
    ]
    assert "\x1b" not in plot and not any(name.startswith("on") for tag in whole.iter() for name in tag.attrib)
    assert not {tag.tag for tag in whole.iter()} & {"script", "style"}


def test_a_part_of_a_plot_is_marked_behind_its_bars() -> None:
    spans = (Span(name=HOSTILE, begin=0.5, end=2),)
    whole = ElementTree.fromstring(bars([Series(name="a", counts=(1, 1))], "xy", label="l", axis=(), spans=spans))
    marked = whole.findall("./svg/g/rect")[0]
    assert (marked.get("x"), marked.get("width")) == ("0.500", "1.500")


def test_a_gauge_is_never_fuller_than_full() -> None:
    for share, width in ((-1, 0.0), (0.5, 50.0), (1, 100.0), (7, 100.0)):
        filled = ElementTree.fromstring(gauge(share, label=HOSTILE)).findall("rect")[1]
        assert float(filled.get("width", "")) == width
    assert ElementTree.fromstring(swatch(99)).find("rect") is not None, "more series than colours share the last one"
