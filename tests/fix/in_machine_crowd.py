"""Under its own systemd: an application that takes long for a report, and more clients of it than a gateway admits."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in_machine_gateways import status_of_path, until

UNIT = Path("/etc/systemd/system/shop-app.service")
CLIENTS = 24
APPLICATION = """\
import http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(2 if self.path == "/report" else 0)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def start_application(port: int) -> None:
    """Start the application as shop-app.service, and wait until it serves."""
    source = Path("/srv/app.py")
    source.write_text(APPLICATION)
    UNIT.write_text(f"[Service]\nExecStart={sys.executable} {source} {port}\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "restart", "shop-app.service"], check=True)
    until(lambda: status_of_path(port, "/") == 200, "the application serves")


@contextmanager
def crowd(port: int) -> Iterator[None]:
    """Have all clients ask a gateway for the report, again and again, until the block ends."""
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            status_of_path(port, "/report")

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        is_over.set()
        for client in clients:
            client.join()


def waiting(port: int) -> int:
    """Return how many clients wait to be accepted, at all sockets of the port (a reload has the old and the new one)."""
    told = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split()[1]) for line in told.splitlines())
