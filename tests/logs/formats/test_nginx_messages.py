"""Every message that nginx can log is known, with what it stands for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from why502.gateways.nginx.logs import error as nginx_error
from why502.gateways.nginx.logs.messages import ACTIONS, look_up
from why502.model.logs import Phase, Symptom

LINES = json.loads((Path(__file__).parents[2] / "data" / "nginx_lines.json").read_text(encoding="utf-8"))
Row = tuple[str, list[str | None], list[int | None], list[bool]]


@pytest.mark.parametrize("origin", ["made", "seen"])
def test_every_message_has_its_cause_status_and_verdict(origin: str) -> None:
    wrong = [row[0] for row in LINES[origin] if not _is_right(row)]
    assert wrong == []


def _is_right(row: Row) -> bool:
    line, causes, statuses, failures = row
    record = nginx_error.parse(line)
    return (
        record is not None
        and (record.causes[0] if record.causes else None) in causes
        and record.status in statuses
        and record.is_gateway_failure in failures
        and (record.symptom is not None or not record.is_gateway_failure)
        and (record.at is not None or line.startswith("nginx:"))
    )


@pytest.mark.parametrize("row", [row for row in LINES["seen"] if ", client: " in row[0]], ids=lambda row: row[0][20:90])
def test_a_line_that_nginx_wrote_is_read_to_its_end(row: Row) -> None:
    record = nginx_error.parse(row[0])
    assert record
    assert record.client
    assert " while " not in record.message or record.message.startswith(("FastCGI", "rewrite"))
    assert not record.action or record.action in ACTIONS
    if 'upstream: "' in row[0]:
        assert record.target or record.group
    if 'host: "' in row[0]:
        assert record.host


def test_what_stands_around_a_text_decides() -> None:
    def symptom(*args: object, **more: object) -> Symptom | None:
        meaning = look_up(*args, **more)  # type: ignore[arg-type]
        return meaning.symptom if meaning else None

    connecting = "connecting to upstream"
    assert symptom("connect() to unix:/a.sock failed", 13, connecting, kind="unix") is Symptom.CONNECT_DENIED
    assert look_up("connect() to unix:/a.sock failed", 13, connecting, kind="unix").causes[0] == "unix-socket-permission"  # type: ignore[union-attr]
    assert look_up("connect() to 10.0.0.1:80 failed", 13, connecting, kind="ip").causes[0] == "selinux-denied"  # type: ignore[union-attr]
    assert symptom("recv() failed", 104, "reading response header from upstream") is Symptom.RESET_BEFORE_HEADER
    assert symptom("recv() failed", 104, "reading upstream") is Symptom.RESET_IN_BODY
    assert not look_up("recv() failed", 104, "reading client request line", level="info").is_gateway_failure  # type: ignore[union-attr]
    assert symptom("SSL_do_handshake() failed", None, "SSL handshaking", level="info") is None  # a client's own trouble
    assert symptom("SSL_do_handshake() failed", None, "SSL handshaking to upstream") is Symptom.TLS_FAILED
    assert (
        symptom("SSL_do_handshake() failed", None, "SSL handshaking to upstream", reason="WRONG_VERSION_NUMBER")
        is Symptom.TLS_NOT_TLS
    )
    assert symptom('open() "/srv/www/favicon.ico" failed', 2, level="error", zones=("request",)) is None
    assert symptom('open() "/var/lib/nginx/proxy/1/00/0000000001" failed', 13, level="crit") is Symptom.TEMP_DENIED
    assert symptom("this is no message of nginx") is None


def test_a_timeout_in_the_body_changes_no_status() -> None:
    header = look_up("upstream timed out", 110, "reading response header from upstream")
    body = look_up("upstream timed out", 110, "reading upstream")
    assert header
    assert body
    assert (header.status, header.phase) == (504, Phase.READ_HEADER)
    assert (body.status, body.phase, body.is_gateway_failure) == (None, Phase.READ_BODY, True)


def test_a_newer_message_of_the_same_kind_is_not_lost() -> None:
    meaning = look_up("upstream sent something that a later version refuses", None, "reading response header from upstream")
    assert meaning
    assert meaning.symptom is Symptom.HEADER_INVALID


@pytest.mark.parametrize(
    ("line", "symptom", "cause", "errno"),
    [
        ("2026/11/20 09:00:01 [crit] 71 # 71: * 5 connect () to unix: /run/shop.sock failed (2: No such file or directory) while connecting to upstream", Symptom.SOCKET_PATH_MISSING, "unix-socket-missing", 2),
        ("socket() failed (Address family not supported by protocol)", Symptom.SOCKET_DENIED, "wrong-address", 97),
        ("socket() failed (93: Protocol not supported) while connecting to upstream", Symptom.PROXY_INTERNAL, None, 93),
        ("socket() failed (24: Too many open files) while connecting to upstream", Symptom.FILES_EXHAUSTED, "too-many-open-files", 24),
        ("connect() failed (Connection refused) while connecting to upstream", Symptom.CONNECT_REFUSED, "backend-not-running", 111),
        ("[error] 9#9: *2 upstream timed out (110: Connection timed out) while", Symptom.READ_TIMED_OUT, "backend-too-slow", 110),
        ("2026/11/20 09:00:01 [error] 9#9: app.internal could not be resolved (110: Operation timed out)", Symptom.NAME_SERVER_FAILED, "dns-resolver-failure", None),
        ("2026/11/20 09:00:01 [error] 9#9: app.internal could not be resolved (3: Host not found)", Symptom.NAME_NOT_FOUND, "dns-host-not-found", None),
        ("*2 upstream rejected request with error 7 while reading response header from upstream", Symptom.STREAM_RESET, "http2-stream-refused", None),
        ("2026/11/20 09:00:01 [alert] 9#9: recv() failed (5: Input/output error) while resolving, resolver: 10.0.0.2:53", Symptom.NAME_SERVER_FAILED, "dns-resolver-failure", 5),
        ("2026/11/20 09:00:01 [crit] 9#9: *2 connect() to `\n`unix:/run/shop.sock failed`\n`(2: No such file or directory) while connecting to upstream`", Symptom.SOCKET_PATH_MISSING, "unix-socket-missing", 2),
    ],
)  # fmt: skip
def test_a_line_that_was_cut_or_typed_anew(line: str, symptom: Symptom, cause: str | None, errno: int | None) -> None:
    record = nginx_error.parse(line)
    assert record is not None
    assert (record.symptom, record.causes[0] if record.causes else None, record.errno) == (symptom, cause, errno)
