"""Apache's failures stand in two logs that nothing joins line by line; they count once."""

from __future__ import annotations

import pytest

from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.target import Target
from why502.sources.other_proxies import once

TARGET = Target(host="127.0.0.1", port=3001)


@pytest.mark.parametrize(("told", "proxy", "left"), [(3, "apache", 0), (2, "apache", 1), (5, "apache", 0), (3, "nginx", 3)])
def test_what_both_logs_tell_counts_once(told: int, proxy: str, left: int) -> None:
    error = Tally(symptom=Symptom.CONNECT_REFUSED, proxy=proxy, target=TARGET, status=503, count=told)
    access = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="nginx", status=503, count=3)
    other = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="nginx", status=504, count=1)
    found = once(LogSummary(tallies=(error, access, other))).tallies
    assert found[0] == error and found[-1] == other
    assert sum(tally.count for tally in found[1:-1]) == left
