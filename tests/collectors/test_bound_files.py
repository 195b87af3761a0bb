"""The file that a unix socket is bound to, if stat(2) and the kernel report different numbers for it."""

from __future__ import annotations

import os

import pytest

from why502.host.base import Host, Stat
from why502.host.local import LocalHost
from why502.machine.bound_files import View, parse
from why502.model.errors import HostError, Missing
from why502.model.file_kind import FileKind

MOUNTS = b"""\
30 1 0:49 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
31 30 0:60 / /run rw,nosuid - tmpfs tmpfs rw
32 30 0:31 /@srv /srv rw,relatime shared:1 - btrfs /dev/vda2 rw,subvol=/@srv
33 30 0:71 / /mnt/a\\040b rw - tmpfs none rw
cut off
"""
OVERLAY, RUN, BTRFS = os.makedev(0, 49), os.makedev(0, 60), os.makedev(0, 31)
FILES = {"/home/shop/puma.sock": (52, 772), "/run/app.sock": (RUN, 7), "/srv/chat/daphne.sock": (88, 300 + (5 << 32))}
LINKS = {"/home/shop/current": "../../srv/chat", "/run/loop": "loop"}


class Machine(LocalHost):
    """A machine with those mounts, links and socket files."""

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        if path not in ("/proc/self/mountinfo", "/proc/7/mountinfo"):
            raise Missing(path)
        return MOUNTS

    def link(self, path: str) -> str:
        if path not in LINKS:
            raise HostError("no link")
        return LINKS[path]

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        path = path.replace("/home/shop/current", "/srv/chat")
        if path == "/root/hidden.sock":
            raise HostError("Permission denied")
        if path not in FILES:
            raise Missing(path)
        device, inode = FILES[path]
        return Stat(kind=FileKind.SOCKET, mode=0o666, uid=0, gid=0, size_bytes=0, modified_s=0.0, inode=inode, device=device)

    def inside(self, root: str) -> Host:
        assert root == "/proc/7/root"
        return self


@pytest.mark.parametrize(
    ("path", "device", "inode", "expected"),
    [
        ("/home/shop/puma.sock", OVERLAY, 772, True),  # stat(2) reports the device of a layer
        ("/home/shop/puma.sock", OVERLAY, 90, None),  # kernels before 4.17 number the inodes of overlayfs themselves
        ("/home/shop/puma.sock", RUN, 772, False),  # bound to the same path in another file system
        ("/home/shop/puma.sock", os.makedev(0, 99), 772, False),  # of another mount namespace
        ("/home/shop/gone.sock", OVERLAY, 772, False),
        ("/run/app.sock", RUN, 7, True),
        ("/run/app.sock", RUN, 8, False),  # the file was replaced
        ("/srv/chat/daphne.sock", BTRFS, 300, True),  # a subvolume has its own device
        ("/srv/chat/daphne.sock", BTRFS, 301, False),
        ("/home/shop/current/daphne.sock", BTRFS, 300, True),  # through a link into another file system
        ("/root/hidden.sock", OVERLAY, 1, None),
    ],
)
@pytest.mark.parametrize("root", ["", "/proc/7/root"])
def test_a_path_leads_to_the_file_of_a_socket(path: str, device: int, inode: int, expected: bool | None, root: str) -> None:
    assert View(Machine(), root).leads_to(path, device, inode) is expected


def test_mounts_are_read_as_they_are() -> None:
    found = parse(MOUNTS)
    assert found["/srv"].device == BTRFS
    assert found["/srv"].kind == "btrfs"
    assert "/mnt/a b" in found
    assert len(found) == 4
    assert parse(b"\xff\n1 2 x:y / / rw - a b\n") == {}


def test_links_that_lead_in_a_circle_end() -> None:
    assert View(Machine()).leads_to("/run/loop/app.sock", OVERLAY, 1) is False
