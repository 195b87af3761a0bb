"""Plots as SVG, for pages without scripts. Each is a figure of HTML: bars that stretch with the page, and axes as text.

`STYLESHEET` is what pages need for them; it uses the colours --line and --dim of the page. A column has a tooltip. Colours are
attributes, so that a strict Content-Security-Policy lets them pass; they stand out on light and dark grounds alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from why502.model.base import Value
from why502.render.words import safe

STYLESHEET = Path(__file__).with_name("plots.css")
PALETTE = ("#d1495b", "#c77700", "#2e86ab", "#8367c7", "#2f9e6e", "#7c8794")
_HEIGHT = 100.0
_GAP = 0.15  # of a column


class Mark(Value, frozen=True, kw_only=True):
    """A moment in a plot. `at`: in columns from the left."""

    name: str
    at: float


class Span(Value, frozen=True, kw_only=True):
    """A part of a plot that is marked. `begin`, `end`: in columns from the left."""

    name: str
    begin: float
    end: float


class Box(Value, frozen=True, kw_only=True):
    """A part of a lane, from 0 to 1. `place`: of its colour."""

    begin: float
    end: float
    place: int


class Lane(Value, frozen=True, kw_only=True):
    """One line of a plot by name. `text`: the same in words. `ticks`: positions that are marked, from 0 to 1."""

    name: str
    text: str
    boxes: tuple[Box, ...] = ()
    ticks: tuple[float, ...] = ()


class Series(Value, frozen=True, kw_only=True):
    """Counts in columns, from left to right."""

    name: str
    counts: tuple[float, ...]


def color(number: int) -> str:
    """Return the colour of a series by its place; those without a colour of their own share the last one."""
    return PALETTE[min(number, len(PALETTE) - 1)]


def swatch(number: int) -> str:
    """Return a small square in the colour of a series, for a legend."""
    return f'<svg class="swatch" viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill="{color(number)}"/></svg>'


def bars(
    series: Sequence[Series],
    columns: Sequence[str],
    *,
    label: str,
    axis: Sequence[str],
    unit: str = "",
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    has_legend: bool = True,
) -> str:
    """Return stacked bars. `columns`: what each column is called in its tooltip. `axis`: texts below, spread evenly.

    `label` says what is shown, for those who do not see it; the figures belong in a table beside it.
    """
    sums = [sum(column) for column in zip(*(one.counts for one in series), strict=True)] or [0.0] * len(columns)
    top = round_up(max(sums, default=0.0))
    shapes = "".join(_column(number, name, series, top) for number, name in enumerate(columns))
    texts = "".join(f"<span>{escape(safe(text))}</span>" for text in axis)
    width = max(len(columns), 1)
    legend = _legend(series, marks) if has_legend else ""
    return (
        '<figure class="plot">'
        f'<div class="scale" aria-hidden="true"><span>{_number(top)}{escape(unit)}</span><span>0</span></div>'
        f'<svg viewBox="0 0 {width} {_HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{_attribute(label)}">'
        f"{''.join(map(_span, spans))}{shapes}{''.join(_mark(mark, width) for mark in marks)}</svg>"
        f'<div class="axis" aria-hidden="true">{texts}</div>{legend}</figure>'
    )


def _legend(series: Sequence[Series], marks: Sequence[Mark]) -> str:
    """Return the names of the colours and of the lines."""
    named = [f"<li>{swatch(place)} {escape(safe(one.name))}</li>" for place, one in enumerate(series)]
    named += [f"<li><b>│</b> {escape(safe(mark.name))}</li>" for mark in marks]
    return f'<figcaption><ul class="legend">{"".join(named)}</ul></figcaption>' if named else ""


def _span(span: Span) -> str:
    return (
        f'<g><title>{escape(safe(span.name))}</title><rect x="{span.begin:.3f}" y="0" width="{span.end - span.begin:.3f}" '
        f'height="{_HEIGHT:g}" fill="currentColor" opacity=".12"/></g>'
    )


def _mark(mark: Mark, width: int) -> str:
    """Return a vertical line."""
    thick = width / 250
    return (
        f'<g><title>{escape(safe(mark.name))}</title><rect x="{mark.at - thick / 2:.3f}" y="0" width="{thick:.3f}" '
        f'height="{_HEIGHT:g}" fill="currentColor"/></g>'
    )


def _column(number: int, name: str, series: Sequence[Series], top: float) -> str:
    """Return one column, with an invisible shape over its whole height that carries the tooltip."""
    parts, y = [], _HEIGHT
    counts = [f"{_number(one.counts[number])} {one.name}" for one in series if one.counts[number]]
    for place, one in enumerate(series):
        if height := one.counts[number] / top * _HEIGHT:
            y -= height
            parts.append(
                f'<rect x="{number + _GAP / 2:g}" y="{y:.2f}" width="{1 - _GAP:g}" height="{height:.2f}" fill="{color(place)}"/>'
            )
    if not parts:
        return ""
    tip = escape(safe(f"{name}: {', '.join(counts)}"))
    return (
        f'<g><title>{tip}</title><rect x="{number}" y="0" width="1" height="{_HEIGHT:g}" fill="transparent"/>{"".join(parts)}</g>'
    )


def lanes(found: Sequence[Lane], names: Sequence[str], *, axis: Sequence[str], tick: str = "") -> str:
    """Return a line for each name. `names`: of the colours, in their order; `tick`: what a tick is; `axis`: texts below."""
    rows = "".join(f"<li><span>{escape(safe(lane.name))}</span>{_lane(lane)}</li>" for lane in found)
    texts = "".join(f"<span>{escape(safe(text))}</span>" for text in axis)
    legend = "".join(f"<li>{swatch(place)} {escape(safe(name))}</li>" for place, name in enumerate(names))
    legend += f"<li><b>│</b> {escape(safe(tick))}</li>" if tick else ""
    return (
        f'<figure class="lanes"><ol>{rows}</ol><div class="axis" aria-hidden="true">{texts}</div>'
        f'<figcaption><ul class="legend">{legend}</ul></figcaption></figure>'
    )


def _lane(lane: Lane) -> str:
    boxes = "".join(
        f'<rect x="{100 * box.begin:.2f}" y="2" width="{max(100 * (box.end - box.begin), 0.3):.2f}" height="6" '
        f'fill="{color(box.place)}"/>'
        for box in lane.boxes
    )
    ticks = "".join(f'<rect x="{100 * at - 0.25:.2f}" y="0" width="0.5" height="10" fill="currentColor"/>' for at in lane.ticks)
    return (
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{_attribute(lane.text)}">'
        f"<title>{escape(safe(lane.text))}</title>{boxes}{ticks}</svg>"
    )


def gauge(share: float, *, label: str) -> str:
    """Return a bar that is filled to a share, 0 to 1."""
    filled = min(max(share, 0.0), 1.0)
    place = 0 if filled >= 0.9 else 1 if filled >= 0.6 else 4
    return (
        f'<svg class="gauge" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{_attribute(label)}">'
        f'<rect width="100" height="10" fill="currentColor" opacity=".15"/>'
        f'<rect width="{100 * filled:.1f}" height="10" fill="{color(place)}"/></svg>'
    )


def _attribute(text: str) -> str:
    return escape(safe(text), quote=True)


def _number(value: float) -> str:
    if value >= 10_000_000:
        return f"{value / 1e6:.0f} M"
    if value >= 10_000:
        return f"{value / 1e3:.0f} k"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20…; at least 1."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if step * factor >= value:
                return step * factor
        step *= 10
