"""The gate: a bad canary ends it, a good one passes, and too little traffic tells nothing."""

import pytest

from why502.watch.gate import Attempts, Outcome, judge


@pytest.mark.parametrize(
    ("target", "others", "check", "outcome"),
    [
        (Attempts(ok=500), Attempts(ok=5000), "", Outcome.GOOD),
        (Attempts(ok=490, failed={"reset": 10}), Attempts(ok=5000, failed={"reset": 5}), "", Outcome.BAD),
        # As bad as the others: the canary is not worse.
        (Attempts(ok=490, failed={"reset": 10}), Attempts(ok=4900, failed={"reset": 100}), "", Outcome.GOOD),
        # Three times as many, but by chance.
        (Attempts(ok=40, failed={"timeout": 3}), Attempts(ok=400, failed={"timeout": 8}), "", Outcome.GOOD),
        (Attempts(), Attempts(ok=5000), None, Outcome.UNKNOWN),
        (Attempts(ok=19), Attempts(ok=5000), "", Outcome.UNKNOWN),
        (Attempts(ok=20), Attempts(), "", Outcome.GOOD),
        (Attempts(failed={"refused": 3}), Attempts(), None, Outcome.BAD),
        (Attempts(ok=1, failed={"refused": 3}), Attempts(), None, Outcome.UNKNOWN),
        (Attempts(ok=100, failed={"refused": 12}), Attempts(), None, Outcome.BAD),
        (Attempts(), Attempts(), "refused", Outcome.BAD),
    ],
)
def test_judges_by_what_was_served(target, others, check, outcome):
    assert judge(target, others, check=check).outcome is outcome


def test_names_what_failed():
    found = judge(Attempts(ok=90, failed={"reset": 12, "timeout": 2}), Attempts(ok=1000, failed={"timeout": 1}), check="")
    assert found.message == "14 of 104 attempts failed, most with reset; 1 of 1001 on the other targets"
    assert found.is_final
