"""PHP-FPM's log, 5.3 to 8."""

from __future__ import annotations

import pytest
from said import check

from why502.backends.php import logs as php
from why502.backends.php_fpm import logs as php_fpm
from why502.logs.detect import parse_any
from why502.model.logs import Symptom

WWW = {"process": "www"}
LINES = [
    ("[21-Nov-2026 00:00:00] WARNING: [pool www] server reached pm.max_children setting (2), consider raising it", Symptom.PHP_MAX_CHILDREN, WWW),
    ("[21-Nov-2026 00:00:00] WARNING: [pool www] server reached max_children setting (2), consider raising it", Symptom.PHP_MAX_CHILDREN, WWW),
    ("[21-Nov-2026 00:00:00] WARNING: [pool www] seems busy (you may need to increase pm.start_servers, or pm.min/max_spare_servers), spawning 8 children, there are 0 idle, and 10 total children", Symptom.WORKERS_BUSY, WWW),
    ("[21-Nov-2026 00:00:00] WARNING: [pool www] child 10276 exited on signal 11 (SIGSEGV) after 0.747193 seconds from start", Symptom.PHP_CHILD_DIED, WWW | {"code": "SIGSEGV", "process_pid": 10276}),
    ("[20-Nov-2026 09:00:01] WARNING: [pool shop] child 8 exited with code 1 after 3.260371 seconds from start", Symptom.PHP_CHILD_DIED, {"code": "1", "process_pid": 8}),
    ('[21-Nov-2026 00:00:00] WARNING: [pool www] child 12 said into stderr: "ERROR: Unable to open primary script: /srv/shop/index.php (No such file or directory)"', Symptom.SCRIPT_NOT_FOUND, WWW | {"file": "/srv/shop/index.php"}),
    ("[21-Nov-2026 00:00:00] ERROR: [pool www] please specify user and group other than root", Symptom.START_FAILED, WWW),
    ("child *** exited on signal 6 (SIGABRT)", Symptom.PHP_CHILD_DIED, {"code": "SIGABRT", "process_pid": None}),
    ("[09-Jan-2019 12:25:50] WARNING: [pool www] child 9 exited on signal 11 (SIGSEGV - core dumped) after 55.035600 seconds from start", Symptom.PHP_CHILD_DIED, {"code": "SIGSEGV"}),
    ("[21-Nov-2026 00:00:00] WARNING: [pool www] child 10300 exited on signal 15 (SIGTERM) after 3.4 seconds from start", None, {}),
    ('[21-Nov-2026 00:00:00] WARNING: [pool www] child 10300, script \'/opt/fpm/sleep.php\' (request: "GET /opt/fpm/sleep.php?s=8") execution timed out (3.312091 sec), terminating', Symptom.WORKER_TIMED_OUT, {"file": "/opt/fpm/sleep.php", "process_pid": 10300}),
    ('[21-Nov-2026 00:00:00] WARNING: [pool www] child 10300, script \'/a.php\' (request: "GET /a.php") executing too slow (1.200044 sec), logging', Symptom.PHP_SLOW, {"file": "/a.php"}),
    ("[21-Nov-2026 00:29:48]  [pool www] pid 123", Symptom.PHP_SLOW, WWW | {"process_pid": 123}),
    ("[21-Nov-2026 00:00:00] ERROR: unable to bind listening socket for address '127.0.0.1:39000': Address already in use (98)", Symptom.ADDRESS_IN_USE, {"target": "127.0.0.1:39000", "errno": 98}),
    ("[21-Nov-2026 00:00:00] ERROR: unable to bind listening socket for address '/run/x.sock': Permission denied (13)", Symptom.START_FAILED, {"target": "unix:/run/x.sock", "errno": 13}),
    ("[21-Nov-2026 00:00:00] ERROR: Another FPM instance seems to already listen on /run/php.sock", Symptom.ADDRESS_IN_USE, {"target": "unix:/run/php.sock"}),
    ("[26-Feb-2021 06:23:42] ERROR: unable to allocate 58800000120 bytes in shared memory: Out of memory: Out of memory (12)", Symptom.START_FAILED, {}),
    ("[21-Nov-2026 00:00:00] ERROR: [/etc/php/8.2/fpm/pool.d/www.conf:23] unknown entry 'foo'", Symptom.START_FAILED, {"file": "/etc/php/8.2/fpm/pool.d/www.conf", "line": 23}),
    ("[21-Nov-2026 00:00:00] ALERT: [pool www] pm.start_servers(10) must not be less than pm.min_spare_servers(1)", Symptom.START_FAILED, WWW),
    ("[21-Nov-2026 00:00:00] NOTICE: fpm is running, pid 7", Symptom.PROCESS_STARTED, {"process_pid": 7}),
    ('[21-Nov-2026 00:00:00] WARNING: [pool www] child 12 said into stderr: "NOTICE: PHP message: PHP Fatal error:  Uncaught Error: x"', Symptom.APPLICATION_ERROR, WWW),
]  # fmt: skip


@pytest.mark.parametrize(("line", "symptom", "told"), LINES)
def test_a_line(line: str, symptom: Symptom | None, told: dict[str, object]) -> None:
    check(php_fpm, line, symptom, **told)


@pytest.mark.parametrize(
    "line",
    [
        "[21-Nov-2026 00:00:00] NOTICE: [pool www] child 20 started",
        "[21-Nov-2026 00:00:00] NOTICE: [pool www] child 20 exited with code 0 after 55.035600 seconds from start",
        "[21-Nov-2026 00:00:00] NOTICE: configuration file /etc/php/8.2/fpm/php-fpm.conf test is successful",
    ],
)
def test_what_is_no_trouble(line: str) -> None:
    assert php_fpm.parse(line) is None


def test_php_errors_have_file_and_line() -> None:
    line = "[21-Nov-2026 00:29:48 UTC] PHP Fatal error:  Uncaught Error: Call to undefined function f() in /srv/a.php:12"
    check(php, line, Symptom.APPLICATION_ERROR, file="/srv/a.php", line=12)
    line = "PHP Fatal error:  Maximum execution time of 30 seconds exceeded in /srv/a.php on line 9"
    check(php, line, Symptom.WORKER_TIMED_OUT, file="/srv/a.php", line=9)


def test_what_nginx_passes_on_is_its_own() -> None:
    assert (
        php.parse(
            '2026/11/21 00:00:00 [error] 7#7: *1 FastCGI sent in stderr: "PHP message: PHP Fatal error:  x in /a.php on line 1"'
        )
        is None
    )


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("mysqli_real_connect(): (HY000/2002): No such file or directory in /srv/db.php on line 19", "mysqli_real_connect(): (HY000/2002): No such file or directory"),
        ("Redis::connect(): php_network_getaddresses: getaddrinfo failed: Name or service not known in /srv/a.php on line 1", "Redis::connect(): php_network_getaddresses: getaddrinfo failed: Name or service not known"),
        ("Undefined variable $connection in /srv/a.php on line 3", None),
        ("fopen(/srv/x): Failed to open stream: No such file or directory in /srv/a.php on line 3", None),
    ],
)  # fmt: skip
def test_only_warnings_of_failed_connections_are_errors_of_the_application(text: str, detail: str | None) -> None:
    record = parse_any(f"[21-Nov-2026 00:29:48 UTC] PHP Warning:  {text}")
    found = record.detail if record and record.symptom is Symptom.APPLICATION_ERROR else None
    assert found == (f"PHP Warning:  {detail}" if detail else None)
