"""Servers that say in fields, or in a connector's name, where they listen."""

from __future__ import annotations

import pytest

from why502.logs.detect import parse_any
from why502.model.logs import Symptom


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ('level=info component=web msg="Start listening for connections" address=0.0.0.0:9090', "0.0.0.0:9090"),
        ('caller=tls_config.go:313 level=info msg="Listening on" address=[::]:9100', "[::]:9100"),
        ('logger=http.server level=info msg="HTTP Server Listen" address=[::]:3000 protocol=http', "[::]:3000"),
        ('level=INFO msg="server listening" addr=:8080', ":8080"),
        ("[2026-11-24 04:23:05 +0000] [170] [INFO] Running on https://127.0.0.1:9443 (CTRL + C to quit)", "127.0.0.1:9443"),
        ("[2026-11-24 04:23:05 +0000] [170] [INFO] Running on http://unix:/run/a.sock (CTRL + C to quit)", "unix:/run/a.sock"),
        ("INFO:oejs.AbstractConnector:main: Started ServerConnector@1a2b{HTTP/1.1, (http/1.1)}{0.0.0.0:8080}", "0.0.0.0:8080"),
    ],
)
def test_where_it_listens(line: str, target: str) -> None:
    record = parse_any(line)
    assert record is not None and (record.symptom, str(record.target)) == (Symptom.LISTENS_ON, target)


@pytest.mark.parametrize(
    "line",
    [
        'level=info msg="stopped listening for events" target=10.0.0.1:80',
        'level=info msg="connected" address=10.0.0.1:80',
        "INFO:oejs.AbstractConnector:main: Stopped ServerConnector@1a2b{HTTP/1.1, (http/1.1)}{0.0.0.0:8080}",
    ],
)
def test_what_does_not(line: str) -> None:
    record = parse_any(line)
    assert record is None or record.symptom is not Symptom.LISTENS_ON
