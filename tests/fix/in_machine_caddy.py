"""Run under its own systemd: a time limit in a Caddyfile, shorter than its application takes, is raised, then undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from free_ports import free_port
from in_machine_gateways import fix, status_of_path, until

APPLICATION = """\
import http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(3)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
FILE = Path("/etc/caddy/Caddyfile")
LIMIT = "\t\t\tresponse_header_timeout 1s # short\n"
TEXT = """\
{{
	admin localhost:2019
	auto_https off
}}
http://127.0.0.1:{port} {{
	reverse_proxy 127.0.0.1:{behind} {{
		transport http {{
{limit}		}}
	}}
}}
"""
UNIT = """\
[Service]
Environment=XDG_DATA_HOME=/srv/caddy XDG_CONFIG_HOME=/srv/caddy
ExecStart={caddy} run --config /etc/caddy/Caddyfile
ExecReload={caddy} reload --config /etc/caddy/Caddyfile
"""


def main() -> None:
    caddy = sys.argv[1]
    port, behind = free_port(), free_port()
    source = Path("/srv/app.py")
    source.write_text(APPLICATION)
    units = Path("/etc/systemd/system")
    (units / "shop-app.service").write_text(f"[Service]\nExecStart={sys.executable} {source} {behind}\n")
    (units / "caddy.service").write_text(UNIT.format(caddy=caddy))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(TEXT.format(port=port, behind=behind, limit=LIMIT))
    before = FILE.read_bytes()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "restart", "shop-app.service", "caddy.service"], check=True)
    until(lambda: status_of_path(port, "/") == 504, "its answers come too late")
    for _ in range(2):
        assert status_of_path(port, "/") == 504
    answer = fix("proxy-timeout-too-short", "--apply", "--yes")
    assert (answer["cause"], answer["outcome"], answer["unverified"]) == ("proxy-timeout-too-short", "kept", None), answer
    raised = FILE.read_bytes().splitlines(keepends=True)
    assert [line for line in before.splitlines(keepends=True) if line not in raised] == [LIMIT.encode()]
    (changed,) = [line.decode() for line in raised if line not in before.splitlines(keepends=True)]
    assert changed == LIMIT.replace("1s", changed.split()[1])
    assert status_of_path(port, "/") == 200
    assert fix("--undo")["outcome"] == "reverted"
    assert FILE.read_bytes() == before
    until(lambda: status_of_path(port, "/") == 504, "it is too short again")
    print("repaired and undone")


if __name__ == "__main__":
    main()
