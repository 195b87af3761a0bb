"""The watchdog of systemd is fed only while every thread makes progress."""

import socket
import threading
import time

import pytest
from daemons import scene

from why502.cli.env import Env
from why502.watch.daemon import Daemon
from why502.watch.options import Options

pytestmark = pytest.mark.real


class Shown:
    def __init__(self):
        self.notes = []

    def event(self, at, transition, incident):
        pass

    def note(self, at, message):
        self.notes.append(message)


def test_a_thread_that_hangs_starves_it(tmp_path, monkeypatch):
    settings = tmp_path / "watch.toml"
    settings.write_text('[metrics]\nlisten = ""\n')
    shown, env = Shown(), Env()
    with scene(tmp_path) as stage, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        stage.nginx.start("return 200;")
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        options = Options(settings=str(settings), configs=(stage.nginx.config,), store=str(tmp_path / "watch.db"))
        daemon = Daemon(options, env.machine(), env.now, shown)
        daemon.start()
        try:
            end_s = time.monotonic() + 60

            def fed():
                """Run for a second, and return whether the watchdog was fed."""
                systemd.setblocking(False)
                words = b""
                daemon.run(lambda: True)
                while True:
                    try:
                        words += systemd.recv(4096)
                    except BlockingIOError:
                        return b"WATCHDOG=1" in words

            while not fed():
                assert time.monotonic() < end_s, "it is fed"
            daemon.progress.beat("a thread", -1)
            fed()  # what was on its way
            assert not fed()
            assert "no progress in a thread" in shown.notes
            daemon.progress.end("a thread")
            while not fed():
                assert time.monotonic() < end_s, "it is fed again"
            daemon.progress.beat("a reader", -1, is_curable=False)
            assert fed()
            assert "no progress in a reader" in shown.notes
            dying = threading.Thread(target=lambda: 1 // 0, name="a dying thread")
            dying.start()
            dying.join()
            fed()
            assert not fed()
            assert any("internal error in a dying thread" in note and "this is a bug in why502" in note for note in shown.notes)
        finally:
            daemon.stop()
