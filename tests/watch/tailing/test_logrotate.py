"""Where rotated files lie."""

from __future__ import annotations

from pathlib import Path

from why502.watch.tailing.logrotate import directories


def test_the_directories_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "logrotate.conf").write_text(f"weekly\n# olddir /no\ninclude {tmp_path}/d\n")
    (tmp_path / "d" / "nginx").write_text(
        '/var/log/nginx/*.log "/srv/my logs/a.log" {\n  olddir old\n  postrotate\n    olddir /script\n  endscript\n}\n'
        "/var/log/other.log {\n  olddir /elsewhere\n}\n"
    )
    main = str(tmp_path / "logrotate.conf")
    assert directories("/var/log/nginx/access.log", main) == ("/var/log/nginx/old",)
    assert directories("/srv/my logs/a.log", main) == ("/srv/my logs/old",)
    assert directories("/var/log/other.log", main) == ("/elsewhere",)
    assert directories("/var/log/third.log", main) == ()


def test_a_default_for_all_logs(tmp_path: Path) -> None:
    (tmp_path / "main").write_text("olddir /archive\n/a.log {\n rotate 3\n}\n")
    assert directories("/b.log", str(tmp_path / "main")) == ("/archive",)


def test_no_configuration(tmp_path: Path) -> None:
    assert directories("/b.log", str(tmp_path / "main")) == ()
