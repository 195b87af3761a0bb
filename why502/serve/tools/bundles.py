"""Diagnoses a bundle as `why502 diagnose --bundle` does."""

from __future__ import annotations

from why502.bundle import load, redacted
from why502.diagnosis.engine import diagnose
from why502.serve.tools.orders import Diagnosed


def examine(name: str, content: bytes) -> Diagnosed:
    """Return the diagnosis of a bundle. Raises Why502Error.

    Secrets are removed first: `why502 collect` did that, whoever else wrote the file may not have.
    """
    return Diagnosed(diagnosis=diagnose(redacted(load(content, name))))
