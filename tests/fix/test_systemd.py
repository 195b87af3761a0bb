"""Tests that need a real systemd: the end of a mitigation, and gateways run by systemd."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gateways.running_fronts import program
from own_systemd import played
from sampled import few

pytestmark = [pytest.mark.machine, pytest.mark.timeout(180)]
needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy", path="/usr/sbin:/usr/bin"), reason="needs haproxy")


def test_a_persistent_timer_ends_it() -> None:
    assert played(Path(__file__).with_name("in_machine.py")) == "both ended\n"


@pytest.mark.parametrize("product", few(["haproxy", "haproxy-without-unit", "apache"], 2))
def test_another_gateway_is_repaired(product: str) -> None:
    program = {"apache": "apache2"}.get(product, "haproxy")
    if not shutil.which(program, path="/usr/sbin:/usr/bin"):
        pytest.skip(f"needs {program}")
    assert played(Path(__file__).with_name("in_machine_gateways.py"), product) == "repaired and undone\n"


def test_limits_of_drop_ins_are_in_force() -> None:
    assert played(Path(__file__).with_name("in_machine_limits.py")).startswith("limits applied; ")


@pytest.mark.parametrize("state", few(["stopped", "masked", "disabled"], 3))
def test_the_unit_of_a_target_is_started_unmasked_or_enabled(state: str) -> None:
    assert played(Path(__file__).with_name("in_machine_units.py"), state) == "repaired and undone\n"


@pytest.mark.parametrize("server", few(["gunicorn", "uwsgi", "unicorn"], 3))
def test_a_limit_in_the_file_of_an_application_server_is_raised(server: str) -> None:
    assert played(Path(__file__).with_name("in_machine_worker_limits.py"), server) == "repaired and undone\n"


@pytest.mark.parametrize("log", ["own-format", "stock-format"])
def test_the_stopped_unit_of_a_dependency_is_started(log: str) -> None:
    assert played(Path(__file__).with_name("in_machine_dependency.py"), log) == "repaired and undone\n"


def test_the_stopped_name_server_of_a_resolver_is_started() -> None:
    assert played(Path(__file__).with_name("in_machine_name_server.py")) == "repaired and undone\n"


@needs_haproxy
def test_a_timeout_of_haproxy_is_raised_where_it_is_written() -> None:
    assert played(Path(__file__).with_name("in_machine_timeouts.py")) == "repaired and undone\n"


def test_a_timeout_of_caddy_is_raised_where_it_is_written() -> None:
    assert played(Path(__file__).with_name("in_machine_caddy.py"), program("caddy")) == "repaired and undone\n"


@needs_haproxy
def test_a_limit_of_haproxy_is_raised_where_it_is_written() -> None:
    assert played(Path(__file__).with_name("in_machine_maxconn.py")) == "repaired and undone\n"


@needs_haproxy
@pytest.mark.parametrize(("limit", "ending"), [("04", "reverted; ;  True\n"), ("7", "kept; ")])
def test_a_queue_that_the_reload_emptied_repairs_nothing(limit: str, ending: str) -> None:
    """The same limit is rolled back. One that is too low by far is reported as partly repaired: also where the requests of the
    verification waited too long themselves.
    """
    told = played(Path(__file__).with_name("in_machine_maxconn.py"), limit)
    assert told.startswith(ending), told
    assert ("connections still wait at 127.0.0.1:" in told) == told.startswith("kept; "), told


@pytest.mark.skipif(not shutil.which("apache2", path="/usr/sbin:/usr/bin"), reason="needs apache2")
@pytest.mark.parametrize("limit", few(["workers", "servers"], 2))
def test_the_workers_of_apache_are_raised_as_far_as_memory_allows(limit: str) -> None:
    assert played(Path(__file__).with_name("in_machine_apache.py"), limit) == "repaired and undone\n"


@pytest.mark.parametrize("product", ["haproxy", "apache"])
def test_another_gateway_is_reloaded_gracefully_and_only_if_its_own_test_passes(product: str) -> None:
    program = {"apache": "apache2"}.get(product, product)
    if not shutil.which(program, path="/usr/sbin:/usr/bin"):
        pytest.skip(f"needs {program}")
    assert (
        played(Path(__file__).with_name("in_machine_graceful.py"), product)
        == "refused with the reason, then repaired without a lost request\n"
    )
