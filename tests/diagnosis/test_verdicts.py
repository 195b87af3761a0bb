"""The ranking of findings, on small snapshots: chains, loops, stopped services, ongoing and resolved failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Location, Peer, Position, Route, Server, Setting
from why502.model.file_kind import FileKind
from why502.model.finding import Finding
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import ConfigTest, Proxy
from why502.model.remedy import Run
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Event, Listener, Snapshot, SocketPath
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
FRONT, INNER, APP = (Target(host="127.0.0.1", port=port) for port in (80, 8080, 3000))
SOCKET = Target(path="/run/app.sock")
REPLACE = msgspec.structs.replace


def route(to: Target, line: int, listen: str = "80", server: str = "shop.example", **changes: object) -> Route:
    """Return the route of a server to one address."""
    at = Position(file="/etc/nginx/nginx.conf", line=line)
    one = Route(server=server, server_names=(server,), listens=(listen,), location="/", location_path=("/",), at=at, server_at=at)
    return REPLACE(one, peers=(Peer(name=str(to), target=to),), passes=f"http://{to}", proxy_host=str(to), **changes)


def failing(
    symptom: Symptom, target: Target, count: int = 20, *, ago_s: float = 2, status: int = 502, **changes: object
) -> Tally:
    """Return a tally of failures that ended this long ago."""
    at = NOW - timedelta(seconds=ago_s)
    return REPLACE(
        Tally(symptom=symptom, target=target, count=count, status=status, first=at - timedelta(seconds=20), last=at), **changes
    )


def machine(*tallies: Tally, routes: tuple[Route, ...] = (), **changes: object) -> Snapshot:
    """Return a machine with systemd and nginx, an empty journal, and no other listeners."""
    proxy = Proxy(pid=10, routes=routes, config="/etc/nginx/nginx.conf", listens=(FRONT,), test=ConfigTest.OK)
    here = Snapshot(
        taken_at=NOW,
        since=NOW - timedelta(minutes=15),
        proxies=(proxy,),
        processes=(Process(pid=1, name="systemd"), Process(pid=10, name="nginx")),
        listeners=(Listener(target=FRONT, pids=(10,)),),
        services=(),
        events=(),
        php_pools=(),
        pressure=(),
        names=(),
        probes=(),
        addresses=("127.0.0.1",),
        logs=LogSummary(tallies=tallies, requests=100, by_status={"200": 80, "502": 20}, has_access=True),
    )
    return REPLACE(here, **changes)


def first(here: Snapshot) -> Finding:
    return diagnose(here).findings[0]


def asserted(here: Snapshot) -> list[str]:
    return [finding.cause for finding in diagnose(here).findings if finding.confidence >= 0.5]


@pytest.mark.parametrize(("master", "worker"), [(20, 20), (20, 21)])
@pytest.mark.parametrize("kind", ["haproxy", "apache2", "nginx"])
def test_the_inner_gateway_of_a_chain_leads(kind: str, master: int, worker: int) -> None:
    inner = Proxy(kind=kind, pid=master, routes=(route(APP, 3, "127.0.0.1:8080", proxy=kind),), config="/etc/inner.cfg")
    outer = machine(
        failing(Symptom.UPSTREAM_STATUS, INNER, 40, status=503),
        failing(Symptom.CONNECT_REFUSED, APP, 20, proxy=kind),
        routes=(route(INNER, 7),),
    )
    processes = (
        *(outer.processes or ()),
        Process(pid=master, name=kind),
        *((Process(pid=worker, ppid=master, name=kind),) * (worker != master)),
    )
    listeners = (*(outer.listeners or ()), Listener(target=INNER, pids=(worker,)))
    here = REPLACE(outer, proxies=(*(outer.proxies or ()), inner), processes=processes, listeners=listeners)
    assert (first(here).cause, first(here).target) == ("backend-not-running", APP)
    assert asserted(here) == ["backend-not-running"]
    (passed,) = [finding for finding in diagnose(here).findings if finding.cause == "upstream-error-status"]
    assert any(
        "is itself a gateway: this is the effect of backend-not-running on 127.0.0.1:3000" in item.message
        for item in passed.evidence
    )


def test_an_inner_gateway_of_which_nothing_is_known_is_named() -> None:
    here = machine(failing(Symptom.UPSTREAM_STATUS, INNER, 40, status=503), routes=(route(INNER, 7),))
    processes = (*(here.processes or ()), Process(pid=20, name="varnishd"))
    here = REPLACE(here, processes=processes, listeners=(*(here.listeners or ()), Listener(target=INNER, pids=(20,))))
    assert "varnishd (pid 20) on 127.0.0.1:8080, itself a gateway, answers 503" in first(here).message


@pytest.mark.parametrize(
    ("host", "is_loop"),
    [("shop.example", True), ("$host", True), ("app.example", False), ("static.example", False), ("$upstream_host", False)],
)
def test_only_the_server_that_comes_again_is_a_loop(host: str, is_loop: bool) -> None:
    routes = (route(FRONT, 3, host_header=host), route(APP, 9, server="app.example"))
    servers = tuple(Server(names=(each.server,), listens=each.listens, at=each.server_at, locations=()) for each in routes)
    servers = tuple(REPLACE(server, locations=(Location(path=("/",), at=server.at),)) for server in servers)
    static = Server(names=("static.example",), listens=("80",), at=Position(file="/etc/nginx/nginx.conf", line=20))
    here = machine(failing(Symptom.READ_TIMED_OUT, FRONT, status=504), routes=routes)
    (proxy,) = here.proxies or ()
    here = REPLACE(here, proxies=(REPLACE(proxy, servers=(*servers, static)),))
    assert ("proxy-loop" in asserted(here)) is is_loop


def service(**changes: object) -> Service:
    """Return the application's unit after an orderly stop."""
    unit = Service(manager="systemd", name="app.service", state="inactive", is_running=False, targets=(APP, SOCKET), exit_code=0)
    return REPLACE(unit, start_argv=("systemctl", "start", "app.service"), settings={"UnitFileState": "enabled"}, **changes)


