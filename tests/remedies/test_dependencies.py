"""The start of a dependency's unit, and a timeout in a line of HAProxy's configuration."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.model.config import Peer, Position, Route, Setting
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.remedy import UNPLACED, Edit, Remedy, Run
from why502.model.snapshot import Dependency, Event, Snapshot
from why502.model.target import Target
from why502.remedies.changes import set_where_written

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TARGET, PEER = Target(host="127.0.0.1", port=8000), Target(host="127.0.0.1", port=5432)
REFUSED = 'psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused'
UNIT = "postgresql@15-main.service"
GONE = Dependency(target=TARGET, peer=PEER, is_heard=False, unit=UNIT, unit_state="inactive", unit_since=AT)
START = Run(argv=("systemctl", "start", UNIT), undo=("systemctl", "stop", UNIT))


def remedies(peer: Dependency, text: str = REFUSED) -> list[Remedy]:
    """Return the remedies for an application that answers 503 and logs the reason."""
    event = Event(
        at=AT, symptom=Symptom.APPLICATION_ERROR, message=text, detail=text, source="journalctl", target=TARGET, count=9
    )
    tally = Tally(symptom=Symptom.UPSTREAM_STATUS, target=TARGET, status=503, count=9, first=AT, last=AT)
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=TARGET),)),)),),
        addresses=(),
        events=(event,) if text else (),
        dependencies=(peer,),
        logs=LogSummary(tallies=(tally,), has_access=True),
    )
    return list(CAUSES["backend-dependency-down"].remedies(Case(here=here, target=TARGET)))


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_the_stopped_unit_of_a_dependency_is_started(state: str) -> None:
    (found,) = remedies(msgspec.structs.replace(GONE, unit_state=state))
    assert (found.steps, found.is_policy, found.safe) == ((START,), False, False)


def test_one_that_only_a_variable_names_is_started() -> None:
    (found,) = remedies(msgspec.structs.replace(GONE, named_by="DATABASE_URL"), text="")
    assert found.steps == (START,)


def test_to_start_a_unit_that_never_ran_is_a_decision() -> None:
    (found,) = remedies(msgspec.structs.replace(GONE, unit_since=None))
    assert found.is_policy


def test_an_address_without_a_port_is_told_by_its_product() -> None:
    text = (
        "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on '127.0.0.1' ([Errno 111] Connection refused)\")"
    )
    mysql = msgspec.structs.replace(GONE, peer=Target(host="127.0.0.1", port=3306))
    (found,) = remedies(mysql, text)
    assert found.steps == (START,)
    assert remedies(msgspec.structs.replace(mysql, peer=Target(host="10.0.0.9", port=3306)), text) == []
    assert remedies(GONE, text) == []


def test_a_masked_unit_is_only_named() -> None:
    (found,) = remedies(msgspec.structs.replace(GONE, unit_state="masked"))
    assert found.steps == () and "unmask" in found.message


@pytest.mark.parametrize(
    "other",
    [
        {"is_heard": True},
        {"is_heard": None},
        {"unit": ""},
        {"unit": "user@1000.service"},
        {"unit_state": "active"},
        {"unit_state": "activating"},
        {"elsewhere": Target(host="127.0.0.1", port=5433)},
    ],
)
def test_nothing_is_started_that_cannot_help(other: dict[str, object]) -> None:
    assert remedies(msgspec.structs.replace(GONE, **other)) == []


def test_a_setting_is_changed_in_its_line() -> None:
    at = Position(file="/etc/haproxy/haproxy.cfg", line=7)
    setting = Setting(args=("5000",), at=at)
    edit = Edit(file=at.file, line=7, start=UNPLACED, end=UNPLACED, before="5000", after="14s")
    assert set_where_written(setting, "14s") == edit
    assert set_where_written(setting, "5000") is None
    assert set_where_written(Setting(args=("5000",)), "14s") is None
    assert set_where_written(None, "14s") is None
