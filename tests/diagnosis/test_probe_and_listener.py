"""A probe and the list of listeners are made one after the other, and a repeated request may not be the one that fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW
from test_what_fails_now import REPLACE, cut, living, told

from why502.diagnosis.case import Case
from why502.diagnosis.engine import diagnose
from why502.diagnosis.ongoing import _is_of_others
from why502.model.logs import Symptom
from why502.model.probe import Probe

REFUSED = cut(Symptom.CONNECT_REFUSED, 3, 1, 40, requests=(("GET /", 40),))


@pytest.mark.parametrize(("ago_s", "expected"), [(1.0, False), (40.0, True)])
def test_a_server_whose_worker_just_died_may_not_have_listened(ago_s: float, expected: bool) -> None:
    """The primary of a cluster lives on; its socket is closed while it has no worker."""
    died = told(Symptom.PROCESS_CRASHED, ago_s, "Node.js v18.20.4")
    here = living(REFUSED, events=(died,), started_s=600)
    here = REPLACE(here, probes=(Probe(target=APP, symptom=Symptom.CONNECT_REFUSED, errno=111, at=NOW),))
    found = [finding.cause for finding in diagnose(here).findings if finding.confidence >= 0.5]
    assert ("connect-rejected" in found) is expected


@pytest.mark.parametrize(("request_", "expected"), [("GET /login", True), ("GET /terms", False), ("GET /unknown", False)])
def test_a_repeated_request_that_failed_otherwise_does_not_end_a_failure(request_: str, expected: bool) -> None:
    refused = cut(Symptom.CONNECT_REFUSED, 3, 3, 2, requests=(("GET /login", 2),))
    denied = REPLACE(cut(Symptom.AUTH_FAILED, 2, 1, 22, status=500, requests=(("GET /terms", 22),)), target=None)
    here = living(refused, denied, events=(), started_s=2.5)
    probe = Probe(target=APP, request=request_, repeats=True, status=200, at=NOW - timedelta(seconds=1))
    assert _is_of_others(probe, Case(here=here, target=APP), [denied]) is expected
