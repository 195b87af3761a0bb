"""Log lines that a real nginx wrote for hostile requests and requests with secrets: no output repeats an escape sequence or a
secret.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask

from why502.lab.stage import Stage

pytestmark = pytest.mark.real
STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORMAT = '$remote_addr "$request" $status "$http_referer" "$http_user_agent" "$http_authorization" "$http_cookie" $upstream_addr'
REQUESTS = (
    (
        b"GET /a%1b]0;owned%07?token=SECRET&password=SECRET HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Basic "
        b"U0VDUkVUOlNFQ1JFVA==\r\n"
        b"Cookie: session=SECRET; theme=dark\r\nReferer: https://user:SECRET@other.example/?api_key=SECRET\r\n"
    ),
    (
        b"GET /b HTTP/1.1\r\nHost: shop.example\r\nReferer: \x1b]0;owned\x07\x1b[2J\x1b[31m\r\nUser-Agent: "
        b"\x9b31m\xe2\x80\xaegnp\r\n"
    ),
    b"GET /c?access_token=eyJhbGciOi.SECRET.x HTTP/1.1\r\nHost: SHOP.example\r\nAuthorization: Bearer SECRET.1\r\n",
    b"GET /d HTTP/1.1\r\nHost: a\x1b[31mb\r\n",
    b"GET /e\x1b[31m HTTP/1.1\r\nHost: shop.example\r\n",
    b"POST /login?sid=SECRET HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n",
)


@pytest.fixture(params=["plain", "odd\x1b[31mname"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A real nginx in a directory of that name, after hostile requests; its backend is down."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        if directory.stat().st_uid == tmp_path.stat().st_uid and directory != Path("/tmp"):
            directory.chmod(0o755)
    root = tmp_path / request.param
    root.mkdir()
    stage = Stage(root, is_isolated=False)
    try:
        logs = stage.path("/var/log/nginx")
        http = f"log_format told escape=none '{FORMAT}';\naccess_log {logs}/told.log told;\nproxy_set_header X-Api-Key SECRET;"
        location = (
            f'proxy_set_header Authorization "Basic U0VDUkVUOlNFQ1JFVA==";\nproxy_pass http://127.0.0.1:{stage.port(3001)};'
        )
        stage.nginx.start(location, http=http, level="info")
        for raw in REQUESTS:
            stage.send(raw=raw + b"Connection: close\r\n\r\n")
        stage.until_logged("/login")
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown"])
def test_nothing_of_it_is_repeated(stage: Stage, form: str) -> None:
    log = stage.logs()
    assert "SECRET" in log
    assert "\x1b" in log
    answer = ask("diagnose", "--config", stage.nginx.config, "--format", form, "--verbose")
    assert (answer.status, answer.err) == (1, "")
    assert "backend-not-running" in answer.out
    assert not STEERS.search(answer.out)
    assert "SECRET" not in answer.out
    assert "U0VDUkVU" not in answer.out


def test_nothing_of_it_is_in_a_bundle(stage: Stage, tmp_path: Path) -> None:
    bundle = tmp_path / "b.why502"
    answer = ask("collect", "--config", stage.nginx.config, "-o", str(bundle))
    assert (answer.status, answer.out) == (0, "")
    data = gzip.decompress(bundle.read_bytes()).decode()
    assert "SECRET" not in data
    assert "U0VDUkVU" not in data
    assert json.loads(data)["snapshot"]["logs"]["tallies"]
    assert bundle.stat().st_mode & 0o077 == 0
    assert not STEERS.search(ask("diagnose", "--bundle", str(bundle)).out)
