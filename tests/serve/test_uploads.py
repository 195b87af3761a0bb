"""Uploads that are too large, too slow, too many or broken off: the server refuses them, keeps nothing, and goes on."""

from __future__ import annotations

import asyncio
import gzip
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import httpx2 as httpx
import pytest
from served import serve

from why502.serve import security
from why502.serve.app import application
from why502.serve.settings import Settings

FILE = {"content-type": "application/octet-stream"}


def test_an_upload_that_does_not_arrive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_S", 0.1)
    sent: list[dict[str, object]] = []

    async def slow() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/1/diagnose",
        "raw_path": b"/api/1/diagnose",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8502),
        "headers": [(b"host", b"127.0.0.1:8502"), (b"content-type", b"application/gzip"), (b"content-length", b"1000")],
    }
    asyncio.run(asyncio.wait_for(application(Settings(store=tmp_path / "none"))(scope, slow, send), 20))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A server whose temporary files are seen."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with serve("--store", str(tmp_path / "none.db")) as found:
        yield found
    assert list((tmp_path / "temporary").iterdir()) == []


def head(url: str, path: str, *lines: str) -> bytes:
    host = urlsplit(url).netloc
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]).encode()


def answered(url: str, *parts: bytes) -> bytes:
    """Return what the server answers to these bytes, as far as it takes them."""
    parsed = urlsplit(url)
    with closing(socket.create_connection((parsed.hostname, parsed.port), timeout=60)) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass  # it has answered, and reads no more
        try:
            return connection.recv(1 << 16)
        except ConnectionResetError:
            return b""


@pytest.mark.real
def test_what_is_sent_is_bounded_and_kept_nowhere(url: str, tmp_path: Path) -> None:
    claimed = answered(url, head(url, "/api/1/diagnose", "Content-Type: application/gzip", "Content-Length: 10000000000"))
    assert claimed.startswith(b"HTTP/1.1 413 ")

    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    endless = (chunk for _ in range(80))
    unsaid = answered(url, head(url, "/api/1/logs", "Content-Type: text/plain", "Transfer-Encoding: chunked"), *endless)
    assert not unsaid or unsaid.startswith(b"HTTP/1.1 413 ")

    parts = (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % number for number in range(20_000))
        + b"--x--\r\n"
    )
    many = answered(
        url, head(url, "/lint", "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(parts)}"), parts
    )
    assert not many or many.startswith(b"HTTP/1.1 400 ")

    parsed = urlsplit(url)
    with closing(socket.create_connection((parsed.hostname, parsed.port), timeout=60)) as broken:
        broken.sendall(
            head(url, "/api/1/diagnose", "Content-Type: application/gzip", "Content-Length: 5000000") + b"x" * 3_000_000
        )

    bomb = gzip.compress(b"0" * (300 << 20), compresslevel=1)
    refused = httpx.post(f"{url}/api/1/diagnose", content=bomb, headers=FILE, timeout=60)
    assert refused.status_code == 422
    assert "MiB" in refused.json()["error"]
    with urlopen(f"{url}/explain?text=502", timeout=60) as page:
        assert page.status == 200


@pytest.mark.real
def test_only_so_many_are_taken_at_once(url: str) -> None:
    def post(_: int) -> int:
        return httpx.post(f"{url}/api/1/diagnose", content=b"\x1f\x8b not a bundle", headers=FILE, timeout=120).status_code

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(post, range(24)))
    assert set(found) == {422, 429}
    assert httpx.get(f"{url}/api/1/status", timeout=60).status_code == 404
