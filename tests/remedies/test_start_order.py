"""A unit that was faster than the service that it needs is started again, after that one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.model.config import Peer, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.remedy import Edit, Remedy, Run
from why502.model.service import Service
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TARGET, DATABASE = Target(host="127.0.0.1", port=8000), Target(host="127.0.0.1", port=5432)
REFUSED = 'psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused'
ENDED = Service(
    manager="systemd", name="taxi.service", state="failed", is_running=False, changed_at=AT, reason=(REFUSED, "exiting"),
    unit_file="/etc/systemd/system/taxi.service", start_argv=("systemctl", "start", "taxi.service"), targets=(TARGET,),
)  # fmt: skip
POSTGRES = Process(pid=70, name="postgres", uid=0, unit="postgresql@15-main.service", started_at=AT + timedelta(seconds=5))


def remedies(cause: str, service: Service = ENDED, database: Process | None = POSTGRES) -> list[Remedy]:
    here = Snapshot(
        taken_at=AT + timedelta(minutes=5),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=TARGET),)),)),),
        addresses=(),
        services=(service,),
        listeners=(Listener(target=DATABASE, pids=(70,)),) if database else (),
        processes=(database,) if database else (),
    )
    found = CAUSES[cause].remedies(Case(here=here, target=TARGET))
    return [one for one in found if any(isinstance(step, Run) and "taxi.service" in step.argv for step in one.steps)]


@pytest.mark.parametrize("cause", ["backend-startup-failure", "backend-crash-loop"])
def test_it_is_ordered_after_what_came_up_later(cause: str) -> None:
    ordered, started = remedies(cause)
    (drop_in,) = (step for step in ordered.steps if isinstance(step, Edit))
    assert drop_in.file == "/etc/systemd/system/taxi.service.d/why502-order.conf"
    assert drop_in.after == "[Unit]\nWants=postgresql@15-main.service\nAfter=postgresql@15-main.service\n"
    assert [step.argv[1] for step in ordered.steps if isinstance(step, Run)][-2:] == ["reset-failed", "start"]
    assert not any(isinstance(step, Edit) for step in started.steps)


def test_one_that_ended_for_it_later_is_only_started() -> None:
    (started,) = remedies(
        "backend-startup-failure", database=msgspec.structs.replace(POSTGRES, started_at=AT - timedelta(days=1))
    )
    assert started.message == "start taxi.service: postgresql@15-main.service, which it needs, is up now"


@pytest.mark.parametrize(
    ("change", "database"),
    [
        ({}, None),  # still down
        ({}, {"unit": ""}),
        ({}, {"unit": "user@1000.service"}),
        ({}, {"unit": "taxi.service"}),
        ({"reason": ("SyntaxError: invalid syntax",)}, {}),
        ({"is_running": True, "state": "active"}, {}),
        ({"settings": {"UnitFileState": "masked"}}, {}),
        ({"manager": "supervisord"}, {}),
    ],
)
def test_nothing_is_started_that_this_would_not_help(change: dict[str, object], database: dict[str, str] | None) -> None:
    process = None if database is None else msgspec.structs.replace(POSTGRES, **database)
    assert remedies("backend-startup-failure", msgspec.structs.replace(ENDED, **change), process) == []
