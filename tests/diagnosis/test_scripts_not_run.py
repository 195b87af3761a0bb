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
