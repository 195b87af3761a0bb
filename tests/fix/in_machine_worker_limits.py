"""Run under its own systemd: too short a limit in the file of an application server is raised there, and the repair undone.

Usage: gunicorn|uwsgi|unicorn
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shop import Shop, shop

from why502.lab.servers import program

UNIT = Path("/etc/systemd/system/shop-app.service")
WSGI = """\
import time
def application(environ, start_response):
    time.sleep({busy} if environ["PATH_INFO"] == "/report" else 0)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
RACK = """run lambda { |env| sleep({busy}) if env["PATH_INFO"] == "/report"; [200, {"content-length" => "2"}, ["ok"]] }\n"""
# For each server: its file and the text of it, its application, its command, the seconds of a report, and what fix changes.
FILES = {
    "gunicorn": (
        "gunicorn.conf.py",
        "# of the shop\nbind = '127.0.0.1:{port}'\ntimeout = 1  # short\nworkers = 2\n",
        "shop.py",
        "{python} -m gunicorn shop:application",
        3,
        ("timeout = 1 ", "timeout = 14 "),
    ),
    "uwsgi": (
        "shop.ini",
        "[uwsgi]\r\nplugins = python3\r\nhttp-socket = 127.0.0.1:{port}\r\nmodule = shop\r\nmaster = true\r\nharakiri=1\r\n",
        "shop.py",
        "{uwsgi} --ini {root}/shop.ini",
        3,
        ("harakiri=1\r", "harakiri=14\r"),
    ),
    "unicorn": (
        "unicorn.rb",
        "worker_processes 2\nlisten '127.0.0.1:{port}'\ntimeout 3\n",
        "config.ru",
        "{unicorn} -c unicorn.rb config.ru",
        6,
        ("timeout 3\n", "timeout 14\n"),
    ),
}
ANSWERED, FAILED = 200, (500, 502)


def fix(here: Shop, *argv: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "why502", "fix", *argv, "--format", "json", "--state", str(here.state)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def serve(here: Shop, server: str) -> Path:
    """Start the server as a unit behind the first route; return its file."""
    name, text, source, command, busy, _ = FILES[server]
    file = here.root / name
    file.write_bytes(text.format(port=here.wrong).encode())
    (here.root / source).write_text((RACK if source == "config.ru" else WSGI).replace("{busy}", str(busy)))
    words = command.format(root=here.root, python=sys.executable, uwsgi=program("uwsgi"), unicorn=program("unicorn"))
    UNIT.write_text(f"[Service]\nExecStart={words}\nWorkingDirectory={here.root}\nKillSignal=SIGINT\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", UNIT.name], check=True)
    here.site.write_bytes(here.old.replace(b"proxy_pass", b"proxy_read_timeout 16s;\n        proxy_pass", 1))
    here.apply_reload()
    here.until(lambda: here.status() == ANSWERED)
    return file


def main() -> None:
    server = sys.argv[1]
    with shop() as here:
        file = serve(here, server)
        before = file.read_bytes()
        for _ in range(3):
            assert here.status("/report") in FAILED
        named = ("--config", str(here.config), "--log", str(here.root / "error.log"), "--log", str(here.root / "access.log"))
        done = fix(here, *named, "--apply", "--yes")
        assert (done["cause"], done["outcome"], done["unverified"]) == ("worker-timeout", "kept", None), done
        old, new = (text.encode() for text in FILES[server][5])
        assert file.read_bytes() == before.replace(old, new) != before
        assert here.status("/report") == ANSWERED
        assert fix(here, "--undo")["outcome"] == "reverted"
        assert file.read_bytes() == before
        here.until(lambda: here.status() == ANSWERED)
        assert here.status("/report") in FAILED
    print("repaired and undone")


if __name__ == "__main__":
    main()
