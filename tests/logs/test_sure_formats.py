"""What a format declares to be its own alone is read by no other format, so a log of it need not be compared with all formats."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from sampled import sampled
from truth import COMBINATIONS, FORMATS, Shape, write

from why502.logs import detect
from why502.logs.formats import formats, named

LINES = 60
DATA = Path(__file__).parents[1] / "data"
PAIRS = [
    (name, wrapper) for name, wrappers in COMBINATIONS.items() for wrapper in wrappers if wrapper in ("plain", "docker-json")
]
SURE = [each.NAME for each in formats() if {"IS_UNMISTAKABLE", "HAS_SURE_FAILURES", "SURE_MEMBER"} & vars(each).keys()]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_sure_record_is_that_of_the_best_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    wrapper = next(iter(COMBINATIONS[name]))
    write(path, Shape(format=name, wrapper=wrapper, lines=LINES, failures=0.3, odd=0.1, noise=0.1, attempts=2))
    for line in path.read_text("utf-8", "surrogateescape").splitlines():
        best = detect.parse_line(line)
        for form in formats():
            record = form.parse(line[: detect.LIMIT])
            if record is not None and detect.is_sure(form, record, line):
                assert record == best, (form.NAME, line)


@pytest.mark.parametrize("name", ["caddy-json", "traefik-json", "haproxy-json", "haproxy-http"])
def test_failures_of_a_log_without_wrapper_are_sure(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, Shape(format=name, lines=LINES, failures=1.0))
    lines = path.read_text().splitlines()
    form = named(detect.detect(lines))
    assert form is not None
    sure = [record for line in lines if (record := form.parse(line)) is not None and detect.is_sure(form, record, line)]
    assert len(sure) >= LINES // 2
    assert [detect.parser_of(form.NAME)(line) for line in lines] == [detect.parse_line(line) for line in lines]


def test_lines_that_real_runs_wrote_are_read_alike_as_any_format() -> None:
    lines = [one["line"] for one in msgspec.json.decode((DATA / "gateway_lines.json").read_bytes())]
    for path in sorted((DATA / "applications").iterdir()):
        lines += path.read_text(errors="surrogateescape").splitlines()
    _are_read_alike(lines)


@pytest.mark.parametrize(("name", "wrapper"), sampled(PAIRS, 12))
def test_damaged_lines_are_read_alike_as_any_format(name: str, wrapper: str, tmp_path: Path) -> None:
    write(tmp_path / "log", Shape(format=name, wrapper=wrapper, lines=30, failures=0.5, odd=0.2, noise=0.1, attempts=2))
    chance = random.Random(name)
    damaged = []
    for line in (tmp_path / "log").read_text(errors="surrogateescape").splitlines():
        at = chance.randrange(len(line) + 1)
        damaged += [line[:at], line[:at] + chance.choice(' "\\{}[]:,0-') + line[at + chance.randrange(3) :]]
    _are_read_alike(damaged)


def _are_read_alike(lines: list[str]) -> None:
    expected = [detect.parse_line(line) for line in lines]
    assert SURE
    for name in SURE:
        parse = detect.parser_of(name)
        assert [line for line, record in zip(lines, expected, strict=True) if parse(line) != record] == []
