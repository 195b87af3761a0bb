"""The answer to an SQL query over logs: a table for a terminal, or one JSON object a line."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from why502.logs.scan.report import Answer
from why502.redaction import clean, redact
from why502.render.words import safe

FORMATS = ("text", "json")


def render(answer: Answer, format_: str) -> str:
    """Return the answer in one of FORMATS."""
    return _json(answer) if format_ == "json" else _text(answer)


def _text(answer: Answer) -> str:
    body = [[_cell(value) for value in row] for row in answer.rows]
    head = [safe(name) for name in answer.columns]
    widths = [max(len(line[at]) for line in (head, *body)) for at in range(len(head))]
    is_number = [bool(body) and all(isinstance(row[at], int | float | Decimal) for row in answer.rows) for at in range(len(head))]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width) for text, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in (head, *body)
    ]
    if answer.is_cut:
        lines.append(f"Only the first {len(body)} rows are shown.")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else safe(str(value))


def _json(answer: Answer) -> str:
    return "".join(
        json.dumps(dict(zip(answer.columns, map(_value, row), strict=True)), ensure_ascii=False) + "\n" for row in answer.rows
    )


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return clean(redact(value))
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float) else clean(redact(str(value)))
