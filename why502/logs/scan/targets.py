"""Compares each target with its peers in the group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from why502.logs.chance import is_worse
from why502.logs.scan.breakdown import Seen
from why502.logs.scan.counts import CONNECT, HEADER, RESPONSE, Counts
from why502.logs.scan.report import TargetRow
from why502.logs.scan.times import times


class Known(NamedTuple):
    """The configured properties of a target, over all locations that use it."""

    group: str = ""
    connect_timeout_s: float | None = None
    read_timeout_s: float | None = None  # the shortest and the longest
    longest_read_timeout_s: float | None = None


def compared(counts: Counts, seen: Seen, known: Mapping[str, Known]) -> tuple[TargetRow, ...]:
    """Return the targets, the most failing first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for target in seen.tried:
        groups[known.get(target, Known()).group].append(target)
    rows = []
    for group, members in groups.items():
        attempts = sum(seen.tried[target].total() for target in members)
        failures = sum(seen.failed[target] for target in members)
        for target in members:
            mine, failed = seen.tried[target].total(), seen.failed[target]
            others, others_failed = attempts - mine, failures - failed
            limits = known.get(target, Known())
            rows.append(
                TargetRow(
                    target=target,
                    group=group,
                    attempts=mine,
                    failures=failed,
                    recovered=seen.recovered[target],
                    statuses=dict(sorted(seen.tried[target].items())),
                    connect=times(counts, CONNECT, target),
                    header=times(counts, HEADER, target),
                    response=times(counts, RESPONSE, target),
                    connect_timeout_s=limits.connect_timeout_s,
                    read_timeout_s=limits.read_timeout_s,
                    longest_read_timeout_s=limits.longest_read_timeout_s,
                    is_bad=is_worse(failed, mine, others_failed, others),
                    others_share=others_failed / others if others else None,
                )
            )
    return tuple(sorted(rows, key=lambda row: (-row.failures, -row.attempts, row.target)))
