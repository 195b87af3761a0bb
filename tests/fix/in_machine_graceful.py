"""Run under its own systemd: a repair of HAProxy or Apache lets the requests under way end. It is not loaded if the product's own
test refuses the configuration.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from free_ports import free_port
from in_machine_gateways import APACHE, HAPROXY, PRODUCTS, fix, status_of_path, until

UNITS = Path("/etc/systemd/system")
GO = Path("/srv/go")  # the slow requests are answered once it is there
APPLICATION = """\
import http.server, os, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while self.path.endswith("/report") and not os.path.exists("GO"):
            time.sleep(0.05)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
WELL = {
    "haproxy": (
        "    default_backend app\n",
        (
            "    use_backend well if {{ path_beg /well/ }}\n    default_backend app\n"
            "backend well\n    server well1 127.0.0.1:{well}\n"
        ),
    ),
    "apache": ('    ProxyPass / "', '    ProxyPass /well/ "http://127.0.0.1:{well}/well/"\n    ProxyPass / "'),
}
WORD = {"haproxy": "bindd", "apache": "ProxyPasss"}
BROKEN = {"haproxy": "frontend typo\n    bindd 127.0.0.1:1\n", "apache": "ProxyPasss /typo http://127.0.0.1:1/\n"}


def main() -> None:
    product = sys.argv[1]
    path, _, unit = PRODUCTS[product]
    port, well, right, wrong = (free_port() for _ in range(4))
    source = Path("/srv/app.py")
    source.write_text(APPLICATION.replace("GO", str(GO)))
    applications = {"shop-well.service": well, "shop-app.service": right}
    for name, behind in applications.items():
        (UNITS / name).write_text(f"[Service]\nExecStart={sys.executable} {source} {behind}\n")
    before, after = WELL[product]
    text = (
        {"haproxy": HAPROXY, "apache": APACHE}[product].replace(before, after).replace("timeout server 9s", "timeout server 2m")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(port=port, wrong=wrong, well=well))
    if product == "apache":
        Path("/etc/apache2/ports.conf").write_text("")
        Path("/var/log/apache2").mkdir(exist_ok=True)
        for site in Path("/etc/apache2/sites-enabled").glob("*"):
            site.unlink()
    subprocess.run(["systemctl", "stop", "nginx"], check=False, capture_output=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "restart", *applications, unit], check=True)
    until(lambda: status_of_path(port, "/well/") == 200, "it serves")
    until(lambda: status_of_path(port, "/") == 503, "its other route fails")

    whole = path.read_bytes()
    path.write_bytes(whole + BROKEN[product].encode())
    done = subprocess.run(
        [sys.executable, "-m", "why502", "fix", "wrong-port", "--apply", "--yes", "--format", "json", "--state", "/srv/state"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    outcome = dict(json.loads(done.stdout))["outcome"] if done.stdout.startswith("{") else done.stderr
    assert outcome != "kept", done.stdout
    assert "fails the proxy's own test" in outcome, outcome
    assert WORD[product] in outcome, "its reason is given"
    assert path.read_bytes() == whole + BROKEN[product].encode(), "nothing was changed"
    assert (status_of_path(port, "/well/"), status_of_path(port, "/")) == (200, 503), "what ran before still runs"
    path.write_bytes(whole)

    answers: list[int] = []
    slow = threading.Thread(target=lambda: answers.append(slowly(port)))
    slow.start()
    answer = fix("wrong-port", "--apply", "--yes")
    assert (answer["cause"], answer["outcome"]) == ("wrong-port", "kept"), answer
    assert status_of_path(port, "/") == 200
    assert slow.is_alive(), "the request was under way during the reload"
    GO.touch()
    slow.join()
    assert answers == [200], "it was not cut off"
    assert fix("--undo")["outcome"] == "reverted"
    assert path.read_bytes() == whole
    print("refused with the reason, then repaired without a lost request")


def slowly(port: int) -> int:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/well/report"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return int(done.stdout or 0)


if __name__ == "__main__":
    main()
