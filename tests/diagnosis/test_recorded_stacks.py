"""Evidence that was recorded on stacks of real packages, and the same evidence with the deciding fact changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

import why502
from why502.diagnosis.engine import diagnose
from why502.model.finding import Finding
from why502.model.snapshot import Snapshot

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
        ("tannery-secret-of-the-new-file", "ajp-secret-mismatch", "127.0.0.1:8009"),  # refused while its slow start lasted, too
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
