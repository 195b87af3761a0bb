"""A check that asks for a path which the application does not have asks for one that clients get."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.config.edit import placed
from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.model.config import Peer, Position, Route, Setting
from why502.model.logs import LogSummary, PathTraffic
from why502.model.proxy import Proxy
from why502.model.remedy import Edit
from why502.model.snapshot import Snapshot
from why502.model.target import Target

AT = Position(file="/etc/haproxy/haproxy.cfg", line=2)
APP = Target(host="127.0.0.1", port=8000)
FILE = b"backend app\n    option httpchk GET /healthz HTTP/1.1\n"


def edits(check: tuple[str, ...], paths: dict[str, dict[str, int]]) -> list[Edit]:
    settings = {"option httpchk": (Setting(args=check, at=AT),)} if check else {}
    peer = Peer(name="x", target=APP, check=" ".join(check[:2]))
    route = Route(proxy="haproxy", passes="app", at=AT, peers=(peer,), settings=settings)
    here = Snapshot(
        taken_at=datetime(2026, 3, 4, tzinfo=UTC),
        addresses=(),
        proxies=(Proxy(kind="haproxy", pid=7, unit="haproxy.service", exe="/usr/sbin/haproxy", routes=(route,)),),
        logs=LogSummary(paths=tuple(PathTraffic(at=AT, request=f"GET {path}", statuses=had) for path, had in paths.items())),
    )
    found = CAUSES["health-check-misconfigured"].remedies(Case(here=here, target=APP))
    return [step for one in found for step in one.steps if isinstance(step, Edit)]


CHECK = ("GET", "/healthz", "HTTP/1.1")


def test_it_asks_for_what_clients_got_most_often() -> None:
    (change,) = edits(CHECK, {"/": {"200": 30}, "/shop": {"200": 90, "503": 8}, "/login": {"200": 99, "302": 400}})
    found = placed(change, FILE)
    assert FILE[: found.start] + found.after.encode() + FILE[found.end :] == FILE.replace(b"/healthz", b"/shop")


@pytest.mark.parametrize(
    ("check", "paths"),
    [
        ((), {"/": {"200": 30}}),
        (("httpchk",), {"/": {"200": 30}}),
        (CHECK, {}),
        (CHECK, {"/": {"404": 30}}),
        (CHECK, {"/": {"503": 30}}),
        (CHECK, {"/items/*": {"200": 30}}),
        (CHECK, {"/healthz": {"200": 30}}),
    ],
)
def test_nothing_is_changed_without_such_a_path(check: tuple[str, ...], paths: dict[str, dict[str, int]]) -> None:
    assert edits(check, paths) == []
