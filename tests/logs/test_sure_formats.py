"""What a format declares to be its own alone is read by no other format, so a log of it need not be compared with all formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from truth import COMBINATIONS, FORMATS, Shape, write

from why502.logs import detect
from why502.logs.formats import formats, named

LINES = 60


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
