"""Secrets do not leave a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import sampled

from why502.redaction import clean, redact, redact_lines, without_query

SECRET = "s3cr3tvalue99"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Basic {SECRET}",
        f"authorization: Bearer {SECRET}.abc-def_1",
        f'"Authorization":"Token {SECRET}"',
        f"Cookie: theme=dark; session={SECRET}; x=1",
        f"Set-Cookie: id={SECRET}; Path=/; HttpOnly",
        f"X-Api-Key: {SECRET}",
        f"GET /a?page=1&access_token={SECRET}&x=2 HTTP/1.1",
        f"GET /cb?code={SECRET} HTTP/1.1",
        f"GET /f?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET} HTTP/1.1",
        f"https://bob:{SECRET}@example.com/x",
        f"postgres://bob:{SECRET}@db:5432/app",
        f'invalid port in upstream "bob:{SECRET}@127.0.0.1:3001/"',
        f"bob:{SECRET}@127.0.0.1:3001",
        f"password={SECRET}",
        f"DB_PASSWORD={SECRET}",
        f'{{"user":"bob","password": "{SECRET}"}}',
        f"{{'api_key': '{SECRET}'}}",
        f'\\"client_secret\\":\\"{SECRET}\\"',
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyM3R2YWx1ZTk5In0.s3cr3tvalue99",
        "ghp_s3cr3tvalue99aaaaaaaaaaaaaaaaaaaaaaaa",
        f"-----BEGIN RSA PRIVATE KEY----- {SECRET} -----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_are_removed(text: str) -> None:
    assert SECRET not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Main process exited, code=killed, status=9/KILL",
        'connect() failed (111: Connection refused) while connecting to upstream, upstream: "http://127.0.0.1:3001/a"',
        "no user/password was provided for basic authentication",
        "GET /tokens/12?page=3 HTTP/1.1",
        "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)",
        "oom-kill:constraint=CONSTRAINT_MEMCG,task=python3,pid=206,uid=0",
    ],
)
def test_text_without_secrets_is_kept(text: str) -> None:
    assert redact(text) == text


def test_request_without_query() -> None:
    assert without_query(f"GET /a/b?token={SECRET} HTTP/1.1") == "GET /a/b"
    assert without_query("POST / HTTP/1.1") == "POST /"
    assert without_query("") == ""
    assert without_query("\x16\x03\x01") == "\x16\x03\x01"
    assert len(without_query("GET /" + "a" * 5000)) == 200


@given(st.text())
def test_takes_any_text(text: str) -> None:
    redact(text)
    without_query(text)
    clean(text).encode()


@pytest.mark.parametrize(
    "part",
    sampled(
        ["token", "a.", "://", "a", "'", '\\"', "eyJ", "eyJa.", "basic ", "-----BEGIN ", "cookie: ", "?code", "password", " "], 4
    ),
)
def test_a_long_text_takes_no_quadratic_time(part: str) -> None:
    """Half a megabyte: with a quadratic expression the test would exceed its time limit."""
    redact((part * 500_000)[:500_000])


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic dXNlcjpwYXNz",
        "set-cookie: a=b; c=d",
        "http://user:password@10.0.0.5:80/x",
        '{"pass": "x1", "sid": "y2", "otp": "123456"}',
        "/x?token=abc&sid=1&state=2&code=3",
        "--db-password=hunter2",
    ],
)
def test_many_lines_lose_their_secrets_as_one_does(text: str) -> None:
    assert redact(text) != text
    assert redact_lines(f"plain\n{text}\nplain \udcff") == f"plain\n{redact(text)}\nplain \udcff"
