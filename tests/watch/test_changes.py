"""What the ledger notices of packages, certificates, unit files and release links, in a directory that stands for a machine."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from why502.host.directory import DirectoryHost
from why502.model.base import decode, encode
from why502.model.config import Peer, Route, Setting
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.changes import ChangeRecorder
from why502.watch.model import Change, ChangeKind, Seen
from why502.watch.packages import dpkg

DPKG_LOG = dpkg.LOGS[0]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=3001)


class Machine:
    """A directory with a machine's files, and what was told of its changes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[Change] = []
        self.seen: Seen | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a run, with what an earlier one kept."""
        earlier = self.seen and decode(encode(self.seen), Seen)
        self.recorder = ChangeRecorder(
            DirectoryHost(str(self.root)), self.told.append, earlier=earlier, keep=lambda seen: setattr(self, "seen", seen)
        )

    def write(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def append(self, path: str, text: str) -> None:
        with (self.root / path.lstrip("/")).open("a") as file:
            file.write(text)

    def look(self, snapshot: Snapshot | None = None) -> list[tuple[str, str, str]]:
        """Look once; return what was told."""
        self.told.clear()
        if snapshot is not None:
            self.recorder.update(snapshot)
        self.recorder.look(NOW)
        return [(change.kind.value, change.subject, change.detail) for change in self.told]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.write(DPKG_LOG, "2026-11-22 10:00:00 upgrade nginx:amd64 1.22.1-9 1.22.1-10\n")
    made.write("/etc/nginx/shop.pem", "certificate 1")
    made.write("/etc/systemd/system/shop.service", "[Service]\nExecStart=/srv/shop/current/run\n")
    made.write("/srv/shop/1/run", "")
    made.write("/srv/shop/2/run", "")
    os.symlink("1", tmp_path / "srv/shop/current")
    return made


def snapshot() -> Snapshot:
    route = Route(peers=(Peer(name=str(APP), target=APP),), settings={"ssl_certificate": (Setting(args=("shop.pem",)),)})
    service = Service(
        manager="systemd", name="shop.service", unit_file="/etc/systemd/system/shop.service", argv=("/srv/shop/current/run",),
        targets=(APP,),
    )  # fmt: skip
    proxy = Proxy(config="/etc/nginx/nginx.conf", pid=10, routes=(route,))
    return Snapshot(taken_at=NOW, proxies=(proxy,), services=(service,))


def test_what_was_so_before_is_no_change(machine: Machine) -> None:
    assert machine.look(snapshot()) == []
    assert machine.look() == []


def test_a_package_names_what_it_touches(machine: Machine) -> None:
    machine.look()
    machine.write(f"{dpkg.FILES}/nodejs.list", "/.\n/usr\n/usr/bin/node\n/usr/share/doc/nodejs\n")
    machine.append(DPKG_LOG, "2026-11-23 11:59:00 startup archives unpack\n2026-11-23 11:59:01 upgrade nodejs:amd64 18.1 18.2\n")
    machine.append(DPKG_LOG, "2026-11-23 11:59:02 status installed nodejs:amd64 18.2\n2026-11-23 11:59:03 install libc")
    assert machine.look() == [("package", "nodejs", "upgraded to 18.2")]
    assert machine.told[0].paths == ("/usr/bin/node",)
    machine.append(DPKG_LOG, "ap2 <none> 1\n")
    assert machine.look() == [("package", "libcap2", "installed")]


def test_the_packages_of_the_last_half_hour_are_known_at_the_start(machine: Machine) -> None:
    hour_ago, ago = (f"{(NOW - timedelta(minutes=minutes)).astimezone():%Y-%m-%d %H:%M:%S}" for minutes in (60, 10))
    machine.append(DPKG_LOG, f"{hour_ago} upgrade redis:amd64 7.0 7.2\n{ago} upgrade nodejs:amd64 18.1 18.2\n")
    assert machine.look() == [("package", "nodejs", "upgraded to 18.2")]
    assert machine.look() == []


def test_the_log_of_packages_may_be_rotated(machine: Machine) -> None:
    machine.look()
    (machine.root / DPKG_LOG.lstrip("/")).rename(machine.root / "var/log/dpkg.log.1")
    machine.write(DPKG_LOG, "2026-11-23 11:59:01 remove nodejs:amd64 18.1 <none>\n")
    assert machine.look() == [("package", "nodejs", "removed")]


def test_a_certificate_and_a_unit_file_with_another_content(machine: Machine) -> None:
    machine.look(snapshot())
    os.utime(machine.root / "etc/nginx/shop.pem", (1, 1))
    assert machine.look() == [], "only its time is another"
    machine.write("/etc/nginx/shop.pem", "certificate 2")
    machine.write("/etc/systemd/system/shop.service", "[Service]\nExecStart=/srv/shop/current/run --new\n")
    assert sorted(machine.look()) == [
        ("certificate", "/etc/nginx/shop.pem", "changed"),
        ("config", "/etc/systemd/system/shop.service", "changed"),
    ]
    (machine.root / "etc/nginx/shop.pem").unlink()
    assert machine.look() == [("certificate", "/etc/nginx/shop.pem", "removed")]


def test_a_release_link_that_is_switched(machine: Machine) -> None:
    machine.look(snapshot())
    new = machine.root / "srv/shop/new"
    os.symlink("2", new)
    new.rename(machine.root / "srv/shop/current")
    assert machine.look() == [("release", "/srv/shop/current", "leads to 2")]


def test_what_changed_between_two_runs_is_told(machine: Machine) -> None:
    machine.look(snapshot())
    machine.begin()
    assert machine.look(snapshot()) == []
    machine.write("/etc/nginx/shop.pem", "certificate 2")
    (machine.root / "srv/shop/current").unlink()
    os.symlink("2", machine.root / "srv/shop/current")
    machine.begin()
    assert sorted(machine.look(snapshot())) == [
        ("certificate", "/etc/nginx/shop.pem", "changed"),
        ("release", "/srv/shop/current", "leads to 2"),
    ]
    machine.begin()
    assert machine.look(snapshot()) == []


def test_a_file_that_brings_an_old_time_changed_when_it_came(machine: Machine) -> None:
    machine.look(snapshot())
    machine.write("/etc/nginx/shop.pem", "certificate of a backup")
    os.utime(machine.root / "etc/nginx/shop.pem", (1, 1))
    machine.look()
    assert [change.at for change in machine.told] == [NOW]


def test_names_with_secrets_are_not_kept(machine: Machine) -> None:
    machine.write("/etc/nginx/password=geheim1234567/shop.pem", "certificate")
    setting = Setting(args=("password=geheim1234567/shop.pem",))
    route = Route(settings={"ssl_certificate": (setting, Setting(args=("shop.pem",)))})
    machine.look(structs.replace(snapshot(), proxies=(Proxy(config="/etc/nginx/nginx.conf", pid=10, routes=(route,)),)))
    assert machine.seen is not None
    assert "/etc/nginx/shop.pem" in machine.seen.files
    assert "geheim" not in encode(machine.seen).decode()


def test_a_reload_touches_the_targets_whose_routes_it_changed(machine: Machine) -> None:
    first = snapshot()
    (proxy,) = first.proxies or ()
    other = Route(peers=(Peer(name="127.0.0.1:9", target=Target(host="127.0.0.1", port=9)),))
    proxy = structs.replace(proxy, routes=(*proxy.routes, other), loaded_at=NOW)
    machine.look(structs.replace(first, proxies=(proxy,)))
    edited = structs.replace(proxy.routes[0], read_timeout_s=5.0, settings={"proxy_read_timeout": (Setting(args=("5s",)),)})
    later = structs.replace(proxy, routes=(edited, other), loaded_at=NOW.replace(minute=5))
    assert machine.look(structs.replace(first, taken_at=NOW.replace(minute=6), proxies=(later,))) == [
        ("reload", "nginx", "loaded its configuration")
    ]
    assert machine.told[0].targets == (str(APP),)


def test_an_image_that_is_another_one_under_the_same_name(machine: Machine) -> None:
    def container(digest: str, minutes: int) -> Snapshot:
        settings = {"Image": "shop:latest", "ImageId": f"sha256:{digest * 64}"}
        service = Service(
            manager="docker", name="shop", is_running=True, settings=settings, started_at=NOW + timedelta(minutes=minutes)
        )  # fmt: skip
        return Snapshot(taken_at=NOW + timedelta(minutes=minutes), services=(service,))

    machine.look(container("a", 0))
    assert machine.look(container("a", 1)) == [("image", "shop", "started from shop:latest")]
    new = f"started from shop:latest, image {'b' * 12} instead of {'a' * 12}"
    assert machine.look(container("b", 2)) == [("image", "shop", new)]


def test_each_change_is_told_once(machine: Machine) -> None:
    change = Change(kind=ChangeKind.UNIT, subject="shop.service", at=NOW)
    machine.recorder.add([change, change])
    machine.recorder.add([structs.replace(change, at=NOW.replace(second=2))])
    assert machine.told == [change]
