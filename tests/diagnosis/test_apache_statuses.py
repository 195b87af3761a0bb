"""Statuses of Apache's own, and the names that it looks up by mistake."""

from __future__ import annotations

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.finding import ASSERTED
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.target import Target

WIKI = Target(host="wiki.internal", port=80)


def asserted(*tallies: Tally, target: Target, protocol: str = "http", path: PathTraffic | None = None) -> list[tuple[str, str]]:
    """Return the asserted findings with their messages, if Apache's log has these tallies."""
    own = route(target, 7, protocol=protocol, proxy="apache")
    here = machine(*(REPLACE(tally, proxy="apache") for tally in tallies), routes=(own,))
    assert here.logs is not None and here.proxies is not None
    paths = (REPLACE(path, at=own.at),) if path else ()
    found = REPLACE(here, logs=REPLACE(here.logs, paths=paths), proxies=(REPLACE(here.proxies[0], kind="apache", routes=(own,)),))
    return [(each.cause, each.message) for each in diagnose(found).findings if each.confidence >= ASSERTED]


@pytest.mark.parametrize("symptom", [Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED])
def test_a_target_without_its_last_slash(symptom: Symptom) -> None:
    said = "DNS lookup failure for: wiki.internalstart.html returned by /wiki/start.html"
    cause, message = asserted(REPLACE(failing(symptom, APP, status=500), target=None, detail=said), target=WIKI)[0]
    assert cause == "dns-host-not-found"
    assert (
        message
        == "the proxy looks up wiki.internalstart.html: the target wiki.internal lacks its last slash, so the path is appended"
    )


@pytest.mark.parametrize("asked", ["wiki.internal", "other.internal"])
def test_a_name_server_that_fails_for_another_name(asked: str) -> None:
    said = f"DNS lookup failure for: {asked} returned by /wiki/start.html"
    tally = REPLACE(failing(Symptom.NAME_SERVER_FAILED, APP, status=500), target=None, detail=said)
    assert asserted(tally, target=WIKI)[0][0] == "dns-resolver-failure"


@pytest.mark.parametrize(("protocol", "silent", "is_own"), [("ajp", 17, False), ("ajp", 3, True), ("http", 17, True)])
def test_apache_answers_500_for_requests_that_tomcat_does_not_answer(protocol: str, silent: int, *, is_own: bool) -> None:
    """It may not send them again (mod_proxy_ajp, is_idempotent)."""
    path = PathTraffic(request="GET /report.jsp", statuses={"500": 27}, clients=8, refused_since=27, last_refused=NOW)
    told = failing(Symptom.READ_TIMED_OUT, APP, silent, status=503)
    causes = dict(asserted(told, target=APP, protocol=protocol, path=path))
    assert ("application-error" in causes) is is_own
    assert "backend-too-slow" in causes


@pytest.mark.parametrize("requests", [(), (("GET /report.jsp", 19),)])
def test_a_certificate_that_apache_refuses_is_no_error_of_the_application(requests: tuple[tuple[str, int], ...]) -> None:
    """Apache answers 500 itself, and its words name no request."""
    path = PathTraffic(request="GET /report.jsp", statuses={"500": 27}, clients=8, refused_since=27, last_refused=NOW)
    told = failing(Symptom.TLS_UNVERIFIED, APP, 19, status=500, requests=requests)
    causes = dict(asserted(told, target=APP, protocol="https", path=path))
    assert "tls-verify-failed" in causes and "application-error" not in causes
