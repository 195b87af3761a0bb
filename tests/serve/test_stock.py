"""A store that is missing, locked, damaged, of a newer version, or replaced while it is read: a clear page each time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hostile_incident import incident
from recorded_site import NOW, Open, site

from why502.watch.model import Batch
from why502.watch.store import Store, file

PAGES = ("/", "/history", "/targets", "/incidents/1")


def test_without_a_store_the_pages_say_how_one_is_made_until_there_is_one(opened: Open, tmp_path: Path) -> None:
    client = opened(tmp_path / "watch.db")
    for path in PAGES:
        response = client.get(path)
        assert response.status_code == 200 and "why502-watch.service" in response.text
    site(tmp_path / "watch.db", NOW, "wrong-port")
    assert "127.0.0.1:3001" in client.get("/").text


def test_a_store_of_a_newer_version_or_of_another_program_is_named(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    Store.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 99")
    for page in PAGES:
        response = opened(path).get(page)
        assert response.status_code == 503 and "newer why502" in response.text and response.headers["retry-after"]
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as database:
        database.execute("CREATE TABLE x (y)")
    assert "database of another program" in opened(other).get("/").text


def test_a_damaged_store_is_named_and_one_that_is_made_anew_is_read(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    site(path, NOW, "wrong-port")
    client = opened(path)
    assert client.get("/").status_code == 200
    whole = path.read_bytes()
    for damaged in (b"x" * 8192, whole[:4096] + b"\xff" * (len(whole) - 4096), b""):
        path.write_bytes(damaged)
        for page in PAGES:
            response = client.get(page)
            assert response.status_code in (200, 404, 503) and "error of why502 itself" not in response.text, page
    path.unlink()
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    with Store.open(path) as store:
        store.commit(Batch(at=NOW, incidents=[incident(closed=False)]))
    assert "3f9c01d2" in client.get("/history").text


def test_a_store_that_is_locked_is_named(opened: Open, tmp_path: Path, monkeypatch: object) -> None:
    monkeypatch.setattr(file, "PATIENCE_S", 0.05)  # type: ignore[attr-defined]
    path = tmp_path / "watch.db"
    site(path, NOW, "wrong-port")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    client = opened(path)
    assert client.get("/").status_code == 200
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        for page in PAGES:
            response = client.get(page) if page != "/" else opened(path).get(page)  # a page is kept for a second
            assert response.status_code == 503 and "locked" in response.text, page
    finally:
        holder.close()
    assert client.get("/").status_code == 200