STOPPED = (
    failing(Symptom.RESET_BEFORE_HEADER, APP, 4, ago_s=21),
    failing(Symptom.CONNECT_REFUSED, APP, 30),
)


@pytest.mark.parametrize("services", [(service(),), (service(exit_code=143),), (service(signal=15),), ()])
def test_a_stopped_service_did_not_crash(services: tuple[Service, ...]) -> None:
    here = machine(*STOPPED, routes=(route(APP, 3),), services=services)
    assert (first(here).cause, "backend-crashed" in asserted(here)) == ("backend-not-running", False)


@pytest.mark.parametrize(
    "services",
    [
        (service(exit_code=None, signal=11, result="signal", state="failed"),),
        (service(exit_code=1, result="exit-code", state="failed"),),
    ],
)
def test_a_service_that_died_crashed(services: tuple[Service, ...]) -> None:
    assert first(machine(*STOPPED, routes=(route(APP, 3),), services=services)).cause == "backend-crashed"


@pytest.mark.parametrize(("state", "at"), [("masked", ()), ("masked-runtime", ("--runtime",))])
def test_a_masked_unit_is_unmasked_before_it_is_started(state: str, at: tuple[str, ...]) -> None:
    unit = service(state="failed", exit_code=1, result="exit-code", reason=("terminated",))
    here = machine(*STOPPED[1:], routes=(route(APP, 3),), services=(REPLACE(unit, settings={"UnitFileState": state}),))
    found = first(here)
    assert found.cause == "backend-not-running"
    assert "masked" in found.message
    steps = [step.argv for step in found.remedies[0].steps if isinstance(step, Run)]
    assert steps == [("systemctl", "unmask", *at, "app.service"), ("systemctl", "start", "app.service")]


@pytest.mark.parametrize(("made_s", "cause"), [(5, "backend-not-running"), (500, "unix-socket-missing")])
def test_a_socket_that_was_made_since_was_not_missing_by_its_path(made_s: float, cause: str) -> None:
    made = NOW - timedelta(seconds=made_s)
    here = machine(
        failing(Symptom.SOCKET_PATH_MISSING, SOCKET, ago_s=6),
        routes=(route(SOCKET, 3),),
        socket_paths=(SocketPath(path=SOCKET.path, kind=FileKind.SOCKET, is_reachable=True, modified_at=made),),
    )
    processes = (*(here.processes or ()), Process(pid=30, name="gunicorn", started_at=made))
    here = REPLACE(here, processes=processes, listeners=(*(here.listeners or ()), Listener(target=SOCKET, pids=(30,))))
    assert first(here).cause == cause


def test_a_path_without_its_application_is_not_to_blame() -> None:
    served = TargetTraffic(target=SOCKET, attempts=90, last_success=NOW - timedelta(seconds=60))
    missing = (SocketPath(path=SOCKET.path, kind=FileKind.MISSING),)
    here = machine(failing(Symptom.SOCKET_PATH_MISSING, SOCKET), routes=(route(SOCKET, 3),), socket_paths=missing)
    assert here.logs is not None
    assert first(REPLACE(here, logs=REPLACE(here.logs, targets=(served,)))).cause == "backend-not-running"
    assert first(here).cause == "unix-socket-missing"


