"""The section [checks]: what is accepted, and whom it concerns."""

from __future__ import annotations

import msgspec
import pytest

from why502.model.target import Target
from why502.watch.checks.settings import Checks, TargetCheck

APP = Target(host="127.0.0.1", port=3000)


def read(text: str) -> Checks:
    return msgspec.toml.decode(text.encode(), type=Checks)


def test_nothing_needs_to_be_set():
    assert read("") == Checks()


def test_what_is_set_for_a_target_concerns_its_address_name_and_group():
    checks = read(
        'interval_s = 5\n[[target]]\ntarget = "app"\npath = "/live"\n[[target]]\ntarget = "app.internal:80"\nstatuses '
        '= ["200-299", "404"]\n'
        '[[target]]\ntarget = "127.0.0.1:3000"\noff = true\n'
    )
    assert checks.interval_s == 5
    assert checks.of("app", "web1:80", Target(host="10.0.0.1", port=80)).path == "/live"
    assert checks.of("", "app.internal:80", Target(host="10.0.0.1", port=80)).statuses == ("200-299", "404")
    assert checks.of("app", "localhost:3000", APP).off, "the last that concerns it"
    assert checks.of("shop", "web1:80", Target(host="10.0.0.1", port=80)) is None


@pytest.mark.parametrize(
    ("statuses", "status", "accepted"),
    [((), 200, None), (("200",), 200, True), (("200",), 204, False), (("200-299", "404"), 404, True), (("500-599",), 503, True)],
)
def test_statuses(statuses, status, accepted):
    assert TargetCheck(target="app", statuses=statuses).accepts(status) is accepted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interval_s = 0.1", "`interval_s` must be 1 to 60"),
        ("interval_s = nan", "`interval_s` must be 1 to 60"),
        ("quick_s = 0", "`quick_s` must be 1 to 60"),
        ("rise = 0", "`rise` and `fall` must be 1 to 100"),
        ("timeout_s = 61", "`timeout_s` must be 0.1 to 60"),
        ("every = 5", "unknown field `every`"),
        ('[[target]]\ntarget = ""', "`target` is empty"),
        ('[[target]]\ntarget = "app"\npath = "live"', "`path` must begin with /"),
        ('[[target]]\ntarget = "app"\npath = "/a b"', "`path` must begin with /"),
        ('[[target]]\ntarget = "app"\npath = "/a\\r\\nX: y"', "`path` must begin with /"),
        ('[[target]]\ntarget = "app"\nstatuses = ["2xx"]', "'2xx' is not a status"),
        ('[[target]]\ntarget = "app"\nstatuses = ["299-200"]', "'299-200' is not a status"),
        ('[[target]]\ntarget = "app"\ntimeout_s = 0', "`timeout_s` must be 0.1 to 60"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name(text, words):
    with pytest.raises(msgspec.ValidationError, match=words.replace("(", r"\(")):
        read(text)
