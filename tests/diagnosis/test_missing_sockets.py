"""A missing unix socket: its application runs elsewhere, has a private /tmp, or does not run at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.file_kind import FileKind
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Event, Listener, Snapshot, SocketPath
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PLACE = Position(file="/etc/nginx/sites-enabled/shop", line=9)
PATH = "/run/php/php8.2-fpm.sock"
OTHER = Target(path="/run/tracer.sock")


def _missing(started: datetime, *, seen_elsewhere: tuple[str, ...] = (), path: str = PATH) -> Snapshot:
    """Return a machine whose proxy finds no socket at a path that worked before; since `started` another program listens."""
    target = Target(path=path)
    route = Route(location="/", at=PLACE, protocol="http", peers=(Peer(name=f"unix:{path}", target=target),))
    tally = Tally(symptom=Symptom.SOCKET_PATH_MISSING, target=target, status=502, count=12, first=AT, last=AT)
    served = PathTraffic(request="GET /", location="/", at=PLACE, statuses={"200": 9, "502": 12}, last_served=AT)
    return Snapshot(
        taken_at=AT + timedelta(seconds=2),
        proxies=(Proxy(pid=3, routes=(route,), user="www-data"),),
        listeners=(Listener(target=OTHER, pids=(9,)),),
        processes=(Process(pid=9, name="tracer", started_at=started),),
        socket_paths=(SocketPath(path=path, user="www-data", kind=FileKind.MISSING, seen_elsewhere=seen_elsewhere),),
        logs=LogSummary(tallies=(tally,), paths=(served,), requests=21, has_access=True),
    )


def _first(here: Snapshot) -> Finding:
    return next(finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED)


def test_a_program_that_listened_beside_it_is_not_where_the_application_went() -> None:
    first = _first(_missing(AT - timedelta(minutes=5)))
    assert first.cause == "backend-not-running"
    assert str(OTHER) not in str(first)


def test_a_program_that_began_as_it_vanished_may_be_the_application() -> None:
    first = _first(_missing(AT + timedelta(seconds=1)))
    assert (first.cause, str(OTHER.path) in first.message) == ("unix-socket-missing", True)


@pytest.mark.parametrize(
    ("elsewhere", "is_private"),
    [("/tmp/systemd-private-1c8e-shop.service-qO3Nfj/tmp/shop.sock", True), ("/proc/77/root/tmp/shop.sock", False)],
)
def test_a_private_tmp_is_called_so(elsewhere: str, is_private: bool) -> None:
    first = _first(_missing(AT - timedelta(minutes=5), seen_elsewhere=(elsewhere,), path="/tmp/shop.sock"))
    assert first.cause == "unix-socket-missing" and elsewhere in first.message
    assert ("PrivateTmp" in first.message) == is_private


@pytest.mark.parametrize(("unit", "is_removed"), [("shop@green.service", True), ("shop@blue.service", False)])
def test_a_socket_that_another_instance_removed_as_it_stopped(unit: str, is_removed: bool) -> None:
    """What a stopped service leaves behind does not serve; another service does, without its file."""
    here = _missing(AT - timedelta(minutes=5))
    own = Target(path=PATH)
    blue = Service(
        manager="systemd",
        name="shop@blue.service",
        state="failed",
        is_running=False,
        result="timeout",
        reason=("Killing process 8 with signal SIGKILL.",),
        started_at=AT - timedelta(minutes=9),
        targets=(own,),
    )
    stop = Event(
        symptom=Symptom.PROCESS_STOPPED,
        message="Stopping shop@blue.service",
        detail="Stopping shop@blue.service",
        unit=blue.name,
        at=AT - timedelta(seconds=5),
        source="journalctl",
    )
    here = msgspec.structs.replace(
        here,
        listeners=(Listener(target=own, pids=(9,), is_at_path=False),),
        processes=(Process(pid=9, name="uwsgi", unit=unit, started_at=AT - timedelta(minutes=2)),),
        services=(blue,),
        events=(stop,),
    )
    first = _first(here)
    assert (first.cause == "unix-socket-missing" and unit in first.message) is is_removed
    assert first.cause != "backend-startup-failure"  # "timeout" is the result of its stop


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize(("listen", "is_moved"), [("/run/library/gunicorn.sock", True), (PATH, False), ("", False)])
def test_a_socket_unit_that_listens_on_another_path(is_running: bool, listen: str, is_moved: bool) -> None:
    """The old file is left over, and refuses connections. That systemd has not started the service yet is not the reason."""
    here = _missing(AT - timedelta(minutes=5))
    (logs, target) = here.logs, Target(path=PATH)
    assert logs is not None
    refused = msgspec.structs.replace(logs.tallies[0], symptom=Symptom.CONNECT_REFUSED)
    service = Service(
        manager="systemd",
        name="lms@loans.service",
        state="active" if is_running else "inactive",
        is_running=is_running,
        started_at=AT - timedelta(minutes=9),
        settings={"Listen": listen} if listen else {},
        targets=(target,),
    )
    here = msgspec.structs.replace(
        here,
        socket_paths=(SocketPath(path=PATH, user="www-data", kind=FileKind.SOCKET),),
        services=(service,),
        logs=msgspec.structs.replace(logs, tallies=(refused,)),
    )
    first = _first(here)
    assert (first.cause == "unix-socket-missing" and listen in first.message and service.name in first.message) is is_moved
    assert is_moved or first.cause == "backend-not-running"


@pytest.mark.parametrize("gateway", ["lighttpd", "nginx"])
def test_the_unit_of_the_gateway_that_names_a_socket_does_not_have_it(gateway: str) -> None:
    """A gateway's own file names its backends: its unit is not that of the application."""
    target, other = Target(path=PATH), Target(path="/run/php/shop.sock")
    route = Route(proxy=gateway, location=".php", at=PLACE, protocol="fastcgi", peers=(Peer(name=PATH, target=target),))
    tally = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy=gateway, target=target, status=503, count=12, first=AT, last=AT)
    here = Snapshot(
        taken_at=AT + timedelta(seconds=2),
        proxies=(Proxy(kind=gateway, pid=3, routes=(route,), user="www-data", unit=f"{gateway}.service"),),
        listeners=(Listener(target=other, pids=(9,)),),
        processes=(Process(pid=9, name="php-fpm8.2"),),
        socket_paths=(SocketPath(path=PATH, user="www-data", kind=FileKind.MISSING),),
        php_pools=(PhpPool(name="shop", file="/etc/php/8.2/fpm/pool.d/shop.conf", target=other, master_pid=9),),
        services=(
            Service(
                name=f"{gateway}.service",
                manager="systemd",
                targets=(target,),
                main_pid=3,
                is_running=True,
                argv=(f"/usr/sbin/{gateway}",),
                link=f"/etc/{gateway}.conf names {PATH}",
            ),
        ),
        logs=LogSummary(tallies=(tally,), requests=21, has_access=True),
    )
    first = _first(here)
    assert (first.cause, first.target) == ("php-fpm-socket-mismatch", target)
    assert other.path in first.message
