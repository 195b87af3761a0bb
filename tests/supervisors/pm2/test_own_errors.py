"""Errors of pm2 itself, in its daemon's log."""

import pytest

from why502.model.logs import Symptom
from why502.supervisors.pm2 import logs


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (
            "2026-11-25T20:09:59: PM2 error: Trace: [Error: EACCES: permission denied, open '/var/log/cargo/out.log'] {",
            "Error: EACCES: permission denied, open '/var/log/cargo/out.log'",
        ),
        (
            "2026-11-25T20:09:59: PM2 error: Error: ENOENT: no such file or directory, mkdir '/srv/shop/logs'",
            "Error: ENOENT: no such file or directory, mkdir '/srv/shop/logs'",
        ),
    ],
)
def test_a_file_that_it_cannot_open_keeps_the_application_from_starting(line: str, detail: str) -> None:
    record = logs.parse(line)
    assert record is not None
    assert (record.symptom, record.detail) == (Symptom.START_FAILED, detail)


def test_an_error_of_its_own_connections_says_nothing_about_an_application() -> None:
    assert logs.parse("2026-11-25T20:09:59: PM2 error: Error: connect ECONNREFUSED /home/cargo/.pm2/rpc.sock") is None
