"""A LogFormat of Apache as a `log_format`."""

from __future__ import annotations

import pytest

from why502.gateways.apache.logs.log_format import as_nginx, is_one, of_logs
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs.log_format import APACHE, has_time

HEAD = '10.0.0.9 - - [21/Nov/2026:04:34:13 +0000] "GET /a HTTP/1.1" 200 113 '
COMBINED = r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""


@pytest.mark.parametrize(
    ("text", "line", "duration_s"),
    [
        (COMBINED + " %D", HEAD + r'"-" "Mozilla \"x\" \\" 1194', 0.001194),
        (COMBINED + " %{ms}T", HEAD + '"-" "curl" 20', 0.02),
        (COMBINED + " %T %D %{x}e", HEAD + '"-" "curl" 2 2000000 -', 2.0),
        (r"%h %l %u %t \"%r\" %>s %b", HEAD.strip(), None),
        (r"%v:%p " + COMBINED, "shop.example:80 " + HEAD + '"-" "curl"', None),
    ],
)
def test_reads_what_apache_writes(text: str, line: str, duration_s: float | None) -> None:
    assert is_one(text)
    record = nginx_access.compile(as_nginx(text), APACHE).parse(line)
    assert record is not None
    assert (record.status, record.client, record.request) == (200, "10.0.0.9", "GET /a HTTP/1.1")
    assert record.duration_s == (None if duration_s is None else pytest.approx(duration_s))
    assert record.server == ("shop.example" if text.startswith("%v") else "")


def test_nginx_formats_are_none() -> None:
    assert not is_one("$remote_addr [$time_local] 100%h %s")
    assert not is_one("combined")


def test_finds_the_format_of_each_log() -> None:
    texts = [
        'LogFormat "%h %t %>s %D" timed\n# LogFormat "%h" hidden\nCustomLog ${APACHE_LOG_DIR}/a.log timed env=!dontlog\n',
        'CustomLog "logs/b.log" "%h %t %s"\nCustomLog "|/usr/bin/rotatelogs x" timed\nCustomLog logs/c.log combined\nCustomLog logs/d.log none\n',
    ]
    found = of_logs(texts, {"APACHE_LOG_DIR": "/var/log/apache2"})
    assert found["/var/log/apache2/a.log"] == "%h %t %>s %D"
    assert found["logs/b.log"] == "%h %t %s"
    assert "%{User-Agent}i" in found["logs/c.log"]
    assert set(found) == {"/var/log/apache2/a.log", "logs/b.log", "logs/c.log"}


def test_a_time_in_a_form_of_its_own() -> None:
    """A format whose time has no counterpart says too little; the content of its lines is looked at instead."""
    assert as_nginx("%{%Y-%m-%dT%H:%M:%S%z}t %>s") == "$time_iso8601 ${status}"
    assert has_time(as_nginx("%t %>s")) and has_time(as_nginx("%{%d/%b/%Y:%T %z}t %>s"))
    assert not has_time(as_nginx("%{%A %T}t %>s"))
