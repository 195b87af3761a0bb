"""Events: in order, without duplicates, causes before effects; the times of kernel and audit logs; the time window."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from why502.collectors import events, kernel_log
from why502.collectors.base import CollectOptions
from why502.collectors.event_order import joined, only_loops
from why502.diagnosis.case import Case
from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.host.local import LocalHost
from why502.model.config import Peer, Route
from why502.model.errors import Expired
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, tzinfo=UTC)

AT = datetime(2026, 11, 21, tzinfo=UTC)


def event(symptom: Symptom, seconds: float = 0, **fields: object) -> Event:
    return Event(
        symptom=symptom, message="", source=str(fields.pop("source", "log")), at=AT + timedelta(seconds=seconds), **fields
    )


def symptoms(*given: Event) -> list[Symptom]:
    return [one.symptom for one in joined(given)]


def test_the_three_lines_of_one_oom_kill_are_one() -> None:
    cgroup = "/system.slice/app.service"
    (one,) = joined(
        [
            event(Symptom.OOM_KILLED, 0, pid=206, process="python3", cgroup=cgroup, unit="app.service"),
            event(Symptom.OOM_KILLED, 0.001, pid=206, process="python3", detail="Memory cgroup out of memory"),
            event(Symptom.OOM_KILLED, 0.1, pid=206, process="python3"),
        ]
    )
    assert (one.unit, one.cgroup, one.count) == ("app.service", cgroup, 1)


def test_a_kill_for_memory_or_time_is_not_a_crash() -> None:
    oom = event(Symptom.OOM_KILLED, 0, unit="app.service")
    assert symptoms(oom, event(Symptom.PROCESS_CRASHED, 0.1, unit="app.service", code=9)) == [Symptom.OOM_KILLED]
    late = event(Symptom.WORKER_TIMED_OUT, 0, pid=7)
    assert symptoms(late, event(Symptom.PROCESS_CRASHED, 1, pid=7, code=9)) == [Symptom.WORKER_TIMED_OUT]
    assert len(symptoms(late, event(Symptom.PROCESS_CRASHED, 1, pid=8, code=9))) == 2
    assert len(symptoms(late, event(Symptom.PROCESS_CRASHED, 1, pid=7, code=11))) == 2


def test_an_exception_that_ends_a_start_is_reported_once_in_any_order() -> None:
    crash, reason = event(Symptom.PROCESS_CRASHED, 0), event(Symptom.ADDRESS_IN_USE, 0.001)
    assert symptoms(crash, reason, event(Symptom.PROCESS_CRASHED, 0.002)) == [Symptom.ADDRESS_IN_USE]


def test_a_manager_that_sums_up_adds_nothing() -> None:
    given = [
        event(Symptom.PROCESS_CRASHED, 0, unit="a.service", detail="Main process exited, code=dumped", code=11),
        event(Symptom.PROCESS_CRASHED, 0.1, unit="a.service", detail="Failed with result 'core-dump'"),
        event(Symptom.START_FAILED, 0.2, unit="a.service", detail="Failed to start a.service"),
    ]
    assert symptoms(*given) == [Symptom.PROCESS_CRASHED]
    assert symptoms(given[2]) == [Symptom.START_FAILED]


def test_the_same_again_is_counted() -> None:
    given = [event(Symptom.START_FAILED, n, detail="No module named x", pid=n + 1, unit="a.service") for n in range(4)]
    assert [one.count for one in joined(given)] == [4]


def test_the_line_with_the_reason_replaces_general_ones() -> None:
    lines = (
        "Exception in worker process",
        "ModuleNotFoundError: No module named 'stripe'",
        "exited with code 3",
        "Worker failed to boot",
    )
    given = [
        Event(
            at=NOW + timedelta(seconds=n),
            symptom=Symptom.START_FAILED,
            message=text,
            detail=text,
            source="x",
            unit="shop.service",
        )
        for n, text in enumerate(lines)
    ]
    assert [one.detail for one in joined(given)] == ["ModuleNotFoundError: No module named 'stripe'"]
    assert [one.detail for one in joined(given[:1])] == ["Exception in worker process"]  # without other events it is kept


@pytest.mark.parametrize(("schemes", "told"), [(("https", "http"), 2), (("https", "https"), 1)])
def test_a_changed_protocol_is_a_new_event(schemes: tuple[str, ...], told: int) -> None:
    given = [
        Event(
            at=NOW + timedelta(seconds=5 * n),
            symptom=Symptom.LISTENS_ON,
            message=f"Listening at: {scheme}://",
            source="x",
            unit="u",
        )
        for n, scheme in enumerate(schemes)
    ]
    assert len(joined(given)) == told


def test_the_same_again_has_its_last_time() -> None:
    given = [
        Event(
            at=NOW + timedelta(seconds=10 * n),
            symptom=Symptom.PROCESS_STARTED,
            message="Started",
            detail="Started",
            source="x",
            unit="u",
        )
        for n in range(4)
    ]
    (one,) = joined(given)
    assert (one.count, one.at, one.ended_at) == (4, NOW, NOW + timedelta(seconds=30))


def test_a_single_restart_is_not_a_loop_whatever_its_counter() -> None:
    def restarts(count: int) -> list[Symptom]:
        words = "Scheduled restart job, restart counter is at {}"
        given = [event(Symptom.RESTART_LOOP, 61 * n, unit="a.service", detail=words.format(57 + n)) for n in range(count)]
        return [one.symptom for one in only_loops(joined(given))]

    assert restarts(1) == [Symptom.PROCESS_STARTED]
    assert restarts(3) == [Symptom.RESTART_LOOP] * 3


KERNEL = """\
2026-11-21T00:00:01,500000+00:00 Memory cgroup out of memory: Killed process 206 (python3) total-vm:72360kB, anon-rss:61040kB
2026-11-21T01:00:02,500000+01:00 eth0: link up
"""


def test_forms_of_dmesg() -> None:
    assert [at for at, _ in kernel_log.parse_iso(KERNEL)] == [AT + timedelta(seconds=1.5), AT + timedelta(seconds=2.5)]
    ((at, text),) = kernel_log.parse_seconds("[   12.345678] nf_conntrack: table full, dropping packet\nnonsense\n", AT)
    assert (at, text[:12]) == (AT + timedelta(seconds=12.345678), "nf_conntrack")


class Container(DirectoryHost):
    """A directory as a container whose `dmesg` is its host's log."""

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        return Finished(status=0, stdout=KERNEL if argv[0] == "dmesg" else "", stderr="")


