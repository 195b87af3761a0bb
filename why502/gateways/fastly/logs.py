"""Fastly's own errors: the reason is in the status text of its 503, on the error page and in logs of `obj.response`.

Source: fastly.com/documentation/guides/concepts/errors.
"""

from __future__ import annotations

import re

from why502.gateways.fastly.codes import PRODUCT
from why502.logs import stamps
from why502.logs.coded import LIMIT, coded_record
from why502.logs.phrases import share
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

NAME = "fastly"
MARKS = (b"503 ",)
_ERROR = lazy(r"\b503[ :\"]{1,3}(?P<reason>" + "|".join(re.escape(each) for each in PRODUCT.codes) + r")\b", re.IGNORECASE)


def fits(sample: list[str]) -> float:
    """Return the share of lines with such an error."""
    return share(sample, parse)


def parse(line: str) -> LogRecord | None:
    """Return the record of a line with a 503 and one of Fastly's reasons; None for all others."""
    match = _ERROR.search(line[:LIMIT])
    if match is None:
        return None
    return coded_record(
        PRODUCT.codes[match["reason"].lower()], format=NAME, proxy=NAME, at=stamps.find(line), status=503, message=line
    )
