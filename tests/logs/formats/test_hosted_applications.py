"""Applications that httpd runs itself: mod_wsgi, mod_php, CGI and Passenger write to its error log."""

from __future__ import annotations

import pytest

from why502.logs.detect import parse_any
from why502.model.logs import Symptom
from why502.model.target import Target

WSGI = "[Sun Nov 22 21:23:39.735651 2026] [wsgi:error] [pid 383:tid 393] "
CGI = "[Sun Nov 22 21:23:39.735651 2026] [cgid:error] [pid 383:tid 393] "
PASSENGER = " 2026-11-22 21:24:39.1234 209/T8 age/Cor/Con/CheckoutSession.cpp:266 ]: [Client 1-12] "


@pytest.mark.parametrize(
    ("line", "symptom", "status"),
    [
        (f"{WSGI}[remote 203.0.113.28:1] mod_wsgi (pid=383): Queue timeout expired for WSGI daemon process 'm'.", Symptom.WORKERS_BUSY, 504),
        (f"{WSGI}[remote 203.0.113.28:1] mod_wsgi (pid=383): Failed to exec Python script file '/srv/m.wsgi'.", Symptom.START_FAILED, 500),
        (f"{WSGI}[client 203.0.113.28:1] Truncated or oversized response headers received from daemon process 'm': /m.wsgi", Symptom.CLOSED_BEFORE_HEADER, 500),
        (f"{WSGI}[client 203.0.113.28:1] Timeout when reading response headers from daemon process 'm': /m.wsgi", Symptom.READ_TIMED_OUT, 504),
        (f"{WSGI}[remote 203.0.113.28:1] sqlite3.OperationalError: database is locked", Symptom.APPLICATION_ERROR, None),
        (f"{WSGI}[remote 203.0.113.28:1]   raise OperationalError: not the last line", None, None),
        (f"{WSGI}[remote 203.0.113.28:1] a visitor wrote: mod_php is old", None, None),
        ("[Sun Nov 22 21:23:39 2026] [php:error] [pid 3] [client 203.0.113.2:1] PHP Fatal error:  Uncaught Error: no x() in /a.php:3", Symptom.APPLICATION_ERROR, None),
        ("[Sun Nov 22 21:23:39 2026] [php:warn] [pid 3] [client 203.0.113.2:1] PHP Warning:  Undefined variable $a in /a.php", None, None),
        (f"{CGI}[client 203.0.113.2:1] AH01215: KeyError: 'x': /usr/lib/cgi-bin/a.py", Symptom.APPLICATION_ERROR, None),
        (f"{CGI}(13)Permission denied: AH01241: exec of '/usr/lib/cgi-bin/a.py' failed", Symptom.START_FAILED, 500),
        (f"[ W{PASSENGER}Returning HTTP 503 due to: Request queue full (configured max. size: 2)", Symptom.WORKERS_BUSY, 503),
        (f"[ E{PASSENGER}Cannot checkout session because a spawning error occurred. The identifier of the error is 3.", Symptom.START_FAILED, None),
        (f"[ W{PASSENGER}Sending 502 response: application did not send a complete response", Symptom.CLOSED_BEFORE_HEADER, 502),
        ("App 30 output: ModuleNotFoundError: No module named 'a2wsgi'", Symptom.START_FAILED, None),
        ("App 30 output: TypeError: Invalid URL", Symptom.APPLICATION_ERROR, None),
    ],
)  # fmt: skip
def test_what_they_say(line: str, symptom: Symptom | None, status: int | None) -> None:
    record = parse_any(line)
    assert record is not None
    assert (record.symptom, record.status) == (symptom, status)


def test_a_notice_of_passenger_is_nothing() -> None:
    assert parse_any(f"[ N{PASSENGER}Starting Passenger core...") is None


def test_the_remote_end_of_a_daemon_is_the_client() -> None:
    record = parse_any(f"{WSGI}[remote 203.0.113.28:1] mod_wsgi (pid=3): Queue timeout expired for WSGI daemon process 'm'.")
    assert record is not None
    assert (record.client, record.target) == ("203.0.113.28", None)


def test_the_socket_of_a_daemon_is_a_target() -> None:
    words = "Unable to connect to WSGI daemon process 'm' on '/run/apache2/wsgi.1.0.1.sock' as user with uid=33."
    record = parse_any(f"{WSGI}(13)Permission denied: [client 203.0.113.2:1] mod_wsgi (pid=3): {words}")
    assert record is not None
    assert (record.symptom, record.target) == (Symptom.CONNECT_DENIED, Target(path="/run/apache2/wsgi.1.0.1.sock"))
