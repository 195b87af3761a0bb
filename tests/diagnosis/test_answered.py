"""An application that answers with errors of its own, and the log messages in which it names what it lacks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, FRONT, NOW, REPLACE, asserted, failing, machine, route

from why502.diagnosis.engine import diagnose
from why502.diagnosis.needs import need_of
from why502.diagnosis.ways import placed, ways_of
from why502.logs.detect import parse_any
from why502.model.config import Answer, LogKind, LogPlace, LogTarget, Peer, Position, Route, Upstream
from why502.model.logs import LogFile, LogSummary, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Dependency, Disk, Event, Listener, Snapshot
from why502.model.target import Target

SINCE = timedelta(seconds=60)


def answering(*events: Event, status: int = 500, count: int = 30, served: int = 40, pid: int = 40) -> Snapshot:
    """Return a machine whose application answers one page with an error status; the access log names no upstream address."""
    one = route(APP, 7)
    bad = PathTraffic(
        server="shop.example",
        request="GET /basket",
        location="/",
        at=one.at,
        statuses={str(status): count},
        clients=8,
        refused_since=count,
        last_refused=NOW,
    )
    good = PathTraffic(server="shop.example", request="GET /", location="/", at=one.at, statuses={"200": served}, last_served=NOW)
    tally = Tally(symptom=Symptom.UPSTREAM_STATUS, proxy="nginx", count=count, status=status, first=NOW - SINCE, last=NOW)
    here = machine(routes=(one,), events=events)
    logs = LogSummary(
        tallies=(tally,),
        paths=(bad, good),
        targets=(TargetTraffic(target=APP, attempts=served, last_success=NOW),),
        requests=count + served,
        by_status={"200": served, str(status): count},
        has_access=True,
    )
    return REPLACE(
        here,
        logs=logs,
        processes=(*(here.processes or ()), Process(pid=pid, name="puma", unit="shop.service")),
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(pid,))),
    )


def says(symptom: Symptom, words: str, count: int = 1, pid: int = 40) -> Event:
    """Return the application's log messages since the errors began."""
    return Event(
        symptom=symptom, at=NOW - SINCE, last=NOW, message=words, detail=words, source="log", count=count, pid=pid, target=APP
    )


def test_its_last_words_stand_beside_its_errors() -> None:
    found = diagnose(answering(says(Symptom.APPLICATION_ERROR, "NoMethodError (undefined method `price' for nil)"))).findings
    assert [(one.cause, one.target) for one in found if one.confidence > 0.7] == [("application-error", APP)]
    assert any("undefined method `price'" in item.message for item in found[0].evidence)


def test_a_module_missing_on_one_page_is_not_a_failed_start() -> None:
    words = "Cannot find module '/srv/app/.next/server/pages/report.js'"
    for pid, expected in ((40, "application-error"), (41, "backend-startup-failure")):
        here = answering(says(Symptom.START_FAILED, words, 12, pid=pid))
        assert here.logs is not None
        failed = failing(Symptom.GATEWAY_STATUS, APP, 2, proxy="nginx")
        here = REPLACE(here, logs=REPLACE(here.logs, tallies=(*here.logs.tallies, failed)))
        assert asserted(here)[0] == expected


@pytest.mark.parametrize(
    ("words", "cause", "names"),
    [
        (
            ('PG::ConnectionBad (connection to server at "127.0.0.1", port 5432 failed: FATAL:  password '
                    'authentication failed for user "shop")'),
            "backend-dependency-down",
            "PostgreSQL (127.0.0.1:5432), which rejects the login",
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            "backend-dependency-down",
            "Redis, which is out of memory",
        ),
        ("MISCONF Redis is configured to save RDB snapshots, but", "backend-dependency-down", "Redis, which cannot save"),
        ("redis.exceptions.ReadOnlyError: READONLY You can't write against a read only replica.", "backend-dependency-down",
        "Redis, which is read-only"),
        ("redis.exceptions.ReadOnlyError: You can't write against a read only replica.", "backend-dependency-down",
        "Redis, which is read-only"),
        ("redis.exceptions.BusyLoadingError: Redis is loading the dataset in memory", "backend-dependency-down",
        "Redis, which is not ready"),
        ("pika.exceptions.NackError: 0 message(s) NACKed", "backend-dependency-down", "RabbitMQ, which refuses messages"),
        ("MySQLdb.OperationalError: (1862, 'Your password has expired. To log in you must change it')",
        "backend-dependency-down", "MySQL, which rejects the login"),
        (
            "ActiveRecord::ConnectionTimeoutError (could not obtain a connection from the pool within 5.000 seconds)",
            "backend-dependency-slow",
            "a database, which is slower than connections are released",
        ),
        (
            'database: connection to server at "127.0.0.1", port 6432 failed: FATAL:  query_wait_timeout',
            "backend-dependency-slow",
            "PgBouncer (127.0.0.1:6432), which does not answer in time",
        ),
    ],
)  # fmt: skip
def test_the_dependency_that_rejects_an_application_is_named(words: str, cause: str, names: str) -> None:
    found = diagnose(answering(says(Symptom.APPLICATION_ERROR, words, 30))).findings
    assert [(one.cause, one.target) for one in found if one.confidence >= 0.5] == [(cause, APP)]
    assert found[0].confidence > 0.7
    assert names in found[0].message


