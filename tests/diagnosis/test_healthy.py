"""Healthy machines with the usual activity of real ones: nothing is asserted, and every check passes.

The snapshot was recorded from a real nginx before an application. Its logs are read again, with the lines that each scene adds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from why502.bundle import load
from why502.collectors import logs as source
from why502.collectors.base import CollectOptions
from why502.diagnosis.engine import diagnose
from why502.host.local import LocalHost
from why502.model.config import Peer, Upstream
from why502.model.finding import Diagnosis, Verdict
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, ConfigTest
from why502.model.remedy import Run
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target
from why502.render.words import headlines

BASE = load((Path(__file__).parents[1] / "bundles/healthy/healthy.why502").read_bytes(), "healthy")
APP = Target(host="127.0.0.1", port=3000)
SPARE = Target(host="127.0.0.1", port=3009)
END = BASE.taken_at
REPLACE = msgspec.structs.replace


class Day:
    """The last 15 minutes: the access and error log lines, and the snapshot."""

    def __init__(self, pages: int = 400, slow: bool = False) -> None:
        self.chance = random.Random(7)
        self.access: list[tuple[datetime, str]] = []
        self.errors: list[tuple[datetime, str]] = []
        self.here = BASE
        for _ in range(pages):
            took = self.chance.lognormvariate(-2.5, 0.8) * (8 if slow else 1)
            self.answer(self.chance.choice(["GET /", "GET /cart", "POST /login", "GET /item/17"]), 200, took=took)

    def at(self) -> datetime:
        """Return a random time in this period."""
        return END - timedelta(seconds=self.chance.uniform(5, 880))

    def answer(
        self, request: str, status: int, *, took: float = 0.1, own: bool = False, upstream: str = "", agent: str = "Mozilla"
    ) -> None:
        """Add a response of the application, or (`own`) of nginx itself."""
        at, client = self.at(), f"198.51.100.{self.chance.randrange(250)}"
        fields = "- - - - -" if own else upstream or f"{APP} {status} 0.001 {took:.3f} {took:.3f}"
        line = f'{client} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "{request} HTTP/1.1" {status} 157 "-" "{agent}" {fields} {took:.3f}'
        self.access.append((at, line))

    def error(self, level: str, message: str, at: datetime | None = None) -> None:
        """Add a line of nginx's error log."""
        at = at or self.at()
        self.errors.append((at, f"{at:%Y/%m/%d %H:%M:%S} [{level}] 14#14: {message}"))

    def change(self, **changes: object) -> None:
        """Change the snapshot."""
        self.here = REPLACE(self.here, **changes)

    def diagnosed(self, directory: Path) -> Diagnosis:
        """Return the diagnosis."""
        for name, lines in (("access", self.access), ("error", self.errors)):
            (directory / f"{name}.log").write_text("".join(f"{line}\n" for _, line in sorted(lines)))
        (proxy,) = self.here.proxies or ()
        logs = tuple(REPLACE(log, path=f"{directory}/{log.kind}.log") for log in proxy.logs)
        started = END - timedelta(hours=9)
        proxies = (REPLACE(proxy, logs=logs, loaded_at=max(started, proxy.loaded_at or started) - timedelta(minutes=3)),)
        proxies = (REPLACE(proxies[0], changed_at=started),)
        found = source.collect(LocalHost(), REPLACE(self.here, proxies=proxies, logs=None), CollectOptions())
        return diagnose(REPLACE(self.here, proxies=proxies, logs=found.value))


def quiet(day: Day) -> None:
    """Change nothing."""


def cancelled_downloads(day: Day) -> None:
    for _ in range(30):
        day.answer("GET /film.mp4", 200, took=20)
        day.error("info", "*7 client 198.51.100.7 closed keepalive connection")
        message = "client prematurely closed connection while sending to client"
        day.error(
            "info",
            (
                f'*8 {message}, client: 198.51.100.7, server: shop.example, request: "GET /film.mp4 HTTP/1.1", upstream: '
                f'"http://{APP}/film.mp4", host: "shop.example"'
            ),
        )
    for _ in range(12):
        day.answer("GET /film.mp4", 499, took=25, upstream=f"{APP} 200 0.001 0.020 25.000")


def impatient_clients(day: Day) -> None:
    for _ in range(25):
        day.answer("GET /search", 499, took=day.chance.uniform(0.05, 2.5), upstream=f"{APP} - 0.001 - 0.900")


