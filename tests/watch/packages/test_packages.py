"""The logs of package managers, in lines as they write them, and the lists of files in their databases."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.watch.changes import Looks
from why502.watch.packages import apk, dpkg, managers, pacman, rpm, zypper
from why502.watch.packages.entry import Entry

AT = datetime(2026, 11, 23, 11, 59, 1, tzinfo=UTC)


def test_each_manager_is_found() -> None:
    assert set(managers()) == {apk, dpkg, pacman, rpm, zypper}


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("2026-11-23T12:59:01+0100 SUBDEBUG Installed: httpd-2.4.62-4.el9.x86_64", ("httpd", "installed")),
        ("2026-11-23T11:59:01Z SUBDEBUG Upgrade: nginx-1:1.26.3-1.el9.x86_64", ("nginx", "upgraded to 1:1.26.3-1.el9")),
        ("2026-11-23T11:59:01+0000 SUBDEBUG Upgraded: nginx-1:1.20.1-1.el9.x86_64", None),
        (
            "2026-11-23T11:59:01+0000 SUBDEBUG Downgrade: python3-web-20.1-1.el9.noarch",
            ("python3-web", "downgraded to 20.1-1.el9"),
        ),
        ("2026-11-23T11:59:01+0000 SUBDEBUG Erase: redis-7.2-1.el9.x86_64", ("redis", "removed")),
        ("2026-11-23T11:59:01+0000 INFO warning: /etc/nginx/nginx.conf created as /etc/nginx/nginx.conf.rpmnew", None),
        ("2026-99-99T11:59:01+0000 SUBDEBUG Installed: httpd-2.4.62-4.el9.x86_64", None),
        ("2026-11-23T11:59:01+0000 INFO --- logging initialized ---", None),
    ],
)
def test_dnf(line: str, entry: tuple[str, str] | None) -> None:
    found = rpm.parse(line)
    assert (found and (found.name, found.detail)) == entry
    assert found is None or found.at == AT


def test_yum_writes_no_year() -> None:
    assert rpm.parse("Nov 23 11:59:01 Updated: 1:nginx-1.20.1-10.el7.x86_64") == Entry("nginx", "upgraded", None, "1.20.1-10.el7")
    assert rpm.parse("Nov  3 11:59:01 Erased: nginx") == Entry("nginx", "removed")


def test_the_files_of_an_rpm() -> None:
    class WithRpm(LocalHost):
        def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
            if argv == ("rpm", "--query", "--list", "nodejs"):
                return Finished(status=0, stdout="/usr/bin/node\n/usr/share/doc/nodejs\n", stderr="")
            return Finished(status=1, stdout="package redis is not installed\n", stderr="")

    assert rpm.paths(WithRpm(), Entry("nodejs", "upgraded")) == ("/usr/bin/node", "/usr/share/doc/nodejs")
    assert zypper.paths(WithRpm(), Entry("redis", "removed")) == ()


def test_zypper() -> None:
    found = zypper.parse("2026-11-23 11:59:01|install|nginx|1.27.2-1.1|x86_64|root@web1|repo-oss|4421dfa718ab|")
    local = AT.replace(tzinfo=None).astimezone(UTC)
    assert found == Entry("nginx", "installed", local, "1.27.2-1.1", "x86_64")
    removed = zypper.parse("2026-11-23 11:59:01|remove |nginx|1.27.2-1.1|x86_64|root@web1|")
    assert removed is not None and removed.what == "removed"
    assert zypper.parse("2026-11-23 11:59:01|command|root@web1|'zypper' 'in' 'nginx'|") is None
    assert zypper.parse("2026-11-23 11:59:01|radd   |packman|https://example.com/|") is None
    assert zypper.parse("# 2026-11-23 11:59:01 nginx-1.27.2-1.1.x86_64.rpm installed ok") is None


def test_pacman(tmp_path: Path) -> None:
    line = "[2026-11-23T11:59:01+0000] [ALPM] upgraded nodejs (22.1.0-1 -> 23.2.0-1)"
    found = pacman.parse(line)
    assert found == Entry("nodejs", "upgraded", AT, "23.2.0-1")
    earlier = pacman.parse("[2019-07-14 21:33] [ALPM] installed feh (3.1.3-1)")
    assert earlier is not None and earlier.at is not None and earlier.detail == "installed"
    assert pacman.parse("[2026-11-23T11:59:01+0000] [ALPM-SCRIPTLET] upgraded x (1 -> 2)") is None
    assert pacman.parse("[2026-11-23T11:59:01+0000] [ALPM] transaction started") is None
    files = tmp_path / "var/lib/pacman/local/nodejs-23.2.0-1/files"
    files.parent.mkdir(parents=True)
    files.write_text("%FILES%\nusr/\nusr/bin/node\n\n%BACKUP%\netc/npmrc\t0\n")
    assert pacman.paths(DirectoryHost(str(tmp_path)), found) == ("/usr/", "/usr/bin/node")


def test_apk(tmp_path: Path) -> None:
    assert apk.parse("(1/2) Upgrading nodejs (22.1.0-r0 -> 22.2.0-r0)") == Entry("nodejs", "upgraded", None, "22.2.0-r0")
    assert apk.parse("( 1/12) Purging redis (7.2-r0)") == Entry("redis", "removed", None, "7.2-r0")
    assert apk.parse("Running `apk upgrade` at 2026-09-28 06:10:04") is None
    assert apk.parse("OK: 129.7 MiB in 208 packages") is None
    database = tmp_path / "lib/apk/db/installed"
    database.parent.mkdir(parents=True)
    database.write_text(
        "C:Q1x=\nP:musl\nV:1\nF:lib\nR:ld.so\n\nP:nodejs\nV:22\nF:\nF:usr/bin\nR:node\na:0:0:755\n\nP:zlib\nF:lib\nR:libz.so\n"
    )
    assert apk.paths(DirectoryHost(str(tmp_path)), Entry("nodejs", "upgraded")) == ("/usr/bin/node",)
    assert apk.paths(DirectoryHost(str(tmp_path)), Entry("absent", "upgraded")) == ()


def test_a_log_that_was_missing_is_read_from_its_start_and_a_line_without_time_is_as_old_as_the_log(tmp_path: Path) -> None:
    looks = Looks(DirectoryHost(str(tmp_path)))
    assert list(looks.packages(AT)) == []
    log = tmp_path / "var/log/apk.log"
    log.parent.mkdir(parents=True)
    log.write_text("Running `apk upgrade` at 2026-11-23 11:59:00\n(1/1) Upgrading nodejs (22.1.0-r0 -> 22.2.0-r0)\n")
    os.utime(log, (AT.timestamp(), AT.timestamp()))
    (change,) = looks.packages(AT)
    assert (change.subject, change.at, change.detail) == ("nodejs", AT, "upgraded to 22.2.0-r0")
    assert list(looks.packages(AT)) == []


def test_a_line_of_any_kind_is_no_error() -> None:
    for manager in managers():
        for line in ("", "\0", "[", "2026-11-23 11:59:01|install|", "9999-99-99 99:99:99 install a:b c d", "é" * 5000):
            assert manager.parse(line) is None
