"""Checks given configurations as `why502 lint` does, and lists the lines that have findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from why502.host.given import GivenHost
from why502.linter.engine import choose
from why502.redaction import in_place
from why502.render.lint.contract import Lint
from why502.render.lint.json import document
from why502.render.words import printable
from why502.serve.tools.orders import Line, Linted, LintOrder, Listing
from why502.session import linting

AROUND = 4  # lines shown before and after a finding
MOST_LINES = 4000  # of all listings together
LONGEST_LINE = 400  # characters
BASE = "/given"  # the directory in which the files seem to be


def lint(order: LintOrder, files: Mapping[str, bytes]) -> Linted:
    """Return the findings in files, by name. Nothing outside of them is read. Raises Why502Error."""
    host = GivenHost({f"{BASE}/{name}": content for name, content in files.items()})
    version = linting.version(host, order.nginx_version or None)
    given = linting.read(host, [f"{BASE}/{name}" for name in files], version)
    report, notices = linting.check(given, choose(order.select, order.ignore), version, base=BASE)
    found = document(report)
    for gap in found.gaps:
        gap.source = gap.source.removeprefix(f"{BASE}/")
    for step in (step for risk in found.findings for remedy in risk.remedies for step in remedy.steps):
        if step.edit:
            step.edit.diff = step.edit.diff.replace(f"--- {BASE}/", "--- ", 1).replace(f"+++ {BASE}/", "+++ ", 1)
    texts = {printable(report.name(file)): in_place(text) for file, text in given.texts.items()}
    listings = list(_listings(found, texts))
    kept = list(_within(listings))
    return Linted(document=found, listings=tuple(kept), notices=tuple(map(printable, notices)), is_cut=len(kept) < len(listings))


def _listings(found: Lint, texts: Mapping[str, str]) -> Iterator[Listing]:
    """Yield the listing of each file with findings, in the order of the findings."""
    marks: dict[str, dict[int, list[int]]] = {}
    for number, risk in enumerate(found.findings):
        if risk.file is not None and risk.line is not None and risk.file in texts:
            marks.setdefault(risk.file, {}).setdefault(risk.line, []).append(number)
    for file, by_line in marks.items():
        lines = texts[file].removesuffix("\n").split("\n")
        shown = sorted(
            {number for marked in by_line for number in range(marked - AROUND, marked + AROUND + 1) if 1 <= number <= len(lines)}
        )
        yield Listing(
            file=file,
            lines=tuple(
                Line(number=number, text=_shortened(lines[number - 1]), marks=tuple(by_line.get(number, ()))) for number in shown
            ),
            total=len(lines),
        )


def _within(listings: list[Listing]) -> Iterator[Listing]:
    """Yield the first listings that are not too long together."""
    left = MOST_LINES
    for listing in listings:
        left -= len(listing.lines)
        if left < 0:
            return
        yield listing


def _shortened(line: str) -> str:
    line = printable(line.removesuffix("\r"))
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