def repeated(*told: int) -> Snapshot:
    """Return a machine whose group of two answers our repeats of requests with 500 after a restart; those of these numbers logged
    that Redis refused them.
    """
    ends = (APP, Target(host="127.0.0.1", port=3001))
    whole = REPLACE(route(APP, 7), upstream="shop", peers=tuple(Peer(name=str(end), target=end) for end in ends))
    words = "redis.exceptions.AuthenticationError: invalid username-password pair or user is disabled."
    return machine(
        *(failing(Symptom.CONNECT_REFUSED, end, 2, ago_s=20, proxy="nginx") for end in ends),
        routes=(whole,),
        events=tuple(REPLACE(says(Symptom.APPLICATION_ERROR, words, pid=40 + n), target=ends[n]) for n in told),
        listeners=(
            Listener(target=FRONT, pids=(10,)),
            *(Listener(target=end, pids=(40 + n,)) for n, end in enumerate(ends)),
        ),
        probes=tuple(Probe(target=end, request="GET /", repeats=True, status=500, at=NOW) for end in ends),
    )


@pytest.mark.parametrize("told", [(0, 1), (1,), (0,)], ids=["both logs", "the second's log", "the first's log"])
def test_a_dependency_named_after_a_restart_counts_for_each_member_of_the_group(told: tuple[int, ...]) -> None:
    found = diagnose(repeated(*told)).findings
    named = [one for one in found if one.cause == "backend-dependency-down" and one.confidence >= 0.5]
    assert len(named) == 2
    assert all("needs Redis, which rejects the login" in one.message for one in named)
    assert all(one.confidence < 0.5 for one in found if one.cause == "application-error")


def test_members_that_log_nothing_have_errors_of_their_own() -> None:
    found = [one.cause for one in diagnose(repeated()).findings if one.confidence >= 0.5]
    assert found[:2] == ["application-error"] * 2
    assert "backend-dependency-down" not in found


@pytest.mark.parametrize(
    ("path", "request_line", "words", "cause"),
    [
        ("/srv/shop/pictures", "POST /pictures", "", "disk-full"),
        ("/srv/shop/pictures", "GET /pictures", "", "application-error"),
        ("/srv/other", "POST /pictures", "", "application-error"),
        ("/srv/its-user's", "POST /pictures", "", "disk-full"),
        ("/srv/its-user's", "GET /pictures", "", "application-error"),
        ("/srv/shop/pictures", "POST /pictures", "KeyError: 'name'", "application-error"),
    ],
)
def test_a_full_volume_in_the_directory_of_an_application_that_stores(
    path: str, request_line: str, words: str, cause: str
) -> None:
    here = answering(*((says(Symptom.APPLICATION_ERROR, words, 30),) if words else ()))
    assert here.logs is not None
    bad, good = here.logs.paths
    logs = REPLACE(here.logs, paths=(REPLACE(bad, request=request_line), good))
    processes = (*(here.processes or ())[:-1], Process(pid=40, name="uvicorn", cwd="/srv/shop", uid=1000))
    owner = 1000 if path == "/srv/its-user's" else 0
    disks = (Disk(path=path, free_bytes=0, total_bytes=6 << 20, is_of_proxy=False, owner_uid=owner),)
    found = diagnose(REPLACE(here, logs=logs, processes=processes, disks=disks)).findings
    assert [one.cause for one in found if one.confidence >= 0.5] == [cause]


@pytest.mark.parametrize(
    "words", ["ValueError: the password has expired", "You can't write against a closed file", "a message was NACKed"]
)
def test_words_that_name_no_dependency(words: str) -> None:
    found = diagnose(answering(says(Symptom.APPLICATION_ERROR, words, 30))).findings
    assert [one.cause for one in found if one.confidence >= 0.5] == ["application-error"]


@pytest.mark.parametrize(
    ("ports", "name"), [((6432,), "PgBouncer (127.0.0.1:6432)"), ((), "PostgreSQL"), ((5432, 6432), "PostgreSQL")]
)
def test_a_database_without_an_address_is_the_only_one_that_it_is_connected_to(ports: tuple[int, ...], name: str) -> None:
    peers = tuple(Dependency(target=APP, peer=Target(host="127.0.0.1", port=port), busy=5, is_heard=True) for port in ports)
    here = answering(says(Symptom.APPLICATION_ERROR, "database: connection already closed", 30))
    found = diagnose(REPLACE(here, dependencies=peers)).findings
    assert found[0].cause == "backend-dependency-down"
    assert f"needs {name}, which ends its connections" in found[0].message


