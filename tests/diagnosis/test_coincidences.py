"""What only a program's name, a port or the time links to a target is no proof: each case with the twin that is really linked."""

from __future__ import annotations

from datetime import timedelta
from signal import SIGKILL

import pytest
from test_times_link import ENDED, FAILING
from test_times_link import first as first_words
from test_times_link import machine as refused
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

SURE = 0.8
UNIT = "/system.slice/shop.service"
BEGAN = NOW - timedelta(seconds=22)  # as `failing` has it
MANAGED = Service(
    manager="systemd", name="shop.service", main_pid=300, is_running=True, targets=(APP,), argv=("/usr/bin/python3",)
)


def kill(**changes: object) -> Event:
    """Return the kernel's report that it killed a process with the name of an interpreter, when the failures began."""
    message = "Out of memory: Killed process 777 (python3) total-vm:92704kB"
    event = Event(at=BEGAN, symptom=Symptom.OOM_KILLED, message=message, source="dmesg", pid=777, process="python3")
    return REPLACE(event, **changes)


def served(*events: Event, cgroup: str = "", services: tuple[Service, ...] = (), broken: Tally | None = None) -> Snapshot:
    """Return a machine whose python3 behind the proxy has a worker that is younger than the failures."""
    broken = broken or failing(Symptom.CLOSED_BEFORE_HEADER, APP)
    here = machine(broken, routes=(route(APP, 7),))
    master = Process(pid=300, name="python3", cgroup=cgroup, started_at=NOW - timedelta(hours=1))
    worker = Process(pid=301, ppid=300, name="python3", cgroup=cgroup, started_at=BEGAN + timedelta(seconds=2))
    return REPLACE(
        here,
        events=events,
        services=services,
        processes=(*(here.processes or ()), master, worker),
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(300,))),
    )


def of(here: Snapshot, *causes: str) -> Finding | None:
    """Return the first finding of one of these causes."""
    return next((finding for finding in diagnose(here).findings if finding.cause in causes), None)


def confidence(here: Snapshot, *causes: str) -> float:
    found = of(here, *causes)
    return found.confidence if found else 0.0


@pytest.mark.parametrize(
    "here",
    [
        served(kill(pid=301)),
        served(kill(cgroup=UNIT), cgroup=UNIT),
        served(kill(cgroup=UNIT, unit="shop.service"), services=(MANAGED,)),
        served(kill(), services=(REPLACE(MANAGED, oom_killed=True),)),
        served(
            kill(),
            Event(
                at=BEGAN,
                symptom=Symptom.WORKER_TIMED_OUT,
                message="Worker (pid:777) was sent SIGKILL! Perhaps out of memory?",
                source="journalctl -u shop.service",
                pid=777,
                unit="shop.service",
            ),
            services=(MANAGED,),
        ),
    ],
    ids=["process", "control group", "unit", "manager", "own log names the process"],
)
def test_a_kill_that_names_the_target_is_proof(here: Snapshot) -> None:
    assert confidence(here, "backend-oom-killed") >= SURE


@pytest.mark.parametrize(
    "here",
    [
        served(kill()),
        served(kill(cgroup="/"), cgroup="/"),
        served(kill(cgroup="/user.slice/user-0.slice/session-3.scope"), cgroup="/user.slice/user-0.slice/session-3.scope"),
    ],
    ids=["no control group", "the root group", "a login's group"],
)
def test_a_kill_of_a_name_at_that_time_is_likely_at_most(here: Snapshot) -> None:
    """Nothing else explains what broke at the second of the kill, but many programs are called python3."""
    found = of(here, "backend-oom-killed")
    assert found is not None
    assert ASSERTED <= found.confidence < SURE
    assert "only the program's name and the time link it to the target" in " ".join(item.message for item in found.evidence)


def own_end(**changes: object) -> Event:
    """Return the manager's report of another end of the target's own process."""
    event = Event(
        at=BEGAN,
        symptom=Symptom.PROCESS_CRASHED,
        message="shop.service: Main process exited, code=dumped, status=11/SEGV",
        source="journalctl -u shop.service",
        unit="shop.service",
        code=11,
    )
    return REPLACE(event, **changes)


@pytest.mark.parametrize(
    "here",
    [
        served(kill(at=BEGAN + timedelta(seconds=12))),
        served(kill(), own_end(), services=(MANAGED,)),
        REPLACE(served(kill()), probes=(Probe(target=APP, symptom=Symptom.CLOSED_BEFORE_HEADER, at=NOW),)),
        served(kill(), broken=failing(Symptom.CLOSED_BEFORE_HEADER, APP, ago_s=2, first=NOW - timedelta(minutes=9))),
    ],
    ids=["later", "its manager reports another end", "a request fails in the same way now", "long after the first failure"],
)
def test_a_kill_of_a_name_yields_to_any_other_explanation(here: Snapshot) -> None:
    assert confidence(here, "backend-oom-killed") < ASSERTED


def test_a_kill_in_the_unit_of_a_manager_may_be_of_any_of_its_programs() -> None:
    """supervisord's programs share its control group: its own report tells which one died."""
    unit = "/system.slice/supervisor.service"
    shop = Service(manager="supervisord", name="shop", main_pid=300, is_running=True, targets=(APP,))
    here = served(kill(cgroup=unit, unit="supervisor.service"), cgroup=unit, services=(shop,))
    processes = tuple(REPLACE(one, unit="supervisor.service") if one.cgroup else one for one in here.processes or ())
    assert confidence(REPLACE(here, processes=processes), "backend-oom-killed") < SURE


