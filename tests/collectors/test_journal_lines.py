"""The journal of a unit is read as a log: all of it, with the journal's times where lines have none."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from why502.collectors import journal_lines, logs
from why502.collectors.base import CollectOptions
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Route
from why502.model.errors import Expired, HostError
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
BEGIN = NOW - timedelta(minutes=10)
REFUSED = "[proxy:error] [pid 74:tid 87] (111)Connection refused: AH00957: http: attempt to connect to {0} ({0}) failed".format(
    "127.0.0.1:3000"
)
MADE_503 = (
    "[proxy_http:error] [pid 74:tid 87] [client 127.0.0.1:50893] AH01114: HTTP: failed to make connection to backend: 127.0.0.1"
)
ACCESS = '127.0.0.1 - - [21/Nov/2026:00:{:%M:%S} +0000] "GET / HTTP/1.1" {} 544 "-" "Mozilla/5.0"'


class Journal(LocalHost):
    """This machine, with a journal of our own: `journalctl -o json --reverse`."""

    def __init__(self, entries: list[tuple[datetime, str, str]], *, fails_after: int = 1 << 30) -> None:
        super().__init__()
        self.entries = entries
        self.pages = 0
        self.fails_after = fails_after

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        self.pages += 1
        if self.pages > self.fails_after:
            raise Expired("journalctl took too long")
        told = dict(word.removeprefix("--").partition("=")[::2] for word in argv if word.startswith("--"))
        until, most = float(told["until"].removeprefix("@")), int(told["lines"])
        found = [(at, who, text) for at, who, text in reversed(self.entries) if round(at.timestamp(), 6) <= until][:most]
        lines = (
            {"__REALTIME_TIMESTAMP": f"{at.timestamp() * 1e6:.0f}", "MESSAGE": text, "SYSLOG_IDENTIFIER": who, "_PID": "74"}
            for at, who, text in found
        )
        return Finished(status=0, stdout="".join(f"{json.dumps(line)}\n" for line in lines), stderr="")


def entries(*lines: str, who: str = "httpd", step: timedelta = timedelta(milliseconds=1)) -> list[tuple[datetime, str, str]]:
    return [(BEGIN + step * number, who, line) for number, line in enumerate(lines)]


def read(host: LocalHost) -> journal_lines.Lines:
    found = journal_lines.read(host, "--unit=x.service", BEGIN - timedelta(minutes=5), NOW, is_dated=False)
    assert isinstance(found, journal_lines.Lines)
    return found


def test_a_journal_of_many_pages_is_read_whole_and_in_order() -> None:
    lines = [f"line {number}" for number in range(2 * journal_lines.PAGE + 7)]
    host = Journal(entries(*lines))
    assert read(host) == journal_lines.Lines(text="".join(f"{line}\n" for line in lines)) and host.pages == 3


def test_entries_of_one_microsecond_at_a_border_are_read_once() -> None:
    """journald gives all lines that it reads at once from a stream the same time; they may be equal, too."""
    lines = [f"line {number // 50}" for number in range(journal_lines.PAGE + 300)]
    found = entries(*lines)
    host = Journal([(found[number - number % 100][0], who, text) for number, (_, who, text) in enumerate(found)])
    assert read(host).text.splitlines() == lines
    host = Journal([(BEGIN, who, text) for _, who, text in found])
    assert "same time" in read(host).cut_because


def test_a_page_that_cannot_be_read_costs_only_older_lines_and_is_told() -> None:
    lines = [f"line {number}" for number in range(journal_lines.PAGE + 9)]
    found = read(Journal(entries(*lines), fails_after=1))
    assert found.text.splitlines() == lines[10:] and "took too long" in found.cut_because
    none = journal_lines.read(Journal([], fails_after=0), "--unit=x.service", BEGIN, NOW, is_dated=False)
    assert isinstance(none, HostError)


def collect(host: LocalHost, kind: str, *targets: LogTarget) -> tuple[list[tuple[Symptom, int | None, int]], int]:
    proxy = Proxy(kind=kind, logs=targets, unit=f"{kind}.service")
    found = logs.collect(host, Snapshot(taken_at=NOW, proxies=(proxy,)), CollectOptions())
    assert found.value is not None and found.gaps == ()
    return [(tally.symptom, tally.status, tally.count) for tally in found.value.tallies], found.value.requests


COMBINED = r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""
OF_APACHE = (
    LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG),
    LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.SYSLOG, format=COMBINED),
)


def test_messages_of_apache_without_a_time_have_that_of_the_journal() -> None:
    asked = ACCESS.format(BEGIN, 503)
    found = collect(Journal(entries(REFUSED, MADE_503, asked, REFUSED, MADE_503, asked)), "apache", *OF_APACHE)
    assert found == ([(Symptom.CONNECT_REFUSED, 503, 2)], 2)


def test_an_error_log_alone_in_the_journal() -> None:
    found, _ = collect(Journal(entries(REFUSED, MADE_503)), "apache", OF_APACHE[0])
    assert [(symptom, count) for symptom, _, count in found] == [(Symptom.CONNECT_REFUSED, 1)]


def test_a_status_that_no_message_of_apache_explains_is_the_applications() -> None:
    """httpd logs a message for each status that it makes itself: its error log was read, in the journal."""
    target = Target(host="127.0.0.1", port=3000)
    route = Route(proxy="apache", server="", peers=(Peer(name="127.0.0.1:3000", target=target),), protocol="http")
    proxy = Proxy(kind="apache", pid=74, logs=OF_APACHE, unit="apache2.service", routes=(route,))
    host = Journal(entries(*[ACCESS.format(BEGIN, 503)] * 6))
    found = logs.collect(host, Snapshot(taken_at=NOW, proxies=(proxy,)), CollectOptions())
    assert found.value is not None
    assert [(tally.symptom, tally.target, tally.count) for tally in found.value.tallies] == [(Symptom.UPSTREAM_STATUS, target, 6)]


def test_messages_after_many_requests_that_succeeded() -> None:
    well = [ACCESS.format(BEGIN, 200)] * 3000
    found = collect(
        Journal(entries(*well, REFUSED, MADE_503, ACCESS.format(BEGIN + timedelta(seconds=3), 503))), "apache", *OF_APACHE
    )
    assert found == ([(Symptom.CONNECT_REFUSED, 503, 1)], 3001)


def test_the_own_form_of_an_access_log_is_read_within_the_journals_lines() -> None:
    form = r"%>s %V %D %t \"%r\""
    own = [f'{status} shop.example 812 [21/Nov/2026:00:20:00 +0000] "GET / HTTP/1.1"' for status in (200, 503, 503)]
    targets = (OF_APACHE[0], LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.SYSLOG, format=form))
    found, requests = collect(Journal(entries(own[0], REFUSED, MADE_503, own[1], REFUSED, MADE_503, own[2])), "apache", *targets)
    assert requests == 3 and (Symptom.CONNECT_REFUSED, 503, 2) in found


def test_haproxys_lines_about_checks_have_the_journals_time() -> None:
    down = 'Server app/app1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms.'
    gone = (
        '10.0.0.1:36257 [21/Nov/2026:00:20:00.965] web app/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"'
    )
    host = Journal([(at, "haproxy", text) for at, _, text in entries(down, gone, gone)])
    for place in (LogPlace.STDERR, LogPlace.SYSLOG):
        target = LogTarget(kind=LogKind.ACCESS, goes_to=place)
        proxy = Proxy(kind="haproxy", logs=(target,), unit="haproxy.service")
        found = logs.collect(host, Snapshot(taken_at=NOW, proxies=(proxy,)), CollectOptions())
        assert found.value is not None
        tallies = {tally.symptom: tally for tally in found.value.tallies}
        assert tallies[Symptom.CONNECT_REFUSED].first == BEGIN and tallies[Symptom.NO_LIVE_UPSTREAMS].count == 2
        assert re.fullmatch(r"journalctl -u haproxy\.service:\d+", tallies[Symptom.CONNECT_REFUSED].source)
