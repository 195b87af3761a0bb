"""Who may ask, from where, and how much; and the headers of every answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_site import Open
from starlette.testclient import TestClient

from why502.model.errors import Why502Error
from why502.serve.security import BODY_BYTES, ENTRANCE, is_host
from why502.serve.settings import Settings, listening, public_url, token_in, with_token

TOKEN = "0123456789abcdef0123456789abcdef"
PATHS = ("/", "/history", "/targets", "/incidents/1", "/nowhere", "/static/style.css", "/api/1/nowhere", ENTRANCE)


def test_every_answer_has_the_headers_that_keep_a_browser_from_running_what_it_shows(opened: Open) -> None:
    client = opened()
    for path in (*PATHS, "/%00", "/incidents/%2e%2e%2f", "/static/../app.py", "/static/%2e%2e/app.py"):
        response = client.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, path
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert "def application" not in response.text
        if "html" in response.headers.get("content-type", ""):
            assert response.headers["cache-control"] == "no-store"
            assert "<script>" not in response.text and " style=" not in response.text and " onclick=" not in response.text


def test_a_name_that_an_attacker_controls_is_not_answered(opened: Open) -> None:
    client = opened(url="https://why502.example")
    for host in (
        "127.0.0.1:8502",
        "localhost",
        "LOCALHOST:1",
        "[::1]:8502",
        "10.0.0.7",
        "web1:8502",
        "why502.example",
        "localhost.",
    ):
        assert client.get("/", headers={"host": host}).status_code == 200, host
    hostile = (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:8502",
        "user@localhost",
        "",
        "localhost/x",
    )
    for host in (*hostile, "localhost, evil.example", "2130706433x", "[::1", "127.0.0.1:x", "localhost#", "why502.example.evil"):
        assert client.get("/", headers={"host": host}).status_code == 421, host
        assert client.get("/static/style.css", headers={"host": host}).status_code == 421, host
    assert not is_host("localhost\n", frozenset({"localhost"}))


def test_another_site_may_link_here_and_nothing_else(opened: Open) -> None:
    client = opened()
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    for mode in ("no-cors", "cors", "websocket"):
        assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}).status_code == 403
        assert client.get("/", headers={"sec-fetch-site": "same-origin", "sec-fetch-mode": mode}).status_code == 200
    for headers in (
        link,
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8503"},
        {"origin": "http://localhost:8502"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-origin"},  # without an origin, which no browser sends
        {"cookie": "why502=x"},
    ):
        assert client.post(ENTRANCE, data={"token": "x"}, headers=headers).status_code == 403, headers
    assert "Wrong token" in client.post(ENTRANCE, data={"token": "x"}, headers={"origin": "http://127.0.0.1:8502"}).text
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X" * 30):
        assert client.request(method, "/").status_code == 405


def entered(client: TestClient, token: str = TOKEN, target: str = "/history?cause=x") -> TestClient:
    response = client.post(ENTRANCE, data={"token": token, "target": target}, headers={"origin": "http://127.0.0.1:8502"})
    assert response.status_code == 303, response.text
    client.cookies = response.cookies
    return client


def test_without_the_token_nothing_is_shown_but_the_question_for_it(opened: Open) -> None:
    client = opened(token=TOKEN)
    for path in PATHS[:5]:
        response = client.get(path)
        assert response.status_code == 401 and "Enter the token" in response.text and TOKEN not in response.text
    assert client.get("/api/1/x").json()["hint"] and client.get("/api/1/x").headers["www-authenticate"] == "Bearer"
    assert client.get("/live/now").status_code == 401
    assert client.get("/static/style.css").status_code == 200
    for headers in ({"authorization": f"Bearer {TOKEN}x"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": f"why502={TOKEN}"}):
        assert client.get("/", headers=headers).status_code == 401
    assert client.get("/", headers={b"cookie": b"why502=\xe9; \x01="}).status_code == 401
    assert client.get("/", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200


def test_the_token_is_exchanged_for_a_cookie_that_does_not_contain_it(opened: Open) -> None:
    client = opened(token=TOKEN)
    for token in ("", "x", TOKEN[:-1], f"{TOKEN}\x00", "é"):
        response = client.post(ENTRANCE, data={"token": token}, headers={"origin": "http://127.0.0.1:8502"})
        assert response.status_code == 403 and "set-cookie" not in response.headers
    response = client.post(
        ENTRANCE, data={"token": TOKEN, "target": "/history?cause=x"}, headers={"origin": "http://127.0.0.1:8502"}
    )
    cookie = response.headers["set-cookie"]
    assert response.headers["location"] == "/history?cause=x" and TOKEN not in cookie
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert entered(client).get("/").status_code == 200
    behind = opened(token=TOKEN, url="https://why502.example")
    response = behind.post(
        ENTRANCE, data={"token": TOKEN}, headers={"host": "why502.example", "origin": "https://why502.example"}
    )
    assert "Secure" in response.headers["set-cookie"]
    other = opened(token=TOKEN + "x")
    other.cookies = client.cookies
    assert other.get("/").status_code == 401, "the cookie of another token"


def test_after_the_token_a_browser_stays_on_this_server(opened: Open) -> None:
    client = opened(token=TOKEN)
    hostile = (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\tx",
        "/x\r\nset-cookie: a=b",
        "javascript:x",
        "",
        "\\\\evil",
    )
    for target in hostile:
        form = {"token": TOKEN, "target": target}
        response = client.post(ENTRANCE, data=form, headers={"origin": "http://127.0.0.1:8502"})
        assert response.headers["location"] == "/" and response.headers["set-cookie"].startswith("why502="), target


def test_a_link_from_another_site_is_followed_once_more_so_that_the_strict_cookie_is_sent(opened: Open) -> None:
    client = opened(token=TOKEN)
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert 'http-equiv="refresh"' in client.get("/incidents/1?x=1", headers=link).text
    assert 'http-equiv="refresh"' not in client.get("/incidents/1", headers={"sec-fetch-site": "same-origin"}).text


def test_too_much_is_refused_before_it_is_read_and_while_it_is_read(opened: Open) -> None:
    client = opened()
    origin = {"origin": "http://127.0.0.1:8502", "content-type": "application/x-www-form-urlencoded"}
    assert client.post(ENTRANCE, content=b"a" * (BODY_BYTES + 1), headers=origin).status_code == 413
    parts = (b"token=" + b"a" * 1000 for _ in range(100))
    assert client.post(ENTRANCE, content=parts, headers=origin).status_code == 413
    for length in ("-1", "x", "99999999999999999999"):
        assert client.post(ENTRANCE, content=b"a", headers=origin | {"content-length": length}).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(100)).encode()
    assert client.post(ENTRANCE, content=many, headers=origin).status_code in (400, 403)
    file = {"files": {"token": ("name", b"x")}, "headers": {"origin": origin["origin"]}}
    assert client.post(ENTRANCE, **file).status_code in (400, 403)


def test_addresses_to_listen_on() -> None:
    assert listening("127.0.0.1:8502") == ("127.0.0.1", 8502) and listening("[::1]:1") == ("::1", 1)
    assert listening("unix:/run/x") == Path("/run/x")
    for text in (
        "",
        "8502",
        "localhost:8502",
        "127.0.0.1",
        "127.0.0.1:99999",
        "unix:x",
        "127.0.0.1:-1",
        "[::1:80",
        "127.0.0.1:٣",
    ):
        with pytest.raises(Why502Error):
            listening(text)
    assert Settings(store=Path("x"), listen=("127.8.0.1", 1)).is_local and Settings(store=Path("x"), listen=("::1", 1)).is_local
    assert Settings(store=Path("x"), listen=Path("/x")).is_local
    for host in ("0.0.0.0", "10.0.0.7", "::"):
        assert not Settings(store=Path("x"), listen=(host, 1)).is_local


def test_urls_of_a_reverse_proxy() -> None:
    assert public_url("https://Why502.Example/") == "https://why502.example" and public_url("http://a:81") == "http://a:81"
    assert public_url("https://Ops.example/why502/") == "https://ops.example/why502"
    for text in (
        "why502.example",
        "ftp://a",
        "https://",
        "https://a/../b",
        "https://a/b c",
        "https://a/{b}",
        "https://a?b",
        "https://u:p@a",
        "https://a b",
        "https://é",
        "https://a:x",
    ):
        with pytest.raises(Why502Error):
            public_url(text)


def test_a_token_is_read_from_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o640)
    assert token_in(path) == TOKEN
    for mode in (0o644, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(Why502Error) as raised:
            token_in(path)
        assert TOKEN not in raised.value.message
    path.chmod(0o600)
    for content in (b"", b"short", b"\xff" * 32, b"a" * 600, b"a b" * 10, b"a" * 20 + b"\n" + b"b" * 20):
        path.write_bytes(content)
        with pytest.raises(Why502Error):
            token_in(path)
    for other in (tmp_path / "none", tmp_path):
        with pytest.raises(Why502Error):
            token_in(other)
    made = with_token(Settings(store=Path("x")))
    assert len(made.token) >= 40 and made.token != with_token(made).token
