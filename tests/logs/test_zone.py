"""Local times of a machine or process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from why502.host.directory import DirectoryHost
from why502.logs.zone import aware, zone
from why502.model.errors import Denied

BERLIN = Path("/usr/share/zoneinfo/Europe/Berlin")
AT = datetime(2026, 7, 1, 12)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine's root in Berlin, whose process 7 was started with TZ=Asia/Tokyo."""
    if not BERLIN.exists():
        pytest.skip("no time zone data is installed")
    zones = tmp_path / "usr/share/zoneinfo"
    (zones / "Europe").mkdir(parents=True)
    (zones / "Asia").mkdir()
    (zones / "Europe/Berlin").write_bytes(BERLIN.read_bytes())
    (zones / "Asia/Tokyo").write_bytes(Path("/usr/share/zoneinfo/Asia/Tokyo").read_bytes())
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/environ").write_bytes(b"PATH=/bin\0TZ=:Asia/Tokyo\0X=1\0")
    return tmp_path


def offset(host: DirectoryHost, pid: int | None = None) -> timedelta | None:
    found = zone(host, host, pid)
    return found.utcoffset(AT) if found else None


def test_of_the_machine_and_of_a_process(root: Path) -> None:
    host = DirectoryHost(str(root))
    assert offset(host) == timedelta(hours=2)
    assert offset(host, 7) == timedelta(hours=9)
    assert offset(host, 8) == timedelta(hours=2)
    (root / "proc/7/environ").write_bytes(b"TZ=../../../etc/passwd\0")
    assert offset(host, 7) == timedelta(hours=2)


def test_without_localtime_it_is_utc(root: Path) -> None:
    (root / "etc/localtime").unlink()
    assert offset(DirectoryHost(str(root))) == timedelta(0)
    (root / "etc/localtime").write_bytes(b"no zone")
    assert offset(DirectoryHost(str(root))) == timedelta(0)


def test_unknown_where_it_may_not_be_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: DirectoryHost, path: str, *, limit_bytes: int = 0) -> bytes:
        raise Denied("permission denied")

    monkeypatch.setattr(DirectoryHost, "read", denied)
    host = DirectoryHost(str(root))
    assert zone(host, host, 7) is None


def test_the_hour_that_comes_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    twice = datetime(2026, 10, 25, 2, 30)
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    for meant in (first, second):
        assert aware(twice, berlin, meant.timestamp() - 60, meant.timestamp() + 60) == meant
    assert aware(twice, berlin, 0, 1) == first
    assert aware(twice.replace(tzinfo=timezone(timedelta(hours=5))), berlin, 0, 1) == datetime(2026, 10, 24, 21, 30, tzinfo=UTC)
