"""Measurements of the machine as evidence for or against a cause, and cases in which they are not evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.alarms import is_impatience
from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.model.config import Peer, Position, Route
from why502.model.finding import Evidence
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Limits, Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Disk, Kernel, Listener, Pressure, Resolution, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=3000)
OLD = Target(host="10.0.0.5", port=80)
REPLACE = msgspec.structs.replace
AT = Position(file="/etc/nginx/nginx.conf", line=7)


def machine(symptom: Symptom, target: Target = APP, **changes: object) -> Snapshot:
    """Return a machine whose requests to a target all fail in the same way, while the backend listens."""
    to = target if target is APP else Target(host="app.example", port=80)
    route = Route(peers=(Peer(name=str(to), target=to),), at=AT)
    tally = Tally(symptom=symptom, target=target, count=9, first=NOW - timedelta(seconds=60), last=NOW - timedelta(seconds=2))
    worker = Process(pid=11, ppid=10, name="nginx", limits=Limits(files_limit=1024))
    here = Snapshot(
        taken_at=NOW,
        proxies=(Proxy(pid=10, routes=(route,), workers=(worker,)),),
        processes=(Process(pid=10, name="nginx"), Process(pid=30, name="app", state="D", cgroup="/app")),
        listeners=(Listener(target=APP, pids=(30,)),),
        addresses=("127.0.0.1",),
        logs=LogSummary(tallies=(tally,), requests=100, has_access=True),
    )
    return REPLACE(here, **changes)


def evidence(cause: str, here: Snapshot, target: Target = APP) -> list[Evidence]:
    return list(CAUSES[cause].examine(Case(here, target=target)))


def weight(cause: str, here: Snapshot, words: str, target: Target = APP) -> float:
    """Return the weight of the only evidence with this text; 0 if there is none."""
    found = [item.weight for item in evidence(cause, here, target) if words in item.message]
    assert len(found) <= 1
    return found[0] if found else 0.0


CROWDED = Pressure(cpu_busy=1.0, running=12, cpus=2)


@pytest.mark.parametrize(
    ("pressure", "speaks"),
    [
        (CROWDED, True),
        (REPLACE(CROWDED, cpu_some=0.1), False),  # by the kernel's figures, hardly any task waited
        (REPLACE(CROWDED, running=4), False),
        (REPLACE(CROWDED, cpu_busy=0.6), False),
        (REPLACE(CROWDED, cpus=None), False),
        (Pressure(), False),
    ],
)
def test_busy_cpus_where_the_kernel_has_no_pressure_figures(pressure: Pressure, speaks: bool) -> None:
    here = machine(Symptom.READ_TIMED_OUT, pressure=(pressure,))
    assert (weight("cpu-saturation", here, "12 tasks for 2 CPUs") > 0) is speaks
    assert speaks or not evidence("cpu-saturation", here)


def test_the_quota_of_a_throttled_group_is_named() -> None:
    group = Pressure(scope="/app", throttled=0.8, throttled_now=0.9, cpu_quota=0.5)
    here = machine(Symptom.READ_TIMED_OUT, pressure=(group,))
    assert weight("cpu-saturation", here, "its quota is 0.5 CPUs") > 0


@pytest.mark.parametrize(
    ("pressure", "state", "speaks"),
    [
        (Pressure(disk="sda", disk_busy=0.97), "D", True),
        (Pressure(disk="sda", disk_busy=0.97), "S", False),  # the backend itself does not wait for a device
        (Pressure(disk="sda", disk_busy=0.5), "D", False),
        (Pressure(disk="sda", disk_busy=0.97, io_some=0.0), "D", False),
    ],
)
def test_a_busy_disk_where_the_kernel_has_no_pressure_figures(pressure: Pressure, state: str, speaks: bool) -> None:
    app = Process(pid=30, name="app", state=state)
    here = machine(Symptom.READ_TIMED_OUT, pressure=(pressure,), processes=(app,))
    assert (weight("io-saturation", here, "disk sda was busy 97%") > 0) is speaks


@pytest.mark.parametrize(
    ("pressure", "state", "speaks"),
    [
        (Pressure(io_some=0.32, io_now=1.0), "D", True),  # four seconds after the disk became the bottleneck
        (Pressure(io_some=0.32, io_now=1.0), "S", False),  # the backend itself does not wait for a device
        (Pressure(io_some=0.01, io_now=1.0), "D", False),  # one write that took as long as the measurement
        (Pressure(io_some=0.32, io_now=0.4), "D", False),
        (Pressure(io_some=0.32), "D", False),
    ],
)
def test_a_disk_that_became_the_bottleneck_a_moment_ago(pressure: Pressure, state: str, speaks: bool) -> None:
    here = machine(Symptom.READ_TIMED_OUT, pressure=(pressure,), processes=(Process(pid=30, name="app", state=state),))
    assert (weight("io-saturation", here, "now wait for a disk 100%") > 0) is speaks


@pytest.mark.parametrize(("is_read_only", "symptom"), [(True, Symptom.IO_FAILED), (False, Symptom.IO_FAILED)])
def test_a_read_only_file_system_is_not_a_slow_disk(is_read_only: bool, symptom: Symptom) -> None:
    disk = Disk(path="/var/lib/nginx", free_bytes=1 << 30, total_bytes=1 << 31, is_read_only=is_read_only)
    here = machine(symptom, disks=(disk,))
    assert (weight("io-saturation", here, "mounted read-only") < 0) is is_read_only
    assert (weight("proxy-temp-unwritable", here, "mounted read-only") > 0) is is_read_only


@pytest.mark.parametrize(
    ("pressure", "words"),
    [
        (
            Pressure(scope="/app", memory_some=0.5, memory_limit_hits=31, memory_limit_bytes=64 << 20),
            "its memory limit of 64 MiB 31 times",
        ),
        (Pressure(swapped_bytes_s=40.0 * (1 << 20)), "swapped 40 MiB per second"),
    ],
)
def test_memory_limits_and_swapping(pressure: Pressure, words: str) -> None:
    assert weight("memory-pressure", machine(Symptom.READ_TIMED_OUT, pressure=(pressure,)), words) > 0
    quiet = REPLACE(pressure, memory_some=0.0)  # the limit was reached once, and nothing waits now; swapped, and nothing waits
    assert not evidence("memory-pressure", machine(Symptom.READ_TIMED_OUT, pressure=(quiet,)))


@pytest.mark.parametrize(("now", "speaks"), [(7, True), (0, False), (None, False)])
def test_queues_that_overflow_while_we_look(now: int | None, speaks: bool) -> None:
    here = machine(Symptom.CONNECT_TIMED_OUT, kernel=Kernel(listen_overflows=90, listen_overflows_now=now))
    assert weight("listen-backlog-overflow", here, "90 accept-queue overflows") > 0
    assert (weight("listen-backlog-overflow", here, "7 of them during the measurement") > 0) is speaks


@pytest.mark.parametrize(("overflows", "queue", "path"), [(0, -6.0, 2.0), (90, 3.0, 0.0), (None, 1.0, 0.0)])
def test_what_the_kernel_counted_tells_a_full_queue_from_a_firewall(overflows: int | None, queue: float, path: float) -> None:
    """Connections that a listener of this machine did not get: without a witness neither is asserted as a fact."""
    here = machine(Symptom.CONNECT_TIMED_OUT, kernel=Kernel(listen_overflows=overflows))
    backlog = (Listener(target=APP, pids=(30,), queued=0, backlog=64),)
    here = REPLACE(here, listeners=backlog)
    assert sum(item.weight for item in evidence("listen-backlog-overflow", here)) == queue
    assert sum(item.weight for item in evidence("connect-timeout", here)) == path
    told = CAUSES["connect-timeout"].summarize(Case(here, target=APP))
    assert ("were dropped on this machine" in told) is (overflows == 0)


@pytest.mark.parametrize(
    ("on_season", "waited_s", "is_told"),
    [
        ((9, 0), None, True),
        ((9, 0), (1.50, 1.51), True),
        ((9, 0), (0.2, 2.5), False),
        ((9, 20), None, False),
        ((2, 0), None, False),
    ],
)
def test_a_path_that_clients_always_give_up(
    on_season: tuple[int, int], waited_s: tuple[float, float] | None, is_told: bool
) -> None:
    """An impatient monitor is a small share of all requests, and never gets an answer; people cancel at different times."""
    gave_up, served = on_season
    seen = REPLACE(
        machine(Symptom.CLIENT_CLOSED),
        logs=LogSummary(
            tallies=(
                Tally(
                    symptom=Symptom.CLIENT_CLOSED,
                    target=APP,
                    status=499,
                    count=gave_up,
                    first=NOW - timedelta(seconds=60),
                    last=NOW - timedelta(seconds=2),
                    requests=(("GET /season", gave_up),),
                    duration_min_s=waited_s[0] if waited_s else None,
                    duration_max_s=waited_s[1] if waited_s else None,
                ),
            ),
            paths=(PathTraffic(request="GET /season", statuses={"499": gave_up} | ({"200": served} if served else {}), at=AT),),
            requests=200,
            has_access=True,
        ),
    )
    assert is_impatience(seen, APP) is not is_told
    assert (weight("client-closed-request", seen, "some clients always disconnect early") < 0) is not is_told


@pytest.mark.parametrize(("used", "speaks"), [(9900, True), (500, False), (None, False)])
def test_a_machine_without_a_free_descriptor(used: int | None, speaks: bool) -> None:
    here = machine(Symptom.FILES_EXHAUSTED, kernel=Kernel(files_open=used, files_max=10_000))
    assert (weight("too-many-open-files", here, "9900 of the 10000 files") > 0) is speaks
    remedies = [each.message for each in CAUSES["too-many-open-files"].remedies(Case(here, target=APP))]
    assert any("fs.file-max" in message for message in remedies) is speaks


@pytest.mark.parametrize(("used", "words"), [(1020, "1024 files and has 1020 open now"), (None, "may open 1024 files")])
def test_the_descriptors_of_a_worker(used: int | None, words: str) -> None:
    here = machine(Symptom.FILES_EXHAUSTED)
    (proxy,) = here.proxies or ()
    worker = REPLACE(proxy.workers[0], limits=Limits(files_open=used, files_limit=1024))
    assert weight("too-many-open-files", REPLACE(here, proxies=(REPLACE(proxy, workers=(worker,)),)), words) > 0


@pytest.mark.parametrize(("pong", "sign"), [(False, 1), (True, -1), (None, 0)])
def test_a_pool_that_does_not_answer_its_ping_hangs(pong: bool | None, sign: int) -> None:
    pool = PhpPool(name="www", file="/etc/php/www.conf", target=APP, answers_ping=pong)
    found = weight("backend-hung", machine(Symptom.READ_TIMED_OUT, php_pools=(pool,)), "its ping")
    assert (found > 0) - (found < 0) == sign


@pytest.mark.parametrize(("ttl_s", "advised"), [(30.0, True), (3600.0, False), (None, False)])
def test_a_name_whose_answers_are_short_lived_is_to_be_resolved_again(ttl_s: float | None, advised: bool) -> None:
    name = Resolution(name="app.example", addresses=("10.0.0.9",), ttl_s=ttl_s)
    here = machine(Symptom.CONNECT_REFUSED, OLD, names=(name,))
    assert weight("stale-dns", here, "app.example now resolves to 10.0.0.9", OLD) > 0
    remedies = [each.message for each in CAUSES["stale-dns"].remedies(Case(here, target=OLD))]
    assert any("valid for only 30 s" in message for message in remedies) is advised


@pytest.mark.parametrize(
    ("limit_s", "symptom", "speaks"),
    [
        (2.0, Symptom.SEND_TIMED_OUT, True),
        (60.0, Symptom.SEND_TIMED_OUT, False),
        (0.0, Symptom.SEND_TIMED_OUT, False),  # no limit
        (2.0, Symptom.READ_TIMED_OUT, False),
    ],
)
def test_a_short_send_timeout(limit_s: float, symptom: Symptom, speaks: bool) -> None:
    here = machine(symptom)
    (proxy,) = here.proxies or ()
    here = REPLACE(here, proxies=(REPLACE(proxy, routes=(REPLACE(proxy.routes[0], send_timeout_s=limit_s),)),))
    assert (weight("proxy-timeout-too-short", here, "the send timeout of that route is 2 s") > 0) is speaks


@pytest.mark.parametrize(
    ("slowest_s", "failures", "speaks"),
    [(45.0, 3, True), (5.0, 3, False), (60.0, 30, False), (None, 3, False)],  # 30 %: they are the failures themselves
)
def test_answers_that_nearly_take_the_limit(slowest_s: float | None, failures: int, speaks: bool) -> None:
    here = machine(Symptom.READ_TIMED_OUT)
    traffic = TargetTraffic(target=APP, attempts=100, failures=failures, response_p95_s=slowest_s)
    here = REPLACE(here, logs=REPLACE(here.logs, targets=(traffic,)))
    assert (weight("backend-too-slow", here, "one in twenty responses takes more than 45.0 s") > 0) is speaks


@pytest.mark.parametrize(("queued", "counted", "waiting"), [(None, 5, 5), (0, 5, 0), (3, 5, 3), (None, 0, 0)])
def test_who_waits_is_known_by_the_socket_tables_where_the_queue_is_not(queued: int | None, counted: int, waiting: int) -> None:
    kernel = Kernel(unaccepted={str(APP): counted})
    here = machine(Symptom.READ_TIMED_OUT, kernel=kernel, listeners=(Listener(target=APP, pids=(30,), queued=queued),))
    here = REPLACE(here, processes=(Process(pid=30, name="app", state="S"),))
    assert Case(here, target=APP).queued == waiting
    assert (weight("workers-exhausted", here, f"{waiting} connections wait to be accepted") > 0) is (waiting > 0)


@pytest.mark.parametrize(("limit_s", "speaks"), [(0.2, True), (5.0, False)])
def test_a_read_timeout_of_less_than_a_second_is_too_short(limit_s: float, speaks: bool) -> None:
    here = machine(Symptom.READ_TIMED_OUT)
    (proxy,) = here.proxies or ()
    here = REPLACE(here, proxies=(REPLACE(proxy, routes=(REPLACE(proxy.routes[0], read_timeout_s=limit_s),)),))
    assert (weight("proxy-timeout-too-short", here, "0.2 s is shorter than many answers take") > 0) is speaks


@pytest.mark.parametrize(("served", "is_told"), [(None, True), (NOW - timedelta(seconds=30), False)])
def test_clients_that_left_a_proxy_that_could_not_connect(served: datetime | None, is_told: bool) -> None:
    """HAProxy tries again for a while: the clients leave before it has given up, and its log only has them."""
    seen = machine(
        Symptom.CLIENT_CLOSED, listeners=(), probes=(Probe(target=APP, protocol="tcp", symptom=Symptom.CONNECT_REFUSED, at=NOW),)
    )
    traffic = TargetTraffic(target=APP, attempts=9, last_success=served)
    seen = REPLACE(seen, logs=REPLACE(seen.logs, targets=(traffic,)))
    assert (weight("client-closed-request", seen, "the proxy tried to connect") < 0) is is_told
