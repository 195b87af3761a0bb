"""A FastCGI server that runs programs reports why it refuses one, to the gateway or in its own journal."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from test_facts_of_several_sources import NOW, SOCKET, causes, failing, machine, route

from why502.backends.fcgiwrap import logs as fcgiwrap
from why502.diagnosis.engine import diagnose
from why502.gateways.apache.logs import httpd
from why502.gateways.nginx.logs import error
from why502.model.logs import PathTraffic, Symptom
from why502.model.process import Process
from why502.model.snapshot import Event, Listener, Snapshot
from why502.render.words import headlines

REPLACE = msgspec.structs.replace
WORDS = "Cannot get script name, are DOCUMENT_ROOT and SCRIPT_NAME (or SCRIPT_FILENAME) set and is the script executable?"
EXECUTE = "Cannot execute script (/usr/lib/cgit/cgit.cgi)"


def refused(where: str, statuses: dict[str, int], since: int) -> Snapshot:
    """Return a machine whose fcgiwrap refuses requests, and says why in the gateway's log, in its journal, or not at all."""
    own = route(SOCKET, 7, protocol="fastcgi", directive="fastcgi_pass")
    path = PathTraffic(
        request="GET /git/",
        at=own.at,
        statuses=statuses,
        clients=1,
        refused_since=since,
        last_refused=NOW,
        last_served=NOW - timedelta(minutes=3),
    )
    told = failing(Symptom.SCRIPT_NOT_FOUND, SOCKET, since, detail=WORDS, requests=(("GET /git/", since),))
    event = Event(
        symptom=Symptom.SCRIPT_NOT_FOUND, at=NOW, message=WORDS, detail=WORDS, count=since, source="journal", target=SOCKET
    )
    here = machine(*((told,) if where == "log" else ()), routes=(own,), events=(event,) if where == "journal" else ())
    assert here.logs is not None
    listeners = (*(here.listeners or ()), Listener(target=SOCKET, pids=(30,)))
    processes = (*(here.processes or ()), Process(pid=30, name="fcgiwrap"))
    logs = REPLACE(here.logs, paths=(path,), by_status=statuses)
    return REPLACE(here, logs=logs, listeners=listeners, processes=processes)


@pytest.mark.parametrize("where", ["log", "journal"])
def test_it_answers_403_and_says_why(where: str) -> None:
    here = refused(where, {"200": 7, "403": 12}, 12)
    assert causes(here)[0] == ("fastcgi-script-not-found", SOCKET)
    first = diagnose(here).findings[0]
    assert "Cannot get script name" in first.message and first.confidence > 0.9
    said = headlines(diagnose(here))
    assert len(said) == 1 and "12 of 19 requests" in said[0]


@pytest.mark.parametrize(("where", "statuses", "since"), [("", {"200": 7, "403": 12}, 12), ("log", {"200": 70, "403": 12}, 0)])
def test_neither_a_refusal_without_words_nor_words_about_what_nobody_needs(
    where: str, statuses: dict[str, int], since: int
) -> None:
    assert "fastcgi-script-not-found" not in {cause for cause, _ in causes(refused(where, statuses, since))}


PAGES = (
    PathTraffic(request="GET /", statuses={"200": 30}, clients=5, last_served=NOW),
    PathTraffic(
        request="GET /visit.php", statuses={"200": 16, "404": 12}, clients=4, refused_since=12, last_refused=NOW,
        last_served=NOW - timedelta(minutes=3),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("pages", "unknown", "expected"),
    [
        (PAGES, 12, True),
        (PAGES, 3, False),  # others than PHP-FPM refuse them
        ((PAGES[0], REPLACE(PAGES[1], request="GET /shell.php", statuses={"404": 12}, last_served=None)), 12, False),
        ((PAGES[0], REPLACE(PAGES[1], refused_since=0, last_served=NOW)), 12, False),  # it is served again
    ],
)
def test_php_no_longer_sees_pages_that_it_served_before(pages: tuple[PathTraffic, ...], unknown: int, expected: bool) -> None:
    """The home page of the site may be a file that needs no PHP."""
    own = route(SOCKET, 7, protocol="fastcgi", directive="fastcgi_pass")
    told = failing(Symptom.SCRIPT_NOT_FOUND, SOCKET, unknown, requests=(("GET /visit.php", unknown),))
    here = machine(told, routes=(own,))
    assert here.logs is not None
    logs = REPLACE(here.logs, paths=tuple(REPLACE(page, at=own.at) for page in pages), by_status={"200": 46})
    here = REPLACE(here, logs=logs, listeners=(*(here.listeners or ()), Listener(target=SOCKET, pids=(30,))))
    found = [finding for finding in diagnose(here).findings if finding.cause == "fastcgi-script-not-found"]
    assert bool(found) is expected
    if expected:
        assert found[0].target == SOCKET and found[0].confidence > 0.8
        said = headlines(diagnose(here))
        assert len(said) == 1 and "12 of 28 requests" in said[0]


def test_its_words_are_read_wherever_they_are_logged() -> None:
    assert fcgiwrap.parse(WORDS).symptom is Symptom.SCRIPT_NOT_FOUND  # type: ignore[union-attr]
    record = fcgiwrap.parse(EXECUTE)
    assert record is not None and record.file == "/usr/lib/cgit/cgit.cgi"
    tail = ', client: 10.0.0.1, server: x, request: "GET /git/ HTTP/1.1", upstream: "fastcgi://unix:/run/cgit.sock:", host: "x"'
    line = f'2026/11/24 04:26:50 [error] 9#9: *3 FastCGI sent in stderr: "{WORDS}" while reading response header from upstream'
    of_nginx = error.parse(line + tail)
    assert of_nginx is not None and (of_nginx.symptom, of_nginx.causes) == (
        Symptom.SCRIPT_NOT_FOUND,
        ("fastcgi-script-not-found",),
    )
    line = f"[Tue Nov 24 04:26:50.1 2026] [proxy_fcgi:error] [pid 9:tid 9] [client 10.0.0.1:5] AH01071: Got error '{EXECUTE}'"
    of_apache = httpd.parse(line)
    assert of_apache is not None and of_apache.symptom is Symptom.SCRIPT_NOT_FOUND
