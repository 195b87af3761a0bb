"""The variables that pm2 passes to a worker in one JSON text."""

from __future__ import annotations

import pytest

from why502.supervisors.pm2.variables import is_daemon, worker_variables


def test_a_worker_has_the_variables_of_its_application() -> None:
    given = {"HOME": "/home/deploy", "pm2_env": '{"name": "api", "DATABASE_URL": "mysql://shop@db/shop", "instances": 2}'}
    assert worker_variables(given)["DATABASE_URL"] == "mysql://shop@db/shop"
    assert worker_variables(given)["HOME"] == "/home/deploy"


@pytest.mark.parametrize("passed", ["", "{", "[1]", "7", "[" * 100_000])
def test_other_processes_and_broken_texts_are_left_alone(passed: str) -> None:
    given = {"PORT": "3000", "pm2_env": passed}
    assert worker_variables(given) == given
    assert worker_variables({"PORT": "3000"}) == {"PORT": "3000"}


def test_the_daemon_is_known_by_its_cut_name() -> None:
    assert is_daemon("PM2 v6.0.14: Go")
    assert not is_daemon("node")
