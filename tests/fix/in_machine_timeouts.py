"""Run under its own systemd: `timeout server` of HAProxy, shorter than one path takes, is raised, and the repair undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from free_ports import free_port
from in_machine_gateways import HAPROXY, fix, status_of_path, until

FILE, UNIT = Path("/etc/haproxy/haproxy.cfg"), Path("/etc/systemd/system/shop-app.service")
LIMIT = "    timeout server 1s  # short\n"
APPLICATION = """\
import http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(3 if self.path == "/report" else 0)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def main() -> None:
    port, behind = free_port(), free_port()
    source = Path("/srv/app.py")
    source.write_text(APPLICATION)
    UNIT.write_text(f"[Service]\nExecStart={sys.executable} {source} {behind}\n")
    text = HAPROXY.format(port=port, wrong=behind).replace("    timeout server 9s\n", LIMIT)
    text = text.replace("    mode http\n", "    mode http\n    log stdout format raw local0\n    option httplog\n")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text.replace("    daemon\n", ""))
    before = FILE.read_bytes()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "restart", "shop-app.service", "haproxy.service"], check=True)
    until(lambda: status_of_path(port, "/") == 200, "it serves")
    for _ in range(3):
        assert status_of_path(port, "/report") == 504
    answer = fix("proxy-timeout-too-short", "--apply", "--yes")
    assert (answer["cause"], answer["outcome"], answer["unverified"]) == ("proxy-timeout-too-short", "kept", None), answer
    raised = FILE.read_bytes().splitlines(keepends=True)
    assert [line for line in before.splitlines(keepends=True) if line not in raised] == [LIMIT.encode()]
    (changed,) = [line.decode() for line in raised if line not in before.splitlines(keepends=True)]
    assert changed == LIMIT.replace("1s", changed.split()[2])
    assert status_of_path(port, "/report") == 200
    assert fix("--undo")["outcome"] == "reverted"
    assert FILE.read_bytes() == before
    until(lambda: status_of_path(port, "/report") == 504, "it is too short again")
    print("repaired and undone")


if __name__ == "__main__":
    main()
