"""One sum for `diagnose` too: any split and order of the logs merges to the same summary, and old minutes can be dropped."""

from __future__ import annotations

import copy
import io
import random
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast

import pytest

from why502.logs.correlation import summary
from why502.logs.held import Origin
from why502.logs.join import suspects
from why502.logs.scan.counts import Counts
from why502.logs.scan.details import Details
from why502.logs.scan.line_format import Form, of_format
from why502.logs.scan.part import Session
from why502.logs.scan.work import Part, ScanQuery
from why502.model.logs import LogSummary, Symptom

BEGUN = datetime(2026, 11, 21, tzinfo=UTC)
COMBINED = '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
ACCESS = of_format(COMBINED + ' "$upstream_addr" "$upstream_status"')
ERROR = Form(name="nginx_error")
HAPROXY = Form(name="haproxy")
MESSAGES = (
    ("error", "connect() failed (111: Connection refused) while connecting to upstream"),
    ("error", "upstream timed out (110: Connection timed out) while reading response header from upstream"),
    ("notice", "signal process started"),
    ("alert", "worker process 77 exited on signal 11"),
)


def logs(seed: int) -> dict[Form, list[str]]:
    """Return the lines of three logs of one quarter of an hour, as forms and lines."""
    dice = random.Random(seed)
    found: dict[Form, list[str]] = {ERROR: [], ACCESS: [], HAPROXY: []}
    for number in range(400):
        at = BEGUN + timedelta(seconds=2 * number + dice.random())
        level, message = dice.choice(MESSAGES)
        client, path = f"10.0.0.{dice.randrange(5)}", f"/{dice.randrange(6)}"
        request = (
            f', client: {client}, server: a.example, request: "GET {path} HTTP/1.1", '
            f'upstream: "http://127.0.0.1:3001{path}", host: "a.example"'
        )
        is_of_request = level == "error"
        found[ERROR].append(f"{at:%Y/%m/%d %H:%M:%S} [{level}] 7#7: *{number} {message}{request if is_of_request else ''}\n")
        if is_of_request:
            status = 504 if "timed out" in message else 502
            found[ACCESS].append(
                f'{client} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {status} 1 "-" "c" '
                f'"127.0.0.1:3001" "{status}"\n'
            )
        status, state = dice.choice(((200, "--"), (200, "--"), (503, "SC"), (504, "sH"), (500, "--")))
        found[HAPROXY].append(
            f"{at:%b %e %H:%M:%S} lb haproxy[1]: {client}:5000 [{at:%d/%b/%Y:%H:%M:%S}.{at.microsecond // 1000:03d}] web app/a1 "
            f'0/0/1/2/3 {status} 10 - - {state}-- 1/1/0/0/0 0/0 "GET {path} HTTP/1.1"\n'
        )
    return found


def counted(number: int, form: Form, text: str, start: int, end: int, errors: Counts | None, *, is_fast: bool) -> Counts:
    """Return the counts of some of the lines of a log."""
    query = ScanQuery(
        since=int(BEGUN.timestamp()), until=int(BEGUN.timestamp()) + 900, most_held=1000, is_summary=True, is_fast=is_fast
    )
    details = Details() if form is not ACCESS else None
    doubtful = None if errors is None else suspects(errors.errors, only_in_body=True)
    session = Session(query, UTC, doubtful, details=details)
    parse = None if details is None else details.parser(form.parser(), is_nginx=form is ERROR)
    part = Part(path=f"/log/{number}", form=form, index=number, start=start, end=end)
    stream = cast(BinaryIO, io.BytesIO(text.encode()))
    assert session.take(stream, part, origin=Origin(part.path, "", "nginx"), parse=parse)[2] == ""
    counts = session.total()
    if details is not None:
        details.finish(counts, form.name)
    return counts


def told(seed: int, dice: random.Random | None, *, is_fast: bool) -> LogSummary:
    """Return the summary of the logs: whole, or of random parts merged in a random order."""
    found: list[Counts] = []
    errors: Counts | None = None
    for number, (form, lines) in enumerate(logs(seed).items()):
        text, parts, at = "".join(lines), [], 0
        while at < len(text):
            end = len(text) if dice is None else min(at + dice.randrange(1, 20_000), len(text))
            end = len(text) if end == len(text) else text.rfind("\n", at, end) + 1
            if end > at:
                parts.append(counted(number, form, text, at, end, errors, is_fast=is_fast))
                at = end
        if form is ERROR:
            errors = Counts()
            for part in parts:
                errors.merge(copy.deepcopy(part))
        found += parts
    if dice is not None:
        dice.shuffle(found)
    total = Counts()
    for one in found:
        total.merge(one)
    return summary(total)


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_any_split_and_order_gives_the_same_summary(seed: int, is_fast: bool) -> None:
    whole = told(seed, None, is_fast=False)
    symptoms = {tally.symptom for tally in whole.tallies}
    assert symptoms >= {Symptom.CONNECT_REFUSED, Symptom.READ_TIMED_OUT, Symptom.PROXY_WORKER_DIED, Symptom.UPSTREAM_STATUS}
    assert whole.requests > 500 and whole.targets
    assert told(seed, random.Random(seed), is_fast=is_fast) == whole


def test_a_summary_leaves_the_counts_as_they_are() -> None:
    form, lines = ERROR, logs(1)[ERROR]
    counts = counted(0, form, "".join(lines), 0, len("".join(lines)), None, is_fast=False)
    assert summary(counts) == summary(counts)


def test_old_minutes_are_dropped() -> None:
    text = "".join(logs(1)[ERROR])
    counts = counted(0, ERROR, text, 0, len(text), None, is_fast=False)
    counts.expire(int(BEGUN.timestamp()) + 600)
    found = summary(counts)
    assert found.tallies
    assert all(tally.last is not None and tally.last >= BEGUN + timedelta(seconds=600) for tally in found.tallies)
    counts.expire(int(BEGUN.timestamp()) + 3600)
    assert summary(counts).tallies == ()