def impatient_robots(day: Day) -> None:
    for _ in range(4):
        day.answer("GET /cart", 499, took=5, upstream=f"{APP} 499 0.001 - 5.000", agent="bot")


def reload_at_night(day: Day) -> None:
    at = END - timedelta(minutes=6)
    for message in (
        "signal 1 (SIGHUP) received from 4711, reconfiguring",
        "reconfiguring",
        "gracefully shutting down",
        "exiting",
        "exit",
    ):
        day.error("notice", message, at)
    day.error("notice", "worker process 12 exited with code 0", at)


def nginx_restarted(day: Day) -> None:
    at = END - timedelta(minutes=6)
    for message in ("signal 15 (SIGTERM) received from 1, exiting", "exit", "nginx/1.22.1", "start worker processes"):
        day.error("notice", message, at)
    say(day, Symptom.PROXY_STOPPED, "Stopping nginx.service", at, "nginx.service")
    say(day, Symptom.PROCESS_STARTED, "Started nginx.service", at, "nginx.service")


def application_restarted(day: Day) -> None:
    at = END - timedelta(minutes=6)
    serve(day, restarts=0, started_at=at)
    say(day, Symptom.PROCESS_STOPPED, "Stopping app.service", at, "app.service")
    say(day, Symptom.PROCESS_STARTED, "Started app.service", at + timedelta(seconds=1), "app.service")


def application_crashed_unnoticed(day: Day) -> None:
    at = END - timedelta(minutes=9)
    serve(day, restarts=1, started_at=at)
    say(day, Symptom.PROCESS_CRASHED, "app.service: Main process exited, code=killed, status=11/SEGV", at, "app.service")


def traceback_without_failure(day: Day) -> None:
    serve(day)
    say(day, Symptom.APPLICATION_ERROR, "Traceback (most recent call last): KeyError: 'x'", day.at(), "app.service")
    say(day, Symptom.APPLICATION_ERROR, "Traceback in a nightly job", day.at(), "job.service")


def another_unit_failed(day: Day) -> None:
    failed = Service(
        manager="systemd",
        name="backup.service",
        state="failed",
        is_running=False,
        result="exit-code",
        exit_code=1,
        reason=("no space",),
    )
    day.change(services=(*(day.here.services or ()), failed))
    say(day, Symptom.START_FAILED, "backup.service: Failed with result 'exit-code'.", day.at(), "backup.service")
    say(day, Symptom.PROCESS_CRASHED, "chrome (pid 99): segfault at 0", day.at(), "")


def scanners(day: Day) -> None:
    for path in ("/.env", "/wp-login.php", "/.git/config", "/phpmyadmin/", "/cgi-bin/x", "/a.php", "/b.php") * 12:
        day.answer(f"GET {path}", 404)
        day.answer(f"GET /static{path}", 404, own=True)
        day.error(
            "error",
            (
                f'*9 open() "/srv{path}" failed (2: No such file or directory), client: 203.0.113.5, server: shop.example,'
                f' request: "GET {path} HTTP/1.1", host: "shop.example"'
            ),
        )
    for _ in range(30):
        day.answer(r"\x16\x03\x01\x00", 400, own=True)
        day.error(
            "error",
            (
                '*9 access forbidden by rule, client: 203.0.113.5, server: shop.example, request: "GET /.env HTTP/1.1", '
                'host: "192.0.2.1"'
            ),
        )
        day.error(
            "info",
            (
                "*9 client sent invalid method while reading client request line, client: 203.0.113.5, server: "
                'shop.example, request: "\\x16"'
            ),
        )
        day.error(
            "crit",
            (
                "*9 SSL_do_handshake() failed (SSL: error:0A00006C:SSL routines::bad key share) while SSL handshaking, "
                "client: 203.0.113.5, server: 0.0.0.0:443"
            ),
        )


def disabled_vhost(day: Day) -> None:
    for _ in range(300):
        day.answer("GET /", 404, own=True, agent="bot")
        day.answer("GET /old-shop", 444, own=True, agent="bot")
        day.answer("GET /older-shop", 410, own=True, agent="bot")
        day.answer("GET /", 403, own=True, agent="bot")


def slow_clients(day: Day) -> None:
    for _ in range(40):
        day.answer("POST /login", 408, own=True, took=60)
        day.error(
            "info",
            "*9 client timed out (110: Connection timed out) while waiting for request, client: 203.0.113.5, server: 0.0.0.0:80",
        )
        day.error(
            "info",
            "*9 recv() failed (104: Connection reset by peer) while waiting for request, client: 203.0.113.5, server: 0.0.0.0:80",
        )


