"""Evidence that was recorded on stacks of real packages, and the same evidence with the deciding fact changed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

import why502
from why502.diagnosis.engine import diagnose
from why502.model.config import Setting
from why502.model.finding import Finding
from why502.model.logs import Symptom
from why502.model.proxy import ConfigProblem, ConfigTest
from why502.model.remedy import Edit
from why502.model.snapshot import Event, Snapshot

STACKS = Path(__file__).parent.parent / "data" / "stacks"


def recorded(name: str) -> Snapshot:
    """Return the evidence of one scene."""
    return why502.load((STACKS / f"{name}.why502").read_bytes(), name)


def first(here: Snapshot) -> Finding | None:
    """Return the first finding that is asserted; None if there is none."""
    return next((one for one in diagnose(here).findings if one.confidence >= 0.6), None)


@pytest.mark.parametrize(
    ("name", "cause", "target"),
    [
        ("cloud-previews-of-films", "php-fpm-max-children", "unix:/run/php/cloud.sock"),
        ("cloud-data-volume-full", "disk-full", "unix:/run/php/cloud.sock"),
        ("hub-loop-in-the-server", "backend-hung", "unix:/run/notebook-alice/web.sock"),
        ("hub-proxy-snippet-tidied", "websocket-upgrade-missing", "None"),
        ("books-host-header-lost", "wrong-host-header", "127.0.0.1:8069"),
        ("cargo-upgrade-lost", "websocket-upgrade-missing", "127.0.0.1:3300"),  # a ProxyPass without upgrade=websocket
        ("parchment-long-request-header", "request-header-too-big", "127.0.0.1:8022"),
        ("parchment-three-processes", "workers-exhausted", "127.0.0.1:8022"),
        ("parchment-core-stopped", "backend-dependency-down", "127.0.0.1:8022"),
        ("almanac-year-of-eighteen-seconds", "backend-too-slow", "127.0.0.1:8443"),  # HAProxy gives up on nginx, which logs 499
        ("nginx-haproxy-accepts-proxy-only", "wrong-protocol", "127.0.0.1:8088"),  # since HAProxy was restarted
        ("websocket-upgrade-lost", "websocket-upgrade-missing", "127.0.0.1:8765"),  # the application answers 426
        ("door-secret-rotated", "application-error", "127.0.0.1:9091"),  # whom Caddy asks first, for two sites
        ("gallery-moved-below-home", "fastcgi-script-not-found", "unix:/run/php/gallery.sock"),
        ("fastapi-redis-bound-elsewhere", "backend-dependency-down", "127.0.0.1:8080"),  # it served until Redis was restarted
        ("tannery-secret-of-the-new-file", "ajp-secret-mismatch", "127.0.0.1:8009"),  # refused while its slow start lasted, too
        ("depot-htpasswd-lost", "application-error", "127.0.0.1:8080"),  # a handler in Go panics at each request
        ("ferry-lock-in-the-loop", "backend-hung", "unix:/run/ferry/api.sock"),  # pages that were answered before are not, either
        ("cargo-logs-belong-to-root", "backend-startup-failure", "127.0.0.1:3300"),  # PM2 stopped it, and cannot open its log
        ("apiary-settings-with-a-comma", "backend-not-running", "127.0.0.1:7300"),  # beanstalkd ran before it ended, elsewhere
        ("stadium-njs-module-gone", "proxy-config-invalid", "None"),  # nginx is down since the restart after an upgrade
        ("three-middle-upgraded-module-missing", "proxy-config-invalid", "127.0.0.1:8080"),  # nginx is down, behind HAProxy
    ],
)
def test_the_cause_is_named(name: str, cause: str, target: str) -> None:
    found = first(recorded(name))
    assert found is not None
    assert (found.cause, str(found.target)) == (cause, target)


def test_a_path_that_is_not_there_is_no_websocket_where_others_open() -> None:
    here = recorded("hub-first-day-of-term")
    assert diagnose(here).verdict == "healthy"
    assert here.logs is not None
    closed = tuple(replace(path, statuses={**path.statuses, "101": 0}) for path in here.logs.paths)
    never = replace(here, logs=replace(here.logs, paths=tuple(replace(p, request=p.request.replace(".php", "")) for p in closed)))
    assert diagnose(never).verdict == "unknown"  # nobody opened any: it may be the handshake that gets 404


def test_a_cache_that_was_started_again_while_the_application_ran_may_have_moved() -> None:
    here = recorded("cloud-data-volume-full")
    assert here.dependencies and here.processes and here.disks
    began = here.dependencies[0].unit_since
    assert began is not None
    early = tuple(replace(p, started_at=began.replace(minute=0)) if p.name.startswith("php") else p for p in here.processes)
    free = tuple(replace(disk, free_bytes=1 << 30) for disk in here.disks)
    moved = first(replace(here, processes=early, disks=free))
    assert moved is not None and moved.cause == "backend-dependency-down"
    together = first(replace(here, disks=free))
    assert together is None or together.cause != "backend-dependency-down"


def test_a_process_that_waits_does_not_spin() -> None:
    here = recorded("hub-loop-in-the-server")
    assert here.kernel is not None
    idle = replace(here.kernel, backend_cpu=dict.fromkeys(here.kernel.backend_cpu, 0.1))
    found = first(replace(here, kernel=idle))
    assert found is None or found.cause != "backend-hung"


def test_an_application_that_was_started_again_may_have_lost_its_pages() -> None:
    here = recorded("books-host-header-lost")
    assert here.proxies and here.processes
    loaded = here.proxies[0].loaded_at
    assert loaded is not None
    later = tuple(replace(one, started_at=loaded) if one.unit == "books.service" else one for one in here.processes)
    found = first(replace(here, processes=later))
    assert found is not None and found.cause == "application-error"


def test_a_route_that_changes_the_path_may_ask_for_pages_that_are_not_there() -> None:
    here = recorded("books-host-header-lost")
    assert here.proxies
    routes = tuple(replace(route, uri="/app/") for route in here.proxies[0].routes)
    found = first(replace(here, proxies=(replace(here.proxies[0], routes=routes),)))
    assert found is not None and found.cause == "application-error"


@pytest.mark.parametrize(("kept_waiting", "cause"), [(0.7, "backend-hung"), (0.1, "workers-exhausted")])
def test_a_loop_on_a_busy_machine_waits_for_a_processor_all_the_time(kept_waiting: float, cause: str) -> None:
    here = recorded("hub-loop-in-the-server")
    assert here.kernel is not None
    busy = dict.fromkeys(here.kernel.backend_cpu, 0.25)
    kernel = replace(here.kernel, backend_cpu=busy, backend_kept_waiting=dict.fromkeys(busy, kept_waiting))
    found = first(replace(here, kernel=kernel))
    assert found is not None and found.cause == cause


def test_apache_forwards_upgrades_where_the_route_is_told_to() -> None:
    here = recorded("cargo-upgrade-lost")
    assert here.proxies is not None
    told = tuple(
        replace(
            proxy,
            routes=tuple(
                replace(route, settings={**route.settings, "upgrade": (Setting(args=("websocket",)),)}) for route in proxy.routes
            ),
        )
        for proxy in here.proxies
    )
    assert "websocket-upgrade-missing" not in [one.cause for one in diagnose(replace(here, proxies=told)).findings]


@pytest.mark.parametrize("name", ["parchment-long-request-header", "parchment-three-processes"])
def test_the_500s_of_mod_proxy_uwsgi_are_the_applications_where_it_reports_them(name: str) -> None:
    here = recorded(name)
    said = Event(
        at=here.until,
        symptom=Symptom.APPLICATION_ERROR,
        message="HTTP/1.1 500",
        detail="HTTP/1.1 500",
        source="journalctl -u lists-web.service",
        unit="lists-web.service",
        pid=next(event.pid for event in here.events or () if event.pid),
        count=20,
    )
    kept = tuple(event for event in here.events or () if event.symptom is not Symptom.REQUEST_HEADER_TOO_BIG)
    found = first(replace(here, events=(*kept, said)))
    assert found is not None and found.cause == "application-error"


@pytest.mark.parametrize("change", ["another reason", "still runs", "ended earlier", "all paths fail"])
def test_a_stopped_unit_is_not_missed_where_something_else_explains_the_errors(change: str) -> None:
    here = recorded("parchment-core-stopped")
    assert here.logs is not None and here.dependencies and here.events
    if change == "another reason":
        words = "ValueError: invalid literal for int() with base 10"
        said = tuple(
            replace(event, message=words, detail=words) if event.symptom is Symptom.APPLICATION_ERROR else event
            for event in here.events
        )
        here = replace(here, events=said)
    elif change == "still runs":
        here = replace(here, dependencies=tuple(replace(one, unit_state="active") for one in here.dependencies))
    elif change == "ended earlier":
        early = tuple(
            replace(one, unit_since=one.unit_since - timedelta(minutes=5)) for one in here.dependencies if one.unit_since
        )
        here = replace(here, dependencies=early)
    else:
        paths = tuple(path for path in here.logs.paths if "503" in path.statuses)
        here = replace(here, logs=replace(here.logs, paths=paths))
    assert "backend-dependency-down" not in [one.cause for one in diagnose(here).findings if one.confidence >= 0.5]


def test_clients_left_where_the_gateway_in_front_waited() -> None:
    here = recorded("almanac-year-of-eighteen-seconds")
    assert here.logs is not None
    own = tuple(tally for tally in here.logs.tallies if tally.proxy != "haproxy")
    found = first(replace(here, logs=replace(here.logs, tallies=own)))
    assert found is not None and found.cause == "client-closed-request"


def test_fastcgi_has_no_host_to_lose() -> None:
    here = recorded("books-host-header-lost")
    assert here.proxies is not None
    other = tuple(replace(proxy, routes=tuple(replace(r, protocol="fastcgi") for r in proxy.routes)) for proxy in here.proxies)
    assert "wrong-host-header" not in [one.cause for one in diagnose(replace(here, proxies=other)).findings]


@pytest.mark.parametrize(("statuses", "is_answered"), [({"200": 49, "404": 40, "500": 2}, True), ({"200": 49, "502": 2}, False)])
def test_a_protocol_in_which_every_request_was_answered_is_not_wrong(statuses: dict[str, int], *, is_answered: bool) -> None:
    """A probe of another kind gets no answer; an error of the application is one."""
    here = recorded("pharmacy-docroot-of-release")
    assert here.logs is not None
    traffic = tuple(replace(one, statuses=statuses) if one.failures else one for one in here.logs.targets)
    found = diagnose(replace(here, logs=replace(here.logs, targets=traffic))).findings
    assert (("wrong-protocol", True) not in [(one.cause, one.confidence >= 0.5) for one in found]) is is_answered


@pytest.mark.parametrize(("earlier_s", "has_queue", "is_it"), [(0, True, True), (40, True, False), (0, False, False)])
def test_a_stopped_worker_for_which_everything_waits(earlier_s: int, *, has_queue: bool, is_it: bool) -> None:
    """All workers wait for its results, so no request is served any more; a unit that ended earlier is not it."""
    here = recorded("hostel-celery-stopped")
    then = timedelta(seconds=earlier_s)
    needs = tuple(
        replace(one, unit_since=one.unit_since - then if one.unit_since and one.shares else one.unit_since)
        for one in here.dependencies or ()
        if has_queue or one.shares
    )
    found = first(replace(here, dependencies=needs))
    assert found is not None
    assert (found.cause == "backend-dependency-down" and "hostel-celery.service" in found.message) is is_it


def test_errors_here_and_there_on_several_routes_are_told() -> None:
    """An old release holds the same port, and gets some of the requests of each route."""
    here = recorded("stadium-old-release-left")
    assert first(here) is not None and first(here).cause == "application-error"  # type: ignore[union-attr]
    assert here.logs is not None
    few = tuple(replace(path, statuses={**path.statuses, "500": path.statuses.get("500", 0) // 2}) for path in here.logs.paths)
    over = tuple(
        replace(path, last_served=path.last_refused + timedelta(minutes=2)) if path.last_refused else path
        for path in here.logs.paths
    )
    alone = tuple(replace(path, clients=1) for path in here.logs.paths)
    for paths in (few, over, alone):
        assert diagnose(replace(here, logs=replace(here.logs, paths=paths))).verdict == "healthy"


def test_an_application_that_never_served_with_it_is_not_said_to_need_it() -> None:
    here = recorded("fastapi-redis-bound-elsewhere")
    assert here.logs is not None
    never = tuple(replace(path, last_served=None) for path in here.logs.paths)
    found = diagnose(replace(here, logs=replace(here.logs, paths=never, targets=()))).findings
    assert "backend-dependency-down" not in {one.cause for one in found if one.confidence >= 0.5}


def test_who_runs_a_manager_is_said_once() -> None:
    """PM2 runs several processes of one application, and each is a service."""
    for finding in diagnose(recorded("orders-invoice-kills-process")).findings:
        assert sum("runs the pm2 that speaks of api" in each.message for each in finding.evidence) <= 1
    assert "user 1000, not root, runs the pm2 that speaks of api" in {
        each.message for each in diagnose(recorded("orders-invoice-kills-process")).findings[0].evidence
    }


def test_a_gateway_that_is_down_and_would_start_is_not_running() -> None:
    here = recorded("stadium-njs-module-gone")
    fine = tuple(replace(proxy, test=ConfigTest.OK, problems=()) for proxy in here.proxies or ())
    found = first(replace(here, proxies=fine))
    assert found is not None and found.cause == "proxy-not-running"
    assert "start nginx.service" in [remedy.message for remedy in found.remedies]


def test_a_port_in_use_is_no_error_of_the_configuration() -> None:
    here = recorded("stadium-njs-module-gone")
    problem = ConfigProblem(message="bind() to 0.0.0.0:80 failed (98: Address already in use)")
    taken = tuple(replace(proxy, problems=(problem,)) for proxy in here.proxies or ())
    found = first(replace(here, proxies=taken))
    assert found is not None and found.cause == "proxy-listen-failed"


def test_a_handler_that_breaks_off_and_a_process_that_ends_are_told_apart() -> None:
    here = recorded("depot-htpasswd-lost")
    panics = [event for event in here.events or () if event.symptom is Symptom.APPLICATION_ERROR]
    assert panics and {event.pid for event in panics} == {176}
    dead = tuple(replace(event, pid=175) for event in panics)  # of a process that no longer listens
    assert here.events is not None
    ended = first(replace(here, events=(*(e for e in here.events if e not in panics), *dead)))
    assert ended is not None and ended.cause != "application-error"
    few = first(replace(here, events=(*(e for e in here.events if e not in panics), *panics[:3])))
    assert few is not None and few.cause != "application-error"


def test_workers_that_wait_for_something_do_not_hang() -> None:
    here = recorded("ferry-lock-in-the-loop")
    assert here.kernel is not None
    busy = first(replace(here, kernel=replace(here.kernel, backend_cpu={"unix:/run/ferry/api.sock": 0.8})))
    unknown = first(replace(here, dependencies=None))
    assert busy is not None and busy.cause != "backend-hung"
    assert unknown is not None and unknown.cause != "backend-hung"


def test_the_route_of_apache_gets_the_word_that_forwards_handshakes() -> None:
    found = first(recorded("cargo-upgrade-lost"))
    assert found is not None
    (edit, *loads) = found.remedies[0].steps
    assert isinstance(edit, Edit)
    assert (edit.before, edit.after) == ("http://127.0.0.1:3300/", "http://127.0.0.1:3300/ upgrade=websocket")
    assert len(loads) == 2
