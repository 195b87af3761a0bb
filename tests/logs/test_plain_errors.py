"""Errors in the log of an application whose format nothing knows: by the level of a line, a class of exceptions, or errno."""

from __future__ import annotations

import pytest

from why502.diagnosis.needs import need_of
from why502.logs import plain_errors
from why502.logs.detect import parse_any
from why502.model.logs import Symptom

ORDER = "cannot read order"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("[ErrorReply: NOPERM this user may not run 'incr']", "ErrorReply: NOPERM this user may not run 'incr'"),
        ("charts: [ErrorReply: NOPERM no permissions]", "ErrorReply: NOPERM no permissions"),
        ("  [cause]: Error: certificate has expired", "Error: certificate has expired"),
        ("Redis::CommandError: NOPERM no permissions", "Redis::CommandError: NOPERM no permissions"),
        (r"App\Order\MissingException: no such order", r"App\Order\MissingException: no such order"),
        (
            "2026-11-23 13:35:28.123 ERROR 12 --- [exec-1] c.e.Api : cannot read order",
            "12 --- [exec-1] c.e.Api : cannot read order",
        ),
        (f'{{"level":"error","msg":"{ORDER}","time":"2026-11-23T13:35:28Z"}}', ORDER),
        (f'{{"time":1,"level":50,"pid":7,"msg":"{ORDER}"}}', ORDER),
        (f'{{"message":"{ORDER}","severity":"ERROR"}}', ORDER),
        (f'time="2026-11-23T13:35:28Z" level=error msg="{ORDER}"', ORDER),
        (f"2026-11-23 13:35:28,123 - app - ERROR - {ORDER}", ORDER),
        (f"ERROR:app:{ORDER}", f"app:{ORDER}"),
        (f"error: {ORDER}", ORDER),
        (f"13:35:28.123 [error] {ORDER}", ORDER),
        ('[23-Nov-2026 13:35:28 UTC] base: ERROR:  relation "x" does not exist', 'ERROR:  relation "x" does not exist'),
    ],
)
def test_an_error_by_its_own_words(line: str, detail: str) -> None:
    assert parse_any(line) is None
    found = plain_errors.parse(line)
    assert found is not None
    assert (found.symptom, found.detail) == (Symptom.APPLICATION_ERROR, detail)


@pytest.mark.parametrize(
    "line",
    [
        "[23-Nov-2026 13:35:28 UTC] PHP Warning:  fwrite(): Write of 8 bytes failed with errno=28 No space left on device",
        "[23-Nov-2026 13:35:28 UTC] could not resize shared memory segment: No space left on device",
        "mkstemp: Disk quota exceeded",
    ],
)
def test_no_space_in_any_words(line: str) -> None:
    found = plain_errors.parse(line)
    assert found is not None
    assert found.symptom is Symptom.DISK_FULL
    assert not found.detail.startswith("[")  # its time would make each line another one


@pytest.mark.parametrize(
    "line",
    [
        "GET /orders?state=ERROR HTTP/1.1 200",
        '{"level":"info","msg":"the last error was repaired"}',
        "2026-11-23 13:35:28 INFO 12 errors were repaired",
        "Reply: hello",
        "time=1 level=info msg=error",
        "",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert plain_errors.parse(line) is None


def test_a_refused_command_names_the_dependency() -> None:
    found = plain_errors.parse("[ErrorReply: NOPERM this user has no permissions to run the 'incr' command]")
    need = need_of(found.detail) if found else None
    assert need is not None and (need.product, need.is_down) == ("Redis", True)
