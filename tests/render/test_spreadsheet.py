"""Cells of a spreadsheet: text stays text."""

from __future__ import annotations

import csv
import io

import pytest

from why502.render.spreadsheet import row


def test_cells_come_back_as_they_were() -> None:
    line = row(['a "quoted", word', "x;y", 3, 0.5, None, ""])
    assert line.endswith("\r\n") and list(csv.reader(io.StringIO(line))) == [['a "quoted", word', "x;y", "3", "0.5", "", ""]]


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", " =", "\t=", "\r@", "\n-", "\u200b=", "\x1b=", "\uff1d", "\uff20", "|", "%"]
)
def test_what_a_spreadsheet_would_compute_is_marked_as_text(start: str) -> None:
    line = row([f"{start}cmd|' /C calc'!A0", "/a"])
    (cells,) = csv.reader(io.StringIO(line))
    assert cells[0][0] in "'\\" and cells[1] == "/a"  # control characters are shown by their numbers
    assert not set("\t\x1b\u200b") & set(line) and line.count("\n") == 1


def test_a_negative_number_stays_a_number() -> None:
    assert row([-3]) == "-3\r\n"
