"""Parts of configuration files as an incident's bundle has them, with the lines marked that its evidence and its fix name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from why502.model.finding import Finding
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile
from why502.model.remedy import Edit
from why502.model.snapshot import Snapshot

AROUND = 4  # lines before and after
MOST, MOST_LINES, LONGEST = 6, 60, 400
_SOURCE = lazy(r"(/[^\n]{1,4000}):([0-9]{1,7})")


@dataclass(slots=True)
class Line:
    """A line of a file. `notes`: what is said about it; it is marked if it has any."""

    number: int
    text: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Excerpt:
    """Lines of a file; where some are left out, the numbers jump."""

    file: str
    lines: list[Line] = field(default_factory=list)


def excerpts(finding: Finding, snapshot: Snapshot) -> list[Excerpt]:
    """Return the parts of the configuration that a finding names, those of its own route first."""
    files = _files(finding, snapshot)
    noted: defaultdict[str, dict[int, list[str]]] = defaultdict(dict)
    for path, number, note in _places(finding):
        if path in files:
            notes = noted[path].setdefault(number, [])
            if note and note not in notes:
                notes.append(note)
    return [_excerpt(files[path], notes) for path, notes in list(noted.items())[:MOST]]


def _files(finding: Finding, snapshot: Snapshot) -> dict[str, ConfigFile]:
    """Return the files by path; where two gateways have the same one, that of the finding's gateway."""
    proxies = sorted(snapshot.proxies or (), key=lambda proxy: proxy.kind == finding.proxy)
    return {file.path: file for proxy in proxies for file in proxy.files}


def _places(finding: Finding) -> Iterator[tuple[str, int, str]]:
    """Yield file, line, and what is said about it."""
    if finding.place and finding.place.at:
        yield finding.place.at.file, finding.place.at.line, ""
    for item in finding.evidence:
        if match := _SOURCE.fullmatch(item.source):
            yield match[1], int(match[2]), item.message
    for remedy in finding.remedies:
        for step in remedy.steps:
            if isinstance(step, Edit):
                yield step.file, step.line, f"fix: {remedy.message}"


def _excerpt(file: ConfigFile, notes: dict[int, list[str]]) -> Excerpt:
    texts = file.text.splitlines()
    shown = {near for number in notes for near in range(number - AROUND, number + AROUND + 1) if 1 <= near <= len(texts)}
    return Excerpt(
        file.path,
        [Line(number, texts[number - 1][:LONGEST], tuple(notes.get(number, ()))) for number in sorted(shown)[:MOST_LINES]],
    )
