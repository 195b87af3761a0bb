"""The summary of counts for a diagnosis: error lines are matched to access lines, so that each failure counts once, with its
reason and the client's status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from why502.logs.held import Ended
from why502.logs.join import IN_BODY, Joiner, Request, Waiting, requests
from why502.logs.scan.counts import NEVER, RESPONSE, Counts
from why502.logs.tallies import Kind, Tallies, Traffic
from why502.logs.verdicts import CLIENT_CLOSED, NOT_HTTP, Fields, has_failed, is_failure, meaning
from why502.model.logs import LogFile, LogSummary, Symptom
from why502.model.target import Target

LEAST_REFUSAL = 400  # minimum value of limit_req_status and limit_conn_status; their default is 503


class Correlator:
    """Matches the held access lines with their error lines, and counts both into tallies."""

    def __init__(self, counts: Counts, tallies: Tallies, fields: Mapping[str, Fields] = MappingProxyType({})) -> None:
        self.tallies = tallies
        self.joiner = Joiner(counts.errors.in_order())
        self.held = counts.failed.in_order()
        self.fields = fields  # of each log; for other logs, the fields found in its lines
        self.common = counts.fields
        self.failures: Counter[Target] = Counter()  # attempts that failed despite a good status of their own
        self.successes: dict[Target, float] = {}  # time of the last success among the doubtful attempts

    def run(self) -> None:
        """Count everything: each request with its error lines, then error lines without an access line."""
        for request in requests(self.joiner, self.held):
            if request.ended.is_suspect:
                self._joined(request, request.ended.status, is_made_good=False)
                self._settle(request, is_cut=any(self._waiting(one).is_failure for one in request.errors))
            elif not request.ended.is_own:
                self._noted(request)
        self.joiner.settle(self.tallies)

    def _noted(self, request: Request) -> None:
        """Count a request that failed or that the proxy refused."""
        ended = request.ended
        if ended.has_failed():
            self._settle(request, is_cut=self._failed(request))
            return
        self._joined(request, ended.status, is_made_good=False)
        if not request.errors:
            self._alone(request, None, ended.status, ended.symptom)

    def _failed(self, request: Request) -> bool:
        """Count a request with at least one failed attempt. Return whether its body was cut although its status is good."""
        ended, found = request.ended, request.errors
        attempts, status = ended.attempts, ended.status
        failed = [number for number, attempt in enumerate(attempts) if has_failed(attempt, status)]
        is_made_good = not is_failure(status) and len(attempts) - 1 not in failed
        if not is_failure(status) and not is_made_good:
            status = attempts[-1].status  # hidden by an error page
        if status == 500 and not found and self._is_passed_on(ended):
            last = len(attempts) - 1 if attempts else None
            self._alone(request, last, status, Symptom.UPSTREAM_STATUS)
            failed = failed[:-1]
            if not failed:
                return False
        self._joined(request, status, is_made_good=is_made_good)
        kinds = [self._waiting(one).kind for one in found]
        named = {(kind.target, kind.group) for kind in kinds}
        alone: list[int | None] = [number for number in failed if (attempts[number].target, attempts[number].group) not in named]
        if not found and not alone:
            alone = [len(attempts) - 1 if attempts and status in (NOT_HTTP, CLIENT_CLOSED) else None]
        if found and not any(kind.target or kind.group for kind in kinds):  # a reason before any attempt: no descriptor, no name
            alone = []
        if not self.joiner.errors.is_full:
            for number in alone:
                self._alone(request, number, status, is_hidden=is_made_good)
        return any(kind.phase in IN_BODY for kind in kinds)

    def _settle(self, request: Request, *, is_cut: bool) -> None:
        """Record whether the last attempt of a request with a good status succeeded."""
        ended, at = request.ended, request.line.at
        last = ended.attempts[-1] if ended.attempts else None
        if last is None or last.target is None or last.status is None or has_failed(last, ended.status):
            return
        if not is_cut:
            self.successes[last.target] = max(self.successes.get(last.target, at), at)
        elif ended.status != CLIENT_CLOSED or last.status != CLIENT_CLOSED:
            self.failures[last.target] += 1

    def _is_passed_on(self, ended: Ended) -> bool:
        """Return whether a 500 came from the application: when nginx generates one, its error log gives the reason."""
        fields = self._fields(ended)
        if not ended.attempts:
            return not fields.upstream
        last = ended.attempts[-1]
        return last.target is not None and (last.header_s is not None or not fields.header)

    def _alone(
        self,
        request: Request,
        number: int | None,
        status: int | None,
        symptom: Symptom | None = None,
        *,
        is_hidden: bool = False,
    ) -> None:
        """Count a failure that only the access log shows: of an attempt, or of the whole request (None)."""
        ended, line = request.ended, request.line
        attempt = None if number is None else ended.attempts[number]
        logged, phase = (symptom, None) if symptom else meaning(attempt, status, self._fields(ended))
        kind = Kind(
            logged,
            ended.proxy,
            attempt.target if attempt else None,
            attempt.group if attempt else "",
            ended.server,
            status,
            phase,
        )
        response_s = None if number is None else line.responses_s[number]
        self.tallies.add(
            kind,
            line.at,
            sample=self.held.samples.get(request.number),
            request=line.shown,
            duration_s=line.duration_s if response_s is None else response_s,
            is_hidden=is_hidden,
        )

    def _joined(self, request: Request, status: int | None, *, is_made_good: bool) -> None:
        """Count error lines with the data of their access line."""
        ended, line = request.ended, request.line
        for one in request.errors:
            waiting = self._waiting(one)
            in_body = waiting.kind.phase in IN_BODY
            is_refusal = waiting.kind.symptom is Symptom.RATE_LIMITED and (ended.status or 0) >= LEAST_REFUSAL
            if in_body or is_refusal:
                seen = ended.status
            elif is_made_good or is_failure(status) or not waiting.is_failure:
                seen = status
            else:
                seen = waiting.own_status
            self.joiner.count(one, self.tallies, status=seen, duration_s=line.duration_s, is_hidden=is_made_good and not in_body)

    def _waiting(self, line: int) -> Waiting:
        return self.joiner.kinds[self.joiner.errors.shared[line]]

    def _fields(self, ended: Ended) -> Fields:
        return self.fields.get(ended.path, self.common)


def summary(
    counts: Counts,
    fields: Mapping[str, Fields] = MappingProxyType({}),
    files: Sequence[LogFile] = (),
    *,
    has_access: bool = False,
) -> LogSummary:
    """Return what a diagnosis reads of the counts, in which each failed request is joined with its error lines.

    `fields`: of the logs with a known format. `has_access`: lines of access logs are among them.
    """
    tallies = Tallies()
    tallies.merge(counts.tallies)
    correlator = Correlator(counts, tallies, fields)
    correlator.run()
    _traffic(counts, correlator, tallies)
    by_status: Counter[str] = Counter()
    requests = 0
    for outcome, minutes in counts.outcomes.items():
        count = minutes.total()
        requests += count
        if outcome.status is not None:
            by_status[f"{outcome.status:03d}"] += count
    return LogSummary(
        files=tuple(files),
        tallies=tallies.listed(),
        targets=tallies.traffics(),
        paths=counts.paths.value(),
        requests=requests,
        by_status=dict(sorted(by_status.items())),
        has_access=has_access or bool(requests),
    )


def _traffic(counts: Counts, correlator: Correlator, tallies: Tallies) -> None:
    """Add the outcomes of the attempts at each target to the tallies."""
    for (outcome, number, where), tried in counts.tries.items():
        one = outcome.tries[number]
        target = None if one.is_group else Target.parse(where)
        if target is None or (found := tallies.traffic(target)) is None:
            continue
        found.add("-" if one.status is None else f"{one.status:03d}", tried.count)
        is_last = number == len(outcome.tries) - 1
        has_ended_badly = (one.status is None and is_failure(outcome.status)) or is_failure(one.status)
        if (has_ended_badly and not (is_last and one.status == 500)) or (is_last and outcome.status == NOT_HTTP):
            if outcome.status != CLIENT_CLOSED or one.status not in (None, CLIENT_CLOSED):
                found.fail(tried.count)
        elif one.status is not None and tried.last != NEVER:
            found.succeed(tried.last)
    for target, failures in correlator.failures.items():
        _of(tallies, target).fail(failures)
    for target, at in correlator.successes.items():
        _of(tallies, target).succeed(at)
    for (whose, where), times in counts.times.items():
        target = Target.parse(where)
        if whose == RESPONSE and target is not None and (found := tallies.targets.get(target)) is not None:
            found.times.update(times)


def _of(tallies: Tallies, target: Target) -> Traffic:
    return tallies.traffic(target) or Traffic()