def test_ongoing_failures_rank_above_resolved_ones() -> None:
    other = Target(host="127.0.0.1", port=3001)
    over = failing(Symptom.CONNECT_REFUSED, other, 500, ago_s=600)
    now = failing(Symptom.RESET_BEFORE_HEADER, APP, 5)
    here = machine(over, now, routes=(route(APP, 3), route(other, 9)))
    alive = (
        Process(pid=31, name="app", started_at=NOW - timedelta(seconds=300)),
        Process(pid=30, name="app", started_at=NOW - timedelta(hours=5)),
    )
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(30,)), Listener(target=other, pids=(31,)))
    found = diagnose(REPLACE(here, processes=(*(here.processes or ()), *alive), listeners=listeners)).findings
    assert [(finding.target, finding.ongoing) for finding in found if finding.confidence >= 0.5] == [(APP, True), (other, False)]


def test_a_start_that_lasts_a_moment_is_none() -> None:
    at = NOW - timedelta(seconds=1)
    message = Event(
        at=at, symptom=Symptom.START_FAILED, message="KeyError: 'DATABASE_URL'", source="journalctl", unit="app.service"
    )
    tallies = (failing(Symptom.CONNECT_REFUSED, APP, 40), failing(Symptom.RESET_BEFORE_HEADER, APP, 8))
    here = machine(*tallies, routes=(route(APP, 3),), services=(service(is_running=True, state="active"),), events=(message,))
    process = Process(pid=30, name="gunicorn", started_at=at, unit="app.service")
    probe = Probe(target=APP, symptom=Symptom.RESET_BEFORE_HEADER, at=NOW)
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(30,)))
    here = REPLACE(here, processes=(*(here.processes or ()), process), listeners=listeners, probes=(probe,))
    assert first(here).cause == "backend-startup-failure"


@pytest.mark.parametrize(("began_s", "is_offered"), [(900, False), (10, True)])
def test_a_restart_policy_does_not_help_if_a_child_died(began_s: float, is_offered: bool) -> None:
    began = NOW - timedelta(seconds=began_s)
    crash = Event(
        at=NOW - timedelta(seconds=15),
        symptom=Symptom.PROCESS_CRASHED,
        message="worker died",
        source="kernel",
        unit="app.service",
    )
    unit = service(is_running=True, state="active", main_pid=30, unit_file="/etc/systemd/system/app.service")
    here = machine(failing(Symptom.RESET_BEFORE_HEADER, APP), routes=(route(APP, 3),), services=(unit,), events=(crash,))
    process = Process(pid=30, name="gunicorn", started_at=began, unit="app.service")
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(30,)))
    found = first(REPLACE(here, processes=(*(here.processes or ()), process), listeners=listeners))
    assert found.cause == "backend-crashed"
    assert any("Restart=on-failure" in remedy.message for remedy in found.remedies) is is_offered


LOOP = (
    pytest.param({"is_running": True, "state": "active"}, True, id="it-listens-for-a-moment"),
    pytest.param({"is_running": True, "state": "active"}, False, id="it-starts"),
    pytest.param({"is_running": None, "state": "activating"}, False, id="it-waits"),
    pytest.param(
        {"is_running": False, "state": "failed", "result": "exit-code", "exit_code": 1, "reason": ("KeyError",)},
        False,
        id="it-is-given-up",
    ),
)


@pytest.mark.parametrize(("state", "listens"), LOOP)
@pytest.mark.parametrize("target", [APP, SOCKET])
@pytest.mark.parametrize("message", [Symptom.START_FAILED, None])
def test_a_restart_loop_has_one_answer_at_every_moment(
    state: dict[str, object], listens: bool, target: Target, message: Symptom | None
) -> None:
    at = NOW - timedelta(seconds=1)
    event = Event(
        at=at, symptom=message or Symptom.PROCESS_EXITED, message="KeyError: 'X'", source="journalctl", unit="app.service"
    )
    missing = failing(Symptom.SOCKET_PATH_MISSING if target.is_unix else Symptom.CONNECT_REFUSED, target, 40)
    unit = REPLACE(service(restarts=7, changed_at=at, started_at=at), **state)
    here = machine(
        missing, failing(Symptom.RESET_BEFORE_HEADER, target, 8), routes=(route(target, 3),), services=(unit,), events=(event,)
    )
    symptom = Symptom.RESET_BEFORE_HEADER if listens else missing.symptom
    here = REPLACE(here, probes=(Probe(target=target, symptom=symptom, at=NOW),))
    kind = "socket" if listens else "missing"
    here = REPLACE(here, socket_paths=(SocketPath(path=SOCKET.path, kind=kind, modified_at=at if listens else None),))
    if listens:
        process = Process(pid=30, name="gunicorn", started_at=at, unit="app.service")
        here = REPLACE(
            here,
            processes=(*(here.processes or ()), process),
            listeners=(*(here.listeners or ()), Listener(target=target, pids=(30,))),
        )
    assert first(here).cause == ("backend-startup-failure" if message else "backend-crash-loop")


