"""Writes a log of a shape and returns its truth."""

from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import BinaryIO

from . import apache, caddy, clouds, envoy, haproxy, nginx, traefik, varnish
from .product import Format, Lines
from .scene import BAD, NOISE, Row, Scene
from .shape import Shape, Truth
from .tally import Tally
from .wrappers import WRAPPERS, Wrap

FORMATS: dict[str, Format] = {
    form.name: form for module in (nginx, apache, haproxy, traefik, caddy, envoy, varnish, clouds) for form in module.FORMATS
}


def wrappers_of(form: Format) -> tuple[str, ...]:
    """The wrappers in which this format is found: a service's files have none, and events without a time need one."""
    if form.tag == "-":
        return ("plain",)
    if not form.has_own_time:
        return tuple(name for name in WRAPPERS if name not in ("plain", "compose"))
    return tuple(WRAPPERS)


COMBINATIONS: dict[str, tuple[str, ...]] = {name: wrappers_of(form) for name, form in FORMATS.items()}


class Refused(ValueError):
    """A shape that cannot be written."""


def write(to: str | Path | BinaryIO, shape: Shape) -> Truth:
    """Writes the log of this shape to a path or a binary file and returns the truth about it; raises Refused."""
    check(shape)
    if isinstance(to, str | Path):
        with Path(to).open("wb") as file:
            return write_to(file, shape)
    return write_to(to, shape)


def check(shape: Shape) -> None:
    """Raises Refused for a shape that makes no sense."""
    if shape.format not in FORMATS:
        raise Refused(f"{shape.format} is not a format; formats: {' '.join(FORMATS)}")
    if shape.wrapper not in COMBINATIONS[shape.format]:
        raise Refused(f"{shape.format} is not found in {shape.wrapper}; wrappers: {' '.join(COMBINATIONS[shape.format])}")
    if shape.start.utcoffset() is None:
        raise Refused("start needs a time zone")
    if shape.attempts not in (1, 2) or shape.order not in ("time", "shuffled") or shape.ip_family not in (4, 6):
        raise Refused("attempts is 1 or 2, order `time` or `shuffled`, ip_family 4 or 6")
    if not 0 <= shape.failures <= 1 or shape.lines < 0:
        raise Refused("failures is a share from 0 to 1, lines at least 0")


def write_to(file: BinaryIO, shape: Shape) -> Truth:
    """The same for an open file."""
    form = FORMATS[shape.format]
    scene, lines = prepared(shape, form)
    tally = Tally(scene, form)
    render = renderer(form, lines)
    wrap = WRAPPERS[shape.wrapper](form.tag)
    count = size = 0
    if form.header:
        count, size = put(file, form.header)
    for rows in scene.blocks():
        texts: Iterable[str] = map(render, rows)
        if shape.wrapper != "plain":
            texts = wrapped(rows, texts, wrap, form)
        more, more_bytes = put(file, texts)
        count, size = count + more, size + more_bytes
        tally.add(rows)
    return tally.finish(count, size)


def prepared(shape: Shape, form: Format) -> tuple[Scene, Lines]:
    """The scene, padded to the shape's line length, and how its rows become text."""
    probe = form.prepare(Scene(shape, form.traits(has_bad=False, has_noise=False)))
    scene = Scene(shape, form.traits(has_bad=probe.bad is not None, has_noise=probe.noise is not None))
    lines = form.prepare(scene)
    if shape.line_bytes:
        sample = Scene(shape, scene.traits).block(*sample_arguments(shape))
        render = renderer(form, lines)
        wrap = WRAPPERS[shape.wrapper](form.tag)
        mean = sum(len(wrap(render(row), row.at_ms).encode("utf-8", "surrogateescape")) + 1 for row in sample) // max(
            1, len(sample)
        )
        scene.pad(max(0, shape.line_bytes - mean), in_agent=form.has_agent)
        lines = form.prepare(scene)
    return scene, lines


def sample_arguments(shape: Shape) -> tuple[Random, int, int, list[int]]:
    """The arguments of a block of some rows."""
    return Random(shape.seed), 0, min(200, max(1, shape.lines)), [30_000]


def renderer(form: Format, lines: Lines) -> Callable[[Row], str]:
    """One function for every row."""
    if form.kind in ("errors", "events"):
        noise, failing = lines.noise, frozenset(form.failing)
        assert noise is not None
        return lambda row: lines.request(row) if row.request >= 0 and row.status in failing else noise(row)
    if lines.bad is None and lines.noise is None:
        return lines.request
    special = {BAD: lines.bad, NOISE: lines.noise}

    def render(row: Row) -> str:
        if row.request >= 0:
            return lines.request(row)
        rare = special[row.request]
        assert rare is not None
        return rare(row)

    return render


def wrapped(rows: list[Row], texts: Iterable[str], wrap: Wrap, form: Format) -> Iterable[str]:
    """The texts in their wrapper, each message of a row for itself."""
    for row, text in zip(rows, texts, strict=True):
        at_ms = row.at_ms + row.serial % 5 + 1
        if form.stamps_start:
            at_ms += row.us // 1000
        if "\n" in text:
            for message in text.split("\n"):
                yield wrap(message, at_ms)
        else:
            yield wrap(text, at_ms)


def put(file: BinaryIO, texts: Iterable[str]) -> tuple[int, int]:
    """Writes these texts as lines; returns how many lines and bytes."""
    block = "\n".join(texts).encode("utf-8", "surrogateescape") + b"\n"
    file.write(block)
    return block.count(b"\n"), len(block)


def table() -> str:
    """Formats and wrappers as text, for people."""
    return "\n".join(f"{name:22} {' '.join(wrappers)}" for name, wrappers in COMBINATIONS.items())
