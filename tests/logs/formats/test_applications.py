"""Lines of application servers and container engines beside the recorded logs.

Those of .NET, Go, Rust, Tomcat and containers are written, not recorded.
"""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from said import check

from why502.backends.dotnet import logs as dotnet
from why502.backends.golang import logs as golang
from why502.backends.gunicorn import logs as gunicorn
from why502.backends.java import logs as java
from why502.backends.nodejs import logs as nodejs
from why502.backends.puma import logs as puma
from why502.backends.python import logs as python_traceback
from why502.backends.ruby import logs as ruby
from why502.backends.rust import logs as rust
from why502.backends.socket_proxyd import logs as socket_proxyd
from why502.backends.stunnel import logs as stunnel
from why502.backends.uwsgi import logs as uwsgi
from why502.diagnosis.needs import need_of
from why502.logs.detect import parse_any
from why502.logs.formats import application, formats, websocket
from why502.model.logs import Symptom
from why502.supervisors.docker import logs as docker
from why502.supervisors.pm2 import logs as pm2
from why502.supervisors.supervisord import logs as supervisord

LINES: list[tuple[ModuleType, str, Symptom | None, dict[str, object]]] = [
    (gunicorn, "[2021-01-01 00:00:00 +0000] [5] [WARNING] Worker with pid 16645 was terminated due to signal 9", Symptom.PROCESS_CRASHED, {"process_pid": 16645, "code": "SIGKILL"}),
    (gunicorn, "[2019-05-17 14:10:09 -0400] [10533] [CRITICAL] WORKER TIMEOUT (pid:12654)", Symptom.WORKER_TIMED_OUT, {"process_pid": 12654}),
    (gunicorn, "[2021-01-01 00:00:00 +0000] [5] [INFO] Listening at: unix:/run/app.sock (5)", Symptom.LISTENS_ON, {"target": "unix:/run/app.sock"}),
    (uwsgi, "invalid request block size: 21573 (max 4096)...skip", Symptom.OTHER_PROTOCOL, {}),
    (uwsgi, "invalid HTTP request size (max 4096)...skip", Symptom.REQUEST_HEADER_TOO_BIG, {}),
    (uwsgi, "invalid request block size: 4437 (max 4096)...skip", Symptom.REQUEST_HEADER_TOO_BIG, {}),
    (uwsgi, "Mon Jul  1 22:06:20 2019 - !!! uWSGI process 9053 got Segmentation Fault !!!", Symptom.PROCESS_CRASHED, {"process_pid": 9053}),
    (uwsgi, "uwsgi socket 0 bound to UNIX address /run/app.sock fd 3", Symptom.LISTENS_ON, {"target": "unix:/run/app.sock"}),
    (nodejs, "Error: listen EADDRINUSE : : : 80", Symptom.ADDRESS_IN_USE, {"target": "[::]:80"}),
    (nodejs, "Error: listen EADDRINUSE: address already in use :::3000", Symptom.ADDRESS_IN_USE, {"target": "[::]:3000"}),
    (nodejs, "Error: bind EADDRINUSE 0.0.0.0:3000", Symptom.ADDRESS_IN_USE, {"target": "0.0.0.0:3000"}),
    (nodejs, "Error: listen EADDRINUSE: address already in use /run/app.sock", Symptom.ADDRESS_IN_USE, {"target": "unix:/run/app.sock"}),
    (nodejs, "SyntaxError: Unexpected token < in JSON at position 0", Symptom.APPLICATION_ERROR, {}),
    (nodejs, "FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory", Symptom.PROCESS_CRASHED, {}),
    (nodejs, 'npm ERR! Missing script: "start"', Symptom.START_FAILED, {}),
    (puma, "[1] ! Terminating timed out worker (Worker failed to check in within 60 seconds): 456", Symptom.WORKER_TIMED_OUT, {"process_pid": 456}),
    (puma, "2026-11-22 17:10:15 +0000 Read: #<Errno::ENOSPC: No space left on device @ io_write - /tmp/puma20261122-210-djzfdm>", Symptom.DISK_FULL, {"detail": "Errno::ENOSPC: No space left on device @ io_write - /tmp/puma20261122-210-djzfdm"}),
    (puma, "* Listening on unix:///run/puma.sock", Symptom.LISTENS_ON, {"target": "unix:/run/puma.sock"}),
    (nodejs, "orders: connect ECONNREFUSED 127.0.0.1:3306", Symptom.APPLICATION_ERROR, {"detail": "connect ECONNREFUSED 127.0.0.1:3306"}),
    (nodejs, "Error: connect ETIMEDOUT 10.0.0.9:5432", Symptom.APPLICATION_ERROR, {"detail": "connect ETIMEDOUT 10.0.0.9:5432"}),
    (ruby, "2026-11-23 07:24:52 - PG::ConnectionBad - connection to server at \"127.0.0.1\", port 5432 failed: Connection refused", Symptom.APPLICATION_ERROR, {"detail": "PG::ConnectionBad - connection to server at \"127.0.0.1\", port 5432 failed: Connection refused"}),
    (ruby, "2026-11-23 07:24:52 - NoMethodError - undefined method `name' for nil:NilClass", Symptom.APPLICATION_ERROR, {}),
    (ruby, "Could not find rake-13.0.6 in any of the sources", Symptom.START_FAILED, {}),
    (java, "Web server failed to start. Port 8080 was already in use.", Symptom.ADDRESS_IN_USE, {"target": ":8080"}),
    (java, "java.lang.IllegalArgumentException: Request header is too large", Symptom.REQUEST_HEADER_TOO_BIG, {}),
    (java, "All threads (200) are currently busy, waiting. Increase maxThreads (200) or check the servlet status", Symptom.WORKERS_BUSY, {}),
    (java, "Tomcat started on port(s): 8080 (http) with context path ''", Symptom.LISTENS_ON, {"target": ":8080"}),
    (java, 'Starting ProtocolHandler ["http-nio-127.0.0.1-8080"]', Symptom.LISTENS_ON, {"target": ":8080"}),
    (java, "#  SIGSEGV (0xb) at pc=0x00007f, pid=123, tid=124", Symptom.PROCESS_CRASHED, {"code": "SIGSEGV", "process_pid": 123}),
    (dotnet, "Unhandled exception. System.IO.IOException: Failed to bind to address http://127.0.0.1:5000: address already in use.", Symptom.ADDRESS_IN_USE, {"target": "127.0.0.1:5000"}),
    (dotnet, "Unhandled exception. System.NullReferenceException: Object reference not set", Symptom.PROCESS_CRASHED, {}),
    (dotnet, "      Now listening on: http://[::]:5000", Symptom.LISTENS_ON, {"target": "[::]:5000"}),
    (golang, "2026/11/21 00:28:28 listen tcp :8080: bind: address already in use", Symptom.ADDRESS_IN_USE, {"target": ":8080"}),
    (golang, "panic: runtime error: invalid memory address or nil pointer dereference", Symptom.PROCESS_CRASHED, {}),
    (golang, "2026/11/21 00:28:28 http: panic serving 127.0.0.1:4711: boom", Symptom.APPLICATION_ERROR, {"client": "127.0.0.1:4711"}),
    (golang, "2026/11/21 00:28:28 http: TLS handshake error from 10.0.0.1:5: tls: first record does not look like a TLS handshake", Symptom.OTHER_PROTOCOL, {}),
    (rust, "thread 'main' panicked at 'failed to build request: http::Error(InvalidUri(InvalidFormat))'", Symptom.PROCESS_CRASHED, {}),
    (rust, 'Error: Os { code: 98, kind: AddrInUse, message: "Address already in use" }', Symptom.ADDRESS_IN_USE, {"errno": 98}),
    (python_traceback, "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.", Symptom.START_FAILED, {}),
    (python_traceback, "OSError: [Errno 28] No space left on device: '/tmp/x'", Symptom.DISK_FULL, {"errno": 28}),
    (python_traceback, "RuntimeError: Missing required environment variable: SECRET_KEY", Symptom.START_FAILED, {}),
    (supervisord, "2015-11-09 22:25:15,356 INFO exited: unicorn (exit status 1; not expected)", Symptom.PROCESS_EXITED, {"process": "unicorn", "code": "1"}),
    (pm2, "2026-11-23T07:09:34: PM2 log: App [web:1] exited with code [0] via signal [SIGABRT]", Symptom.PROCESS_CRASHED, {"detail": "exited with code [0] via signal [SIGABRT]"}),
    (pm2, "2026-11-23T07:09:34: PM2 log: App [web:1] exited with code [0] via signal [SIGINT]", Symptom.PROCESS_STOPPED, {}),
    (pm2, "2026-11-23T07:09:34: PM2 log: App [web:1] exited with code [1] via signal [SIGINT]", Symptom.PROCESS_EXITED, {"code": "1"}),
    (pm2, 'PM2      | 2018-01-01T00:00:00: PM2 log: Script /srv/app.js had too many unstable restarts (16). Stopped. "errored"', Symptom.RESTART_LOOP, {"file": "/srv/app.js"}),
    (docker, '4f66ad9ab5dd   app:1   "python3 hog.py"   3 minutes ago   Exited (137) 2 minutes ago             hog', Symptom.PROCESS_CRASHED, {"code": "137"}),
    (docker, '            "OOMKilled": true,', Symptom.OOM_KILLED, {}),
    (docker, "Error response from daemon: driver failed programming external connectivity on endpoint web: Bind for 0.0.0.0:8080 failed: port is already allocated", Symptom.ADDRESS_IN_USE, {"target": "0.0.0.0:8080"}),
    (docker, "nginx exited with code 1", Symptom.PROCESS_EXITED, {"process": "nginx"}),
    (supervisord, "2024-02-01 10:00:00,123 INFO exited: api (exit status 2; not expected)", Symptom.PROCESS_EXITED, {"process": "api", "code": "2"}),
    (supervisord, "2024-02-01 10:00:00,123 INFO exited: php8.2-fpm (exit status 70; not expected)", Symptom.START_FAILED, {"code": "70"}),
    (supervisord, "2024-02-01 10:00:00,123 INFO exited: mailer (exit status 78; not expected)", Symptom.START_FAILED, {"code": "78"}),
    (golang, "2024/02/01 10:00:00 [Recovery] 2024/02/01 - 10:00:00 panic recovered:", Symptom.APPLICATION_ERROR, {}),
    (gunicorn, "    self.halt(reason=inst.reason, exit_status=inst.exit_status)", Symptom.START_FAILED, {}),
    (ruby, "[ E 2024-02-01 10:00:00.5809 12549/T6 age/Cor/Con/CheckoutSession.cpp:285 ]: [Client 1-1] Cannot checkout session because a spawning error occurred. The identifier of the error is 0a1b2c3d.", Symptom.START_FAILED, {}),
    (uwsgi, "[pid: 31|app: 0|req: 1/1] 127.0.0.1 () {54 vars in 926 bytes} [Thu Feb  1 10:00:00 2024] GET /cart => generated 21 bytes in 3 msecs (HTTP/1.1 500) 2 headers in 83 bytes (0 switches on core 0)", Symptom.APPLICATION_ERROR, {"status": 500, "request": "GET /cart"}),
    (dotnet, "      Unable to bind to http://localhost:5000 on the IPv4 loopback interface: 'Permission denied'.", Symptom.START_FAILED, {"target": "localhost:5000"}),
    (dotnet, "      Unable to bind to http://localhost:5000 on the IPv6 loopback interface: 'Cannot assign requested address'.", None, {}),
    (docker, "exec /entrypoint.sh: no such file or directory", Symptom.START_FAILED, {}),
    (docker, "standard_init_linux.go:228: exec user process caused: exec format error", Symptom.START_FAILED, {}),
    (python_traceback, "django.core.exceptions.DisallowedHost: Invalid HTTP_HOST header: 'shop_backend:8000'. You may need to add 'shop_backend' to ALLOWED_HOSTS.", Symptom.WRONG_HOST, {}),
    (ruby, "[ActionDispatch::HostAuthorization::DefaultResponseApp] Blocked hosts: web:3000", Symptom.WRONG_HOST, {}),
    (gunicorn, "    raise HaltServer(reason, self.APP_LOAD_ERROR)", Symptom.START_FAILED, {}),
    (ruby, "/srv/gems/puma-6.0.0/lib/puma/binder.rb:380:in `add_unix_listener': There is already a server bound to: /run/shop/puma.sock (RuntimeError)", Symptom.ADDRESS_IN_USE, {"target": "unix:/run/shop/puma.sock"}),
    (puma, "=== puma startup: 2024-02-01 10:00:00 +0100 ===", Symptom.PROCESS_STARTED, {}),
    (websocket, "Handshake failed due to invalid Upgrade header: null", Symptom.UPGRADE_REFUSED, {}),
    (websocket, "upgrade: websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header", Symptom.UPGRADE_REFUSED, {}),
    (websocket, 'http: handshake error: bad "Upgrade" header', Symptom.UPGRADE_REFUSED, {}),
    (websocket, "websockets.exceptions.InvalidUpgrade: missing Connection header", Symptom.UPGRADE_REFUSED, {}),
    (websocket, "Failed to upgrade to WebSocket (REQUEST_METHOD: GET, HTTP_CONNECTION: close, HTTP_UPGRADE: )", Symptom.UPGRADE_REFUSED, {}),
    (application, "Error: Environment variable DATABASE_URL is not set", Symptom.START_FAILED, {}),
    (nodejs, "Error: DATABASE_URL is not set", Symptom.START_FAILED, {"detail": "Error: DATABASE_URL is not set"}),
    (python_traceback, "ValueError: SECRET_KEY must be set", Symptom.START_FAILED, {}),
    (java, "2026-11-21 01:00:00 ERROR main: API_TOKEN is required", Symptom.START_FAILED, {}),
    (application, "Server is running on port 3000", Symptom.LISTENS_ON, {"target": ":3000"}),
    (application, "Listening on 0.0.0.0:8000", Symptom.LISTENS_ON, {"target": "0.0.0.0:8000"}),
    (application, "Segmentation fault (core dumped)", Symptom.PROCESS_CRASHED, {}),
    (application, "/bin/sh: 1: node: not found", Symptom.START_FAILED, {}),
]  # fmt: skip
HEALTHY = """\
GET / 200 12.3 ms
the port is busy, they say, and nobody listens on the phone
nginx: configuration file /etc/nginx/nginx.conf test is successful
upstream sent too big header while reading response header from upstream
2026/11/21 00:00:00 [emerg] 1#1: bind() to 0.0.0.0:80 failed (98: Address already in use)
[WARN] environment variable PORT is not set, using default 3000
Environment variables are documented in README
I was killed by the traffic
Restarting the worker pool was considered
error rate is 0.1 %
We had an Error last week: nothing serious
Application error rate fell
worker 3 finished 12 jobs
INFO:     Waiting for application startup.
[2026-11-21 00:28:28 +0000] [14887] [INFO] Booting worker with pid: 14887
WSGI app 0 (mountpoint='') ready in 0 seconds on interpreter 0x7f2010d60018 pid: 15040 (default app)
CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES
4f66ad9ab5dd   app:1   "node s.js"   3 minutes ago   Up 2 minutes   0.0.0.0:3000->3000/tcp   web
Failed to upgrade to WebSocket (REQUEST_METHOD: GET, HTTP_CONNECTION: Upgrade, HTTP_UPGRADE: websocket)
good   RUNNING   pid 24961, uptime 0:00:13
"""