def old_error(day: Day) -> None:
    for minutes in (16, 60, 700):
        at = END - timedelta(minutes=minutes)
        message = (
            "connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.7, server: "
            'shop.example, request: "GET / HTTP/1.1"'
        )
        day.error("error", f'*9 {message}, upstream: "http://{APP}/", host: "shop.example"', at)
        day.access.append(
            (
                at,
                f'198.51.100.7 - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET / HTTP/1.1" 502 157 "-" "-" {APP} 502 0.000 - 0.000 0.000',
            )
        )


def buffered(day: Day) -> None:
    for _ in range(40):
        message = (
            "an upstream response is buffered to a temporary file /var/lib/nginx/proxy/1/00/0000000001 while reading upstream"
        )
        day.error(
            "warn",
            (
                f'*9 {message}, client: 198.51.100.7, server: shop.example, request: "GET /film.mp4 HTTP/1.1", upstream: '
                f'"http://{APP}/film.mp4", host: "shop.example"'
            ),
        )
        day.error(
            "warn",
            (
                "*9 a client request body is buffered to a temporary file /var/lib/nginx/body/0000000001, client: "
                '198.51.100.7, server: shop.example, request: "POST /up HTTP/1.1"'
            ),
        )


def backup_down(day: Day) -> None:
    grouped(day, Peer(name=str(SPARE), target=SPARE, is_backup=True))


def member_marked_down(day: Day) -> None:
    grouped(day, Peer(name=str(SPARE), target=SPARE, is_down=True))


def unused_group(day: Day) -> None:
    (proxy,) = day.here.proxies or ()
    day.change(proxies=(REPLACE(proxy, upstreams=(Upstream(name="old", peers=(Peer(name=str(SPARE), target=SPARE),)),)),))


def health_checks(day: Day) -> None:
    for _ in range(180):
        day.answer("GET /health", 200, agent="ELB-HealthChecker/2.0")
        day.answer("HEAD /", 405, agent="check_http")


def limited_robots(day: Day) -> None:
    for _ in range(60):
        day.answer("GET /cart", 429, own=True, agent="bot")
        day.answer("GET /cart", 401)


def oom_of_another(day: Day) -> None:
    day.change(
        events=(
            *(day.here.events or ()),
            Event(at=day.at(), symptom=Symptom.OOM_KILLED, message="Killed process 99 (java)", source="kernel", process="java"),
        )
    )


def slow_pages(day: Day) -> None:
    day.__init__(400, slow=True)  # type: ignore[misc]


def say(day: Day, symptom: Symptom, message: str, at: datetime, unit: str) -> None:
    """Add an event of a unit."""
    day.change(events=(*(day.here.events or ()), Event(at=at, symptom=symptom, message=message, source="journalctl", unit=unit)))


def serve(day: Day, **changes: object) -> None:
    """Make systemd the manager of the application."""
    unit = Service(
        manager="systemd",
        name="app.service",
        state="active",
        is_running=True,
        main_pid=11,
        targets=(APP,),
        settings={"Restart": "always"},
    )
    day.change(services=(REPLACE(unit, **changes),))


def grouped(day: Day, *more: Peer) -> None:
    """Make the route lead to a group with further members."""
    (proxy,) = day.here.proxies or ()
    (route,) = proxy.routes
    peers = (*route.peers, *more)
    group = Upstream(name="app", peers=peers)
    day.change(proxies=(REPLACE(proxy, upstreams=(group,), routes=(REPLACE(route, upstream="app", peers=peers),)),))


def together(*scenes: Callable[[Day], None]) -> Callable[[Day], None]:
    """Return one scene that combines all of them."""

    def scene(day: Day) -> None:
        for each in scenes:
            each(day)

    return scene


ALONE = (
    quiet,
    cancelled_downloads,
    impatient_clients,
    impatient_robots,
    reload_at_night,
    nginx_restarted,
    application_restarted,
    application_crashed_unnoticed,
    traceback_without_failure,
    another_unit_failed,
    scanners,
    disabled_vhost,
    slow_clients,
    old_error,
    buffered,
    backup_down,
    member_marked_down,
    unused_group,
    health_checks,
    limited_robots,
    oom_of_another,
    slow_pages,
)


