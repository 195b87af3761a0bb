"""Run under its own systemd: the stopped name server of nginx's `resolver` is started; undo stops it again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shop import Shop, shop

UNIT = Path("/usr/lib/systemd/system/dnsmasq.service")
SERVER = """\
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    question, client = server.recvfrom(512)
    end = question.index(b"\\0", 12) + 5
    is_v4 = question[end - 4 : end - 2] == b"\\0\\1"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4\\x7f\\0\\0\\1" if is_v4 else b""
    head = question[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if is_v4 else b"\\0\\0") + bytes(4)
    server.sendto(head + question[12:end] + answer, client)
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
        (here.root / "names.py").write_text(SERVER)
        UNIT.write_text(f"[Service]\nExecStart={sys.executable} {here.root}/names.py\n[Install]\nWantedBy=multi-user.target\n")
        settings = "resolver 127.0.0.1 valid=1s ipv6=off; resolver_timeout 1s; set $app app.internal;"
        site = here.site.read_text().replace(
            f"proxy_pass http://127.0.0.1:{here.wrong};", f"{settings} proxy_pass http://$app:{here.right};"
        )
        here.site.write_text(site)
        here.apply_reload()
        systemctl("daemon-reload")
        systemctl("enable", UNIT.name)
        systemctl("start", UNIT.name)
        here.until(lambda: here.status() == 200)
        systemctl("stop", UNIT.name)
        here.until(lambda: here.status() == 502)
        for path in ("/", "/cart", "/orders"):
            assert here.status(path) == 502
        named = ("--config", str(here.config), "--log", str(here.root / "access.log"), "--log", str(here.root / "error.log"))
        done = fix(here, *named, "--apply", "--yes")
        assert (done["cause"], done["outcome"]) == ("dns-resolver-failure", "kept"), done
        assert (here.status(), systemctl("is-active", UNIT.name), done["unverified"]) == (200, "active", None), done
        assert fix(here, "--undo")["outcome"] == "reverted"
        assert systemctl("is-active", UNIT.name) != "active"
        assert here.site.read_text() == site
        here.until(lambda: here.status() == 502)
    print("repaired and undone")


if __name__ == "__main__":
    main()