@pytest.mark.parametrize("line", ["INFO SENTRY_DSN is not set", "Error: CACHE_URL is not set, using the default"])
def test_a_variable_that_may_be_missing_stops_nothing(line: str) -> None:
    assert application.parse(line) is None


@pytest.mark.parametrize(("form", "line", "symptom", "told"), LINES)
def test_a_line(form: ModuleType, line: str, symptom: Symptom | None, told: dict[str, object]) -> None:
    check(form, line, symptom, **told)


@pytest.mark.parametrize("line", HEALTHY.splitlines())
def test_healthy_lines_and_prose_are_nothing(line: str) -> None:
    record = parse_any(line)
    assert record is None or record.symptom is None or record.format.startswith("nginx")


@given(st.text(max_size=200), st.integers(0, 10_000))
@settings(max_examples=200)
def test_no_text_breaks_a_format(text: str, seed: int) -> None:
    for form in formats():
        mark = form.MARKS[seed % len(form.MARKS)].decode("latin-1")
        for line in (text, mark + text, text + mark + text):
            form.parse(line)
            assert 0 <= form.fits([line]) <= 1


@pytest.mark.parametrize("host", ["192.0.2.7", "shop.example", "localhost:8000", "www.shop.example:443"])
def test_a_host_that_any_scanner_sends_tells_nothing_of_the_proxy(host: str) -> None:
    for line in (f"Invalid HTTP_HOST header: '{host}'. You may need to add '{host}' to ALLOWED_HOSTS.", f"Blocked hosts: {host}"):
        record = parse_any(line)
        assert record is None or record.symptom is not Symptom.WRONG_HOST