@pytest.mark.parametrize(("refused", "cause"), [(1, "application-error"), (30, "backend-dependency-down")])
def test_what_most_of_its_errors_say_is_the_reason(refused: int, cause: str) -> None:
    events = (
        says(Symptom.APPLICATION_ERROR, "PHP Fatal error:  Uncaught mysqli_sql_exception: Connection refused", refused),
        says(Symptom.APPLICATION_ERROR, "PHP Fatal error:  Uncaught TypeError: strlen(): argument must be a string", 30),
    )
    assert diagnose(answering(*events)).findings[0].cause == cause


def test_a_few_words_of_a_database_are_no_reason_where_clients_are_served() -> None:
    words = 'PG::ConnectionBad (connection to server at "127.0.0.1", port 5432 failed: FATAL:  password authentication failed)'
    here = answering(says(Symptom.APPLICATION_ERROR, words), count=2, served=900)
    assert asserted(here) == []


@pytest.mark.parametrize(
    ("line", "format", "words"),
    [
        ('[2026-11-22 15:12:10,123] ERROR in app: database: connection to server at "127.0.0.1", port 6432 failed',
        "application", "database: connection"),
        ("[2026-11-22 15:08:20] production.ERROR: OOM command not allowed when used memory > 'maxmemory'. {}", "application",
        "OOM command"),
        ("[2026-11-22T15:08:20.123456+00:00] request.CRITICAL: Uncaught PHP Exception Doctrine", "application", "Uncaught PHP"),
        ("NoMethodError (undefined method `price' for nil:NilClass):", "ruby", "NoMethodError"),
        ("F, [2026-11-22T15:14:34.123456 #141] FATAL -- : [5b0e-1] PG::ConnectionBad (connection to server", "ruby",
        "PG::ConnectionBad"),
        ("ActionView::Template::Error (undefined local variable):", "ruby", "ActionView::Template::Error"),
    ],
)  # fmt: skip
def test_an_error_in_the_log_of_a_framework(line: str, format: str, words: str) -> None:
    record = parse_any(line)
    assert record is not None
    assert (record.format, record.symptom) == (format, Symptom.APPLICATION_ERROR)
    assert record.detail.startswith(words)


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-22 15:08:20] production.WARNING: slow query",
        "[2026-11-22 15:08:20] production.INFO: the word ERROR: stands here",
        "[2026-11-22 15:12:10,123] WARNING in app: nothing",
        'ActionController::RoutingError (No route matches [GET] "/wp-login.php"):',
        "ActiveRecord::RecordNotFound (Couldn't find Product):",
        "Completed 200 OK in 12ms (Error (no))",
    ],
)
def test_log_lines_that_are_not_application_errors(line: str) -> None:
    record = parse_any(line)
    assert record is None or record.symptom is not Symptom.APPLICATION_ERROR


def test_an_exhausted_pool_is_reported_as_slow_although_it_timed_out() -> None:
    need = need_of("ActiveRecord::ConnectionTimeoutError (could not obtain a connection from the pool within 5.000 seconds)")
    assert need is not None
    assert not need.is_down


@pytest.mark.parametrize(("pid", "is_itself"), [(10, True), (77, False)])
def test_an_application_that_waits_for_its_own_gateway_waits_for_itself(pid: int, is_itself: bool) -> None:
    peer = Dependency(
        target=APP, peer=Target(host="127.0.0.1", port=FRONT.port), waiting=4, busy=5, is_heard=True, pid=pid, process="x"
    )
    here = machine(failing(Symptom.READ_TIMED_OUT, APP, status=504, proxy="nginx"), routes=(route(APP, 7),), dependencies=(peer,))
    here = REPLACE(here, listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,))))
    assert ("backend-dependency-slow" in asserted(here)) is not is_itself


@pytest.mark.parametrize(
    ("goes_to", "is_told"), [(("file", "syslog"), True), (("syslog",), False), (("file",), True), (("off",), False)]
)
def test_one_empty_error_log_is_evidence_for_its_server(goes_to: tuple[str, ...], is_told: bool) -> None:
    """nginx writes the same line to each error log of a place."""
    path = "/var/log/nginx/shop.error.log"
    here = machine(failing(Symptom.GATEWAY_STATUS, APP, status=503, proxy="nginx"), routes=(route(APP, 7),))
    (proxy,) = here.proxies or ()
    logs = tuple(
        LogTarget(
            kind=LogKind.ERROR, path=path if way == "file" else "", goes_to=LogPlace(way), level="error", server="shop.example"
        )
        for way in goes_to
    )
    assert here.logs is not None
    summary = REPLACE(here.logs, files=(LogFile(path=path, format="nginx_error"),))
    here = REPLACE(
        here,
        proxies=(REPLACE(proxy, logs=logs),),
        logs=summary,
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,))),
    )
    assert ("upstream-error-status" in asserted(here)) is is_told


