"""An access log line with a status but no upstream fields means the same as the bare status."""

from __future__ import annotations

import io

import pytest

from why502.explanation import explain
from why502.render.explanation_lines import Explainer

LINE = '192.0.2.1 - - [21/Nov/2026:03:35:10 +0000] "GET /x HTTP/1.1" {} 157 "-" "curl/8"'


@pytest.mark.parametrize("status", ["502", "503", "504"])
def test_it_is_ranked_as_the_status(status: str) -> None:
    found, alone = explain(LINE.format(status)), explain(status)
    assert (found.kind, found.gateway_failure, found.fields["status"]) == ("log-line", True, int(status))
    assert (found.cause, found.candidates) == (alone.cause, alone.candidates)
    assert found.cause != "maintenance-response"
    assert "does not show the reason" in found.message


def test_many_lines_are_answered_alike() -> None:
    text = "".join(LINE.format(status) + "\n" for status in ("502", "504", "502", "200"))
    answers = b"".join(Explainer().explain([text.encode()]))
    found = [line.split(b'"cause":')[1].split(b",")[0] for line in io.BytesIO(answers)]
    assert found == [b'"premature-close"', b'"backend-too-slow"', b'"premature-close"', b"null"]
