"""A unit that a package brought and that is disabled is not started only because its program's file names the usual port."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes.upstream.backend_not_running import remedies
from why502.model.logs import Symptom
from why502.model.service import Service
from why502.model.snapshot import Event, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TARGET = Target(host="127.0.0.1", port=8080)
TOMCAT = Service(
    manager="systemd",
    name="tomcat10.service",
    state="inactive",
    is_running=False,
    unit_file="/lib/systemd/system/tomcat10.service",
    settings={"UnitFileState": "disabled"},
    start_argv=("systemctl", "start", "tomcat10.service"),
    targets=(TARGET,),
    link="/var/lib/tomcat10/conf/server.xml names port 8080",
)
STOPPED = Event(at=NOW, source="journal", symptom=Symptom.PROCESS_STOPPED, unit="tomcat10.service", message="Stopped")


@pytest.mark.parametrize(
    ("service", "events", "is_decision"),
    [
        (TOMCAT, (), True),
        (TOMCAT, (STOPPED,), False),  # it ran a while ago
        (msgspec.structs.replace(TOMCAT, stopped_at=NOW), (), False),
        (msgspec.structs.replace(TOMCAT, settings={"UnitFileState": "enabled"}), (), False),
        (msgspec.structs.replace(TOMCAT, link="its command names port 8080"), (), False),
        (msgspec.structs.replace(TOMCAT, unit_file="/etc/systemd/system/tomcat10.service"), (), False),  # somebody wrote it
    ],
)
def test_what_nothing_shows_in_use_is_started_only_by_decision(
    service: Service, events: tuple[Event, ...], *, is_decision: bool
) -> None:
    found = list(remedies(Case(here=Snapshot(taken_at=NOW, services=(service,), events=events), target=TARGET)))
    starts = [remedy for remedy in found if remedy.steps]
    assert starts
    assert {remedy.is_policy for remedy in starts} == {is_decision}
