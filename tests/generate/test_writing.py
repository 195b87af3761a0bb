"""Files in a directory: the layout found there, nothing overwritten that why502 did not write, drift, conflicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask

SITE = ("generate", "nginx", "--app", "127.0.0.1:3000", "--domain", "shop.example", "--tls", "off", "--nginx-version", "1.22.1")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name in ("sites-available", "sites-enabled"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_site_is_written_and_enabled_in_debians_layout(etc: Path) -> None:
    assert ask(*SITE, "-o", str(etc)).status == 0
    link = etc / "sites-enabled" / "shop.example.conf"
    assert link.is_symlink()
    assert "server_name shop.example;" in link.read_text()


@pytest.mark.parametrize("place", ["conf.d", "http.d", ""])
def test_it_follows_other_layouts(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    assert ask(*SITE, "-o", str(tmp_path)).status == 0
    assert (tmp_path / place / "shop.example.conf").exists()


def test_the_same_again_changes_nothing_and_has_not_drifted(etc: Path) -> None:
    ask(*SITE, "-o", str(etc))
    file = etc / "sites-available" / "shop.example.conf"
    before = file.stat()
    again = ask(*SITE, "-o", str(etc))
    assert (again.status, file.stat().st_mtime_ns) == (0, before.st_mtime_ns)
    assert "unchanged" in again.out
    assert ask(*SITE, "-o", str(etc), "--check").status == 0


def test_another_option_replaces_its_own_file_and_shows_the_difference(etc: Path) -> None:
    ask(*SITE, "-o", str(etc))
    changed = ask(*SITE, "--max-body", "10m", "-o", str(etc))
    assert changed.status == 0
    assert "+    client_max_body_size 10m;" in changed.err
    assert "client_max_body_size" in (etc / "sites-available" / "shop.example.conf").read_text()


def test_drift_is_told_and_an_edited_file_is_kept(etc: Path) -> None:
    ask(*SITE, "-o", str(etc))
    file = etc / "sites-available" / "shop.example.conf"
    file.write_text(file.read_text().replace("max-age", "").replace("30s", "90s"))
    drift = ask(*SITE, "-o", str(etc), "--check")
    assert drift.status == 1
    assert "edited by hand" in drift.out
    assert "-    proxy_read_timeout 90s;" in drift.out
    refused = ask(*SITE, "--max-body", "10m", "-o", str(etc))
    assert refused.status == 2
    assert "90s" in file.read_text()


def test_a_foreign_file_is_kept(etc: Path) -> None:
    file = etc / "sites-available" / "shop.example.conf"
    file.write_text("server { listen 8080; server_name other; }\n")
    refused = ask(*SITE, "-o", str(etc))
    assert refused.status == 2
    assert "not written by why502" in refused.err
    assert file.read_text().startswith("server { listen 8080")
    assert not list((etc / "sites-enabled").iterdir())


def test_a_site_with_the_same_name_and_port_is_shown(etc: Path) -> None:
    (etc / "sites-enabled" / "old").write_text("server {\n    listen 80;\n    server_name www.example shop.example;\n}\n")
    refused = ask(*SITE, "-o", str(etc))
    assert refused.status == 2
    assert "shop.example on port 80 is already served by" in refused.err
    assert "sites-enabled/old:1" in refused.err
    assert ask(*SITE, "--port", "8080", "-o", str(etc)).status == 0


def test_a_site_that_nginx_conf_includes_from_anywhere_is_shown(etc: Path) -> None:
    (etc / "apps").mkdir()
    (etc / "apps" / "old.inc").write_text("server {\n    server_name shop.example;\n}\n")
    (etc / "conf.d").mkdir()
    (etc / "conf.d" / "unused.conf").write_text("server { listen 80; server_name shop.example; }\n")
    (etc / "nginx.conf").write_text("events { }\nhttp { include apps/*.inc; include sites-enabled/*; }\n")
    refused = ask(*SITE, "-o", str(etc))
    assert refused.status == 2
    assert f"shop.example on port 80 is already served by {etc}/apps/old.inc:1: nothing was written" in refused.err
    (etc / "apps" / "old.inc").unlink()
    assert ask(*SITE, "-o", str(etc)).status == 0  # conf.d is not read
    assert ask(*SITE, "--max-body", "2m", "-o", str(etc)).status == 0  # its own site is no conflict


def test_a_directory_that_cannot_be_written_to_is_two_lines(tmp_path: Path) -> None:
    refused = ask(*SITE, "-o", "/proc")
    assert (refused.status, refused.err.count("\n") >= 2, "/proc/shop.example.conf" in refused.err) == (2, True, True), (
        refused.err
    )
    assert "Traceback" not in refused.err


def test_a_missing_directory_and_a_missing_application_are_two_lines() -> None:
    nowhere = ask(*SITE, "-o", "/nonexistent")
    assert (nowhere.status, nowhere.err.count("\n") >= 2) == (2, True)
    missing = ask("generate", "nginx", "--domain", "shop.example")
    assert missing.status == 2
    assert "why502 generate nginx --app" in missing.err
    assert "--domain shop.example" in missing.err


def test_https_waits_for_its_certificate(etc: Path) -> None:
    auto = tuple(word for word in SITE if word not in ("--tls", "off"))
    said = ask(*auto, "-o", str(etc))
    assert "does not exist yet" in said.err
    assert (etc / "sites-available" / "shop.example.https.conf").exists()
    assert not (etc / "sites-enabled" / "shop.example.https.conf").exists()


def test_a_part_that_is_not_enabled_is_not_loaded_in_a_flat_layout(tmp_path: Path) -> None:
    auto = tuple(word for word in SITE if word not in ("--tls", "off"))
    (tmp_path / "conf.d").mkdir()
    ask(*auto, "-o", str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "conf.d").glob("*")) == [
        "shop.example.conf",
        "shop.example.https.conf.disabled",
    ]
