"""A real nginx writes, a real logrotate rotates, and each request is counted once, also if the follower is stopped between."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from logging_nginx import Nginx, needs_nginx, nginx, wait

from why502.logs.checkpoint import Checkpoint
from why502.logs.follow.follower import Follower

LOGROTATE = shutil.which("logrotate") or "/usr/sbin/logrotate"
pytestmark = [pytest.mark.real, needs_nginx]
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
REOPEN = "postrotate\n kill -USR1 `cat {directory}/nginx.pid`\nendscript"
WAYS = {
    "create": f"create\n{REOPEN}",
    "nocreate": f"nocreate\n{REOPEN}",
    "compress": f"create\ncompress\n{REOPEN}",
    "delaycompress": f"create\ncompress\ndelaycompress\n{REOPEN}",
    "dateext": f"create\ndateext\ndateformat -%Y%m%d-%s\n{REOPEN}",
    "copytruncate": "copytruncate",
    "copytruncate-compress": "copytruncate\ncompress",
}
REQUESTS = 60
TICK_S = 0.05


def _made_in(directory: Path, at_s: float) -> bool:
    """Return whether a log was already rotated in the second of that time."""
    return any(directory.glob(f"access.log-*-{int(at_s)}*"))


def rotate(server: Nginx, way: str) -> None:
    """Rotate the log now."""
    config, state = server.directory / "logrotate.conf", server.directory / "logrotate.state"
    how = WAYS[way].format(directory=server.directory)
    config.write_text(f"{server.directory}/access.log {{\nsu root root\nrotate 50\nmissingok\n{how}\n}}\n")
    config.chmod(0o644)
    # logrotate refuses a name that exists; its clock, time(2), may be a tick of the kernel behind
    wait(lambda: not any(_made_in(server.directory, time.time() - late_s) for late_s in (0, TICK_S)))
    done = subprocess.run([LOGROTATE, "-f", "-s", str(state), str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def held(directory: Path) -> set[str]:
    """Return the requests that the files of the log hold."""
    packed = (
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in directory.glob("access.log*")
    )
    return set(re.findall(r"GET /(r\d+x) ", b"".join(packed).decode()))


def inode(path: Path) -> int:
    return path.stat().st_ino if path.exists() else 0


@pytest.mark.parametrize("way", WAYS)
def test_each_request_is_counted_once(tmp_path: Path, way: str) -> None:
    total: Counter[str] = Counter()
    asked = 0
    block = "server { listen PORT; location / { return 503; } }"
    with nginx(tmp_path, block, format=COMBINED) as server:
        path = tmp_path / "access.log"
        follower, stored, kept = Follower(str(path)), b"", Counter[str]()

        def ask(count: int) -> None:
            nonlocal asked
            for _ in range(count):
                assert server.get(f"/r{asked}x") == 503
                asked += 1

        def look() -> None:
            total.update({name.removeprefix("GET /"): count for name, count in follower.step().added.routes.total.items()})

        try:
            for turn in range(4):
                ask(REQUESTS // 2)
                look()
                stored, kept = msgspec.json.encode(follower.checkpoint()), Counter(total)
                busy = threading.Thread(target=ask, args=(REQUESTS,))
                if "copytruncate" not in way:  # what is written between the copy and the truncation is in neither file
                    busy.start()
                before = inode(path)
                rotate(server, way)
                if "copytruncate" in way:
                    busy.start()
                look()
                busy.join()
                wait(lambda before=before: "copytruncate" in way or inode(path) not in (0, before))
                if turn % 2:  # killed: what was not stored is forgotten
                    follower.close()
                    total = Counter(kept)
                    follower = Follower(str(path), msgspec.json.decode(stored, type=Checkpoint))
                look()
            wanted = {f"r{number}x" for number in range(asked)}
            wait(
                lambda: way == "compress" or held(tmp_path) == wanted
            )  # nginx may write to a file that logrotate just compressed
            for _ in range(200):
                look()
                if sum(total.values()) >= len(held(tmp_path)):
                    break
            assert set(total.values()) == {1}
            assert held(tmp_path) <= set(total) <= wanted
            assert follower.checkpoint().lost_bytes == 0
        finally:
            follower.close()
