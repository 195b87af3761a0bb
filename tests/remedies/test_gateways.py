"""The start of a gateway that does not run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import ConfigTest, Proxy
from why502.model.remedy import Run
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.remedies.gateways import begin

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
START = Run(argv=("systemctl", "start", "nginx.service"), undo=("systemctl", "stop", "nginx.service"))
ENABLE = Run(argv=("systemctl", "enable", "nginx.service"), undo=("systemctl", "disable", "nginx.service"))


def _steps(proxy: Proxy, has_systemd: bool = True) -> list[tuple[object, ...]]:
    return [remedy.steps for remedy in begin(proxy, has_systemd)]


def _unmask(*words: str) -> Run:
    names = (*words, "nginx.service")
    return Run(argv=("systemctl", "unmask", *names), undo=("systemctl", "mask", *names))


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ("enabled", [(START,)]),
        ("disabled", [(START,), (ENABLE, START)]),
        ("masked", [(_unmask(), START)]),
        ("masked-runtime", [(_unmask("--runtime"), START)]),
    ],
)
def test_a_unit_is_started_by_its_manager(state: str, steps: list[tuple[object, ...]]) -> None:
    assert _steps(Proxy(kind="nginx", unit="nginx.service", unit_state=state)) == steps


def test_a_gateway_without_a_unit_is_started_by_its_program_where_no_systemd_runs() -> None:
    proxy = Proxy(kind="nginx", exe="/usr/sbin/nginx", options=("-c", "/etc/nginx/nginx.conf"))
    program = ("/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf")
    assert _steps(proxy, has_systemd=False) == [(Run(argv=(*program, "-t")), Run(argv=program, undo=(*program, "-s", "quit")))]
    assert _steps(proxy) == []


@pytest.mark.parametrize(
    "proxy",
    [
        Proxy(kind="nginx", unit="nginx.service", pid=4),
        Proxy(kind="nginx", unit="nginx.service", test=ConfigTest.FAILED),
        Proxy(kind="nginx"),
    ],
)
def test_a_gateway_that_runs_or_would_not_start_is_left_alone(proxy: Proxy) -> None:
    assert _steps(proxy) == []


def test_a_backend_that_is_a_stopped_gateway_is_started() -> None:
    target = Target(host="127.0.0.1", port=8082)
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, target=target, count=3, first=AT, last=AT)
    here = Snapshot(
        taken_at=AT,
        proxies=(
            Proxy(kind="haproxy", pid=4, routes=(Route(peers=(Peer(name="files", target=target),)),)),
            Proxy(kind="nginx", unit="nginx.service", unit_state="enabled", listens=(target,)),
        ),
        listeners=(),
        logs=LogSummary(tallies=(tally,), requests=9, has_access=True),
    )
    found = CAUSES["backend-not-running"].remedies(Case(here, target=target))
    assert [(remedy.message, remedy.steps) for remedy in found] == [("start nginx.service", (START,))]
