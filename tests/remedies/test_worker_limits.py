"""The limit of a worker ends before the proxy gives up, also where the proxy waits only a few seconds."""

from __future__ import annotations

import pytest
from test_verdicts import APP, REPLACE, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.index import Joins
from why502.model.config import Position, Setting
from why502.model.logs import Symptom
from why502.model.remedy import Edit, Remedy
from why502.model.service import Service

GUNICORN = "/usr/bin/gunicorn --timeout {limit_s} app:app"


def remedies(wait_s: float, limit_s: int, command: str = GUNICORN, written: Setting | None = None) -> list[Remedy]:
    """Return the remedies for a server with that limit, behind a proxy that waits that long. `written`: its file's limit."""
    way = REPLACE(route(APP, 7), read_timeout_s=wait_s)
    here = machine(failing(Symptom.CLOSED_BEFORE_HEADER, APP, ago_s=40), routes=(way,))
    service = Service(
        manager="systemd",
        name="shop.service",
        is_running=True,
        targets=(APP,),
        argv=tuple(command.format(limit_s=limit_s).split(" ")),
        worker_limit=written,
        unit_file="/etc/systemd/system/shop.service",
    )
    here = REPLACE(here, services=(service,))
    case = Case(here=here, target=APP, offline=False, index=Joins(here))
    return list(CAUSES["worker-timeout"].remedies(case))


@pytest.mark.parametrize(("wait_s", "limit_s", "raised_s"), [(60, 30, 55), (40, 30, 35), (8, 4, 7), (16, 4, 14)])
def test_it_comes_just_below_what_the_proxy_waits(wait_s: float, limit_s: int, raised_s: int) -> None:
    first = remedies(wait_s, limit_s)[0]
    (drop_in,) = (step for step in first.steps if isinstance(step, Edit))
    assert f"--timeout {raised_s} app:app\n" in drop_in.after


@pytest.mark.parametrize(("wait_s", "limit_s"), [(8, 7), (60, 55), (4, 30)])
def test_a_limit_that_is_there_already_is_left(wait_s: float, limit_s: int) -> None:
    assert remedies(wait_s, limit_s) == []


@pytest.mark.parametrize(
    ("command", "started"),
    [
        ("/opt/venv/bin/python3 -m gunicorn -t {limit_s} app", "/opt/venv/bin/python3 -m gunicorn -t 55 app"),
        ("/usr/bin/gunicorn --timeout={limit_s} app", "/usr/bin/gunicorn --timeout=55 app"),
        ("/usr/bin/uwsgi --harakiri {limit_s} --ini a.ini", "/usr/bin/uwsgi --harakiri 55 --ini a.ini"),
        ("/usr/bin/gunicorn app:app", "/usr/bin/gunicorn app:app --timeout 55"),  # the default is 30 s
    ],
)
def test_the_option_of_its_command_is_changed(command: str, started: str) -> None:
    (drop_in,) = (step for step in remedies(60, 30, command)[0].steps if isinstance(step, Edit))
    assert drop_in.after == f"[Service]\nExecStart=\nExecStart={started}\n"


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/gunicorn --timeout {limit_s} --name $NAME",  # systemd would expand it
        "/usr/bin/node --timeout {limit_s} app.js",  # no option of its that is known
        "/usr/bin/gunicorn -k gevent app",  # its workers are not ended for being busy
        "gunicorn --timeout {limit_s} app",
    ],
)
def test_a_command_that_cannot_be_written_is_left(command: str) -> None:
    assert remedies(60, 30, command) == []


def test_the_file_of_the_server_is_changed() -> None:
    at = Position(file="/etc/uwsgi/shop.ini", line=3, start=20, end=22)
    first = remedies(60, 0, "/usr/bin/uwsgi --ini /etc/uwsgi/shop.ini", Setting(args=("30",), at=at))[0]
    change, *runs = first.steps
    assert isinstance(change, Edit)
    assert (change.file, change.start, change.end, change.before, change.after) == (at.file, 20, 22, "30", "55")
    assert [run.argv for run in runs] == [("systemctl", "restart", "shop.service")]  # type: ignore[union-attr]
    assert first.message == "let shop.service work 55 s on a request (30 s now: /etc/uwsgi/shop.ini:3)"


def test_a_computed_limit_is_left_even_if_the_default_is_known() -> None:
    assert remedies(60, 0, "/usr/bin/gunicorn app", Setting(args=(), at=Position(file="/srv/gunicorn.conf.py", line=1))) == []