@pytest.mark.parametrize(("group", "is_own"), [("/neighbour/app", False), ("", True)])
def test_a_kill_at_the_moment_of_a_sigkill_is_not_that_of_another_group(group: str, *, is_own: bool) -> None:
    end = own_end(code=int(SIGKILL), message="shop.service: Main process exited, code=killed, status=9/KILL")
    late = timedelta(seconds=1)
    here = served(kill(cgroup=group, at=BEGAN + late), REPLACE(end, at=BEGAN + late), cgroup=UNIT, services=(MANAGED,))
    found = of(here, "backend-oom-killed")
    assert (found is not None and found.confidence >= ASSERTED) is is_own
    assert found is None or found.confidence < SURE


def segfault(**changes: object) -> Event:
    """Return the kernel's report of a crash, which has no control group."""
    message = "python3[777]: segfault at 0 ip 00007f8175471ad8 sp 00007fff7fbb9798 error 4"
    event = Event(at=BEGAN, symptom=Symptom.PROCESS_CRASHED, message=message, source="dmesg", pid=777, process="python3")
    return REPLACE(event, **changes)


def test_a_crash_of_a_name_yields_to_any_other_explanation() -> None:
    late = served(segfault(at=BEGAN + timedelta(seconds=12)))
    assert confidence(late, "backend-crashed") < SURE
    assert confidence(served(segfault(pid=301)), "backend-crashed") >= SURE
    assert not any("how its process ended" in item.message for finding in diagnose(late).findings for item in finding.evidence)


def kernel_lines(**changes: object) -> Tally:
    """Return what a kernel log that the user named has: no target, but a program."""
    tally = Tally(symptom=Symptom.OOM_KILLED, proxy=None, process="mysqld", process_pid=777, first=BEGAN, last=BEGAN)
    return REPLACE(tally, **changes)


@pytest.mark.parametrize(("process", "is_sure"), [("mysqld", False), ("", True)])
def test_a_kill_in_a_log_that_was_named_is_of_the_program_that_it_names(process: str, *, is_sure: bool) -> None:
    """The only backend that fails need not be the program that the kernel killed; "OOMKilled: true" is of what was asked for."""
    here = machine(failing(Symptom.CLOSED_BEFORE_HEADER, APP), kernel_lines(process=process))
    here = REPLACE(here, proxies=None, processes=None, listeners=None, services=None, events=None)
    found = next((each for each in diagnose(here, offline=True).findings if each.cause == "backend-oom-killed"), None)
    assert found is not None
    assert (found.confidence >= SURE) is is_sure


FAR = Target(host="10.0.0.9", port=3000)


@pytest.mark.parametrize(("blocked", "is_evidence"), [(FAR, True), (Target(host="10.0.0.5", port=3000), False), (None, False)])
def test_a_blocked_packet_to_the_same_port_elsewhere_is_no_evidence(blocked: Target | None, *, is_evidence: bool) -> None:
    drop = Event(at=BEGAN, symptom=Symptom.FIREWALL_DROPPED, message="DROP IN= OUT=eth0", source="dmesg", target=blocked)
    failed = failing(Symptom.HOST_UNREACHABLE, FAR, errno=113)
    here = machine(failed, routes=(route(FAR, 7),), events=(drop,), addresses=("127.0.0.1", FAR.host))
    found = of(here, "connect-rejected")
    assert (found is not None and any(item.message == drop.message for item in found.evidence)) is is_evidence


@pytest.mark.parametrize(("kind", "is_named"), [("simple", True), ("oneshot", False)])
def test_a_service_that_only_the_time_links_is_called_a_possibility(kind: str, *, is_named: bool) -> None:
    service = REPLACE(FAILING, settings={"Type": kind})
    _, words = first_words(refused(service, events=(ENDED,)))
    assert ("shop.service may be its application" in words) is is_named
    assert "which should answer" not in words


START_FAILED = Event(
    at=ENDED.at,
    symptom=Symptom.START_FAILED,
    message="ModuleNotFoundError: No module named 'shop'",
    source="journalctl -u shop.service",
    unit="shop.service",
)
IN_USE = REPLACE(START_FAILED, symptom=Symptom.ADDRESS_IN_USE, message="bind() failed: Address already in use")
SEGFAULT = REPLACE(ENDED, symptom=Symptom.PROCESS_CRASHED, message="shop.service: Main process exited, code=dumped", code=11)


@pytest.mark.parametrize("event", [START_FAILED, IN_USE, SEGFAULT, REPLACE(SEGFAULT, count=9)])
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_service_that_only_the_time_links_is_likely_at_most(event: Event, *, is_linked: bool) -> None:
    """Two services can fail at the same moment, for instance in a deployment: its words are those of the target's if a file or
    an address links it, and of a possible one if not.
    """
    service = REPLACE(FAILING, targets=(refused_target(),)) if is_linked else FAILING
    best = diagnose(refused(service, events=(event, ENDED))).findings[0]
    assert best.confidence >= ASSERTED
    assert (best.confidence >= SURE) is is_linked, (best.cause, best.evidence)
    assert any("nothing but the time links shop.service" in item.message for item in best.evidence) is not is_linked
    assert ("(if shop.service is its application)" in best.message) is not is_linked


def refused_target() -> Target:
    """Return the target of `refused`."""
    (tally,) = (refused().logs or LogSummary()).tallies
    assert tally.target is not None
    return tally.target
