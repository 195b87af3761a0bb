"""The kernel's log is that of all containers: a kill that only a program's name links to the target is weighed against what its
own manager reports.
"""

from __future__ import annotations

from datetime import timedelta
from signal import SIGKILL, SIGSEGV

import pytest
from test_verdicts import NOW, REPLACE, failing, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.finding import ASSERTED
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.service import PhpPool
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

PHP = Target(host="127.0.0.1", port=9000)
UNIT = "php8.2-fpm.service"


def machine_with(*deaths: int) -> Snapshot:
    """Return a machine whose PHP-FPM reports these signals of its children, while the kernel killed some php-fpm8.2."""
    first, last = NOW - timedelta(seconds=30), NOW - timedelta(seconds=5)
    failed = REPLACE(failing(Symptom.RESET_BEFORE_HEADER, PHP, 5), first=first, last=last)
    here = machine(failed, routes=(REPLACE(route(PHP, 7), protocol="fastcgi"),))
    kill = Event(
        at=last,
        symptom=Symptom.OOM_KILLED,
        message="Killed process 14979 (php-fpm8.2)",
        source="dmesg",
        pid=14979,
        process="php-fpm8.2",
    )
    died = (
        Event(
            at=last - timedelta(seconds=number),
            symptom=Symptom.PHP_CHILD_DIED,
            message=f"www (pid {210 + number}): exited on signal {int(code)}",
            source="/var/log/php8.2-fpm.log",
            pid=210 + number,
            process="www",
            unit=UNIT,
            code=int(code),
        )
        for number, code in enumerate(deaths)
    )
    own = tuple(
        Process(pid=pid, name="php-fpm8.2", unit=UNIT, started_at=NOW - timedelta(seconds=3600 * (208 - pid)))
        for pid in (207, 208)
    )
    return REPLACE(
        here,
        processes=(*(here.processes or ()), *own),
        listeners=(*(here.listeners or ()), Listener(target=PHP, pids=(207, 208))),
        php_pools=(PhpPool(name="www", file="/etc/php/8.2/fpm/pool.d/www.conf", target=PHP, unit=UNIT),),
        events=(*died, kill),
    )


def test_children_that_crashed_were_not_killed_for_memory() -> None:
    assert diagnose(machine_with(SIGSEGV, SIGSEGV)).findings[0].cause in ("php-fpm-crashed", "backend-crashed")


def test_children_that_were_killed_were_killed_for_memory() -> None:
    assert diagnose(machine_with(SIGKILL, SIGKILL)).findings[0].cause == "backend-oom-killed"


@pytest.mark.parametrize(("group", "is_own"), [("/neighbour/php", False), ("/host/system.slice/php8.2-fpm.service", True)])
def test_a_kill_in_the_group_of_another_container_is_none_of_ours(group: str, is_own: bool) -> None:
    """No line of the failures names a target, so only the control group tells whose process was killed."""
    here = machine_with(SIGKILL)
    assert here.logs is not None
    failed = REPLACE(failing(Symptom.UPSTREAM_STATUS, PHP, 5, status=503), target=None)
    kill = next(REPLACE(event, cgroup=group) for event in here.events or () if event.symptom is Symptom.OOM_KILLED)
    own = tuple(REPLACE(process, cgroup=f"/system.slice/{UNIT}") if process.unit else process for process in here.processes or ())
    here = REPLACE(here, events=(kill,), processes=own, logs=REPLACE(here.logs, tallies=(failed,)))
    sure = {finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED}
    assert ("backend-oom-killed" in sure) == is_own


@pytest.mark.parametrize(("replaced", "uid", "least", "most"), [(2, 33, 0.9, 1.0), (1, 33, 0.0, 0.8), (2, 1000, 0.0, 0.5)])
def test_workers_that_are_replaced_right_after_each_kill_were_the_killed_ones(
    replaced: int, uid: int, least: float, most: float
) -> None:
    """In a container of its own process namespace, the kernel names ids and groups of the host."""
    here = machine_with()
    moments = [NOW - timedelta(seconds=10 * number + 5) for number in range(2)]
    kills = tuple(
        Event(
            at=at,
            symptom=Symptom.OOM_KILLED,
            message="Killed process 14979 (php-fpm8.2)",
            detail=f"Memory cgroup out of memory: Killed process 14979 (php-fpm8.2) total-vm:9kB, UID:{uid} pgtables:4kB",
            source="dmesg",
            pid=14979,
            process="php-fpm8.2",
            cgroup="/machine/shop",
        )
        for at in moments
    )
    master = Process(pid=207, name="php-fpm8.2", unit=UNIT, cgroup=f"/system.slice/{UNIT}", started_at=NOW - timedelta(hours=1))
    workers = tuple(
        REPLACE(master, pid=300 + number, ppid=207, uid=33, started_at=at + timedelta(seconds=1 if number < replaced else -300))
        for number, at in enumerate(moments)
    )
    here = REPLACE(
        here,
        processes=(Process(pid=1, name="systemd"), Process(pid=10, name="nginx"), master, *workers),
        listeners=(*(here.listeners or ())[:1], Listener(target=PHP, pids=(207, 300, 301))),
        events=kills,
    )
    found = max((one.confidence for one in diagnose(here).findings if one.cause == "backend-oom-killed"), default=0.0)
    assert least <= found <= most


@pytest.mark.parametrize(("status", "pool", "is_named"), [(503, "www", True), (503, "blog", False), (500, "www", False)])
def test_a_pool_that_is_full_is_not_the_other_pool_of_its_master(status: int, pool: str, is_named: bool) -> None:
    """One master writes of all of its pools, in one unit; and a script that answers 500 had a free child."""
    here = machine_with()
    failed = failing(Symptom.UPSTREAM_STATUS, PHP, 20, status=status)
    event = Event(
        at=NOW - timedelta(seconds=5),
        symptom=Symptom.PHP_MAX_CHILDREN,
        message=f"{pool}: server reached max_children setting (2), consider raising it",
        source="/var/log/php8.2-fpm.log",
        process=pool,
        unit=UNIT,
    )
    other = PhpPool(name="blog", file="/etc/php/8.2/fpm/pool.d/blog.conf", target=Target(path="/run/php/blog.sock"), unit=UNIT)
    assert here.logs is not None
    logs = REPLACE(here.logs, tallies=(failed,))
    here = REPLACE(here, logs=logs, events=(event,), php_pools=(*(here.php_pools or ()), other))
    sure = {finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED}
    assert ("php-fpm-max-children" in sure) == is_named
