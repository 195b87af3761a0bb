"""What the template `diagnosis.html` shows of a diagnosis."""

from __future__ import annotations

import shlex
from typing import Any

from why502.model.finding import Diagnosis, Verdict
from why502.render.words import asserted, considered, diff_lines, headlines, how_often, labelled, unchecked, where

TONES = {Verdict.HEALTHY: "good", Verdict.PROBLEM: "bad", Verdict.UNKNOWN: "warn"}


def shown(found: Diagnosis | None) -> dict[str, Any]:
    """Return the template's variables; `found` is None where there is no diagnosis."""
    if found is None:
        return {"found": None}
    return {
        "found": found,
        "tone": TONES[found.verdict],
        "headlines": headlines(found),
        "asserted": asserted(found),
        "considered": considered(found),
        "how_often": how_often,
        "where": where,
        "labelled": labelled,
        "gaps": unchecked(found),
        "diff_lines": diff_lines,
        "command": shlex.join,
    }