def scenes() -> Iterator[object]:
    """Yield each scene alone, and each combined with the next two."""
    for number, scene in enumerate(ALONE):
        others = (ALONE[(number + 3) % len(ALONE)], ALONE[(number + 8) % len(ALONE)])
        yield pytest.param(scene, id=scene.__name__)
        if slow_pages not in (scene, *others):
            yield pytest.param(together(scene, *others), id="+".join(each.__name__ for each in (scene, *others)))


@pytest.mark.parametrize("scene", list(scenes()))
def test_nothing_is_wrong(tmp_path: Path, scene: Callable[[Day], None]) -> None:
    day = Day()
    scene(day)
    diagnosis = day.diagnosed(tmp_path)
    assert (diagnosis.verdict, diagnosis.findings) == (Verdict.HEALTHY, ()), (
        headlines(diagnosis),
        [(finding.cause, finding.confidence) for finding in diagnosis.findings],
        [check for check in diagnosis.checks if check.status in ("warn", "fail")],
    )


def test_the_same_machine_is_not_well_once_requests_fail(tmp_path: Path) -> None:
    day = Day()
    together(*ALONE[1:8])(day)
    for _ in range(20):
        at = END - timedelta(seconds=day.chance.uniform(2, 30))
        message = (
            "connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.7, server: "
            'shop.example, request: "GET / HTTP/1.1"'
        )
        day.error("error", f'*9 {message}, upstream: "http://{APP}/", host: "shop.example"', at)
    assert day.diagnosed(tmp_path).verdict is Verdict.PROBLEM


@pytest.mark.parametrize("name", ["caddy", "varnishd", "apache2", "traefik"])
@pytest.mark.parametrize("state", ["disabled", "enabled", "masked", ""])
@pytest.mark.parametrize("test", ["ok", "failed"])
def test_nginx_is_not_missed_where_another_gateway_serves(name: str, state: str, test: str) -> None:
    here = served_by(name, state, test=test)
    diagnosis = diagnose(here)
    assert not [finding for finding in diagnosis.findings if finding.confidence >= 0.5]
    assert not [check for check in diagnosis.checks if check.status in ("warn", "fail")]
    assert f"{name} (pid 4711) listens on 127.0.0.1:80" in headlines(diagnosis)[0]


@pytest.mark.parametrize(("name", "state"), [("postgres", "disabled"), ("apache2", "failed")])
def test_a_stopped_nginx_is_reported_if_it_failed_or_nothing_replaces_it(name: str, state: str) -> None:
    first = diagnose(served_by(name, state)).findings[0]
    assert (first.cause, first.confidence >= 0.5) == ("proxy-not-running", True)
    steps = [" ".join(step.argv) for remedy in first.remedies for step in remedy.steps if isinstance(step, Run)]
    assert steps[0] == "systemctl start nginx.service"
    assert ("systemctl enable nginx.service" in steps) == (state == "disabled")


def test_a_gateway_that_nobody_enabled_is_not_started_in_place_of_the_one_that_failed() -> None:
    here = served_by("postgres", "disabled")
    (nginx,) = here.proxies or ()
    failed = REPLACE(
        nginx, kind="haproxy", config="/etc/haproxy/haproxy.cfg", unit="haproxy.service", unit_state="failed",
        test=ConfigTest.FAILED, problems=(ConfigProblem(message="unable to load the certificate"),),
    )  # fmt: skip
    first = diagnose(REPLACE(here, proxies=(failed, nginx))).findings[0]
    assert (first.cause, [remedy.steps for remedy in first.remedies]) == ("proxy-config-invalid", [()])
    assert "haproxy does not start: its own test rejects the configuration: unable to load the certificate" in first.message


def served_by(name: str, state: str, test: str = "ok") -> Snapshot:
    """Return the machine with nginx stopped and its unit in that state; a program of that name holds its port."""
    (proxy,) = BASE.proxies or ()
    idle = REPLACE(proxy, pid=None, workers=(), unit="nginx.service", unit_state=state, why_stopped="inactive (dead)", test=test)
    idle = REPLACE(idle, problems=(ConfigProblem(message="unknown directive"),) if test == "failed" else ())
    process = Process(pid=4711, name=name)
    listener = Listener(target=Target(host="127.0.0.1", port=80), pids=(4711,))
    return REPLACE(
        BASE, proxies=(idle,), listeners=(listener,), processes=(process,), logs=None, probes=(), services=(), kernel=None
    )
