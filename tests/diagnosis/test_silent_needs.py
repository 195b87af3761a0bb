"""Recorded machines whose applications say little, or nothing, about the dependency that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

import why502
from why502.model.finding import ASSERTED
from why502.model.snapshot import Snapshot

RECORDED = Path(__file__).parents[1] / "data/needs"


def snapshot(name: str) -> Snapshot:
    path = RECORDED / f"{name}.why502"
    found = why502.load(path.read_bytes(), path.name)
    assert isinstance(found, Snapshot)
    return found


@pytest.mark.parametrize(
    ("name", "cause", "words"),
    [
        ("express-postgres-login", "backend-dependency-down", "needs PostgreSQL (127.0.0.1:5432), which rejects the login"),
        ("express-mariadb-login", "backend-dependency-down", "needs MySQL, which rejects the login"),
        ("java-redis-stopped", "backend-dependency-down", "needs Redis (127.0.0.1:6379), where nothing listens"),
        ("django-postgres-stopped", "backend-dependency-down", "needs PostgreSQL (127.0.0.1:5432), where nothing listens"),
        ("flask-redis-slow", "backend-dependency-slow", "wait for Redis (127.0.0.1:6379)"),
    ],
)
def test_the_first_answer(name: str, cause: str, words: str) -> None:
    found = why502.diagnose(snapshot(name)).findings[0]
    assert found.cause == cause and found.confidence >= ASSERTED
    assert words in found.message


def test_of_two_that_nothing_serves_a_silent_application_may_mean_either() -> None:
    known = snapshot("java-redis-stopped")
    lost = tuple(replace(one, is_heard=False, pid=None, process="", unit="") for one in known.dependencies or ())
    found = why502.diagnose(replace(known, dependencies=lost)).findings[0]
    assert found.cause == "application-error"


def test_an_application_with_another_reason_is_not_silent() -> None:
    known = snapshot("java-redis-stopped")
    events = tuple(
        replace(event, message="java.lang.NullPointerException", detail="java.lang.NullPointerException")
        if "ConnectException" in event.message
        else event
        for event in known.events or ()
    )
    assert why502.diagnose(replace(known, events=events)).findings[0].cause == "application-error"
