"""The fix never routes requests to an ordinary user's listener only because it resembles the backend."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes.proxy import wrong_port
from why502.gateways.nginx import config as nginx
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

TEXT = "events {}\nhttp { server { location / { proxy_pass http://127.0.0.1:3000; } } }\n"
WANTED, HEARD = Target(host="127.0.0.1", port=3000), Target(host="127.0.0.1", port=3001)


def case(**process: object) -> Case:
    path = "/etc/nginx/nginx.conf"
    found = nginx.load(lambda _: TEXT.encode(), lambda _: [], path)
    proxy = Proxy(pid=1, config=path, files=found.files, routes=found.routes)
    owner = Process(**{"pid": 9, "name": "node", "argv": ("node", "app.js"), **process})  # type: ignore[arg-type]
    here = Snapshot(
        taken_at=datetime(2026, 11, 21, tzinfo=UTC),
        proxies=(proxy,),
        listeners=(Listener(target=HEARD, pids=(9,)),),
        processes=(owner,),
        addresses=(),
    )
    return Case(here, target=WANTED)


@pytest.mark.parametrize(
    ("process", "is_changed"),
    [
        ({"uid": 0}, True),
        ({"uid": 33, "user": "www-data", "unit": "shop.service"}, True),
        ({"uid": 33, "user": "www-data"}, False),
        ({"uid": 1000, "user": "deploy", "unit": "shop.service"}, True),
        ({"uid": 1000, "user": "bob", "unit": "session-3.scope"}, False),
        ({"uid": 1000, "user": "bob"}, False),
    ],
)
def test_only_of_somebody_who_is_vouched_for(process: dict[str, object], is_changed: bool) -> None:
    one = case(**process)
    (remedy,) = wrong_port.remedies(one)
    assert bool(remedy.steps) is is_changed
    assert ("first make sure" in remedy.message) is not is_changed
    assert process.get("user", "(pid 9)") in remedy.message
