"""Apache logs a failure in two logs without a common key; it counts once."""

from __future__ import annotations

import pytest

from why502.diagnosis.ways import placed, ways_of
from why502.gateways.apache import config as apache
from why502.gateways.tallies import settled
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

TARGET = Target(host="127.0.0.1", port=3001)


@pytest.mark.parametrize(("told", "proxy", "left"), [(3, "apache", 0), (2, "apache", 1), (5, "apache", 0), (3, "nginx", 3)])
def test_a_failure_in_both_logs_counts_once(told: int, proxy: str, left: int) -> None:
    error = Tally(symptom=Symptom.CONNECT_REFUSED, proxy=proxy, target=TARGET, status=503, count=told)
    access = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="nginx", status=503, count=3)
    other = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="nginx", status=504, count=1)
    found = settled(LogSummary(tallies=(error, access, other)), ()).tallies
    assert found[0] == error and found[-1] == other
    assert sum(tally.count for tally in found[1:-1]) == left


APACHE = """
<VirtualHost *:80>
    ServerName shop.example
    <FilesMatch \\.php$>
        SetHandler "proxy:unix:/run/php.sock|fcgi://localhost"
    </FilesMatch>
    ProxyPass /api/ http://127.0.0.1:9101/
</VirtualHost>
"""


def _settled(*tallies: Tally) -> tuple[Tally, ...]:
    """Return the tallies of an Apache's logs, placed and counted once."""
    proxy = Proxy(kind="apache", routes=apache.load(APACHE, "x").routes)
    return settled(LogSummary(tallies=placed(tallies, ways_of([proxy]))), ()).tallies


def test_a_failure_without_a_target_gets_that_of_its_protocol_and_the_requests_of_the_access_log() -> None:
    late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="apache", protocol="fastcgi", count=8)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", status=504, count=8, requests=(("GET /slow", 7), ("GET /", 1)))
    (found,) = _settled(late, seen)
    assert (found.target, found.status, found.count) == (Target(path="/run/php.sock"), 504, 8)
    assert found.requests == seen.requests


def test_the_status_of_another_backend_stays() -> None:
    late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="apache", protocol="fastcgi", count=8)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", status=504, count=8, requests=(("GET /api/x", 8),))
    first, second = _settled(late, seen)
    assert (first.target, second.target) == (Target(path="/run/php.sock"), Target(host="127.0.0.1", port=9101))
    assert (first.count, second.count, first.requests) == (8, 8, ())


def test_the_remaining_lines_of_a_status_limit_its_requests() -> None:
    broken = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, proxy="apache", protocol="fastcgi", count=20)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", status=503, count=25, requests=(("GET /x.php", 25),))
    first, second = _settled(broken, seen)
    assert (first.count, first.requests, second.count, second.requests) == (20, (), 5, (("GET /x.php", 5),))