def test_kernel_messages_older_than_a_container_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "proc" / "1").mkdir(parents=True)
    (tmp_path / "proc" / "stat").write_text(f"btime {AT.timestamp() - 86400:.0f}\n")
    host = Container(str(tmp_path))

    def lines_of(born_s: float) -> int:
        """Return how many lines count if pid 1 started `born_s` seconds after midnight."""
        fields = ["0"] * 18 + [f"{(86400 + born_s) * 100:.0f}"]
        (tmp_path / "proc" / "1" / "stat").write_text(f"1 (systemd) S {' '.join(fields)}\n")
        return len(kernel_log.kernel_lines(host, AT, AT + timedelta(minutes=1))[1])

    assert (lines_of(-3600), lines_of(0), lines_of(30)) == (2, 2, 0)


class Machine(DirectoryHost):
    """A directory as a machine, with commands that hang or fail."""

    def run(self, *argv: str, timeout_s: float = 5.0):  # type: ignore[no-untyped-def]
        raise Expired(f"{argv[0]}: did not finish within {timeout_s:g} s")


AUDIT = """\
type=AVC msg=audit(1795219140.000:1): avc:  denied  { name_connect } for  pid=379 comm="nginx" dest=3001 tclass=tcp_socket permissive=0
type=AVC msg=audit(1795132800.000:1): avc:  denied  { name_connect } for  pid=9 comm="nginx" dest=1 tclass=tcp_socket permissive=0
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not depend on how busy the tests' machine is."""
    monkeypatch.setattr(events, "PATIENCE_S", 60.0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "var/log/audit").mkdir(parents=True)
    (tmp_path / "var/log/audit/audit.log").write_text(AUDIT)
    (tmp_path / "srv").mkdir()
    return Machine(str(tmp_path))


