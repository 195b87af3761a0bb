"""`why502 fix CAUSE` where the cause that `why502 diagnose` showed is another one by now: it says so, and changes nothing."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from asking import ask
from shop import Shop

from why502.fix import journal

# Listeners of tests that run beside it are candidates for another port: `make scenes` plays it, where fewer come and go.
pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(120)]
FAILURES = 8


@contextmanager
def hanging_up(port: int) -> Iterator[None]:
    """Yield while something listens on a port that reads each request and closes the connection without an answer."""

    class Close(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Close) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def fail(shop: Shop) -> None:
    """Let users meet the failure."""
    assert {shop.status() for _ in range(FAILURES)} == {502}


def leading(shop: Shop) -> str:
    """Return the cause and the target that `why502 diagnose` shows first."""
    first = json.loads(ask("diagnose", "--config", str(shop.config), "--format", "json").out)["findings"][0]
    assert first["confidence"] >= 0.5
    return f"{first['cause']}@{first['target']}"


def test_the_cause_is_another_one_by_now(shop: Shop) -> None:
    fail(shop)
    shown = leading(shop)
    with hanging_up(shop.wrong):
        for name in ("access.log", "error.log"):
            (shop.root / name).write_bytes(b"")  # as when the fix is asked for later: what failed first is out of the window
        fail(shop)
        now = leading(shop)
        assert now != shown
        told = ask("fix", shown, "--config", str(shop.config), "--apply", "--yes", "--state", str(shop.state))
    assert told.status == 2
    assert f"why502: {shown.replace('@', ' on ')} was not found: {now} is now the leading cause\n" in told.err
    assert f"why502 fix {now}" in told.err
    assert shop.site.read_bytes() == shop.old
    assert journal.entries(shop.state) == []


def test_it_is_the_same_cause_still(shop: Shop) -> None:
    fail(shop)
    told = ask("fix", leading(shop), "--config", str(shop.config), "--state", str(shop.state))
    assert "is now the leading cause" not in told.err
    assert journal.entries(shop.state) == []
