"""Run under its own systemd: the stopped unit of an application's dependency is started; undo stops it again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shop import Shop, shop

UNITS = Path("/usr/lib/systemd/system")
STORE, NAME = "redis-server.service", "shop-app.service"
FORMAT = """log_format own '$remote_addr [$time_local] "$request" $status $upstream_addr $upstream_status $request_time';"""
APPLICATION = """\
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        try:
            socket.create_connection(("127.0.0.1", 6379), 2).close()
        except OSError:
            reason = "Error 111 connecting to 127.0.0.1:6379. Connection refused."
            print("redis.exceptions.ConnectionError:", reason, file=sys.stderr, flush=True)
            status = 503
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def systemctl(*argv: str) -> str:
    return subprocess.run(["systemctl", *argv], capture_output=True, text=True, check=False).stdout.strip()


def fix(here: Shop, *argv: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "why502", "fix", *argv, "--format", "json", "--state", str(here.state)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def main() -> None:
    with shop() as here:
        (here.root / "app.py").write_text(APPLICATION)
        log = f"access_log {here.root}/access.log"
        if sys.argv[1] == "own-format":
            here.config.write_text(here.config.read_text().replace(f"{log};", f"{FORMAT}\n{log} own;"))
            here.apply_reload()
        store = f"{sys.executable} -m http.server --bind 127.0.0.1 6379"
        (UNITS / STORE).write_text(f"[Service]\nExecStart={store}\n[Install]\nWantedBy=multi-user.target\n")
        (UNITS / NAME).write_text(
            "[Service]\nEnvironment=REDIS_URL=redis://127.0.0.1:6379/0\n"
            f"ExecStart={sys.executable} {here.root}/app.py {here.wrong}\n"
        )
        systemctl("daemon-reload")
        systemctl("enable", STORE)
        systemctl("start", STORE, NAME)
        here.until(lambda: here.status() == 200)
        systemctl("stop", STORE)
        for path in ("/", "/cart", "/orders", "/items") * 2:
            assert here.status(path) == 503
        named = ("--config", str(here.config), "--log", str(here.root / "access.log"), "--log", str(here.root / "error.log"))
        done = fix(here, *named, "--apply", "--yes")
        assert (done["cause"], done["outcome"], done["unverified"]) == ("backend-dependency-down", "kept", None), done
        assert (here.status(), systemctl("is-active", STORE)) == (200, "active")
        assert fix(here, "--undo")["outcome"] == "reverted"
        assert systemctl("is-active", STORE) != "active"
        assert here.status() == 503
    print("repaired and undone")


if __name__ == "__main__":
    main()