@pytest.mark.parametrize(
    ("module", "line", "symptom", "place"),
    [
        (stunnel, "LOG3[33]: s_connect: connect 203.0.113.1:8443: Connection refused (111)", Symptom.APPLICATION_ERROR, "203.0.113.1:8443"),
        (stunnel, "2026.11.22 18:30:04 LOG3[3]: s_connect: s_poll_wait 203.0.113.1:8443: TIMEOUTconnect exceeded", Symptom.APPLICATION_ERROR, "203.0.113.1:8443"),
        (stunnel, "2026.11.22 18:29:57 LOG4[47]: CERT: Pre-verification error: certificate has expired", Symptom.TLS_UNVERIFIED, "None"),
        (stunnel, "[!] Service [ledger]: Failed to initialize TLS context", Symptom.START_FAILED, ""),
        (stunnel, "LOG5[47]: Service [ledger] accepted connection from 127.0.0.1:59000", None, ""),
        (socket_proxyd, "Failed to connect to remote host: Connection refused", Symptom.APPLICATION_ERROR, "None"),
        (socket_proxyd, "Hit connection limit, refusing connection.", Symptom.PEER_LIMIT, ""),
    ],
)  # fmt: skip
def test_what_a_forwarder_says_of_its_other_end(module: ModuleType, line: str, symptom: Symptom | None, place: str) -> None:
    found, anywhere = module.parse(line), parse_any(line)
    assert (found.symptom if found else None) is symptom
    assert (anywhere.symptom if anywhere else None) is symptom
    need = need_of(found.detail) if found else None
    assert (str(need.place) if need else "") == place
    assert need is None or need.is_down