def test_files_of_services_and_audit(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "srv" / "app.log"
    log.write_text(
        "[2026-11-20 20:00:00 +0000] [5] [CRITICAL] WORKER TIMEOUT (pid:1)\n"
        "[2026-11-20 23:59:00 +0000] [5] [CRITICAL] WORKER TIMEOUT (pid:2)\n"
        "ModuleNotFoundError: No module named 'x'\n"
    )
    plain = tmp_path / "srv" / "plain.log"
    plain.write_text("Error: Cannot find module 'y'\n")
    for file in (log, plain):
        os.utime(file, (AT.timestamp(), AT.timestamp()))
    service = Service(manager="supervisord", name="app", logs=("/srv/app.log", "/srv/plain.log", "/srv/none.log"))
    found = events.collect(machine, Snapshot(taken_at=AT, services=(service,), until=AT), CollectOptions())
    told = {(one.symptom, one.pid or one.detail) for one in found.value or ()}
    assert told == {
        (Symptom.WORKER_TIMED_OUT, 2),
        (Symptom.START_FAILED, "ModuleNotFoundError: No module named 'x'"),
        (Symptom.START_FAILED, "Cannot find module 'y'"),
        (Symptom.SELINUX_DENIED, 379),
    }
    assert {one.unit for one in found.value or () if one.symptom is not Symptom.SELINUX_DENIED} == {"app"}
    late = [gap.section for gap in found.gaps if gap.source == "kernel log" and "did not finish" in gap.reason]
    assert late == ["events"]


@pytest.mark.parametrize(("window_ends_s_ago", "expected"), [(0, ["Cannot find module 'y'"]), (600, [])])
def test_a_log_without_times_may_be_written_to_during_the_look(
    machine: Machine, tmp_path: Path, window_ends_s_ago: int, expected: list[str]
) -> None:
    log = tmp_path / "srv" / "plain.log"
    log.write_text("Error: Cannot find module 'y'\n")
    later = AT + timedelta(seconds=5)
    os.utime(log, (later.timestamp(), later.timestamp()))
    service = Service(manager="pm2", name="app", logs=("/srv/plain.log",))
    known = Snapshot(taken_at=AT, services=(service,), until=AT - timedelta(seconds=window_ends_s_ago))
    found = events.collect(machine, known, CollectOptions()).value or ()
    assert [event.detail for event in found if event.unit == "app"] == expected


def test_messages_in_the_script_log_of_one_pool_belong_to_it(machine: Machine, tmp_path: Path) -> None:
    """The file of the pool names the log; another pool of the same service fails for other reasons."""
    (tmp_path / "srv" / "shop.log").write_text(
        "[20-Nov-2026 23:59:30 UTC] PHP Warning:  mysqli_connect(): (HY000/2002): Connection refused in /srv/a.php on line 3\n"
    )
    os.utime(tmp_path / "srv" / "shop.log", (AT.timestamp(), AT.timestamp()))
    shop, blog = Target(host="127.0.0.1", port=9001), Target(path="/run/php/blog.sock")
    settings = {"php_admin_value[error_log]": "/srv/shop.log"}
    pools = (
        PhpPool(name="shop", target=shop, unit="php-fpm.service", settings=settings),
        PhpPool(name="blog", target=blog, unit="php-fpm.service"),
    )
    known = Snapshot(taken_at=AT, until=AT, php_pools=pools, proxies=())
    found = events.collect(machine, known, CollectOptions()).value
    (said,) = [one for one in found or () if one.symptom is Symptom.APPLICATION_ERROR]
    assert (said.target, said.unit) == (shop, "php-fpm.service")
    here = msgspec.structs.replace(known, events=(said,), listeners=())
    assert [len(Case(here=here, target=target).events(Symptom.APPLICATION_ERROR)) for target in (shop, blog)] == [1, 0]


SLOW = """
[20-Nov-2026 23:59:30]  [pool shop] pid 77
script_filename = /srv/shop/public/index.php
[0x00007f1b8d0130e0] sleep() /srv/shop/public/index.php:8
[0x00007f1b8d013020] handle() /srv/shop/public/index.php:18
"""


def test_the_innermost_function_of_a_slow_script_is_reported(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "srv" / "slow.log"
    slow = "".join(SLOW.replace(":30]", f":3{n}]").replace("77", f"7{n}") for n in range(3))
    log.write_text(slow + SLOW.replace("sleep() /srv/shop/public/index.php:8", "mysqli_query() /srv/shop/public/db.php:3"))
    os.utime(log, (AT.timestamp(), AT.timestamp()))
    pool = PhpPool(name="shop", target=Target(host="127.0.0.1", port=9001), unit="php-fpm.service", slowlog="/srv/slow.log")
    found = events.collect(machine, Snapshot(taken_at=AT, until=AT, php_pools=(pool,)), CollectOptions()).value
    told = Counter[str]()
    for one in found or ():
        told[one.detail] += one.count if one.symptom is Symptom.PHP_SLOW else 0
    assert +told == {"sleep() /srv/shop/public/index.php:8": 3, "mysqli_query() /srv/shop/public/db.php:3": 1}


def test_a_deleted_log_is_read_through_its_descriptor_and_reported() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "app.log"
        writer = (
            'import sys; log = open(sys.argv[1], "w", buffering=1); log.write("ModuleNotFoundError: No module named '
            "'stripe'\\n\"); print(flush=True); sys.stdin.read()"
        )
        argv = [sys.executable, "-c", writer, str(path)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            path.unlink()
            now = datetime.now(UTC)
            target = Target(host="127.0.0.1", port=9001)
            known = Snapshot(
                taken_at=now,
                until=now,
                asked=(target,),
                listeners=(Listener(target=target, pids=(process.pid,)),),
                processes=(Process(pid=process.pid, name="app"),),
            )
            found = events.collect(LocalHost(), known, CollectOptions())
            process.communicate()
    assert [gap.source for gap in found.gaps if "deleted" in gap.reason] == [str(path)]
    assert "No module named 'stripe'" in " ".join(one.message for one in found.value or ())


WSGI = (
    "[Sat Nov 21 00:00:00.369266 2026] [wsgi:error] [pid 7:tid 7] [remote 127.0.0.1:1] psycopg2.OperationalError: "
    "connection to server at "
    '"127.0.0.1", port 5432 failed: Connection refused\n'
    "[Sat Nov 21 00:00:00.469266 2026] [wsgi:alert] [pid 7:tid 7] (2)No such file or directory: mod_wsgi (pid=7): "
    "Unable to change working "
    "directory to home directory '/home/shop' for uid=993.\n"
)


@pytest.mark.parametrize("is_gateway", [False, True])
def test_the_error_log_of_an_httpd_that_is_the_application(tmp_path: Path, is_gateway: bool) -> None:
    log = tmp_path / "apache2" / "error.log"
    log.parent.mkdir()
    target, pid = Target(host="127.0.0.1", port=8008), os.getpid()
    route = Route(peers=(Peer(name=str(target), target=target),))
    with log.open("w") as stream:
        stream.write(WSGI)
        stream.flush()
        os.utime(log, (AT.timestamp(), AT.timestamp()))
        here = Snapshot(
            taken_at=AT,
            until=AT + timedelta(seconds=2),
            proxies=(Proxy(kind="nginx", routes=(route,)), *((Proxy(kind="apache", pid=pid),) if is_gateway else ())),
            listeners=(Listener(target=target, pids=(pid,)),),
            processes=(Process(pid=pid, name="apache2"),),
        )
        found = events.collect(LocalHost(), here, CollectOptions()).value or ()
    told = {one.symptom for one in found if one.source == str(log)}
    assert told == (set() if is_gateway else {Symptom.APPLICATION_ERROR, Symptom.START_FAILED})
