"""Whether the others of a group would serve without one member."""

from __future__ import annotations

import pytest
from members_of import peer, plan_of, result

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.watch.checks.members import MemberKey
from why502.watch.checks.rest import judged, others_of
from why502.watch.model import CheckResult, MemberStatus

A, B, C = peer(1), peer(2), peer(3)


def in_group(group: str, target: Target):
    return plan_of(target, key=MemberKey("nginx", group, target))


def of(group: str, target: Target, symptom: Symptom | None = None, **fields: object) -> CheckResult:
    return result(symptom, target, group=group, **fields)


def test_the_others_are_those_of_the_same_groups():
    every = [in_group("app", A), in_group("app", B), in_group("api", C), in_group("", A), in_group("", B)]
    assert others_of([every[0], every[3]], every) == (every[1],)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([of("app", B)], MemberStatus.UP),
        ([of("app", B, Symptom.CONNECT_REFUSED)], MemberStatus.DOWN),
        ([of("app", B, Symptom.CONNECT_REFUSED), of("app", C)], MemberStatus.UP),
        ([of("app", B, Symptom.CONNECT_REFUSED), of("app", C, is_unknown=True)], MemberStatus.UNKNOWN),
        ([of("api", B)], MemberStatus.DOWN),  # of another group
        ([], MemberStatus.DOWN),
    ],
)
def test_one_other_that_passes_is_enough(results: list[CheckResult], status: MemberStatus):
    assert judged("a", [in_group("app", A)], results)[0] is status


def test_the_worst_group_decides():
    chosen = [in_group("app", A), in_group("api", A)]
    status, message = judged("a", chosen, [of("app", B), of("api", C, Symptom.CONNECT_REFUSED)])
    assert (status, message) == (MemberStatus.DOWN, "do not stop a: no other member of api passes its check")
