"""Controls: nothing is wrong, whatever else the logs contain."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import FILE, passes, php_backend, start_php
from why502.lab.scenes import group_of, one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer

WEBSOCKET = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyE5IQ==\r\n"
UPGRADE = 'proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection "upgrade";'


def scanners(stage: Stage) -> None:
    """Add missing pages, scanners and requests that are none."""
    one_backend(stage, times=10)
    for path in ("/missing/wp-login.php", "/missing/.env", "/missing/502.html", "/missing/?q=upstream+timed+out"):
        stage.send_many(3, path, agent="Mozilla/5.0 zgrab/0.x (connect() failed (111: Connection refused))")
    stage.send(raw=b"\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03" + b"\0" * 32)
    stage.send(raw=b"GET / HTTP/1.1\r\n\r\n")
    stage.send(raw=b"OPTIONS sip:nm SIP/2.0\r\n\r\n")


def reloaded(stage: Stage) -> None:
    """Add a planned reload and reopened logs."""
    target = one_backend(stage, level="notice")
    stage.nginx.edit(f"http://{target};", f"http://{target};\n            proxy_read_timeout 30s;")
    stage.nginx.reload()
    stage.send_many(6)


def mistakes(stage: Stage) -> None:
    """Add mistakes of clients: a bad request, a body too large, forbidden and unknown pages."""
    server = "client_max_body_size 1k;\nlocation /private/ {\n    deny all;\n}\n"
    one_backend(stage, times=10, server=server)
    stage.send_many(3, "/private/a")
    stage.send_many(2, "/status/401")
    stage.send_many(2, "/status/422")
    stage.send(method="POST", body=b"x" * 4096)
    stage.send(raw=b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")


def websocket(stage: Stage) -> None:
    """Have WebSocket connections that end in order."""
    one_backend(stage, location=UPGRADE)
    stage.send_many(4, "/ws", headers=WEBSOCKET)


def member_down(stage: Stage) -> None:
    """Have a group with a member that is marked down, where nothing runs."""
    stage.backend(3000)
    stage.backend(3001)
    members = (*(f"127.0.0.1:{stage.port(port)}" for port in (3000, 3001)), f"127.0.0.1:{stage.port(3002)} down")
    stage.nginx.start("proxy_pass http://app;", http=group_of(*members))
    stage.send_many(12)


def old_errors(stage: Stage) -> None:
    """Have failures of hours ago in both logs."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.write_old("connect() failed (111: Connection refused) while connecting to upstream", 502, target, times=200)
    one_backend(stage, times=10)


def unix(stage: Stage) -> None:
    """Have an application on a unix socket, a variable target, and an access log without upstream fields."""
    path = stage.path("/run/app.sock")
    stage.backend(f"unix:{path}")
    stage.nginx.start(f"set $app unix:{path}:;\nproxy_pass http://$app;", log="combined")
    stage.send_many(8)


def php_scanned(stage: Stage) -> None:
    """Serve PHP pages by their names, of which a scanner tries many."""
    address = f"127.0.0.1:{stage.port(9000)}"
    start_php(stage, address)
    script = "fastcgi_param SCRIPT_FILENAME "
    stage.nginx.start(passes(stage, address).replace(f"{script}{stage.path(FILE)}", f"{script}{stage.path(FILE).parent}$uri"))
    stage.send_many(6, "/index.php")
    for path in ("/wp-login.php", "/xmlrpc.php", "/admin.php"):
        stage.send_many(2, path)


def php(stage: Stage) -> None:
    """Have a PHP page that writes a notice to the error log."""
    php_backend(stage, "<?php error_log('could not connect to cache, upstream timed out'); echo 'ok';")


def slow(stage: Stage) -> None:
    """Have pages that take their time, within the timeout."""
    one_backend(stage, times=8)
    stage.send_many(4, "/sleep/0.8", at_once=4)


OK = frozenset({200})
fault = partial(Fault, cause="healthy", layer=Layer.NONE, statuses=OK, proves=(r"200",))
FAULTS = (
    fault(name="healthy", message="no fault", build=lambda stage: one_backend(stage, times=10) and None),
    fault(name="healthy-scanners", message="no fault; scanners and missing pages", build=scanners, statuses=OK | {404, 400}),
    fault(name="healthy-reload", message="no fault; a planned reload", build=reloaded),
    fault(
        name="healthy-client-mistakes",
        message="no fault; clients send bad requests",
        build=mistakes,
        statuses=OK | {400, 403, 413, 422},
    ),
    fault(name="healthy-websocket", message="no fault; WebSocket traffic", build=websocket, statuses=OK | {101}, proves=("101",)),
    fault(name="healthy-member-down", message="no fault; a member of the group is marked down", build=member_down),
    fault(name="healthy-old-errors", message="no fault; failures from hours ago", build=old_errors),
    fault(name="healthy-unix", message="no fault; a unix socket in a variable", build=unix),
    fault(
        name="healthy-php-scanned",
        message="no fault; a scanner requests scripts that PHP-FPM cannot see",
        build=php_scanned,
        needs=frozenset({"php-fpm"}),
    ),
    fault(name="healthy-php", message="no fault; a PHP page writes to the log", build=php, needs=frozenset({"php-fpm"})),
    fault(name="healthy-slow-pages", message="no fault; pages that take 0.8 s", build=slow),
)
