"""The messages of sd_notify(3), received by a real socket."""

import os
import socket

import pytest

from why502.watch import systemd


@pytest.fixture(params=["file", "abstract"])
def receiver(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "file" else f"@why502-{os.getpid()}-{id(request)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind("\0" + name[1:] if name[0] == "@" else name)
        one.settimeout(5)
        yield one, name


def test_sends_one_datagram(receiver):
    one, name = receiver
    assert systemd.notify(systemd.READY, systemd.status("2 gateways\n1 incident"), environment={"NOTIFY_SOCKET": name})
    assert one.recv(4096) == b"READY=1\nSTATUS=2 gateways 1 incident"


def test_a_reload_has_its_time(receiver):
    one, name = receiver
    assert systemd.notify(systemd.reloading(), environment={"NOTIFY_SOCKET": name})
    first, second = one.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_receiver_nothing_happens(address):
    assert not systemd.notify(systemd.READY, environment={"NOTIFY_SOCKET": address})
    assert not systemd.notify(systemd.READY, environment={})


def test_the_time_of_the_watchdog():
    assert systemd.watchdog_s({"WATCHDOG_USEC": "60000000"}) == 60
    assert systemd.watchdog_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 60
    assert systemd.watchdog_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}) is None
    assert systemd.watchdog_s({"WATCHDOG_USEC": "x"}) is None
    assert systemd.watchdog_s({}) is None