@pytest.mark.parametrize(
    ("named", "is_wrong"), [("$document_root$fastcgi_script_name", True), ("/public$fastcgi_script_name", False)]
)
def test_a_pool_with_a_root_of_its_own_needs_paths_below_it(named: str, is_wrong: bool) -> None:
    settings = {"root": (Setting(args=("/srv/shop/public",)),), "fastcgi_param": (Setting(args=("SCRIPT_FILENAME", named)),)}
    php = route(APP, 3, protocol="fastcgi", directive="fastcgi_pass", settings=settings)
    pool = PhpPool(name="www", target=APP, settings={"chroot": "/srv/shop/"})
    here = machine(failing(Symptom.SCRIPT_NOT_FOUND, APP, 30, status=404), routes=(php,), php_pools=(pool,))
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(30,)))
    here = REPLACE(here, processes=(*(here.processes or ()), Process(pid=30, name="php-fpm")), listeners=listeners)
    assert ("fastcgi-script-not-found" in asserted(here)) is is_wrong


@pytest.mark.parametrize(("ended", "is_killed"), [(service(), False), (service(signal=9, result="signal", state="failed"), True)])
def test_a_killed_process_of_the_same_name_does_not_explain_a_stop(ended: Service, is_killed: bool) -> None:
    """The kernel logs processes of all containers; without gateway logs, no timestamps can tell them apart."""
    killed = Event(
        symptom=Symptom.OOM_KILLED,
        at=NOW - timedelta(minutes=6),
        message="Killed process 7",
        source="dmesg",
        process="gunicorn",
        pid=7,
    )
    named = REPLACE(ended, argv=("/opt/venv/bin/gunicorn", "app:app"))
    refused = Probe(target=APP, protocol="http", symptom=Symptom.CONNECT_REFUSED, detail="Connection refused", at=NOW)
    here = machine(routes=(route(APP, 7),), services=(named,), events=(killed,), probes=(refused,))
    assert (first(here).cause == "backend-oom-killed") is is_killed
    assert is_killed or first(here).cause == "backend-not-running"


@pytest.mark.parametrize(("page", "leads"), [("@spare", SOCKET), ("/sorry.html", APP)])
def test_where_a_request_failed_first_leads_over_the_spare_that_failed_too(page: str, leads: Target) -> None:
    """Both fail as often and as surely: without the order of the route, the spare's cause would come first."""
    settings = {"error_page": (Setting(args=("502", "=", page)),)}
    primary, spare = route(SOCKET, 3, settings=settings), route(APP, 7, location="@spare", location_path=("@spare",))
    spare = REPLACE(spare, server_at=primary.server_at)
    here = machine(
        failing(Symptom.SOCKET_PATH_MISSING, SOCKET, 14),
        failing(Symptom.CONNECT_REFUSED, APP, 14),
        routes=(primary, spare),
        paths=(SocketPath(path=SOCKET.path, kind=FileKind.MISSING),),
    )
    found = [one for one in diagnose(here).findings if one.confidence >= 0.6]
    assert {one.target for one in found} == {SOCKET, APP}
    assert found[0].target == leads


@pytest.mark.parametrize(("given_up", "leads"), [(20, INNER), (60, APP)])
def test_a_gateway_in_front_that_gives_up_is_the_client_that_left(given_up: int, leads: Target) -> None:
    """The inner gateway would wait longer, and logs 499. If many more left than the front gave up on, they left themselves."""
    inner = Proxy(
        kind="nginx", pid=20, routes=(route(APP, 3, "127.0.0.1:8080"),), config="/etc/nginx/inner.conf", listens=(INNER,)
    )
    outer = machine(
        failing(Symptom.READ_TIMED_OUT, INNER, 20, status=504, proxy="haproxy"),
        failing(Symptom.CLIENT_CLOSED, APP, given_up, status=499),
        routes=(route(INNER, 7, proxy="haproxy"),),
    )
    front = REPLACE((outer.proxies or ())[0], kind="haproxy")
    here = REPLACE(
        outer,
        proxies=(front, inner),
        processes=(*(outer.processes or ()), Process(pid=20, name="nginx")),
        listeners=(*(outer.listeners or ()), Listener(target=INNER, pids=(20,)), Listener(target=APP, pids=(30,))),
    )
    assert first(here).target == leads