def balanced(*answers: Answer) -> Snapshot:
    """Return a machine whose httpd passes everything to a balancer of two members; its log does not name the member."""
    at = Position(file="/etc/apache2/sites-enabled/app.conf", line=15)
    peers = tuple(Peer(name=f"http://127.0.0.1:{port}", target=Target(host="127.0.0.1", port=port)) for port in (8081, 8082))
    one = Route(
        proxy="apache",
        server="app.example",
        server_names=("app.example",),
        location="/",
        at=at,
        upstream="app",
        peers=peers,
        directive="ProxyPass",
        passes="balancer://app/",
    )
    log = LogTarget(kind=LogKind.ERROR, path="/var/log/apache2/error.log", goes_to=LogPlace.FILE)
    proxy = Proxy(
        kind="apache",
        pid=10,
        root="/proc/10/root",
        routes=(one,),
        upstreams=(Upstream(name="app", peers=peers),),
        answers=answers,
        logs=(log,),
    )
    tally = Tally(
        symptom=Symptom.GATEWAY_STATUS,
        proxy="apache",
        status=503,
        count=20,
        first=NOW - SINCE,
        last=NOW,
        requests=(("GET /orders", 12), ("GET /", 8)),
    )
    here = machine()
    assert here.logs is not None
    files = (LogFile(path="/proc/10/root/var/log/apache2/error.log", lines=2),)
    logs = REPLACE(here.logs, tallies=placed((tally,), ways_of((proxy,))), files=files)
    members = tuple(Listener(target=peer.target, pids=(50,)) for peer in peers if peer.target)
    return REPLACE(here, proxies=(proxy,), logs=logs, listeners=(*(here.listeners or ()), *members))


def test_a_status_that_httpd_has_no_reason_for_is_of_the_members_of_its_balancer() -> None:
    (found,) = [one for one in diagnose(balanced()).findings if one.confidence >= 0.5]
    assert (found.cause, found.target, found.group, found.failures) == ("upstream-error-status", None, "app", 20)


def test_a_status_that_httpd_answers_by_a_rule_is_its_own() -> None:
    rule = Answer(server="app.example", status=503, if_conditions=("/srv/maintenance.enable -f",))
    assert asserted(balanced(rule)) == ["maintenance-response"]


def test_a_status_is_not_the_members_where_the_error_log_was_not_read() -> None:
    here = balanced()
    assert here.logs is not None
    assert asserted(REPLACE(here, logs=REPLACE(here.logs, files=()))) == []


def test_a_request_that_never_arrived_is_not_an_answer_of_the_application() -> None:
    """A path has answered 500 since a restart; half of its requests failed during the gap of that restart."""
    here = answering(count=11, served=200)
    assert here.logs is not None
    bad, good = here.logs.paths
    mixed = REPLACE(bad, statuses={"200": 2, "500": 11, "502": 14}, refused_since=0, last_served=NOW)
    refused = Tally(
        symptom=Symptom.CONNECT_REFUSED, target=APP, count=2, first=NOW - SINCE, last=NOW - SINCE, requests=(("GET /basket", 2),)
    )
    logs = REPLACE(here.logs, paths=(mixed, good), tallies=(*here.logs.tallies, refused))
    found = diagnose(REPLACE(here, logs=logs)).findings
    assert (found[0].cause, found[0].target, found[0].confidence > 0.7) == ("application-error", APP, True)
    assert "11 of 13 requests" in found[0].message


def test_a_process_at_its_limit_of_files_is_named_beside_the_gap_of_its_restart() -> None:
    """Since the restart it answers a few requests with 500 and logs the reason. The earlier failures were refused connections."""
    ago = timedelta(seconds=3)
    spoke = Event(
        symptom=Symptom.FILES_EXHAUSTED,
        at=NOW,
        last=NOW,
        message="[Errno 24] Too many open files",
        source="journal",
        count=3,
        pid=40,
    )
    here = answering(spoke, count=3, served=200)
    assert here.logs is not None
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, target=APP, count=22, status=502, first=NOW - ago, last=NOW - ago)
    both = diagnose(REPLACE(here, logs=REPLACE(here.logs, tallies=(*here.logs.tallies, refused)))).findings
    assert (both[0].cause, both[0].target, both[0].ongoing) == ("too-many-open-files", APP, True)
    quiet = REPLACE(here.logs, tallies=(refused,), paths=here.logs.paths[1:])
    assert "too-many-open-files" not in asserted(REPLACE(here, logs=quiet))
