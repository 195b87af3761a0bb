"""A baseline: the findings that existed when the linter was introduced. Only new findings are reported.

A finding is identified by its rule, its file and the text of its line. Its line number does not count, so lines may be
added above
it. If several findings are identical, the baseline covers as many as it holds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from why502.model.errors import Why502Error
from why502.model.finding import Risk

SCHEMA = "why502.baseline/1"


class _Known(msgspec.Struct, frozen=True):
    fingerprint: str
    rule: str
    file: str
    count: int = 1


class _Baseline(msgspec.Struct, frozen=True):
    schema: str
    findings: tuple[_Known, ...]


def fingerprints(risks: Iterable[Risk], texts: Mapping[str, str], base: str = "") -> dict[Risk, str]:
    """Return the fingerprint of each finding: 16 hexadecimal digits. `base`: the directory that file names are relative to."""
    lines: dict[str, list[str]] = {}
    found = {}
    for risk in risks:
        line = ""
        if risk.at is not None:
            if risk.at.file not in lines:
                lines[risk.at.file] = texts.get(risk.at.file, "").split("\n")
            of_file = lines[risk.at.file]
            line = " ".join(of_file[risk.at.line - 1].split()) if 0 < risk.at.line <= len(of_file) else ""
        content = "\0".join((risk.rule, named(risk, base), line))
        found[risk] = hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return found


def named(risk: Risk, base: str) -> str:
    """Return the file of a finding, relative to `base` if it is inside."""
    file = risk.at.file if risk.at else ""
    return file.removeprefix(f"{base}/") if base else file


def write(risks: Iterable[Risk], texts: Mapping[str, str], base: str) -> bytes:
    """Return the baseline that holds these findings."""
    counts = Counter((mark, risk.rule, named(risk, base)) for risk, mark in fingerprints(risks, texts, base).items())
    known = sorted(counts.items(), key=lambda item: (item[0][2], item[0][1], item[0][0]))
    findings = tuple(_Known(print_, rule, file, count) for (print_, rule, file), count in known)
    return msgspec.json.format(msgspec.json.encode(_Baseline(SCHEMA, findings)), indent=2) + b"\n"


def unknown(risks: Iterable[Risk], baseline: bytes, texts: Mapping[str, str], base: str, name: str) -> tuple[Risk, ...]:
    """Return the findings that a baseline does not hold. Raises Why502Error if it is not a baseline."""
    try:
        found = msgspec.json.decode(baseline, type=_Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Why502Error(f"{name}: {error}", "Write a new one with --write-baseline FILE.") from error
    if found.schema != SCHEMA:
        raise Why502Error(
            f"{name}: its schema is {found.schema!r}, not {SCHEMA!r}", "Write a new one with --write-baseline FILE."
        )
    left = Counter({known.fingerprint: known.count for known in found.findings})
    out = []
    for risk, mark in fingerprints(risks, texts, base).items():
        if left[mark] > 0:
            left[mark] -= 1
        else:
            out.append(risk)
    return tuple(out)
